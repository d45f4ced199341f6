"""The guide on fine-tuning BERT with Keras, on our exports and the text layer."""

from __future__ import annotations

import pytest

from tests import tiny

WIDTH = tiny.Size.hidden_size
A_BLOCK = 16  # Variables of a Transformer layer.


@pytest.fixture(scope='module')
def answers(run_flow, uncased_exports):
  return run_flow('document_002', uncased_exports)


def test_a_model_on_pairs_trains_its_last_layers(answers):
  answer = answers['sentence_pair_classification']
  assert answer['losses'][-1] < 0.8 * answer['losses'][0]
  assert answer['metrics'] == ['accuracy', 'loss', 'val_accuracy', 'val_loss']
  assert answer['trainable'] == A_BLOCK
  changed = answer['changed']
  assert len(changed) == A_BLOCK + 1 and 'dropout_state:0' in changed
  assert all('/layer_1/' in name for name in changed if name != 'dropout_state:0')


def test_pooling_decides_the_shape(answers):
  assert answers['pooling']['shapes'] == {
      'None': [None, None, WIDTH], 'cls': [None, WIDTH], 'mean': [None, WIDTH]}


def test_the_preprocessing_can_be_left_to_the_dataset(answers):
  losses = answers['without_preprocessing']['losses']
  assert losses[-1] < losses[0]


def test_weights_are_saved_and_restored_and_the_model_is_rebuilt_from_json(answers):
  answer = answers['saving_and_restoring']
  assert answer['rebuilt_alone'] > 1e-3  # Control: JSON alone does not bring the weights.
  assert answer['rebuilt'] < 1e-5
  assert answer['loaded'] < 1e-5


def test_the_frozen_graph_predicts_the_same(answers):
  answer = answers['optimizing_for_inference']
  assert answer['difference'] < 1e-5
  assert answer['spread'] > 1e-2  # Control: predictions differ.
  assert answer['variables'] == []
