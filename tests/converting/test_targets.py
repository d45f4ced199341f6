"""Each target computes what the source does, read by others than the code that wrote it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from nlp_export import checkpoints
from nlp_export.encoders import from_file
from nlp_export.pretraining.saving import resume
from nlp_export.pretraining.saving.tree import RunVariables
from nlp_export.restored_encoder import restore_encoder
from tests import pretrain_lab, tiny
from tests.checkpoints import hugging_face_bert
from tests.converting.conftest import SIZE, convert, write_hugging_face
from tests.in_process import run_main, settings

INPUTS = tiny.encoder_inputs(seq_length=12)
POSITIONS = np.array([[1, 0], [2, 3], [0, 0]], np.int32)


def gelu_tanh(x):
  return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def gelu_erf(x):
  from scipy import special

  return x * (1 + special.erf(x / np.sqrt(2))) / 2


def outputs_of(pretrainer):
  """Outputs of a BertPretrainerV2 as numpy."""
  found = pretrainer({**INPUTS, 'masked_lm_positions': POSITIONS})
  keys = ('sequence_output', 'pooled_output', 'mlm_logits', 'next_sentence')
  return {key: np.asarray(found[key]) for key in keys if key in found}


@pytest.fixture(scope='module')
def expected(original):
  return outputs_of(original.pretrainer)


def weights(directory: Path) -> dict[str, np.ndarray]:
  from safetensors.numpy import load_file

  return load_file(directory / 'model.safetensors')


def test_a_hugging_face_folder_computes_the_same_in_numpy(converted, expected):
  directory = converted('hugging_face')
  found = weights(directory)
  sequence, pooled = hugging_face_bert.forward(found, 2, INPUTS, gelu_tanh)
  np.testing.assert_allclose(sequence, expected['sequence_output'], atol=1e-5)
  np.testing.assert_allclose(pooled, expected['pooled_output'], atol=1e-5)
  logits = hugging_face_bert.mlm_logits(found, sequence, gelu_tanh)
  np.testing.assert_allclose(
      np.take_along_axis(logits, POSITIONS[..., None], 1), expected['mlm_logits'], atol=1e-5)
  kernel, bias = found['cls.seq_relationship.weight'], found['cls.seq_relationship.bias']
  np.testing.assert_allclose(pooled @ kernel.T + bias, expected['next_sentence'], atol=1e-5)
  # Control: the other gelu, which transformers would take for hidden_act "gelu".
  other, _ = hugging_face_bert.forward(found, 2, INPUTS, gelu_erf)
  assert np.abs(other - expected['sequence_output']).max() > 1e-4


def test_what_a_hugging_face_folder_says_of_itself(converted, tiny_vocab):
  directory = converted('hugging_face')
  config = json.loads((directory / 'config.json').read_text())
  assert (config['hidden_act'], config['architectures']) == ('gelu_new', ['BertForPreTraining'])
  tokenizer = json.loads((directory / 'tokenizer_config.json').read_text())
  assert tokenizer['do_lower_case'] is True and tokenizer['tokenizer_class'] == 'BertTokenizer'
  assert (directory / 'vocab.txt').read_bytes() == Path(tiny_vocab).read_bytes()
  assert 'global_step' in (directory / 'README.md').read_text()  # Left out, and said.


TFNLP = """
import json, sys
import numpy as np
import tensorflow as tf, yaml
from official.modeling import tf_utils
from official.nlp.configs import encoders
from official.nlp.modeling import layers, models

directory, inputs, activation = sys.argv[1], dict(np.load(sys.argv[2])), sys.argv[3]
config = encoders.EncoderConfig()
config.override(yaml.safe_load(open(directory + '/encoder.yaml')), is_strict=True)
head = layers.ClassificationHead(config.get().hidden_size, num_classes=2, name='next_sentence')
pretrainer = models.BertPretrainerV2(
    encoders.build_encoder(config), mlm_activation=tf_utils.get_activation(activation),
    classification_heads=[head])
