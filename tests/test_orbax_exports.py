"""CHECKPOINT=<Orbax directory> and nothing else: configuration and vocabulary travel inside."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nlp_export import tokenizers
from tests import tiny
from tests.checkpoints import orbax_written
from tests.glue import official_layout
from tests.in_process import run_main, settings
from tests.sentencepiece_model import sentencepiece_model

EXPORT, INSPECT = 'gin/runs/export.gin', 'gin/runs/inspect_checkpoint.gin'
TYPES = "('model', 'model_with_mlm', 'preprocessing')"


@pytest.fixture(scope='module')
def pretrainer():
  return tiny.build_pretrainer(SIZE, mlm_activation='relu')


SIZE = tiny.Size(hidden_activation='relu', seed=4)


@pytest.fixture(scope='module')
def root(pretrainer, tiny_vocab, tmp_path_factory) -> Path:
  """Of an encoder whose activation, tokenizer and head no default would guess."""
  root = orbax_written.write(
      tmp_path_factory.mktemp('run') / 'checkpoints', pretrainer, SIZE,
      tokenizers.wordpiece(tiny_vocab, lower_case=True, split_at_unicode_spaces=True), steps=(20,))
  record = root / '20' / 'metadata' / 'metadata'
  record.write_text(record.read_text().replace('"gelu"', '"relu"'))
  return root


@pytest.fixture(scope='module')
def out(root, tmp_path_factory) -> Path:
  """out_dir of one export, from a copy without what only training needs."""
  directory = tmp_path_factory.mktemp('export')
  copy = Path(shutil.copytree(root, directory / 'checkpoints'))
  for name in ('optimizer', 'state', 'progress'):
    shutil.rmtree(copy / '20' / name)
  done = run_main(EXPORT, *settings(
      CHECKPOINT=copy, POOLERS='(@poolers.copy_nsp,)', DEFAULT_SEQ_LENGTH=16,
      EXPORT_TYPES="('model_with_mlm', 'preprocessing')"), '--out_dir', directory / 'out')
  assert done.status == 0, done.output
  assert '20 is the newest step of checkpoints.' in done.output
  assert 'tokenizer and vocabulary from step 20' in done.output
  return directory / 'out'


@pytest.mark.conformance(95)
def test_the_exports_equal_the_pretrainer(out, pretrainer):
  import tensorflow as tf
  import tensorflow_text  # noqa: F401

  exports = out / 'exports'
  preprocessing = tf.saved_model.load(str(exports / 'preprocessing'))
  inputs = preprocessing(tf.constant(['the cat sat', 'a dog']))
  mlm_inputs = {**inputs, 'masked_lm_positions': tf.constant([[1, 2], [1, 1]])}
  expected = pretrainer(mlm_inputs)
  encoder = tf.saved_model.load(str(exports / 'copy_nsp' / 'model_with_mlm'))
  got = encoder.mlm(mlm_inputs)
  for key in ('mlm_logits', 'sequence_output'):
    np.testing.assert_allclose(got[key], expected[key], atol=1e-5)
  dense = pretrainer.classification_heads[0].dense
  np.testing.assert_allclose(
      got['pooled_output'], dense(expected['sequence_output'][:, 0]), atol=1e-5)
  assert not np.allclose(got['pooled_output'], expected['pooled_output'], atol=1e-2)  # Control.
  # The recorded setting of the tokenizer: U+2028 separates words.
  separated, joined = (preprocessing.tokenize(tf.constant([text])).to_list()
                       for text in ('cat\u2028dog', 'cat dog'))
  assert separated == joined


def test_the_record_of_where_it_came_from(out):
  extra = out / 'exports' / 'copy_nsp' / 'model_with_mlm' / 'assets.extra'
  record = json.loads((extra / 'provenance.json').read_text())
  assert (record['checkpoint']['name'], record['checkpoint']['format']) == ('step 20', 'Orbax')
  assert sorted(record['checkpoint']['files']) == [
      'encoder', 'masked_lm', 'metadata', 'next_sentence.out_proj', 'next_sentence.pooler_dense']
  assert record['tokenizer']['asset'] == 'vocab.txt'
  assert record['encoder']['hidden_activation'] == 'relu'
  restored = json.loads((extra / 'restore.json').read_text())
  assert restored['complete'] and restored['checkpoint'] == 'step 20'


def test_inspection(root, tmp_path):
  done = run_main(INSPECT, *settings(CHECKPOINT=root), '--out_dir', tmp_path / 'out')
  assert done.status == 0, done.output
  for line in ('step 20: Orbax', '20 is the newest step of checkpoints.',
               '  counter progress/step = 20', '  yes copy_nsp: '):
    assert line in done.stdout


def glue_check(root, tmp_path, *flags):
  glue = official_layout.write(tmp_path / 'glue', 24)
  small = {'TASKS': "('stsb',)", 'EPOCHS': 'None', 'recipe.steps': 2, 'BATCH_SIZE': 8,
           'MAX_SEQ_LENGTH': 16, 'SEEDS': '(0,)', 'GLUE_DIR': glue}
  return run_main('gin/runs/glue_check.gin', *settings(CHECKPOINT=root, **small), *flags,
                  '--out_dir', tmp_path / 'out')


def test_glue_checks_need_nothing_else(root, tmp_path):
  done = glue_check(root, tmp_path, '--dry_run')
  assert done.status == 0, done.output
  assert f'restore {root}/20 (Orbax) into bert: 2 layers, 16 wide, from encoder.yaml' in done.stdout


@pytest.mark.extra
def test_an_export_and_its_baseline_come_from_the_one_directory(root, tmp_path):
  done = glue_check(root, tmp_path)
  assert done.status == 0, done.output
  results = json.loads((tmp_path / 'out' / 'glue' / 'results.json').read_text())
  export, baseline = (next(c for c in results['cells'] if c['arm'] == arm)
                      for arm in ('export', 'baseline'))
  assert export['metrics'] == baseline['metrics']


def dry(checkpoint, tmp_path, **more):
  return run_main(EXPORT, *settings(CHECKPOINT=checkpoint, **more), '--dry_run', '--out_dir',
                  tmp_path / 'out')


def test_given_settings_are_checked_against_what_the_checkpoint_brings(
    root, tmp_path, tiny_vocab, tiny_vocab_cased):
  assert dry(root, tmp_path).status == 0
  assert dry(root, tmp_path, VOCAB_FILE=tiny_vocab, DO_LOWER_CASE=True).status == 0
  other = tiny.write_encoder_config(tmp_path / 'other.yaml', tiny.Size(num_layers=3))
  for more, last in (
      ({'VOCAB_FILE': tiny_vocab_cased}, 'Leave VOCAB_FILE out.'),
      ({'DO_LOWER_CASE': False}, 'Leave DO_LOWER_CASE out.'),
      ({'ENCODER_CONFIG': other},
       'or name the checkpoint that ENCODER_CONFIG describes'),
      ({'EXPORT_TYPES': TYPES, 'export.mlm_activation': "'gelu'"},
       'Leave export.mlm_activation out.')):
    done = dry(root, tmp_path, **more)
    assert done.status == 2 and done.output.rstrip().endswith(last), done.output


def test_a_checkpoint_of_others_needs_what_it_does_not_bring(root, tmp_path, tiny_vocab):
  """Orbax's items without our metadata: the settings of every other checkpoint stand in."""
  copy = Path(shutil.copytree(root, tmp_path / 'checkpoints'))
  for name in ('encoder.yaml', 'tokenizer.json', 'vocab.txt'):
    (copy / '20' / 'metadata' / name).unlink()
  done = dry(copy, tmp_path)
  assert done.status == 2 and '--set VOCAB_FILE=' in done.output
  done = dry(copy, tmp_path, VOCAB_FILE=tiny_vocab)
  assert done.status == 2 and 'ENCODER_CONFIG' in done.output
  config = tiny.write_encoder_config(tmp_path / 'encoder.yaml', SIZE)
  assert dry(copy, tmp_path, VOCAB_FILE=tiny_vocab, ENCODER_CONFIG=config).status == 0


def test_a_sentencepiece_model_travels_too(tmp_path):
  model = tmp_path / 'pieces.model'
  model.write_bytes(sentencepiece_model())
  tokenizer = tokenizers.sentencepiece(str(model), False, strip_diacritics=False)
  size = tiny.Size(type='albert', vocab_size=tokenizer.vocab_size, seed=5)
  items = {'encoder': {'kernel': np.zeros(2, np.float32)}}  # A dry run reads no weights.
  step = orbax_written.save(tmp_path / 'checkpoints', 3, items, metadata={'schema_version': 1})
  orbax_written.add_metadata(step, items, size, tokenizer)
  done = dry(step.parent, tmp_path)
  assert done.status == 0, done.output
  assert 'into albert' in done.output and 'takes the text as it is' in done.output
