"""bigbird is refused with use_gradient_checkpointing: without it the weights are the same."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from nlp_export import checkpoints, names, pretrainer
from nlp_export.encoders import EncoderSpec
from nlp_export.restored_encoder import restore_encoder
from tests import encoder_types, tiny

# In a process of its own: TF-NLP's BigBirdEncoder replaces tf_keras.layers.Dropout for good.
_TRAINED = '''
import sys
import numpy as np
import tensorflow as tf
from official.modeling import hyperparams
from official.nlp.configs import encoders
from tests import encoder_types, tiny

config, prefix, values = sys.argv[1:]
network = encoders.build_encoder(hyperparams.override_params_dict(
    encoders.EncoderConfig(), config, is_strict=True))
tiny.draw_weights(network)
given = tiny.encoder_inputs(2, encoder_types.SEQ_LENGTH)
outputs = network([tf.constant(given[n]) for n in (
    'input_word_ids', 'input_mask', 'input_type_ids')])
assert 'pooled_output' not in outputs
np.savez(values, outputs['sequence_output'])
tf.train.Checkpoint(encoder=network).save(prefix)
'''


@pytest.mark.extra
def test_a_checkpoint_trained_with_it_is_the_network_without_it(tmp_path, repository):
  config = encoder_types.write_config(tmp_path, 'bigbird', use_gradient_checkpointing=True)
  values = tmp_path / 'values.npz'
  subprocess.run(
      [sys.executable, '-c', _TRAINED, str(config), str(tmp_path / 'ckpt'), str(values)],
      cwd=repository, check=True, timeout=300)
  spec = EncoderSpec('bigbird', encoder_types.BLOCKS['bigbird'])
  restored = restore_encoder(checkpoints.find_checkpoint(str(tmp_path / 'ckpt-1')), spec,
                             item_names=pretrainer.checkpoint_items())
  given = tiny.encoder_inputs(2, encoder_types.SEQ_LENGTH)
  found = restored.network(given)[names.SEQUENCE_OUTPUT]
  with np.load(values) as stored:
    expected = stored['arr_0']
  np.testing.assert_allclose(found, expected, atol=1e-6)
  assert checkpoints.ENCODER_POOLER in restored.report.left_out  # There is none to keep.