found = pretrainer(inputs)
items = {**pretrainer.checkpoint_items, 'next_sentence.out_proj': head.out_proj}
latest = tf.train.latest_checkpoint(directory)
tf.train.Checkpoint(**items).read(latest).assert_existing_objects_matched()
found = pretrainer(inputs)
np.savez(sys.argv[4], **{k: found[k] for k in
         ('sequence_output', 'pooled_output', 'mlm_logits', 'next_sentence')})
print('nlp_export' in sys.modules)
"""


def test_tfnlp_alone_reads_a_tf2_checkpoint(converted, expected, tmp_path):
  np.savez(tmp_path / 'inputs.npz', **INPUTS, masked_lm_positions=POSITIONS)
  done = subprocess.run(
      [sys.executable, '-P', '-c', TFNLP, str(converted('tf2')), str(tmp_path / 'inputs.npz'),
       'gelu', str(tmp_path / 'outputs.npz')],
      cwd=tmp_path, capture_output=True, text=True, timeout=300,
      env={**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3'})
  assert done.returncode == 0, done.stderr[-3000:]
  assert done.stdout.strip() == 'False'
  with np.load(tmp_path / 'outputs.npz') as found:
    for key, value in expected.items():
      np.testing.assert_allclose(found[key], value, atol=1e-5, err_msg=key)


def test_a_tf2_checkpoint_brings_along_what_was_written_with_it(converted, original):
  found = checkpoints.find_checkpoint(str(converted('tf2')))
  assert from_file(found.encoder_config) == from_file(original.macros['ENCODER_CONFIG'])
  assert found.mlm_activation == 'gelu'
  assert Path(found.vocab_file).name == 'vocab.txt' and found.tokenizer_settings
  source = checkpoints.find_checkpoint(original.macros['CHECKPOINT'])
  assert source.encoder_config is None  # Control: the YAML beside it has no record.


@pytest.mark.parametrize('place', ['tf2', 'tf2/ckpt', 'orbax/checkpoints', 'hugging_face'])
def test_an_export_needs_nothing_else(place, converted, tmp_path):
  to, _, inner = place.partition('/')
  done = run_main(
      'gin/runs/export.gin', *settings(CHECKPOINT=converted(to) / inner, DEFAULT_SEQ_LENGTH=16),
      '--dry_run', '--out_dir', tmp_path / 'out')
  assert done.status == 0, done.output
  assert '1 layers, 16 wide' in done.output


@pytest.mark.extra  # Not for what it needs, but for its time.
@pytest.mark.parametrize('place', ['tf2', 'orbax/checkpoints', 'orbax/checkpoints/0'])
def test_a_pre_training_run_starts_from_it(place, converted, original, tmp_path):
  to, _, inner = place.partition('/')
  text = pretrain_lab.write_text(tmp_path / 'text.txt', documents=40)
  done = run_main(*pretrain_lab.arguments(
      tmp_path / 'out', TEXT_FILES=text, VOCAB_FILE=original.macros['VOCAB_FILE'],
      DO_LOWER_CASE=True, TRAIN_STEPS=2, SAVE_EVERY_STEPS=2,
      INITIAL_CHECKPOINT=converted(to) / inner, **{
          'encoders.bert.max_position_embeddings': SIZE.max_position_embeddings}))
  assert done.status == 0, done.output
  assert 'weights of encoder, masked_lm, next_sentence.pooler_dense, next_sentence.out_proj' in (
      done.output)


def test_pre_training_starts_from_an_orbax_checkpoint(converted, expected):
  other = tiny.build_pretrainer(SIZE)
  tiny.draw_weights(other, seed=77)
  assert not np.allclose(outputs_of(other)['mlm_logits'], expected['mlm_logits'], atol=1e-2)
  head = other.classification_heads[0]
  variables = RunVariables({**other.checkpoint_items, 'next_sentence.out_proj': head.out_proj})
  root = str(converted('orbax') / 'checkpoints')
  stored, _ = resume.start_from_weights(root, variables)
  assert stored.step == 0
  for key, value in outputs_of(other).items():
    np.testing.assert_array_equal(value, expected[key], err_msg=key)


def test_every_format_becomes_every_other_and_the_first_again(converted, expected, tmp_path):
  """TF2 to Hugging Face to Orbax to TF2, with nothing else given: equal to the last bit."""
  source = converted('hugging_face')
  for number, to in enumerate(('orbax', 'tf2')):
    out = tmp_path / str(number)
    done = convert(out, TO=to, CHECKPOINT=source)
    assert done.status == 0, done.output
    assert 'next_sentence.out_proj, next_sentence.pooler_dense' in done.output
    source = out / 'converted' / to / ('checkpoints' if to == 'orbax' else 'ckpt')
  found = checkpoints.find_checkpoint(str(source))
  restored = restore_encoder(found, from_file(found.encoder_config), item_names={},
                             mlm_activation=found.mlm_activation)
  np.testing.assert_array_equal(
      restored.pretrainer({**INPUTS, 'masked_lm_positions': POSITIONS})['mlm_logits'],
      expected['mlm_logits'])
  kernel, bias = restored.checkpoint.dense('next_sentence.out_proj')
  np.testing.assert_allclose(
      expected['pooled_output'] @ kernel + bias, expected['next_sentence'], atol=1e-5)


def test_a_finished_conversion_is_done(converted):
  directory = converted('hugging_face')
  record = json.loads((directory / 'assets.extra' / 'verification.json').read_text())
  assert record['passed'] and {check['name'] for check in record['checks']} >= {
      'conversion.sequence_output', 'conversion.pooled_output', 'conversion.mlm_logits',
      'conversion.next_sentence.out_proj', 'conversion.configuration', 'conversion.vocabulary'}
  provenance = json.loads((directory / 'assets.extra' / 'provenance.json').read_text())
  assert provenance['to'] == 'hugging_face' and provenance['has_pooler']
  assert all(len(digest) == 64 for digest in provenance['checkpoint']['files'].values())


def test_the_yaml_of_exact_gelu_is_no_other_function_to_tfnlp(tmp_path, tiny_vocab):
  """Hugging Face's gelu is the exact one: carried for us, refused by TF-NLP, never the other."""
  from official.nlp.configs import encoders

  directory = write_hugging_face(tmp_path / 'hf', hugging_face_bert.draw(layers=1), 'gelu')
  done = convert(tmp_path / 'out', TO='tf2', CHECKPOINT=directory)
  assert done.status == 0, done.output  # Without a tokenizer: TF2 can do without.
  written = tmp_path / 'out' / 'converted' / 'tf2'
  assert '`gelu_erf`, the exact form' in (written / 'README.md').read_text()
  found = checkpoints.find_checkpoint(str(written / 'ckpt'))
  assert found.mlm_activation == 'gelu_erf' and found.vocab_file is None
  values = yaml.safe_load((written / 'encoder.yaml').read_text())
  config = encoders.EncoderConfig()
  config.override(values, is_strict=True)
  with pytest.raises(ValueError, match='gelu_erf'):
    encoders.build_encoder(config)
  # What the card says to do instead.
  import nlp_export.encoder_config.activations  # noqa: F401

  values['bert']['hidden_activation'] = 'nlp_export>gelu_erf'
  config.override(values, is_strict=True)
  network = encoders.build_encoder(config)
  import tensorflow as tf

  tf.train.Checkpoint(encoder=network).read(str(written / 'ckpt')).expect_partial()
  sequence, _ = hugging_face_bert.forward(hugging_face_bert.draw(layers=1), 2, INPUTS, gelu_erf)
  np.testing.assert_allclose(network(INPUTS)['sequence_output'], sequence, atol=1e-5)
