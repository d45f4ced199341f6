"""Cells: what is scored, written, noted and kept between them. With toys for encoders."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nlp_export import poolers
from nlp_export.errors import RequestError
from nlp_export.glue import metrics, prediction_files, tasks
from nlp_export.glue.cells import DEGENERATE, OK, Cell
from nlp_export.glue.fine_tuning import finetune as module
from nlp_export.glue.fine_tuning import loaded_encoders, runtime
from nlp_export.glue.fine_tuning.arms import PoolerStart
from nlp_export.glue.fine_tuning.finetune import CHOSEN_ON_DEV, FineTuning
from nlp_export.glue.fine_tuning.trainer import Trainer
from nlp_export.running.threads import NOT_DETERMINISTIC
from tests.glue import fine_tuning_lab as lab

ARMS = {('export', 'keep'): lab.ToyArm(), ('export', 'wide'): lab.ToyArm(scale=1.5),
        ('export', 'random'): lab.ToyArm(pooler=lab.RANDOM)}


def cell(task='mrpc', arm='export', pooler='keep', seed=1, pooler_seed=None, init_seed=-1,
         data_seed=-1, **recipe) -> Cell:
  return Cell(task, arm, pooler, seed, pooler_seed, lab.recipe(**recipe), init_seed=init_seed,
              data_seed=data_seed)


@pytest.fixture(scope='module')
def finetune() -> FineTuning:
  return FineTuning(ARMS, lab.load_task)


def run(finetune, directory, one):
  return lab.outcome(lab.run_cell(finetune, one, directory), directory)


def test_a_cell_is_scored_on_what_it_wrote(finetune, tmp_path):
  one = cell(learning_rate=0.05, epochs=8)
  result = lab.run_cell(finetune, one, tmp_path)
  assert (result.status, result.main_metric) == (OK, 'f1')
  dev = lab.load_task('mrpc')['dev']
  found = prediction_files.read(str(tmp_path / result.predictions_file))
  assert set(found) == {'dev'}
  values = found['dev'].values(tasks.get('mrpc'))
  assert result.metrics == metrics.compute(tasks.get('mrpc'), values, dev.labels)
  assert result.metrics['accuracy'] > 0.7  # It learns whether there is a cat.
  assert result.gold_sha256 == dev.gold_sha256() == found['dev'].gold_sha256()
  assert result.labels == tasks.get('mrpc').labels
  assert {name: result.history[-1][name] for name in result.metrics} == result.metrics
  assert result.examples_per_second * result.train_seconds == pytest.approx(8 * 18)
  assert 0 < result.padding_share < 1 and result.notes == runtime.notes()


def test_a_regression_and_splits_without_labels(tmp_path):
  def splits(task):
    train, dev = lab.load_task(task).values()
    noted = dataclasses.replace(dev, notes=('one row is odd',))
    test = dataclasses.replace(lab.examples(task, 'test', 7), labels=None)
    return {'train': train, 'dev': noted, 'test': test}

  finetune = FineTuning({('export', 'keep'): lab.ToyArm()}, splits)
  result = lab.run_cell(finetune, cell('stsb', learning_rate=0.01), tmp_path)
  assert (result.main_metric, set(result.metrics)) == ('spearman', {'pearson', 'spearman'})
  assert result.labels == () and 'one row is odd' in result.notes
  found = prediction_files.read(str(tmp_path / result.predictions_file))
  assert found['test'].outputs.shape == (7, 1) and found['test'].labels is None
  assert np.ptp(found['dev'].outputs) > 0


def test_the_same_cell_twice_and_with_others_between(finetune, tmp_path):
  first = run(finetune, tmp_path, cell())
  assert first == run(finetune, tmp_path, cell())
  others = [cell(learning_rate=1e-2), cell(pooler='wide'), cell('cola'), cell(batch_size=6),
            cell(init_seed=8), cell(data_seed=8)]
  found = [run(finetune, tmp_path, other) for other in others]
  assert len({str(outcome['history']) for outcome in (first, *found)}) == 7
  assert first == run(finetune, tmp_path, cell())
  fresh = FineTuning(ARMS, lab.load_task)
  for other, outcome in zip(others, found, strict=True):
    assert run(fresh, tmp_path, other) == outcome


def test_poolers_share_a_loaded_encoder_and_start_as_their_own(tmp_path, finetune):
  arms = {('export', name): lab.ToyArm(pooler=pooler, scale=scale) for name, pooler, scale in (
      ('keep', None, 1.0), ('wide', None, 1.5), ('random', lab.RANDOM, 1.0))}
  shared = FineTuning(arms, lab.load_task)
  order = ['keep', 'random', 'wide', 'keep', 'wide']
  found = [run(shared, tmp_path, cell(pooler=name, pooler_seed=3)) for name in order]
  assert sum(arm.loads for arm in arms.values()) == 1
  for name, outcome in zip(order, found, strict=True):
    alone = FineTuning({('export', name): arms['export', name]}, lab.load_task)
    assert run(alone, tmp_path, cell(pooler=name, pooler_seed=3)) == outcome
  assert len({str(outcome['history']) for outcome in found}) == 3  # Control.


def test_two_encoders_stay_and_a_third_takes_the_place_of_the_older(tmp_path):
  arms = {(name, 'keep'): lab.ToyArm(name) for name in ('export', 'baseline', 'other')}
  finetune = FineTuning(arms, lab.load_task)
  outcomes = [run(finetune, tmp_path, cell(arm=arm)) for arm in
              ('export', 'baseline', 'export', 'baseline', 'other', 'baseline', 'export')]
  assert [arm.loads for arm in arms.values()] == [2, 1, 1]
  assert all(outcome == outcomes[0] for outcome in outcomes)  # The arm's name plays no part.


def test_the_pooler_follows_its_seed(finetune, tmp_path):
  drawn = {seed: run(finetune, tmp_path, cell(pooler='random', pooler_seed=seed))
           for seed in (3, 4, None)}
  assert len({str(outcome['history']) for outcome in drawn.values()}) == 3
  assert drawn[3] == run(finetune, tmp_path, cell(pooler='random', pooler_seed=3))
  keep = run(finetune, tmp_path, cell(pooler_seed=3))
  assert keep == run(finetune, tmp_path, cell())  # It has nothing to draw.


def test_an_arm_that_cannot_be_put_in_leaves_no_trace(tmp_path):
  class Broken(lab.ToyArm):
    def put_into(self, encoder):
      encoder.pooler = lab.RANDOM
      raise RequestError('There is no such file. Name another.')

  arms = {('export', 'keep'): lab.ToyArm(pooler=PoolerStart(poolers.identity, 'identity')),
          ('export', 'broken'): Broken()}
  finetune = FineTuning(arms, lab.load_task)
  before = run(finetune, tmp_path, cell(pooler_seed=3))
  with pytest.raises(RequestError):
    lab.run_cell(finetune, cell(pooler='broken'), tmp_path)
  assert run(finetune, tmp_path, cell(pooler_seed=3)) == before


# Best.


def test_the_best_on_dev_says_that_it_is_biased(finetune, tmp_path):
  options = {'learning_rate': 0.05, 'evaluations_per_epoch': 5}
  last = lab.run_cell(finetune, cell(**options), tmp_path)
  best = lab.run_cell(finetune, cell(checkpoint='best', **options), tmp_path)
  assert CHOSEN_ON_DEV in best.notes and CHOSEN_ON_DEV not in last.notes
  assert best.history == last.history
  scores = [entry['f1'] for entry in best.history]
  assert best.metrics['f1'] == max(scores) > last.metrics['f1'] == scores[-1]


def test_a_held_out_share_is_left_out_of_training(tmp_path, monkeypatch):
  finetune = FineTuning({('export', 'keep'): lab.ToyArm()}, lab.load_task)
  seen, scored, sizes = [], [], set()

  class Watching(Trainer):
    def step(self, texts, labels, batch, step, learning_rate):
      if len(texts) > 1:
        seen.extend(map(int, batch.rows))
        sizes.add(len(texts))
      return super().step(texts, labels, batch, step, learning_rate)

    def predict(self, texts, check=None):
      scored.append(texts)
      return super().predict(texts, check)

  monkeypatch.setattr(loaded_encoders, 'Trainer', Watching)
  result = lab.run_cell(finetune, cell(
      checkpoint='best', held_out_share=0.3, epochs=1), tmp_path)
  assert sizes == {13} and sorted(seen) == list(range(13))  # 18 less round(5.4).
  assert [len(texts) for texts in scored] == [5, 10]  # Dev only at the end.
  assert CHOSEN_ON_DEV not in result.notes
  assert 'held_out_f1' in result.history[-1] and 'f1' not in result.history[-1]
  assert set(result.metrics) == {'accuracy', 'f1'}


def test_what_is_held_out_and_what_is_trained_on_are_all_examples():
  examples = lab.load_task('mrpc')['train']
  texts = lab.toy_tokens(examples.texts, 8)
  recipe = dataclasses.replace(lab.RECIPE, checkpoint='best', held_out_share=0.3)

  def rows(part):
    return sorted((*part[0].rows(np.array([row])).word_ids, part[1][row])
                  for row in range(len(part[0])))

  train, held_out = module._held_out(examples, texts, recipe, 5)
  assert sorted(rows(train) + rows(held_out)) == rows((texts, examples.labels))
  assert len(held_out[1]) == 5
  assert rows(module._held_out(examples, texts, recipe, 5)[1]) == rows(held_out)
  assert rows(module._held_out(examples, texts, recipe, 6)[1]) != rows(held_out)
  assert module._held_out(examples, texts, lab.RECIPE, 5)[1] is None


@pytest.mark.parametrize(('count', 'share', 'kept'), [(1, 0.1, 0), (2, 0.8, 0), (2, 0.1, 1)])
def test_nothing_left_to_train_on_is_refused(count, share, kept):
  examples = lab.examples('mrpc', 'train', count)
  texts = lab.toy_tokens(examples.texts, 8)
  recipe = dataclasses.replace(lab.RECIPE, checkpoint='best', held_out_share=share)
  if kept:  # Control.
    (_, labels), (_, held_out) = module._held_out(examples, texts, recipe, 5)
    assert (len(labels), len(held_out)) == (kept, count - kept)
    return
  with pytest.raises(RequestError) as error:
    module._held_out(examples, texts, recipe, 5)
  assert error.value.message.endswith('recipe.held_out_share=0, or give more examples')


# What goes wrong.


def test_nan_is_degenerate(finetune, tmp_path):
  result = lab.run_cell(finetune, cell(learning_rate=1e30, warmup_share=0.0), tmp_path)
  assert result.status == DEGENERATE and result.history[-1]['step'] < 10
  assert any(reason.startswith('NaN: loss at step') for reason in result.degenerate)
  type(result).from_json(result.to_json())
  assert lab.run_cell(finetune, cell(learning_rate=0.05, epochs=8), tmp_path).status == OK


def test_nan_of_a_regression_is_degenerate(finetune, tmp_path):
  result = lab.run_cell(finetune, cell('stsb', learning_rate=1e30, warmup_share=0.0), tmp_path)
  assert result.status == DEGENERATE and np.isnan(result.metrics['spearman'])


def test_an_interrupted_cell_goes_on(tmp_path):
  options = {'checkpoint': 'best', 'evaluations_per_epoch': 2, 'held_out_share': 0.3}
  finetune = FineTuning({('export', 'keep'): lab.ToyArm()}, lab.load_task, save_every_seconds=0)
  whole = run(finetune, tmp_path / 'whole', cell('stsb', **options))
  directory = tmp_path / 'ended'
  (directory / 'work').mkdir(parents=True)
  with pytest.raises(lab.Killed):
    lab.run_cell(finetune, cell('stsb', **options), directory,
                 lab.EndingWork(str(directory / 'work'), str(directory), 6))
  fresh = FineTuning({('export', 'keep'): lab.ToyArm()}, lab.load_task)
  assert run(fresh, directory, cell('stsb', **options)) == whole


@pytest.mark.parametrize('choice', ['best', 'last'])
def test_a_training_outlives_an_interrupt_of_its_predictions(tmp_path, monkeypatch, choice):
  one = cell(checkpoint=choice, evaluations_per_epoch=2)
  arms, steps, calls = {('export', 'keep'): lab.ToyArm()}, [], []

  class Interrupted(Trainer):
    def step(self, texts, *more, **options):
      if len(texts) > 1:
        steps.append(more)
      return super().step(texts, *more, **options)

    def predict(self, texts, check=None):
      calls.append(texts)
      if len(calls) == 5:  # After four evaluations.
        raise KeyboardInterrupt
      return super().predict(texts, check)

  whole = run(FineTuning(arms, lab.load_task), tmp_path / 'whole', one)
  monkeypatch.setattr(loaded_encoders, 'Trainer', Interrupted)
  with pytest.raises(KeyboardInterrupt):
    lab.run_cell(FineTuning(arms, lab.load_task), one, tmp_path / 'ended')
  assert len(steps) == 10
  assert run(FineTuning(arms, lab.load_task), tmp_path / 'ended', one) == whole
  assert (len(steps), len(calls)) == (10, 6)  # No step and no evaluation again.


# The machine.


def test_notes_of_the_machine(monkeypatch):
  import tensorflow as tf

  threads = tf.config.threading
  for configured, environment, single in ((1, None, True), (0, '1', True), (0, '2', False),
                                          (0, None, False), (2, '1', False)):
    monkeypatch.setattr(threads, 'get_inter_op_parallelism_threads', lambda n=configured: n)
    if environment is None:
      monkeypatch.delenv('TF_NUM_INTEROP_THREADS', raising=False)
    else:
      monkeypatch.setenv('TF_NUM_INTEROP_THREADS', environment)
    assert (NOT_DETERMINISTIC in runtime.notes()) == (not single)
  monkeypatch.setattr(runtime, 'has_bfloat16', lambda: False)
  assert runtime.NO_BFLOAT16 in runtime.notes('mixed_bfloat16')
  assert runtime.NO_BFLOAT16 not in runtime.notes('float32')
