"""TF Hub's page on reusing SavedModels, on our exports: frozen, trained, saved again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

WEIGHTS = 7 + 16 * 2  # Of a BERT with two layers.


@pytest.fixture(scope='module')
def answers(run_flow, uncased_exports):
  return run_flow('document_003', uncased_exports)


@pytest.mark.conformance(35, 39, 93)
def test_keras_layer_is_frozen_by_default(answers):
  answer = answers['keras_layer_is_frozen_by_default']
  assert answer['trainable_weights'] == 0
  assert answer['training_difference'] == 0  # Dropout stays off.
  assert answer['trainable_when_asked'] == WEIGHTS  # Control: it is the asking that counts.
  assert answer['preprocessor_weights'] == 0
  assert answer['losses'] == 0


def test_weights_are_shared_between_applications(answers):
  answer = answers['weights_are_shared_between_applications']
  assert answer['weights'] == [WEIGHTS, WEIGHTS]
  np.testing.assert_allclose(answer['similarity_to_itself'], 1.0, atol=1e-5)


@pytest.mark.conformance(36, 46)
def test_low_level_use(answers):
  answer = answers['low_level_use']
  assert answer['signature_inputs'] == ['input_mask', 'input_type_ids', 'input_word_ids']
  assert answer['signature_outputs'] == [
      'default', 'encoder_outputs_0', 'encoder_outputs_1', 'pooled_output', 'sequence_output',
  ]  # fmt: skip
  assert max(answer['served'].values()) < 1e-5 and len(answer['served']) == 2
  assert answer['trainable_are_watched']


def test_a_piece_of_a_keras_model_can_be_shared(answers):
  assert answers['piece_of_a_keras_model']['difference'] < 1e-5


@pytest.mark.conformance(91)
def test_one_segment_packed_in_keras_survives_saving(answers):
  answer = answers['one_segment_packed_in_keras']
  assert answer['static'] == [None, 9]
  assert answer['reloaded'] == answer['direct']
  assert len(set(map(tuple, answer['direct']))) == 4  # Control: four different sentences.


@pytest.mark.conformance(4, 58)
def test_a_fine_tuned_export_is_an_export(answers, tiny_vocab):
  answer = answers['re_export_after_fine_tuning']
  assert answer['moved_by_training'] > 0.1
  assert answer['difference'] < 1e-5
  assert answer['mlm_difference'] < 1e-5
  assert answer['keys'] == ['default', 'encoder_outputs', 'pooled_output', 'sequence_output']
  assert answer['vocab'] == Path(tiny_vocab).read_text(encoding='utf-8')
  assert answer['do_lower_case'] is True


@pytest.mark.conformance(31, 55, 58)
def test_a_fine_tuned_export_keeps_its_variables_and_their_sharing(answers):
  answer = answers['re_export_after_fine_tuning']
  before, after = answer['variables']
  assert before == after
  assert answer['trainable'] == [WEIGHTS, WEIGHTS]
  assert answer['mlm_shares'] == WEIGHTS
  assert answer['training_noise'] > 1e-3
