"""tests/tiny.py: what the other tests stand on is itself as promised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from tests import tiny


@pytest.mark.parametrize('kind', ['bert', 'bert_v2', 'albert'])
def test_a_checkpoint_restores_into_a_fresh_pretrainer(tmp_path, kind):
  import tensorflow as tf

  size = tiny.Size(type=kind)
  pretrainer = tiny.build_pretrainer(size)
  path = tiny.write_checkpoint(tmp_path / 'ckpt', pretrainer)
  other = tiny.build_pretrainer(tiny.Size(type=kind, seed=9))
  inputs = tiny.encoder_inputs() | {'masked_lm_positions': np.array([[1], [2], [0]], np.int32)}
  expected = pretrainer(inputs)['mlm_logits']
  assert expected.shape == (3, 1, size.vocab_size)
  assert not np.allclose(other(inputs)['mlm_logits'], expected)  # control: seeds matter
  restored = tf.train.Checkpoint(**other.checkpoint_items).restore(path)
  restored.assert_existing_objects_matched()
  np.testing.assert_array_equal(other(inputs)['mlm_logits'], expected)


def test_the_same_seed_gives_the_same_weights(tiny_pretrainer, tiny_size):
  again = tiny.build_pretrainer(tiny_size)
  for a, b in zip(tiny_pretrainer.variables, again.variables, strict=True):
    np.testing.assert_array_equal(a, b)


def test_the_config_file_is_one_of_tf_nlp(tmp_path):
  from official.nlp.configs import encoders

  size = tiny.Size(type='albert', num_layers=3)
  config = encoders.EncoderConfig()
  text = Path(tiny.write_encoder_config(tmp_path / 'c.yaml', size)).read_text()
  config.override(yaml.safe_load(text))
  assert config.type == 'albert' and config.get().num_layers == 3
  assert config.get().embedding_width == 8


def test_real_weights_are_where_the_fixture_says(minilm_dir):
  names = {path.name for path in Path(minilm_dir).iterdir()}
  assert {'config.json', 'model.safetensors', 'vocab.txt'} <= names
