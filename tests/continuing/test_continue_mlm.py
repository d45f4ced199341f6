"""gin/runs/continue_mlm.gin on a tiny export: it learns, it is an export again, it goes on."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests import pretrain_lab
from tests.continuing import continue_lab
from tests.continuing.continue_lab import EXPORT, STEPS, arguments, arrays
from tests.in_process import run_main

pytestmark = pytest.mark.extra

INPUTS = {
    'input_word_ids': np.array([[2, 60, 61, 62, 3, 0]], np.int32),
    'input_mask': np.array([[1, 1, 1, 1, 1, 0]], np.int32),
    'input_type_ids': np.zeros((1, 6), np.int32),
}
MLM_INPUTS = {**INPUTS, 'masked_lm_positions': np.array([[1, 3]], np.int32)}


@pytest.fixture(scope='module')
def summary(continued):
  return json.loads((continued / 'pretraining/summary.json').read_text())


@pytest.fixture(scope='module')
def before(uncased_exports):
  return tf.saved_model.load(uncased_exports['model_with_mlm'])


@pytest.fixture(scope='module')
def after(continued):
  return tf.saved_model.load(str(continued / EXPORT))


def test_it_learns_and_says_how_much(continued, summary):
  old, new = summary['before']['masked_lm_loss'], summary['held_out']['masked_lm_loss']
  change = summary['change']['masked_lm_loss']
  assert new < 0.6 * old
  assert change['value'] == pytest.approx(new - old)
  low, high = change['interval']
  assert low < change['value'] < high < 0
  assert summary['is_better']
  curves = json.loads((continued / 'pretraining/curves.json').read_text())
  assert [entry['step'] for entry in curves['evaluations']] == [0, 8, 16, 24]
  assert curves['evaluations'][0]['masked_lm_loss'] == old
  assert 'Continued masked-LM training' in (continued / 'report.html').read_text()


def test_root_and_mlm_have_moved_alike(before, after):
  outputs, mlm = after(INPUTS), after.mlm(MLM_INPUTS)
  np.testing.assert_allclose(outputs['sequence_output'], mlm['sequence_output'], atol=1e-5)
  moved = np.abs(outputs['sequence_output'] - before(INPUTS)['sequence_output']).max()
  assert moved > 0.1
  assert np.abs(mlm['mlm_logits'] - before.mlm(MLM_INPUTS)['mlm_logits']).max() > 0.1
  of_mlm = {id(v) for v in after.mlm.trainable_variables}
  assert all(id(v) in of_mlm for v in after.trainable_variables)


def test_all_has_learned_but_the_pooler_which_the_masked_lm_does_not_reach(before, after, summary):
  same = [v.name for v, w in zip(after.mlm.trainable_variables, before.mlm.trainable_variables,
                                 strict=True) if np.array_equal(v, w)]
  # Not even weight decay has changed it.
  assert same == ['pooler_transform/kernel:0', 'pooler_transform/bias:0']
  assert any('not trained: pooler_transform/kernel' in note for note in summary['notes'])
  np.testing.assert_array_equal(after.dropout_state, before.dropout_state)


def test_card_and_record_say_what_was_done(continued, summary, text):
  card = (continued / EXPORT / 'README.md').read_text()
  record = json.loads((continued / EXPORT / 'assets.extra/provenance.json').read_text())
  tuned, = record['tuning']
  assert tuned['what'] == 'masked-LM training continued on 1 text file'
  assert tuned['how'].startswith('24 steps of 8 rows of 16 tokens (adamw, learning rate up to 0.02')
  scores = {score['metric']: score for score in tuned['scores']}
  assert scores['masked_lm_loss']['value'] == summary['held_out']['masked_lm_loss']
  assert f"({summary['before']['masked_lm_loss']:.4f} before)" in card
  assert 'fine-tune it before you rely on pooled_output' in card
  assert list(tuned['data']) == ['text.txt']
  assert tuned['data']['text.txt'] in card
  assert str(continued) not in json.dumps(record) + card


def test_the_same_command_is_done(continued, uncased_exports, text):
  record = (continued / 'run.json').read_bytes()
  done = run_main(*arguments(continued, uncased_exports, text))
  assert done.status == 0 and f'done: {continued} holds this run already' in done.stdout
  assert (continued / 'run.json').read_bytes() == record


def test_it_goes_on_to_the_same_bits(continued, uncased_exports, text, tmp_path):
  out = tmp_path / 'out'
  shutil.copytree(continued, out)
  for step in (16, STEPS):
    shutil.rmtree(out / 'training/checkpoints' / str(step))
  record = json.loads((out / 'run.json').read_text())
  (out / 'run.json').write_text(json.dumps({**record, 'status': 'running'}))
  done = run_main(*arguments(out, uncased_exports, text))
  assert done.status == 0, done.output
  assert 'going on from checkpoint 8' in done.stdout
  assert 'continued/model_with_mlm: done before' in done.stdout
  # Of the whole run: weights, moments, the dropout state of the export.
  assert int(arrays(out)['state/dropout_state_of_export'][1]) == STEPS
  pretrain_lab.assert_same(arrays(out), arrays(continued))
  with pytest.raises(AssertionError):  # Control: other weights would be seen.
    pretrain_lab.assert_same(arrays(out, 8), arrays(continued))


def test_a_dry_run_says_what_it_would_do(continued, uncased_exports, text):
  done = run_main(*arguments(continued.parent / 'other', uncased_exports, text), '--dry_run')
  assert done.status == 0, done.output
  lines = done.stdout.splitlines()
  for told in ('it would start at step 0', 'runtime: one_device',
               f'write and verify {EXPORT}',
               f'load {uncased_exports["model_with_mlm"]} and its masked-LM head; tokenise with '
               f'{uncased_exports["preprocessing"]}'):
    assert told in lines
  assert not (continued.parent / 'other').exists()


def test_two_replicas_and_whole_words(run_py, uncased_exports, text, tmp_path):
  out = tmp_path / 'out'
  done = run_py(*continue_lab.arguments(
      out, uncased_exports, text, 'gin/runtime/mirrored.gin',
      **{'mirrored.logical_cpus': 2, 'data_recipe.whole_word': True}))
  assert done.status == 0, done.output
  found = json.loads((out / 'pretraining/summary.json').read_text())
  assert found['is_better'] and found['facts']['environment']['replicas'] == 2
  verified = json.loads((out / EXPORT / 'assets.extra/verification.json').read_text())
  assert verified['passed']


def test_a_stranger_s_export(tiny_uncased, tiny_size, uncased_exports, text, tmp_path):
  from official.nlp.configs import encoders
  from official.nlp.tools import export_tfhub_lib

  config = encoders.EncoderConfig(type=tiny_size.type)
  config.override({tiny_size.type: tiny_size.fields()})
  exports = {'model_with_mlm': str(tmp_path / 'model'), 'preprocessing': str(tmp_path / 'text')}
  export_tfhub_lib.export_model(
      exports['model_with_mlm'], encoder_config=config,
      model_checkpoint_path=tiny_uncased['CHECKPOINT'], with_mlm=True,
      vocab_file=tiny_uncased['VOCAB_FILE'], do_lower_case=True)
  export_tfhub_lib.export_preprocessing(
      exports['preprocessing'], vocab_file=tiny_uncased['VOCAB_FILE'], do_lower_case=True,
      default_seq_length=16, tokenize_with_offsets=True)
  out = tmp_path / 'out'
  done = run_main(*arguments(out, exports, text))
  assert done.status == 0, done.output
  found = json.loads((out / 'pretraining/summary.json').read_text())
  assert found['is_better']
  assert any('masks of this export cannot be set' in note for note in found['notes'])
  loaded = tf.saved_model.load(str(out / EXPORT))
  np.testing.assert_allclose(
      loaded(INPUTS)['sequence_output'], loaded.mlm(MLM_INPUTS)['sequence_output'], atol=1e-5)
