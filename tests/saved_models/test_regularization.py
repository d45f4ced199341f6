"""A user's encoder with weight regularizers: what hub.KerasLayer gets of them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from nlp_export.encoder_config.built_encoder import BuiltEncoder
from nlp_export.errors import RequestError
from nlp_export.saved_models import regularization
from tests.saved_models import regularized_encoder
from tests.saved_models.regularized_encoder import STRENGTH, Regularized


def exported(made, path, **options):
  regularized_encoder.write(made, path, **options)
  return tf.saved_model.load(str(path))


def squared(variable):
  return STRENGTH * float(np.sum(np.square(variable)))


@pytest.fixture(scope='module')
def made():
  return Regularized()


@pytest.fixture(scope='module')
def loaded(made, tmp_path_factory):
  return exported(made, tmp_path_factory.mktemp('regularized') / 'export')


def test_each_weight_regularizer_is_a_function_of_nothing(made, loaded):
  values = [float(loss()) for loss in loaded.regularization_losses]
  assert values == pytest.approx([squared(made.mixed.kernel), squared(made.pooler_layer.kernel)])


def test_they_follow_the_variables_that_are_trained(loaded):
  kernel, = (v for v in loaded.trainable_variables if v.name.endswith('mixed/kernel:0'))
  before = kernel.numpy()
  with tf.GradientTape() as tape:
    loss = loaded.regularization_losses[0]()
  np.testing.assert_allclose(tape.gradient(loss, kernel), 2 * STRENGTH * before, rtol=1e-5)
  kernel.assign(2 * before)
  assert float(loaded.regularization_losses[0]()) == pytest.approx(4 * squared(before))
  kernel.assign(before)


def test_a_pooler_that_is_left_out_takes_its_regularizer_along(made, tmp_path):
  loaded = exported(made, tmp_path / 'export', with_pooler=False)
  assert [float(loss()) for loss in loaded.regularization_losses] == pytest.approx(
      [squared(made.mixed.kernel)])


def test_without_regularizers_there_are_none():  # Control.
  assert regularization.functions_of(regularized_encoder.network()) == []


def test_a_loss_of_the_inputs_is_refused_by_name():
  own = BuiltEncoder(Regularized(activity=tf_keras.regularizers.L1(0.1)), 'mine.encoder')
  with pytest.raises(RequestError) as error:
    own.check_exportable()
  assert 'in mixed (add_loss in call(), or an activity_regularizer)' in str(error.value)
  assert str(error.value).endswith(
      'Leave it out of the network that is exported; kernel_regularizer and the like go along')
  BuiltEncoder(Regularized(), 'mine.encoder').check_exportable()  # Control.
