"""The same training on one device and on two: losses, dropout masks, evaluation."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.pretraining.logical_devices import STEPS

pytestmark = pytest.mark.extra


def train(*names):
  done = subprocess.run(
      [sys.executable, '-m', 'tests.pretraining.logical_devices', *names], cwd=ROOT, text=True,
      capture_output=True, timeout=500)
  assert done.returncode == 0, done.stderr[-3000:]
  return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope='module')
def trainings():
  return train()


def column(training, name):
  return np.array(training['values'])[:, training['names'].index(name)]


@pytest.mark.parametrize('one, two', [
    ('one without dropout', 'two without dropout'), ('one', 'two, accumulated')])
def test_two_devices_train_as_one(trainings, one, two):
  for name in ('loss', 'masked_lm_loss', 'next_sentence_loss'):
    np.testing.assert_allclose(
        column(trainings[two], name), column(trainings[one], name), atol=1e-5, rtol=0)
  assert len(trainings[two]['values']) == STEPS
  np.testing.assert_array_equal(
      column(trainings[two], 'masked_lm_accuracy')[:1],
      column(trainings[one], 'masked_lm_accuracy')[:1])


def test_dropout_and_training_would_be_seen(trainings):  # Controls of the test above.
  with_dropout, without = (column(trainings[name], 'loss')
                           for name in ('one', 'one without dropout'))
  assert np.abs(with_dropout - without).min() > 1e-4
  assert without[-3:].mean() < without[:3].mean() - 0.3  # It learns: equal losses are no accident.


def test_bfloat16_on_two_devices_is_near_float32():
  found = train('two, bfloat16', 'one')
  loss, exact = (column(found[name], 'loss') for name in ('two, bfloat16', 'one'))
  np.testing.assert_allclose(loss, exact, rtol=0.02)
  assert np.abs(loss - exact).max() > 1e-5  # Control: it was another precision.


def test_an_evaluation_does_not_depend_on_the_devices(trainings):
  one, two = trainings['one without dropout'], trainings['two without dropout']
  assert one['rows'] == two['rows'] == 7
  for name, value in one['metrics'].items():
    assert two['metrics'][name] == pytest.approx(value, abs=1e-4)


def test_replicas_that_hold_different_weights_are_told(trainings):
  assert trainings['agreement'].startswith('Replicas 1 do not hold what replica 0 holds')
  assert trainings['agreement'].endswith('start the same command on every worker')


def test_a_runtime_describes_what_decides_about_the_bits(trainings):
  found = trainings['description']
  assert (found['kind'], found['replicas'], found['workers']) == ('mirrored', 2, 1)
  assert found['inter_op_threads'] == 1 and found['notes'] == []
