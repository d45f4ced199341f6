"""Which losses of a network's weights does a SavedModel carry for whoever fine-tunes it?

TF Hub's Reusable SavedModels have `regularization_losses`, a list of functions of nothing, which
hub.KerasLayer adds to the loss while it is trainable. So the regularizers of single layers go
along; what a layer adds that depends on its inputs cannot, and is named instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tf_keras


def functions_of(network: Any, without: Any = None) -> list[Any]:
  """The weight regularizers of a network as a SavedModel holds them.

  Args:
    network: a built tf_keras layer or model.
    without: a layer of it that is left out of the graph, or None.

  Returns:
    For each a tf.function of nothing that returns a floating point scalar, strength included.
  """
  left_out = {id(layer) for layer in _layers(without)} if without is not None else set()
  losses = (loss for layer in _layers(network) if id(layer) not in left_out
            for loss in layer._callable_losses)
  # Keras lets one return None for nothing.
  return [function_of(loss) for loss in losses if loss() is not None]


def function_of(loss: Any) -> Any:
  """A callable of nothing as the tf.function that a SavedModel holds."""

  @tf.function(input_signature=[], autograph=False)
  def regularization_loss() -> tf.Tensor:
    return loss()

  return regularization_loss


def _layers(network: Any) -> Iterator[Any]:
  """The layer itself and all in it, each once."""
  for module in (network, *network.submodules):
    if isinstance(module, tf_keras.layers.Layer):
      yield module
