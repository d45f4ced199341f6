"""gin/runs/pretrain.gin: trains, goes on, stops and refuses, with real tiny trainings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests import pretrain_lab
from tests.in_process import run_main, settings
from tests.pretrain_lab import STEPS, arguments, assert_same, weights


@pytest.fixture(scope='module')
def lab(tmp_path_factory, tiny_vocab) -> dict[str, object]:
  """Text and vocabulary, as macros."""
  directory = tmp_path_factory.mktemp('pretrain')
  return {'TEXT_FILES': pretrain_lab.write_text(directory / 'text.txt'), 'VOCAB_FILE': tiny_vocab}


@pytest.fixture(scope='module')
def whole(tmp_path_factory, lab) -> Path:
  """out_dir of an uninterrupted run. Shared: copy it to change it."""
  out = tmp_path_factory.mktemp('whole') / 'out'
  done = run_main(*arguments(out, **lab, **{
      'saving.tensorboard': True, 'saving.tf_checkpoint': True}))
  assert done.status == 0, done.output
  return out


def test_a_run_leaves_a_checkpoint_curves_and_a_report(whole):
  steps = sorted(path.name for path in (whole / 'checkpoints').iterdir())
  assert steps == ['12', '4', '8']
  summary = json.loads((whole / 'pretraining/summary.json').read_text())
  assert summary['step'] == STEPS
  assert summary['unigram_cross_entropy'] > 1 and summary['majority_share'] >= 0.5
  assert summary['speed']['tokens_per_second'] > 0 and 0 < summary['speed']['share_of_peak'] < 1
  low, high = summary['intervals']['next_sentence_accuracy']
  assert low <= summary['held_out']['next_sentence_accuracy'] <= high
  curves = json.loads((whole / 'pretraining/curves.json').read_text())
  assert [entry['step'] for entry in curves['training']] == [1, 2, 4, 6, 8, 10, 12]
  assert [entry['step'] for entry in curves['evaluations']] == [4, 8, 12]
  assert sum(entry['steps'] for entry in curves['training']) == STEPS
  record = json.loads((whole / 'run.json').read_text())
  assert record['status'] == 'done'
  assert record['recorded']['pretraining']['held_out'] == summary['held_out']
  page = (whole / 'report.html').read_text()
  assert 'Pre-training: masked-LM loss, nats against step' in page
  assert 'Scores' not in page  # There are no cells.
  assert list((whole / 'tensorboard').glob('events.*'))


@pytest.mark.extra  # An export of such a run is in test_pretrain_then_export.py too.
def test_what_it_leaves_is_a_checkpoint_for_the_export(whole, tmp_path):
  done = run_main('gin/runs/export.gin', f'--set=CHECKPOINT={whole}/checkpoints',
                  '--set=POOLERS=(@poolers.copy_nsp,)', "--set=EXPORT_TYPES=('model',)",
                  '--out_dir', tmp_path / 'out')
  assert done.status == 0, done.output
  provenance = json.loads((
      tmp_path / 'out/exports/copy_nsp/model/assets.extra/provenance.json').read_text())
  assert 'next_sentence' in provenance['pooler']['origin']
  prefix = whole / 'tf_checkpoint' / f'ckpt-{STEPS}'
  done = run_main('gin/runs/inspect_checkpoint.gin', f'--set=CHECKPOINT={prefix}', '--out_dir',
                  tmp_path / 'inspected')
  assert done.status == 0, done.output


def test_the_same_command_is_done(whole, lab):
  before = (whole / 'run.json').read_bytes()
  done = run_main(*arguments(whole, **lab, **{
      'saving.tensorboard': True, 'saving.tf_checkpoint': True}))
  assert done.status == 0 and f'done: {whole} holds this run already' in done.stdout
  assert (whole / 'run.json').read_bytes() == before


def test_a_dry_run_says_what_it_would_do(lab, tmp_path):
  done = run_main(*arguments(tmp_path / 'out', **lab), '--dry_run')
  assert done.status == 0, done.output
  lines = done.stdout.splitlines()
  for told in ('it would start at step 0', 'runtime: one_device',
               'save every 4 steps to checkpoints/, measure every 4'):
    assert told in lines
  assert not (tmp_path / 'out').exists()


def test_the_weights_do_not_depend_on_loops_saves_and_evaluations(whole, lab, tmp_path):
  done = run_main(*arguments(tmp_path / 'out', **lab, STEPS_PER_LOOP=5, SAVE_EVERY_STEPS=7,
                             EVALUATE_EVERY_STEPS=3))
  assert done.status == 0, done.output
  assert_same(weights(tmp_path / 'out'), weights(whole))
  with pytest.raises(AssertionError):  # Control: other weights would be seen.
    assert_same(weights(whole, 8), weights(whole))


def unfinished(whole: Path, out: Path, last: int) -> None:
  """A copy of a run as it was when step `last` was saved, without its end."""
  shutil.copytree(whole, out)
  for step in (out / 'checkpoints').iterdir():
    if int(step.name) > last:
      shutil.rmtree(step)
  record = json.loads((out / 'run.json').read_text())
  (out / 'run.json').write_text(json.dumps({**record, 'status': 'running'}))


def of_arrays(step: Path) -> Path:
  """A file of a checkpoint with weights in it. Orbax leaves others that nobody reads any more."""
  return max((step / 'encoder/d').iterdir(), key=lambda path: path.stat().st_size)


def test_it_goes_on_to_the_same_weights_past_a_truncated_checkpoint(whole, lab, tmp_path):
  out = tmp_path / 'out'
  unfinished(whole, out, 8)
  arrays = of_arrays(out / 'checkpoints/8')
  arrays.write_bytes(arrays.read_bytes()[:arrays.stat().st_size // 2])
  done = run_main(*arguments(out, **lab, **{
      'saving.tensorboard': True, 'saving.tf_checkpoint': True}))
  assert done.status == 0, done.output
  assert 'checkpoint 8 cannot be read and is set aside as 8.damaged: going on from 4' in done.stdout
  assert 'going on from checkpoint 4' in done.stdout.splitlines()
  assert_same(weights(out), weights(whole))
  curves = json.loads((out / 'pretraining/curves.json').read_text())
  assert [entry['step'] for entry in curves['training']] == [1, 2, 4, 5, 6, 8, 10, 12]


@pytest.mark.extra
def test_another_runs_directory_stays_as_it_is(whole, lab, tmp_path):
  unfinished(whole, tmp_path / 'old', 8)
  old = tmp_path / 'old/checkpoints'
  of_arrays(old / '8').write_bytes(b'')
  done = run_main(*arguments(tmp_path / 'out', **lab, RESUME_FROM=old))
  assert done.status == 0, done.output
  assert 'checkpoint 8 cannot be read: going on from 4' in done.stdout
  assert f'going on from checkpoint 4 of {old}' in done.stdout
  assert sorted(path.name for path in old.iterdir()) == ['4', '8']
  assert_same(weights(tmp_path / 'out'), weights(whole))


def test_another_configuration_is_refused_with_the_difference(whole, lab, tmp_path):
  out = tmp_path / 'out'
  unfinished(whole, out, 8)
  done = run_main(*arguments(out, **lab, **{'train_recipe.learning_rate': 1e-3}))
  assert done.status == 2
  assert '-train_recipe.learning_rate = 0.005\n+train_recipe.learning_rate = 0.001' in done.output
  for name in ('run.json', 'config.gin'):  # Now the checkpoints alone know what they are of.
    (out / name).unlink()
  shutil.copytree(out / 'checkpoints', tmp_path / 'new/checkpoints')
  done = run_main(*arguments(
      tmp_path / 'other', **lab, RESUME_FROM=tmp_path / 'new/checkpoints',
      **{'train_recipe.learning_rate': 1e-3}))
  assert done.status == 2
  assert 'training.learning_rate: 0.005 there, 0.001 now' in done.output
  assert done.output.splitlines()[-1].endswith('--out_dir ANOTHER_DIR.')


def test_it_starts_from_the_weights_of_another_run(whole, lab, tmp_path):
  out = tmp_path / 'out'
  done = run_main(*arguments(
      out, **lab, TRAIN_STEPS=1, INITIAL_CHECKPOINT=whole / 'checkpoints',
      **{'train_recipe.learning_rate': 1e-30, 'train_recipe.weight_decay': 0.0}))
  assert done.status == 0, done.output
  found, before = weights(out, 1), weights(whole)
  of_model = [name for name in found if name.split('/')[0] not in ('optimizer', 'state')]
  assert_same({**{n: found[n] for n in of_model}, **{f'{n}2': found[n] for n in of_model}},
              {**{n: before[n] for n in of_model}, **{f'{n}2': before[n] for n in of_model}})


def test_initial_weights_of_a_trainers_checkpoint_bring_the_projection_of_its_head(lab, tmp_path):
  import tensorflow as tf

  from nlp_export import encoders
  from nlp_export.pretraining import heads, model

  fields = {name.rpartition('.')[2]: value for name, value in pretrain_lab.sizes().items()
            if name.startswith('encoders.bert.')}
  made = model.build(encoders.bert(**fields), (heads.next_sentence_head(),), init_seed=5).model
  # As TF-NLP's trainer: the projection lies inside of the model and is no item of its own.
  prefix = tf.train.Checkpoint(model=made, **made.checkpoint_items).write(str(tmp_path / 'ckpt-7'))
  done = run_main(*arguments(
      tmp_path / 'out', **lab, TRAIN_STEPS=1, INITIAL_CHECKPOINT=prefix,
      **{'train_recipe.learning_rate': 1e-30, 'train_recipe.weight_decay': 0.0}))
  assert done.status == 0, done.output
  assert 'not there' not in done.stdout
  kernel = made.classification_heads[0].out_proj.kernel.numpy()
  assert np.array_equal(weights(tmp_path / 'out', 1)['next_sentence.out_proj/kernel'], kernel)


@pytest.mark.parametrize(('values', 'ending'), [
    ({'encoders.bert.hidden_activation': 'relu'}, 'with that field changed'),
    ({'encoders.bert.norm_first': True}, 'with that field changed'),
    ({'pretrain.mlm_activation': 'relu'}, 'Leave pretrain.mlm_activation out'),
])
def test_initial_weights_of_another_function_are_refused(values, ending, whole, lab, tmp_path):
  given = {**lab, 'INITIAL_CHECKPOINT': whole / 'checkpoints'}
  done = run_main(*arguments(tmp_path / 'out', **given, **values), '--dry_run')
  assert done.status == 2, done.output
  assert done.stderr.strip().endswith(ending), done.stderr
  # Control: what the weights do not know of may be another.
  done = run_main(*arguments(tmp_path / 'out', **given, **{
      'encoders.bert.dropout_rate': 0.3, 'pretrain.mlm_activation': 'gelu'}), '--dry_run')
  assert done.status == 0, done.output


def test_initial_weights_bring_their_encoder_along(whole, lab, tmp_path):
  unset = {name: None for name in pretrain_lab.sizes() if name.lower().startswith('encoder')}
  done = run_main(*arguments(
      tmp_path / 'out', **lab, **unset, INITIAL_CHECKPOINT=whole / 'checkpoints'), '--dry_run')
  assert done.status == 0, done.output
  assert '1 layers, 16 wide' in done.stdout


def test_a_training_that_breaks_down_says_where_and_keeps_the_last_checkpoint(lab, tmp_path):
  out = tmp_path / 'out'
  done = run_main(*arguments(out, **lab, SAVE_EVERY_STEPS=2, **{
      'train_recipe.schedule': '@schedules.stepwise', 'stepwise.boundaries': '(5,)',
      'stepwise.values': '(1e-3, 1e38)', 'train_recipe.clip_norm': 0.0}))
  assert done.status == 1, done.output
  last = done.stderr.splitlines()[-1]
  assert last.startswith('Training ended at step ') and 'learning rate 1e+38' in last
  assert last.endswith('or write train_recipe.clip_norm = 1.0')
  assert max(int(path.name) for path in (out / 'checkpoints').iterdir()) in (4, 6)
  assert json.loads((out / 'run.json').read_text())['status'] == 'failed'


def test_prepared_text_trains(lab, tmp_path):
  macros = {'TEXT_FILES': lab['TEXT_FILES'], 'VOCAB_FILE': lab['VOCAB_FILE'], 'SHARDS': 2,
            'HELD_OUT_SHARE': 0.1}
  done = run_main('gin/runs/prepare_pretraining_data.gin', *settings(**macros), '--out_dir',
                  tmp_path / 'data')
  assert done.status == 0, done.output
  done = run_main(*arguments(
      tmp_path / 'out', VOCAB_FILE=lab['VOCAB_FILE'], TRAIN_STEPS=2,
      PREPARED_DATA=tmp_path / 'data/shards'))
  assert done.status == 0, done.output


def test_records_of_tf_nlp_train(lab, whole, tiny_vocab, tmp_path):
  from nlp_export import tokenizers
  from nlp_export.pretraining.data import loading, tfnlp_records
  from nlp_export.pretraining.data.recipe import DataRecipe
  from nlp_export.pretraining.texts import Text

  tokenizer, _ = tokenizers.from_macros(vocab_file=tiny_vocab)
  recipe = DataRecipe(seq_length=16, max_predictions=3)
  made = loading.load(Text(files=lab['TEXT_FILES']), tokenizer, recipe, 4, 4)
  for name, first in (('train', 0), ('dev', 20)):
    tfnlp_records.write(str(tmp_path / f'{name}.tfrecord'),
                        [made.batches.batch(first + step) for step in range(5)])
  macros = {'TFNLP_RECORDS': tmp_path / 'train.tfrecord', 'VOCAB_FILE': tiny_vocab,
            'HELD_OUT_RECORDS': tmp_path / 'dev.tfrecord', 'TRAIN_STEPS': 7}
  done = run_main(*arguments(tmp_path / 'out', **macros))
  assert done.status == 0, done.output
  assert 'training text: 20 instances of TF-NLP, masks drawn anew; held out: 20' in done.stdout
  summary = json.loads((tmp_path / 'out/pretraining/summary.json').read_text())
  data = summary['facts']['configuration']['data']  # Other segments would be refused.
  assert len(data['training']['rows_sha256']) == 64
  done = run_main(*arguments(tmp_path / 'out2', **macros, PAIRS='None', HEADS='()'))
  assert done.status == 2 and done.stderr.endswith("Write --set PAIRS='next_sentence'\n")


@pytest.mark.parametrize(('values', 'ending'), [
    ({'TRAIN_STEPS': 0}, 'but it has to be a whole number from 1, such as 1000000'),
    ({'SEQ_LENGTH': 32}, 'Write seq_length = 16 or less'),
    ({'PAIRS': None}, 'Write --set "HEADS=()", or --set PAIRS=next_sentence'),
    ({'SAVE_EVERY_STEPS': 0}, 'Write --set SAVE_EVERY_STEPS=1000'),
    ({'PREPARED_DATA': 'x'}, 'without any it is the embedded corpus'),
    ({'TFNLP_RECORDS': 'x', 'TEXT_FILES': None}, "--set HELD_OUT_RECORDS='dev*.tfrecord'"),
    ({'HELD_OUT_SHARE': 0.7}, 'Write --set HELD_OUT_SHARE=0.1'),
    ({'VOCABULARY': '@vocabularies.wordpiece'}, 'Leave VOCABULARY = None, or that one out'),
    ({'VOCABULARY': '@vocabularies.wordpiece', 'VOCAB_FILE': None},
     '--set VOCAB_SIZE=8192 --set DO_LOWER_CASE=True'),
    ({'VOCAB_FILE': None}, '--set VOCABULARY=...'),
    ({'ENCODER': None}, '--set ENCODER=... or --set ENCODER_CONFIG=...'),
    ({'INITIAL_CHECKPOINT': 'x', 'RESUME_FROM': 'y'}, 'Leave one of them out'),
    ({'train_recipe.accumulation_steps': 3}, 'Write GLOBAL_BATCH_SIZE = 3'),
    ({'text.held_out_tokens': 0}, 'it has to be a number of tokens such as 200000'),
])
def test_what_does_not_fit_is_refused_before_any_work(values, ending, lab, tmp_path):
  given = {key: value for key, value in {**lab, **values}.items() if value is not None}
  if values.get('PAIRS', '') is None:
    given['PAIRS'] = 'None'
  done = run_main(*arguments(tmp_path / 'out', **given), '--dry_run') if (
      'ENCODER' not in values) else run_main(
          'gin/runs/pretrain.gin', *settings(**lab), '--dry_run', '--out_dir', tmp_path / 'out')
  assert done.status == 2, done.output
  assert done.stderr.strip().endswith(ending), done.stderr


def test_checkpoints_of_something_else_stay_untouched(lab, tmp_path):
  other = tmp_path / 'photos'
  (other / '1000').mkdir(parents=True)
  (other / 'holiday.jpg').write_text('x')
  done = run_main(*arguments(tmp_path / 'out', **lab, RESUME_FROM=other))
  assert done.status == 2 and done.stderr.strip().endswith('Name another --out_dir.')
