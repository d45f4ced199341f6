"""How is an activation computed in one pass over memory, forwards and backwards?

TensorFlow's GELU is a dozen elementwise operations, each of which reads and writes the widest
tensors of a network; on CPUs that was a sixth of a training step. XLA makes one loop of them. Only
the activation is compiled, not the step, which is slower that way on CPUs. The gradient is computed
from the input again, so nothing but the input is kept for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras

from nlp_export.encoder_config import activations

_ELEMENTWISE = ('gelu', 'gelu_erf')


def install(network: Any) -> int:
  """Makes the GELU layers of a tf_keras network compute in one pass.

  Args:
    network: a built tf_keras layer or model.

  Returns:
    The number of layers that now do.
  """
  known = [activations.get_activation(name) for name in _ELEMENTWISE]
  layers = [m for m in network.submodules
            if isinstance(m, tf_keras.layers.Activation) and m.activation in known]
  for layer in layers:
    layer.activation = fused(layer.activation)
  return len(layers)


def fused(function: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
  """An elementwise function, compiled by XLA, with its gradient.

  Args:
    function: floating point tensor -> tensor of the same shape and dtype.
  """

  @tf.function(jit_compile=True, autograph=False)
  def forward(inputs: tf.Tensor) -> tf.Tensor:
    return function(inputs)

  @tf.function(jit_compile=True, autograph=False)
  def backward(inputs: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(inputs)
      outputs = function(inputs)
    return tape.gradient(outputs, inputs, output_gradients=upstream)

  @tf.custom_gradient
  def activation(inputs: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    return forward(inputs), lambda upstream: backward(inputs, upstream)

  return activation
