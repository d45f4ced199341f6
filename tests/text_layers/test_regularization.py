"""An export's regularization losses are in the loss of a model, while the layer trains."""

from __future__ import annotations

import numpy as np
import pytest

from tests.saved_models import regularized_encoder


@pytest.fixture(scope='module')
def exports(tmp_path_factory):
  """Of an encoder with regularizers, and of one without: 'with', 'without'."""
  directory = tmp_path_factory.mktemp('regularized')
  regularized_encoder.write(regularized_encoder.Regularized(), directory / 'with')
  regularized_encoder.write(regularized_encoder.network(), directory / 'without')
  return directory


def of_weights(layer) -> float:
  """What the SavedModel itself says, as saved_models/test_regularization.py checks it."""
  return sum(float(loss()) for loss in layer.exported.root.regularization_losses)


def test_they_are_in_the_loss_while_the_layer_trains(either, exports):
  keras = either.keras
  layer = either.layer(str(exports / 'with'), inputs='encoder_inputs')
  names = ('input_word_ids', 'input_mask', 'input_type_ids')
  inputs = {name: keras.Input((None,), dtype='int32', name=name) for name in names}
  model = keras.Model(inputs, layer(inputs))
  model.compile(keras.optimizers.SGD(0.1), 'mse')
  x = {name: np.ones((2, 3), np.int32) for name in names}
  y = np.asarray(model(x))
  expected = of_weights(layer)
  assert expected > 0.5
  assert sum(float(loss) for loss in layer.losses) == pytest.approx(expected, rel=1e-5)
  # There is nothing to learn but to have smaller weights.
  assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-4)
  model.fit(x, y, epochs=3, verbose=0)
  assert of_weights(layer) < 0.95 * expected
  layer.trainable = False
  assert sum(float(loss) for loss in layer.losses) == 0


@pytest.mark.parametrize('export, options', [
    ('with', {'trainable_layers': 0}), ('without', {})])
def test_there_are_none_where_nothing_trains_or_nothing_is_declared(
    either, exports, export, options):
  layer = either.layer(str(exports / export), inputs='encoder_inputs', **options)
  assert sum(float(loss) for loss in layer.losses) == 0


def test_a_layer_that_is_called_twice_has_them_once(either, exports):
  layer = either.layer(str(exports / 'with'), inputs='encoder_inputs')
  ids = {name: np.ones((1, 2), np.int32)
         for name in ('input_word_ids', 'input_mask', 'input_type_ids')}
  layer(ids), layer(ids)
  assert sum(float(loss) for loss in layer.losses) == pytest.approx(of_weights(layer), rel=1e-5)
