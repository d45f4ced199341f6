"""TF Hub's page on reusing SavedModels, on our exports: frozen, trained, saved again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from tests.in_process import run_main, settings
from tests.saved_models import regularized_encoder

pytestmark = pytest.mark.extra

WEIGHTS = 7 + 16 * 2  # Of a BERT with two layers.


@pytest.fixture(scope='module')
def regularized():
  return regularized_encoder.Regularized()


@pytest.fixture(scope='module')
def answers(run_flow, uncased_exports, regularized, tmp_path_factory):
  path = str(tmp_path_factory.mktemp('regularized') / 'export')
  regularized_encoder.write(regularized, path)
  return run_flow('document_003', {**uncased_exports, 'regularized': path})


def test_a_text_embedding_in_front_of_a_classifier(answers):
  answer = answers['text_embedding_in_front_of_a_classifier']
  assert answer['shape'] == [3, tiny.Size.hidden_size] and answer['dtype'] == 'float32'
  assert answer['trained'] == 4  # The two dense layers'.
  assert answer['losses'][-1] < 0.9 * answer['losses'][0]


@pytest.mark.conformance(35, 39, 93)
def test_keras_layer_is_frozen_by_default(answers):
  answer = answers['keras_layer_is_frozen_by_default']
  assert answer['trainable_weights'] == 0
  assert answer['training_difference'] == 0  # Dropout stays off.
  assert answer['trainable_when_asked'] == WEIGHTS  # Control: it is the asking that counts.
  assert answer['preprocessor_weights'] == 0
  assert answer['losses'] == 0


@pytest.mark.conformance(28, 39)
def test_trainable_can_be_switched_on_and_off(answers):
  frozen, trainable, again = answers['trainable_can_be_switched']['states']
  others = frozen[1] - WEIGHTS  # dropout_state and do_lower_case.
  assert frozen == again == [0, WEIGHTS + others, 0.0]
  assert trainable[:2] == [WEIGHTS, others] and trainable[2] > 1e-3  # Dropout.


def test_the_page_s_own_reusable_saved_model(answers):
  answer = answers['reusable_saved_model_by_hand']
  assert answer['product'] == [20.0, 40.0]
  assert answer['weights'] == [2.0]
  np.testing.assert_allclose(answer['losses'], [0.004])
  assert answer['frozen_losses'] == [0.0]


@pytest.mark.conformance(35)
def test_regularizers_of_an_encoder_count_while_it_is_trainable(answers, regularized):
  answer = answers['regularized_encoder']
  expected = [regularized_encoder.STRENGTH * float(np.sum(np.square(layer.kernel)))
              for layer in (regularized.mixed, regularized.pooler_layer)]
  np.testing.assert_allclose(answer['losses'], expected, rtol=1e-5)
  assert answer['frozen'] == [0.0, 0.0]
  assert answer['total'] == pytest.approx(sum(expected), rel=1e-4)  # The other loss is 0.
  assert all(new < 0.9 * old for new, old in zip(
      answer['after_training'], answer['losses'], strict=True))


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


def test_a_piece_can_be_cut_out_of_a_model_afterwards(answers):
  assert answers['piece_that_is_cut_out_afterwards']['difference'] < 1e-5


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


@pytest.mark.conformance(58)
def test_a_fine_tuned_export_is_verified(answers, uncased_exports, tmp_path):
  path = answers['re_export_after_fine_tuning']['path']
  done = run_main('gin/runs/verify.gin', *settings(
      EXPORT=path, PREPROCESSING=uncased_exports['preprocessing']), '--out_dir', tmp_path / 'out')
  assert done.status == 0, done.output
