"""The loop on one device: accumulation, going on, precision, NaN, signals, evaluation."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from nlp_export.errors import RequestError
from nlp_export.pretraining import loop as loops
from nlp_export.pretraining import optimizers, strategies
from nlp_export.pretraining.saving.tree import RunVariables
from nlp_export.running import interrupts
from tests.pretraining import training_lab as lab

STEPS = 20
MANY = 50_000  # Minutes.


@pytest.fixture(scope='module')
def runtime():
  return strategies.one_device(device='CPU:0').begin()


@pytest.fixture(scope='module')
def training(runtime):
  """A loop, its state at the beginning, the result of 20 steps, and the state then."""
  loop = lab.build(runtime)
  begin = lab.state(loop)
  result = loop.run(0, STEPS)
  return loop, begin, result, lab.state(loop)


@pytest.fixture
def loop(training):
  """The loop, at its beginning."""
  lab.set_state(training[0], training[1])
  return training[0]


@pytest.fixture
def whole(training):
  """The result of 20 steps."""
  return training[2]


def test_it_learns_and_reports_every_step(loop, whole):
  assert whole.steps_done == STEPS and whole.values.shape == (STEPS, len(loop.names))
  assert whole.names == (
      'loss', 'masked_lm_loss', 'masked_lm_accuracy', 'next_sentence_loss',
      'next_sentence_accuracy', 'gradient_norm', 'learning_rate')
  np.testing.assert_allclose(
      whole.column('loss'), whole.column('masked_lm_loss') + whole.column('next_sentence_loss'),
      rtol=1e-5)
  assert whole.column('masked_lm_loss')[0] == pytest.approx(np.log(lab.VOCAB_SIZE), abs=0.3)
  assert whole.column('loss')[-3:].mean() < whole.column('loss')[:3].mean() - 0.3
  assert whole.column('learning_rate')[4] == whole.column('learning_rate').max()
  assert not whole.stopped


def test_the_state_counts_steps(training):
  end = training[3]
  assert end['iterations'] == [STEPS]
  assert end['dropout_state'][0].tolist() == [3, STEPS]


def test_what_is_not_trained_is_said_and_left_alone(training):
  loop, begin, _, end = training
  (note,) = loop.notes
  assert 'pooler_transform/kernel' in note and note.endswith('no gradient reaches it)')
  for variable, a, b in zip(loop.pretrainer.model.variables, begin['weights'], end['weights']):
    assert (a == b).all() == (variable.name in loop.pretrainer.left_out), variable.name


def test_a_training_that_goes_on_is_the_training(training, loop, whole):
  values = [loop.run(0, 7).values]
  saved = lab.state(loop)
  lab.set_state(loop, {  # Another process: nothing is left of the first.
      kind: [value + 1 for value in found] for kind, found in lab.state(loop).items()})
  lab.set_state(loop, saved)
  values.append(loop.run(7, 13).values)
  np.testing.assert_array_equal(np.concatenate(values), whole.values)
  lab.assert_equal(lab.state(loop), training[3])


@pytest.mark.parametrize('missing', ['weights', 'm', 'v', 'dropout_state', 'iterations'])
def test_no_part_of_the_state_can_be_missing(training, loop, whole, missing):  # Control.
  loop.run(0, 2)
  lab.set_state(loop, {**lab.state(loop), missing: training[1][missing]})
  if missing == 'iterations':
    with pytest.raises(ValueError, match='0 steps were done'):
      loop.run(2, 2)
  else:
    assert (loop.run(2, 2).values != whole.values[2:4]).any()


def check_tree(loop):
  """Every variable has a place in a checkpoint, and comes back from it."""
  state = loop.variables()
  saved = RunVariables(loop.pretrainer.items(), state['optimizer'], state['state'],
                       variables=loop.pretrainer.model.variables)
  before, values = lab.state(loop), saved.trees().values()
  values = {item: {path: np.array(v) for path, v in found.items()}
            for item, found in values.items()}
  slots = [path for path in values['optimizer'] if path.startswith('slots/')]
  assert len(slots) == 2 * len(loop.pretrainer.trained)
  assert {'encoder', 'masked_lm', 'optimizer', 'state'} <= set(values)
  loop.run(int(loop.iterations), 1)
  saved.assign(values)
  lab.assert_equal(lab.state(loop), before)


def test_a_checkpoint_holds_all_of_it(loop):
  loop.run(0, 2)
  check_tree(loop)


@pytest.mark.extra  # On two devices it is in test_replicas.py.
def test_accumulation_is_the_same_training(runtime, whole):
  result = lab.build(runtime, accumulation_steps=4).run(0, STEPS)
  np.testing.assert_allclose(result.column('loss'), whole.column('loss'), atol=1e-5, rtol=0)
  np.testing.assert_allclose(
      result.column('gradient_norm'), whole.column('gradient_norm'), rtol=1e-4)


def test_bfloat16_trains_as_float32_and_goes_on_exactly(runtime, whole):
  loop = lab.build(runtime, precision='mixed_bfloat16')
  begin, result = lab.state(loop), loop.run(0, 10)
  np.testing.assert_allclose(result.column('loss'), whole.column('loss')[:10], rtol=0.02)
  assert np.abs(result.column('loss') - whole.column('loss')[:10]).max() > 1e-5
  lab.set_state(loop, begin)
  first = loop.run(0, 4).values
  check_tree(loop)
  np.testing.assert_array_equal(np.concatenate([first, loop.run(4, 6).values]), result.values)


@pytest.fixture(scope='module')
def without_heads(runtime):
  """LAMB, no heads, and a learning rate that becomes infinite at step 27; after 20 steps."""
  loop = lab.build(runtime, heads=(), optimizer=optimizers.lamb, schedule=lambda: (
      lambda step: tf.where(step == 27, float('inf'), 0.05)))
  return loop, loop.run(0, STEPS)


def test_lamb_learns_without_heads(without_heads):
  loop, result = without_heads
  assert result.names == (
      'loss', 'masked_lm_loss', 'masked_lm_accuracy', 'gradient_norm', 'learning_rate')
  assert set(loop.pretrainer.items()) == {'encoder', 'masked_lm'}
  assert result.column('loss')[-3:].mean() < result.column('loss')[:3].mean() - 0.1


def test_a_value_that_is_not_finite_ends_training_at_its_step(without_heads):
  loop, _ = without_heads
  with pytest.raises(loops.NotFinite) as caught:
    loop.run(STEPS, 20)
  error = caught.value
  assert error.step == 27 and error.learning_rate == float('inf') and error.exit_status == 1
  assert error.message.startswith('Training ended at step 27: ')
  assert 'with learning rate inf' in error.message
  assert error.message.endswith('or write train_recipe.clip_norm = 1.0')
  assert error.result.steps_done == 8
  assert np.isfinite(error.result.values[:7]).all()
  with pytest.raises(loops.NotFinite, match='ended at step 28: '):  # Weights do not recover.
    loop.run(28, 3)


def test_nan_in_the_weights_is_seen_in_the_losses(loop):
  loop.pretrainer.trained[0].assign(loop.pretrainer.trained[0] * float('nan'))
  with pytest.raises(loops.NotFinite, match='step 0: loss nan, .*gradient_norm nan') as caught:
    loop.run(0, 3)
  assert caught.value.learning_rate == pytest.approx(0.001125)


def test_sigterm_ends_a_long_loop_within_a_step(loop, whole):
  loop.run(0, 2)
  seen, sent = [], []
  before = signal.signal(signal.SIGTERM, lambda *_: seen.append(time.monotonic()))

  def send():
    sent.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGTERM)

  try:
    threading.Timer(0.3, send).start()
    result = loop.run(2, MANY)
    after = time.monotonic() - sent[0]
  finally:
    signal.signal(signal.SIGTERM, before)
  assert result.stopped and 0 < result.steps_done < MANY
  assert after < 5.0 and len(seen) == 1  # A step takes milliseconds; the machine may be busy.
  # What was done is whole: losses as in the training that nobody stopped.
  assert int(loop.iterations) == 2 + result.steps_done
  several = min(result.steps_done, 10)
  np.testing.assert_array_equal(result.values[:several], whole.values[2:2 + several])
  assert loop.run(int(loop.iterations), 5).steps_done == 0  # The wish stands.
  loop.switch.reset()
  assert loop.run(int(loop.iterations), 1).steps_done == 1


def test_a_signal_that_is_held_back_leaves_time_to_save(loop):
  handlers = {number: signal.getsignal(number) for number in (
      signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
  interrupts.install()
  saved = []
  try:
    with pytest.raises(KeyboardInterrupt):
      with interrupts.held_back():
        loop.run(0, 1)
        threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
        result = loop.run(1, MANY)
        saved.append(result.steps_done)
  finally:
    interrupts.install()  # Forgets the signal.
    for number, handler in handlers.items():
      signal.signal(number, handler)
  assert result.stopped and saved == [int(loop.iterations) - 1]


def test_stop_from_another_thread(loop):
  loop.run(0, 1)
  threading.Timer(0.1, loop.switch.stop).start()
  assert loop.run(1, MANY).stopped


def test_an_evaluation_is_row_by_row_and_without_dropout(loop):
  batches = [lab.SyntheticBatches(8, seed=9).batch(step) for step in (0, 1)]
  found = loop.evaluate(batches)
  assert found.rows['masked_lm_loss'].shape == (16,)
  assert loop.evaluate(batches).metrics == found.metrics
  weights = np.concatenate([b['masked_lm_weights'].sum(1) for b in batches])
  np.testing.assert_array_equal(found.rows['masked_lm_predictions'], weights)
  assert found.metrics['masked_lm_loss'] == pytest.approx(
      found.rows['masked_lm_loss'].sum() / weights.sum())
  assert found.metrics['next_sentence_accuracy'] == found.rows['next_sentence_accuracy'].mean()
  assert found.metrics['loss'] == pytest.approx(
      found.metrics['masked_lm_loss'] + found.metrics['next_sentence_loss'])
  # By hand, from the model's own outputs.
  outputs = loop.pretrainer(batches[0], training=False)
  logits = outputs['mlm_logits'].numpy().astype(np.float64)
  chosen = np.take_along_axis(logits, batches[0]['masked_lm_ids'][..., None], -1)[..., 0]
  losses = np.log(np.exp(logits).sum(-1)) - chosen
  expected = (losses * batches[0]['masked_lm_weights']).sum(1)
  np.testing.assert_allclose(found.rows['masked_lm_loss'][:8], expected, rtol=1e-4)


def test_a_batch_that_cannot_be_divided_is_refused_before_building(runtime):
  with pytest.raises(RequestError, match=r'GLOBAL_BATCH_SIZE = 9$'):
    lab.build(runtime, accumulation_steps=3)
