"""One training: resumed to the last bit, best or last, unharmed by padding, ended by NaN."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from nlp_export import names
from nlp_export.errors import RequestError
from nlp_export.glue.cells import Cell
from nlp_export.glue.fine_tuning import batches, training
from nlp_export.glue.fine_tuning.classifier import HEAD_KERNEL, Classifier
from nlp_export.glue.fine_tuning.trainer import Trainer
from nlp_export.glue.fine_tuning.training import Training
from nlp_export.glue.work import Work
from nlp_export.running import interrupts
from nlp_export.running.claims import ClaimLost
from tests.glue import fine_tuning_lab as lab

ROWS = [[1, *row, 2] for row in np.random.default_rng(0).integers(3, 9, (18, 5)).tolist()]
ROWS[::3] = [row[:4] for row in ROWS[::3]]
LABELS = np.array([3 in row for row in ROWS], np.int32)
CELL = Cell('cola', 'export', 'keep', 1)


def trainer(rate=0.1, outputs=2, is_regression=False, encoder=None, **recipe) -> Trainer:
  whole = dataclasses.replace(lab.RECIPE, **recipe)
  return Trainer(Classifier(encoder or lab.toy_encoder(rate), outputs, is_regression, whole), whole)


@pytest.fixture(scope='module')
def shared() -> Trainer:
  """Of lab.RECIPE; all but its learning rate and choice of the checkpoint is compiled in."""
  return trainer()


def values(trained: Trainer) -> dict[str, bytes]:
  return {name: variable.numpy().tobytes()
          for name, variable in trained.classifier.variables().items()}


def train(trained, directory, work=None, scores=None, save_every=1e9, cell=CELL, labels=LABELS,
          **recipe):
  """Progress and values after a training. `scores`: what the evaluations say, by step."""
  directory = Path(directory)
  directory.mkdir(exist_ok=True)
  state = Training(
      cell, dataclasses.replace(lab.RECIPE, **recipe), trained, lab.packed(ROWS), labels,
      lambda: {'accuracy': next(scores) if scores else 0.5}, 'accuracy',
      work or Work(str(directory), False, str(directory)), save_every)
  return state.run(), values(trained)


def told(result) -> tuple:
  progress, variables = result
  return repr(progress.history), progress.step, progress.best_score, variables


def names_in(directory) -> list[str]:
  return sorted(name.partition('.')[0] for name in os.listdir(directory))


# Steps.


@pytest.mark.parametrize('is_regression', [False, True])
@pytest.mark.parametrize('pooling', ['pooled', 'mean+max'])
def test_rows_that_fill_up_a_batch_change_nothing(is_regression, pooling):
  labels = LABELS.astype(np.float32) * 3 if is_regression else LABELS
  trained = trainer(0.0, 1 if is_regression else 2, is_regression, pooling=pooling,
                    head_dropout=0.0, clip_norm=0.0)
  trained.reset(1, None)
  head, rows, texts = trained.classifier, np.array([0, 1, 2]), lab.packed(ROWS)
  loss, norm = trained.step(texts, labels, batches.Batch(rows, 8), 0, 0.0)

  # The same without filling up or padding, all in plain steps: a row is a batch of its own.
  given = list(head.variables().values())
  with tf.GradientTape() as tape:
    losses = []
    for row in rows:
      inputs = texts.padded(np.array([row]), len(ROWS[row]))
      logits = head.logits({name: tf.constant(x) for name, x in inputs.items()}, training=True)
      losses.append(head.loss(logits, tf.constant(labels[[row]])))
    expected = tf.add_n(losses) / 3
  gradients = [None if g is None else tf.convert_to_tensor(g).numpy()
               for g in tape.gradient(expected, given)]
  assert loss == pytest.approx(float(expected), rel=1e-5)
  total = np.sqrt(sum((g**2).sum() for g in gradients if g is not None))
  assert norm == pytest.approx(total, rel=1e-5)
  for name, gradient in zip(head.variables(), gradients, strict=True):
    found = trained._optimizer.moments[name][0].numpy() / (1 - trained._recipe.beta_1)
    np.testing.assert_allclose(found, 0.0 if gradient is None else gradient, atol=1e-6)
  # Control: as a row among others it would have counted.
  four, _ = trained.step(texts, labels, batches.Batch(np.array([0, 1, 2, 3]), 8), 0, 0.0)
  assert abs(four - loss) > 1e-5


def test_predictions_depend_on_neither_order_nor_batch(shared):
  shared.reset(1, None)
  order = np.random.default_rng(1).permutation(150) % 18
  texts = lab.packed([ROWS[row] for row in order])  # Three batches, the first one smaller.
  found = shared.predict(texts)
  alone = shared.predict(lab.packed(ROWS))
  assert found.dtype == np.float32 and found.shape == (150, 2)
  np.testing.assert_allclose(found, alone[order], atol=1e-6)
  assert np.abs(found - alone[order[::-1]]).max() > 1e-3  # Control: rows differ.


def test_frozen_variables_keep_their_bytes(tmp_path):
  trained = trainer(trainable_layers=1, weight_decay=0.1)
  trained.reset(CELL.init_seed, None)
  start = values(trained)
  _, after = train(trained, tmp_path)
  frozen = {name for name in start if start[name] == after[name]}
  assert frozen == {name for name in start if 'word_embeddings' in name or 'layer_0' in name}


# What a training depends on.


def test_the_same_seeds_and_others(shared, tmp_path):
  first = told(train(shared, tmp_path))
  assert first == told(train(shared, tmp_path))
  assert first == told(train(trainer(), tmp_path))  # Not on what else a trainer has done.
  for seed in ('init_seed', 'data_seed'):
    other = dataclasses.replace(CELL, **{seed: 5})
    assert told(train(shared, tmp_path, cell=other))[0] != first[0]


def test_the_history_of_a_training(shared, tmp_path):
  progress, _ = train(shared, tmp_path, evaluations_per_epoch=2)
  assert [point['step'] for point in progress.history] == list(range(1, 11))
  assert [p['step'] for p in progress.history if 'accuracy' in p] == [3, 5, 8, 10]
  assert progress.history[4]['epoch'] == 1 and progress.history[-1]['epoch'] == 2
  rates = [point['learning_rate'] for point in progress.history]
  assert rates == [lab.RECIPE.learning_rate_at(step, 10) for step in range(10)]
  assert all(np.isfinite(p['loss']) and p['gradient_norm'] > 0 for p in progress.history)


def test_totals_count_no_filling_up(shared, tmp_path):
  state = Training(CELL, lab.RECIPE, shared, lab.packed(ROWS), LABELS, dict, 'accuracy',
                   Work(str(tmp_path), False, str(tmp_path)))
  count, tokens, padding = state.totals(5)
  assert (count, tokens) == (18, sum(map(len, ROWS)))
  assert padding == pytest.approx(1 - tokens / (18 * 8))


# Best or last.


@pytest.mark.parametrize(('scores', 'best'), [
    ([0.1, 0.9, 0.3, 0.2], 5), ([0.9, 0.9, 0.1, 0.1], 3), ([0.1, 0.2, 0.3, 0.4], 10),
    ([np.nan, np.nan, 0.1, np.nan], 8)])
def test_the_best_checkpoint_is_the_first_of_the_highest(shared, tmp_path, scores, best):
  options = {'checkpoint': 'best', 'evaluations_per_epoch': 2}
  seen = []

  def watched():
    for score in scores:
      seen.append(values(shared))
      yield score

  progress, after = train(shared, tmp_path, scores=watched(), **options)
  at = [3, 5, 8, 10].index(best)
  assert after == seen[at] and progress.best_score == scores[at]
  _, last = train(shared, tmp_path, scores=iter(scores), evaluations_per_epoch=2)
  assert last == seen[-1] and (last == after) == (best == 10)


# Kills.


@pytest.mark.parametrize('step', [1, 4, 7, 10])
@pytest.mark.parametrize('choice', ['last', 'best'])
def test_what_an_ended_process_leaves_is_gone_on_with(shared, tmp_path, step, choice):
  scores = [0.3, np.nan, 0.1, 0.2]  # NaN: a correlation of constant predictions.
  options = {'checkpoint': choice, 'evaluations_per_epoch': 2}
  whole = train(shared, tmp_path / 'whole', scores=iter(scores), **options)
  directory = tmp_path / 'ended'
  work = lab.EndingWork(str(directory), str(directory), step)
  with pytest.raises(lab.Killed):
    train(shared, directory, work, iter(scores), save_every=0, **options)
  done = step - 1  # The step that ended it is not saved.
  assert ('progress' in names_in(directory)) == (done > 0)
  steps = []
  one_step = shared.step
  shared.step = lambda *a, **k: (steps.append(a[3] if len(a) > 3 else k['step']), one_step(*a, **k)
                                 )[1]
  shared.prepare(lab.packed(ROWS), [8])  # Compiled already, so it makes no step.
  try:
    left = iter(scores[sum(mark <= done for mark in (3, 5, 8, 10)):])
    resumed = train(shared, directory, scores=left, save_every=0, **options)
  finally:
    del shared.step
  assert told(resumed) == told(whole)
  assert steps == list(range(done, 10))
  assert [name for name in names_in(directory) if name.startswith('state')] == ['state_9'] * 2
  assert len([n for n in names_in(directory) if n.startswith('best')]) == (choice == 'best')


@pytest.mark.parametrize('without', ['moments', 'dropout', 'head_dropout'])
def test_a_state_without_a_part_would_be_seen(shared, tmp_path, monkeypatch, without):
  whole = told(train(shared, tmp_path / 'whole'))
  classifier, optimizer = shared.classifier, shared._optimizer
  parts = {'variables': list(classifier.variables().values()),
           'moments': [moment for pair in optimizer.moments.values() for moment in pair],
           'head_dropout': classifier.head_dropout.variable,
           'dropout': classifier.encoder.dropout_state}
  del parts[without]
  monkeypatch.setattr(shared, 'state', lambda: tf.train.Checkpoint(**parts))
  directory = tmp_path / 'lame'
  with pytest.raises(lab.Killed):
    train(shared, directory, lab.EndingWork(str(directory), str(directory), 4), save_every=0)
  assert told(train(shared, directory)) != whole


def ended(shared, directory, step=5):
  with pytest.raises(lab.Killed):
    train(shared, directory, lab.EndingWork(str(directory), str(directory), step), save_every=0,
          checkpoint='best', evaluations_per_epoch=2)


def go_on(shared, directory):
  return train(shared, directory, checkpoint='best', evaluations_per_epoch=2, save_every=0)


def test_a_state_that_nothing_names_yet_is_passed_over_and_cleared(shared, tmp_path):
  whole = told(go_on(shared, tmp_path / 'whole'))
  first = tmp_path / 'first'  # Killed before the first progress.json.
  ended(shared, first)
  (first / 'progress.json').unlink()
  assert told(go_on(shared, first)) == whole
  second = tmp_path / 'second'  # Killed while a later state was written.
  ended(shared, second)
  for name in ('state_5.index', 'state_5.data-00000-of-00001', 'best_5.npz', 'state_41.index'):
    (second / name).write_bytes(b'half')
  (second / 'state_41_temp').mkdir()
  assert told(go_on(shared, second)) == whole
  assert names_in(second) == ['best_3', 'progress', 'state_41_temp', 'state_9', 'state_9']


DAMAGES = {
    'no state': lambda d: [path.unlink() for path in d.glob('state_4.*')],
    'half a state': lambda d: next(d.glob('state_4.data*')).write_bytes(b'half'),
    'no index': lambda d: (d / 'state_4.index').unlink(),
    'no best': lambda d: (d / 'best_3.npz').unlink(),
    'half a best': lambda d: (d / 'best_3.npz').write_bytes(
        (d / 'best_3.npz').read_bytes()[:100]),
    'no state named': lambda d: (d / 'progress.json').write_text('{"schema_version": 1}'),
    'another key': lambda d: (d / 'progress.json').write_text('{"schema_version": 1, "x": 2}'),
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_a_damaged_directory_is_refused(shared, tmp_path, damage):
  ended(shared, tmp_path)
  assert names_in(tmp_path) == ['best_3', 'progress', 'state_4', 'state_4']
  DAMAGES[damage](tmp_path)
  with pytest.raises(RequestError) as error:
    go_on(shared, tmp_path)
  assert error.value.message.endswith('Remove the directory to begin the training anew')


def test_another_version_is_refused(shared, tmp_path):
  ended(shared, tmp_path)
  path = tmp_path / 'progress.json'
  path.write_text(json.dumps({**json.loads(path.read_text()), 'schema_version': 0}))
  with pytest.raises(RequestError) as error:
    go_on(shared, tmp_path)
  assert error.value.message.endswith('or remove the directory to begin it anew')


def test_states_are_written_as_often_as_asked(shared, tmp_path):
  train(shared, tmp_path)
  assert names_in(tmp_path) == []
  assert training.SAVE_EVERY_SECONDS >= 30  # A state of 20 M weights takes a second.


# Ctrl-C.


@pytest.fixture
def signals():
  """Signals are raised as in run.py; a function that sends one, and forgets what came."""
  handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
  hook = sys.unraisablehook
  interrupts.install()
  yield lambda: os.kill(os.getpid(), signal.SIGTERM)
  interrupts.install()
  sys.unraisablehook = hook
  for number, handler in handlers.items():
    signal.signal(number, handler)


def interrupted(shared, directory, send, step, when, scores, **options):
  """A training that gets a signal at a step: 'in' the midst of it, or in its 'evaluation'."""
  one_step = shared.step

  def stepping(*a, **k):
    found = one_step(*a, **k)  # Variables have changed, and nobody has been told.
    if when == 'in' and (a[3] if len(a) > 3 else k['step']) == step - 1:
      send()
    return found

  def evaluations():
    for score, mark in zip(scores, (3, 5, 8, 10), strict=True):
      if when == 'evaluation' and mark == step:
        send()
      yield score

  shared.prepare(lab.packed(ROWS), [8])
  shared.step = stepping
  try:
    with pytest.raises(KeyboardInterrupt):
      train(shared, directory, scores=evaluations(), **options)
  finally:
    del shared.step
  interrupts.install()  # What came is forgotten, as in another process.


@pytest.mark.parametrize(('step', 'when'), [
    (1, 'in'), (4, 'in'), (5, 'in'), (10, 'in'), (3, 'evaluation'), (10, 'evaluation')])
@pytest.mark.parametrize('choice', ['last', 'best'])
def test_an_interrupted_training_is_saved_and_goes_on(
    shared, tmp_path, signals, step, when, choice):
  scores = [0.3, 0.4, 0.1, 0.2]
  options = {'checkpoint': choice, 'evaluations_per_epoch': 2}
  whole = told(train(shared, tmp_path / 'whole', scores=iter(scores), **options))
  directory = tmp_path / 'ended'
  interrupted(shared, directory, signals, step, when, scores, **options)
  assert json.loads((directory / 'progress.json').read_text())['step'] == step
  left = iter([score for score, mark in zip(scores, (3, 5, 8, 10), strict=True) if mark >= step])
  assert told(train(shared, directory, scores=left, **options)) == whole
  assert next(left, None) is None


def test_an_interrupt_that_did_not_wait_for_the_step_saves_nothing(
    shared, tmp_path, signals, monkeypatch):  # Control: held back, it would have been saved.
  monkeypatch.setattr(interrupts, 'held_back', contextlib.nullcontext)
  interrupted(shared, tmp_path, signals, 4, 'in', [0.3, 0.4, 0.1, 0.2], evaluations_per_epoch=2)
  assert names_in(tmp_path) == []


def test_a_second_interrupt_waits_for_the_state_of_the_first(
    shared, tmp_path, signals, monkeypatch):
  said = []
  monkeypatch.setattr(Work, 'say', lambda self, line: (said.append(line), signals()))
  interrupted(shared, tmp_path, signals, 4, 'in', [0.3, 0.4, 0.1, 0.2], evaluations_per_epoch=2)
  assert said == ['saving the training at step 4 of 10, to go on there']
  assert names_in(tmp_path) == ['progress', 'state_4', 'state_4']


def test_a_state_that_cannot_be_written_at_an_interrupt_is_said(
    shared, tmp_path, signals, monkeypatch):
  said = []
  monkeypatch.setattr(Work, 'say', lambda self, line: said.append(line))

  def lost(self):
    raise ClaimLost('glue/claims/0.json')

  monkeypatch.setattr(Work, 'check_claim', lost)
  interrupted(shared, tmp_path, signals, 4, 'in', [0.3, 0.4, 0.1, 0.2], evaluations_per_epoch=2)
  assert said[-1] == 'not saved, an earlier state stays: glue/claims/0.json'
  assert names_in(tmp_path) == []


# NaN.


def test_a_loss_that_is_no_number_ends_the_training(shared, tmp_path):
  progress, _ = train(shared, tmp_path, learning_rate=1e30, save_every=0, warmup_share=0.0)
  assert 1 < progress.step < 10
  assert not np.isfinite(progress.history[-1]['loss'])
  assert np.isfinite(progress.history[0]['loss'])


def test_a_best_checkpoint_outlives_nan(shared, tmp_path):
  labels = LABELS.astype(np.float32)
  broken = trainer(outputs=1, is_regression=True)
  labels[batches.epoch(lab.packed(ROWS).lengths, 4, 16, CELL.data_seed, 0, 8)[4].rows] = np.nan
  progress, after = train(broken, tmp_path, labels=labels, checkpoint='best',
                          evaluations_per_epoch=5)
  assert progress.step == 5 and np.isnan(progress.history[-1]['loss'])
  head = np.frombuffer(after[HEAD_KERNEL], np.float32)
  assert np.isfinite(head).all() and progress.best_score == 0.5
  _, last = train(broken, tmp_path, labels=labels)
  assert np.isnan(np.frombuffer(last[HEAD_KERNEL], np.float32)).all()  # Control.


def test_the_toy_sees_its_mask():  # Without that, padding could not show.
  encoder = lab.toy_encoder(0.0)
  inputs = lab.packed(ROWS[:1]).padded(np.array([0]), 8)
  found = encoder.outputs({k: tf.constant(v) for k, v in inputs.items()}, False)
  inputs[names.INPUT_MASK][:] = 1
  other = encoder.outputs({k: tf.constant(v) for k, v in inputs.items()}, False)
  assert np.abs(found[names.POOLED_OUTPUT] - other[names.POOLED_OUTPUT]).max() > 1e-2
