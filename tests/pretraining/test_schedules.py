"""Schedules: TF-NLP's own numbers, step by step."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from official.modeling.optimization import lr_schedule

from nlp_export.errors import RequestError
from nlp_export.pretraining import schedules

PEAK, STEPS, WARMUP = 1e-3, 100, 10
OFFERED = {'learning_rate': PEAK, 'train_steps': STEPS, 'warmup_steps': WARMUP}
keras = tf_keras.optimizers.schedules


def rates(schedule):
  function = schedule.build() if isinstance(schedule, schedules.Schedule) else schedule
  return np.array([float(function(tf.constant(step, tf.int64))) for step in range(STEPS)])


@pytest.mark.parametrize('part, arguments, expected', [
    (schedules.polynomial_decay, {}, lambda: keras.PolynomialDecay(PEAK, STEPS, 0.0)),
    (schedules.polynomial_decay, {'end_learning_rate': 1e-4, 'power': 0.5},
     lambda: keras.PolynomialDecay(PEAK, STEPS, 1e-4, power=0.5)),
    (schedules.cosine_decay, {'alpha': 0.1}, lambda: keras.CosineDecay(PEAK, STEPS, alpha=0.1)),
    (schedules.constant, {}, lambda: PEAK),
    (schedules.exponential_decay, {'decay_steps': 20, 'decay_rate': 0.5},
     lambda: keras.ExponentialDecay(PEAK, 20, 0.5)),
    (schedules.stepwise, {'boundaries': (30, 60), 'values': (1e-3, 1e-4, 1e-5)},
     lambda: keras.PiecewiseConstantDecay([30, 60], [1e-3, 1e-4, 1e-5])),
    (schedules.power_decay, {}, lambda: lr_schedule.DirectPowerDecay(PEAK, -0.5)),
    (schedules.power_and_linear_decay, {},
     lambda: lr_schedule.PowerAndLinearDecay(PEAK, STEPS, power=-0.5)),
], ids=lambda value: getattr(value, '__name__', ''))
def test_a_part_is_tf_nlps_with_its_warm_up(part, arguments, expected):
  def bound(**offered):
    names = part.__code__.co_varnames[:part.__code__.co_argcount]
    return part(**{k: v for k, v in offered.items() if k in names}, **arguments)

  made = bound(**OFFERED)
  reference = lr_schedule.PolynomialWarmUp(expected(), WARMUP)
  np.testing.assert_allclose(rates(made), rates(reference), rtol=1e-6)
  assert made.to_json()['warmup'] == {'warmup_steps': WARMUP, 'power': 1.0}


def test_bert_rises_to_the_peak_and_falls_to_zero():
  found = rates(schedules.polynomial_decay(PEAK, STEPS, WARMUP))
  assert found.argmax() == WARMUP and found.max() == pytest.approx(0.9 * PEAK)
  rising = found.max() * np.arange(1, WARMUP) / WARMUP
  np.testing.assert_allclose(found[1:WARMUP], rising, rtol=1e-6)
  np.testing.assert_allclose(found[-1], PEAK / STEPS, rtol=1e-5)


def test_without_warm_up_it_starts_at_the_peak():
  assert rates(schedules.polynomial_decay(PEAK, STEPS, 0))[0] == pytest.approx(PEAK)
  assert np.ptp(rates(schedules.constant(PEAK, 0))) == 0.0


def test_an_own_schedule_takes_what_it_asks_for():
  made = schedules.called(lambda learning_rate: lambda step: learning_rate / 2, 'mine', OFFERED)
  assert made(0) == PEAK / 2
  with pytest.raises(RequestError, match='an integer scalar tensor and returns a float32 one$'):
    schedules.called(lambda learning_rate: learning_rate, 'mine', OFFERED)


def test_an_own_schedule_that_fails_is_told_with_its_line():
  def mine(train_steps):
    return 1 / (train_steps - STEPS)

  mine.__module__ = 'my_lab.schedules'
  with pytest.raises(RequestError, match='The schedule mine raised ZeroDivisionError'):
    schedules.called(mine, 'mine', OFFERED)


def test_steps_need_one_value_more_than_boundaries():
  with pytest.raises(RequestError, match=r'stepwise\.values = \(1e-4, 1e-5\)$'):
    schedules.stepwise(0, boundaries=(1,), values=(1e-4,))
