"""Both Keras behind one name, and pairs with labels that a model can learn."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import nlp_export

PAIRS = (
    'the cat sat ||| a dog', 'hello world', 'the cat ||| the cat', 'a dog on the mat ||| hello')
LABELS = np.array([1.0, 0.0, 1.0, 0.0], np.float32)


@dataclasses.dataclass(frozen=True)
class EitherKeras:
  """A Keras, and the text layer for it."""

  name: str
  keras: Any
  layer: Any

  def text_model(self, layer: Any) -> Any:
    """Strings to one probability."""
    return self.model(layer, self.keras.Input((), dtype='string'))

  def token_model(self, layer: Any) -> Any:
    """Encoder inputs to one probability."""
    names = ('input_word_ids', 'input_mask', 'input_type_ids')
    return self.model(
        layer, {name: self.keras.Input((None,), dtype='int32', name=name) for name in names})

  def model(self, layer: Any, inputs: Any) -> Any:
    keras = self.keras
    model = keras.Model(inputs, keras.layers.Dense(1, 'sigmoid')(layer(inputs)))
    model.compile(keras.optimizers.Adam(1e-2), 'binary_crossentropy', metrics=['accuracy'])
    return model


def keras_by_name(name: str) -> EitherKeras:
  """'tf_keras' or 'keras3'."""
  if name == 'keras3':
    import keras

    return EitherKeras(name, keras, nlp_export.keras3.TextEncoder)
  import tf_keras

  return EitherKeras(name, tf_keras, nlp_export.TextEncoder)


# What tf_keras does is tested by tests/documents/test_document_002.py, too.
@pytest.fixture(
    scope='session', params=['keras3', pytest.param('tf_keras', marks=pytest.mark.extra)])
def either(request) -> EitherKeras:
  """Keras 3, then tf_keras."""
  return keras_by_name(request.param)


@pytest.fixture(scope='session')
def tf_keras_alone() -> EitherKeras:
  """For what does not depend on Keras."""
  return keras_by_name('tf_keras')


@pytest.fixture
def dataset():
  """16 pairs with labels in batches of 8."""
  import tensorflow as tf

  data = tf.data.Dataset.from_tensor_slices((list(PAIRS) * 4, np.tile(LABELS, 4)))
  return data.batch(8)
