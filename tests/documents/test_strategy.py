"""Exports under tf.distribute: loaded into a strategy's scope and trained on two replicas."""

from __future__ import annotations

import pytest


@pytest.fixture(scope='module')
def answers(run_flow, uncased_exports):
  return run_flow('strategy', uncased_exports)


@pytest.mark.conformance(40)
def test_variables_become_distributed_ones(answers):
  answer = answers['loaded_under_a_scope']
  assert answer['replicas'] == 2
  assert answer['types'] == ['MirroredVariable']
  assert 'MirroredVariable' not in answer['types_without']  # Control: the scope does it.
  assert answer['difference'] < 1e-5


@pytest.mark.conformance(40)
def test_training_with_dropout_on_two_replicas(answers):
  answer = answers['trained_with_dropout']
  assert answer['weights'] == answer['changed'] == 7 + 16 * 2
  assert answer['losses'][-1] < 0.5 * answer['losses'][0]
  assert answer['replicas_differ'] == 0
  # 4 epochs of 2 steps: the state counts a strategy's step once, not once for each replica.
  assert answer['dropout_state'][1] == 8
