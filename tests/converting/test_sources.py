"""What is converted from: TF1 files, networks of a lab's own, a part of a checkpoint."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from nlp_export import checkpoints
from nlp_export.encoders import from_file
from nlp_export.restored_encoder import restore_encoder
from tests import encoder_types, tiny
from tests.checkpoints import tf1_written
from tests.converting.conftest import SIZE, convert, write_pretrainer


def test_a_tf1_checkpoint_becomes_a_tf2_one(original, tmp_path):
  """Against an independent forward pass; Adam's slots are named and left out."""
  weights = tf1_written.draw(layers=1)
  macros = {
      'CHECKPOINT': tf1_written.write(tmp_path / 'bert_model.ckpt', weights, trained=True),
      'ENCODER_CONFIG': tf1_written.write_config(
          tmp_path / 'bert_config.json', num_hidden_layers=1),
      'VOCAB_FILE': original.macros['VOCAB_FILE'], 'DO_LOWER_CASE': True}
  done = convert(tmp_path / 'out', TO='tf2', **macros)
  assert done.status == 0, done.output
  assert 'of the optimizer: ' in done.output and 'next_sentence.out_proj' in done.output
  found = checkpoints.find_checkpoint(str(tmp_path / 'out' / 'converted' / 'tf2'))
  restored = restore_encoder(found, from_file(found.encoder_config), item_names={},
                             mlm_activation=found.mlm_activation)
  inputs = tiny.encoder_inputs()
  positions = np.tile(np.arange(12, dtype=np.int32), (3, 1))
  outputs = restored.pretrainer({**inputs, 'masked_lm_positions': positions})
  expected = tf1_written.forward(weights, inputs, layers=1)
  for key, value in zip(('sequence_output', 'pooled_output', 'mlm_logits'), expected):
    np.testing.assert_allclose(outputs[key], value, atol=1e-4, err_msg=key)
  kernel, _ = restored.checkpoint.dense('next_sentence.out_proj')
  np.testing.assert_array_equal(kernel, weights['cls/seq_relationship/output_weights'].T)


def test_the_masked_lm_head_is_left_out_if_asked(original, tmp_path):
  done = convert(tmp_path / 'out', TO='tf2', MASKED_LM=False, **original.macros)
  assert done.status == 0, done.output
  assert '  converted: encoder, next_sentence.out_proj' in done.output
  assert 'of heads: ' in done.output  # Said, since it is there.
  without = tmp_path / 'out' / 'converted' / 'tf2' / 'ckpt'
  assert 'masked_lm' not in checkpoints.open_checkpoint(str(without)).items()
  # And one that is not there cannot be asked for.
  done = convert(tmp_path / 'more', TO='tf2', MASKED_LM=True, CHECKPOINT=without)
  assert done.status == 2
  assert done.output.rstrip().endswith('Leave MASKED_LM out.')


def test_other_names_of_a_head(original, tmp_path):
  pretrainer = tiny.build_pretrainer(SIZE, head='sop')
  macros = {**original.macros, 'CHECKPOINT': write_pretrainer(tmp_path / 'ckpt', pretrainer)}
  done = convert(tmp_path / 'a', TO='hugging_face', **macros)
  assert done.status == 0 and 'of heads: ' in done.output, done.output
  assert "bind checkpoint_items.next_sentence = 'sop'" in done.output
  done = convert(tmp_path / 'b', TO='tf2', **{'checkpoint_items.next_sentence': 'sop'}, **macros)
  assert done.status == 0, done.output
  opened = checkpoints.open_checkpoint(str(tmp_path / 'b' / 'converted' / 'tf2'))
  kernel, _ = opened.dense('next_sentence.out_proj')
  np.testing.assert_array_equal(kernel, pretrainer.classification_heads[0].out_proj.kernel)


LAB = '''
import gin


@gin.register(module='encoders')
def lab_encoder():
  from official.nlp.modeling import networks

  return networks.BertEncoderV2(
      vocab_size={vocab_size}, hidden_size=16, num_layers=1, num_attention_heads=2, inner_dim=24,
      max_sequence_length=24, type_vocab_size=2)
'''


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Path:
  """A gin file whose encoder a lab's own code builds."""
  (tmp_path / 'lab_of_conversions.py').write_text(LAB.format(vocab_size=SIZE.vocab_size))
  monkeypatch.syspath_prepend(str(tmp_path))
  path = tmp_path / 'lab.gin'
  path.write_text("import lab_of_conversions\nENCODER = @encoders.lab_encoder\n")
  yield path
  sys.modules.pop('lab_of_conversions', None)


def test_a_network_of_a_lab_s_own(lab, original, tmp_path):
  from tests.converting.conftest import RUN
  from tests.in_process import run_main, settings

  macros = {key: value for key, value in original.macros.items() if key != 'ENCODER_CONFIG'}
  done = run_main(RUN, lab, *settings(TO='orbax', **macros), '--out_dir', tmp_path / 'out')
  assert done.status == 0, done.output
  step = tmp_path / 'out' / 'converted' / 'orbax' / 'checkpoints' / '0'
  assert not (step / 'metadata' / 'encoder.yaml').exists()
  done = run_main(RUN, lab, *settings(TO='hugging_face', **macros), '--out_dir', tmp_path / 'hf')
  assert done.status == 2
  assert "or TO=tf2 for TF-NLP's tools" in done.output


@pytest.mark.extra  # Not for what it needs, but for its time.
@pytest.mark.parametrize('kind', sorted(set(encoder_types.BLOCKS) - {'xlnet'}))
def test_every_type_of_encoder_becomes_a_tf2_checkpoint(kind, original, tmp_path):
  import tensorflow as tf
  import yaml
  from official.nlp.configs import encoders

  values = {'type': kind, kind: dict(encoder_types.BLOCKS[kind])}
  (tmp_path / 'encoder.yaml').write_text(yaml.safe_dump(values))
  config = encoders.EncoderConfig()
  config.override(values, is_strict=True)
  network = encoders.build_encoder(config)
  if not network.built:
    network(network.inputs)
  tiny.draw_weights(network, seed=3)
  prefix = tf.train.Checkpoint(encoder=network).write(str(tmp_path / 'ckpt'))
  done = convert(tmp_path / 'out', TO='tf2', CHECKPOINT=prefix,
                 ENCODER_CONFIG=tmp_path / 'encoder.yaml', VOCAB_FILE=original.macros['VOCAB_FILE'])
  assert done.status == 0, done.output
