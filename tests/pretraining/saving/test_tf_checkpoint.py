"""A TF2 checkpoint of a run is exported by TF-NLP's own export_tfhub as it is."""

from __future__ import annotations

import numpy as np
import pytest

from nlp_export.errors import RequestError
from nlp_export.pretraining.saving import tf_checkpoint
from tests import tiny


@pytest.mark.parametrize('kind', ['bert'])
def test_the_reference_exports_it_unchanged(kind, tiny_vocab, tmp_path):
  import tensorflow as tf
  from official.nlp.configs import encoders
  from official.nlp.tools import export_tfhub_lib

  size = tiny.Size(type=kind, num_layers=1, seed=7)
  pretrainer = tiny.build_pretrainer(size)
  prefix = str(tmp_path / 'run' / 'ckpt-1000')
  assert tf_checkpoint.write(prefix, pretrainer.checkpoint_items) == prefix
  config = encoders.EncoderConfig(type=kind)
  config.override({kind: size.fields()})
  path = str(tmp_path / 'export')
  # Without changes to the tool or to the checkpoint; the pooler comes from the head's own item.
  export_tfhub_lib.export_model(
      path, encoder_config=config, model_checkpoint_path=prefix, with_mlm=True,
      copy_pooler_dense_to_encoder=True, vocab_file=tiny_vocab, do_lower_case=True)

  loaded = tf.saved_model.load(path)
  inputs = tiny.encoder_inputs()
  positions = np.array([[1, 0], [2, 3], [0, 0]], np.int32)
  found = loaded.mlm({**inputs, 'masked_lm_positions': positions})
  wanted = pretrainer({**inputs, 'masked_lm_positions': positions})
  for key in ('sequence_output', 'mlm_logits'):
    np.testing.assert_allclose(found[key], wanted[key], atol=1e-5)
  pooler = pretrainer.checkpoint_items['next_sentence.pooler_dense']
  pooled = pooler(wanted['sequence_output'][:, 0])
  np.testing.assert_allclose(loaded(inputs)['pooled_output'], pooled, atol=1e-5)
  assert not np.allclose(pooled, wanted['pooled_output'], atol=1e-2)  # Control: the head's own.


def test_a_checkpoint_that_cannot_be_written_leaves_nothing(tmp_path):
  import tensorflow as tf

  (tmp_path / 'taken.index').mkdir()  # No file can be written over it.
  with pytest.raises(RequestError, match=r'^Cannot write '):
    tf_checkpoint.write(str(tmp_path / 'taken'), {'encoder': tf.Module()})
  assert [p.name for p in tmp_path.iterdir()] == ['taken.index']
