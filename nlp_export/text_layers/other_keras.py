"""Is a layer called in a model of the Keras that it is made for?

TF 2.20 has two: tf.keras is Keras 3 unless TF_USE_LEGACY_KERAS=1 is set, TF-NLP and
tensorflow_hub use tf_keras. Their layers do not mix, and their own errors do not say so.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from nlp_export.errors import RequestError

_LAYERS = {'tf_keras': 'nlp_export.TextEncoder', 'keras': 'nlp_export.keras3.TextEncoder'}


def refuse(inputs: Any, own: str) -> None:
  """Refuses the symbolic inputs of the other Keras.

  Args:
    inputs: of a layer's call, nested.
    own: package of the layer's Keras: 'tf_keras' or 'keras'.

  Raises:
    RequestError: one of them is the other's.
  """
  for leaf in tf.nest.flatten(inputs):
    found = type(leaf)
    package = found.__module__.partition('.')[0]
    if found.__name__ == 'KerasTensor' and package in _LAYERS and package != own:
      raise RequestError(
          f'{_LAYERS[own]} is a layer of {own}, and was called with an Input of {package}; the two '
          f'do not mix. Use {_LAYERS[package]} there, or make the whole model with {own}')
