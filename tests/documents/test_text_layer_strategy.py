"""The text layer under tf.distribute: loaded into a scope and trained on two replicas."""

from __future__ import annotations

import pytest

A_BLOCK = 16  # Variables of a Transformer layer.

pytestmark = pytest.mark.extra


@pytest.fixture(scope='module')
def answers(run_flow, uncased_exports):
  return run_flow('text_layer_strategy', uncased_exports)


@pytest.mark.parametrize('which', ['tf_keras', 'keras3'])
def test_two_replicas_train_one_layer(answers, which):
  answer = answers[f'two_replicas_of_{which}']
  assert answer['losses'][-1] < answer['losses'][0]
  changed = set(answer['changed']) - {'dropout_state'}
  assert len(changed) == A_BLOCK and all('/layer_1/' in name for name in changed)
  assert answer['replicas'] == [2] and answer['replicas_differ'] == 0


def test_keras3_says_before_fit_that_it_cannot_take_strings_on_replicas(answers):
  refused = answers['two_replicas_of_keras3']['strings_are_refused']
  assert refused.endswith('dataset.map(lambda text, label: (layer.preprocess(text), label))')
  assert answers['two_replicas_of_tf_keras']['strings_are_refused'] == ''  # Control.
