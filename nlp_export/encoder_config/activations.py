"""How do activations that TF-NLP lacks become ones that its layers take by name?

TF-NLP's 'gelu' is the tanh approximation (official.modeling.activations.gelu). Models trained in
PyTorch use the exact form, x * Phi(x): with the wrong one sequence_output is off by some 5e-3.
Importing this module registers 'gelu_erf' with tf_keras, so that networks holding it can be saved,
cloned and loaded like those with TF-NLP's own activations.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
import tf_keras
from official.modeling import tf_utils

from nlp_export.encoder_config.encoder_blocks import GELU_ERF

PACKAGE = 'nlp_export'


@tf_keras.utils.register_keras_serializable(package=PACKAGE, name=GELU_ERF)
def gelu_erf(x: tf.Tensor) -> tf.Tensor:
  """Gaussian error linear unit in its exact form, x * (1 + erf(x / sqrt(2))) / 2.

  Args:
    x: float tensor of any shape.

  Returns:
    Tensor of x's shape and dtype.

  Source: Hendrycks and Gimpel, Gaussian Error Linear Units, https://arxiv.org/abs/1606.08415
  """
  return tf.nn.gelu(x, approximate=False)


def registered_name(activation: str) -> str:
  """The name under which TF-NLP's tf_utils.get_activation finds an activation of a spec."""
  return f'{PACKAGE}>{GELU_ERF}' if activation == GELU_ERF else activation


def get_activation(name: str) -> Callable[[tf.Tensor], tf.Tensor]:
  """The function that an activation's name stands for: TF-NLP's, or 'gelu_erf' (case apart).

  Args:
    name: one of encoder_blocks.ACTIVATIONS.

  Returns:
    A function of a float tensor, as official.modeling.tf_utils.get_activation returns it.
  """
  return tf_utils.get_activation(registered_name(name.lower()))
