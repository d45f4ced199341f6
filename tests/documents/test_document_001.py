"""The model card's usage sections on our exports of a cased encoder."""

from __future__ import annotations

import pytest

from tests import tiny

WORDS = tiny.wordpiece_tokens(lower_case=False)
WIDTH = tiny.Size.hidden_size


@pytest.fixture(scope='module')
def answers(run_flow, cased_exports):
  return run_flow('document_001', cased_exports)


@pytest.mark.conformance(19, 25, 60, 72)
def test_basic_usage_in_the_keras_functional_api(answers):
  answer = answers['basic_usage']
  assert answer['pooled_shape'] == [None, WIDTH]
  assert answer['sequence_shape'] == [None, 16, WIDTH]  # The preprocessor's default_seq_length.
  assert answer['difference'] < 1e-5
  assert answer['layers'] == 2 and answer['last_layer_is_sequence']


@pytest.mark.conformance(42, 66)
def test_a_cased_model_keeps_case(answers):
  assert answers['basic_usage']['capital_matters'] > 1e-2


@pytest.mark.conformance(25, 38, 92, 93)
def test_preprocessing_in_dataset_map_and_a_model_on_top(answers):
  answer = answers['preprocessing_in_dataset_map']
  assert answer['spec'] == {
      'input_word_ids': [16, 12], 'input_mask': [16, 12], 'input_type_ids': [16, 12],
  }  # fmt: skip
  assert answer['sequence_shape'] == [None, 12, WIDTH]
  assert answer['losses'][-1] < 0.9 * answer['losses'][0]


@pytest.mark.conformance(48, 49, 54, 57)
def test_mlm_in_keras(answers):
  answer = answers['masked_language_model']
  assert answer['logits_shape'] == [None, 3, len(WORDS)]
  assert answer['keys'] == ['encoder_outputs', 'mlm_logits', 'pooled_output', 'sequence_output']
  assert answer['trainable'] == [7 + 16 * 2 + 5, 7 + 16 * 2]


@pytest.mark.conformance(55, 56, 57)
def test_mlm_training_trains_the_encoder_that_is_the_root(answers):
  answer = answers['masked_language_model']
  assert answer['losses'][-1] < 0.8 * answer['losses'][0]
  # All but the pooler's kernel and bias, which the masked-LM loss does not reach.
  assert answer['root_weights_changed'] == answer['root_weights'] - 2
  assert answer['root_output_change'] > 0.1


@pytest.mark.conformance(55, 56)
def test_a_downstream_task_goes_on_from_the_encoder_that_mlm_has_trained(answers):
  answer = answers['masked_language_model']
  assert answer['downstream_start'] < 1e-5 < answer['root_output_change']
  assert answer['downstream_losses'][-1] < 0.9 * answer['downstream_losses'][0]


@pytest.mark.conformance(57)
def test_mlm_has_dropout_in_training_alone(answers):
  answer = answers['masked_language_model']
  assert answer['training_noise'] > 1e-2
  assert answer['inference_noise'] == 0
