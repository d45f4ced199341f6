"""encoder_config/activations.py: the exact gelu, and TF-NLP's own activations by name."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from official.modeling import tf_utils

from nlp_export.encoder_config import activations, encoder_blocks

_X = np.linspace(-6, 6, 241).astype(np.float32)


def test_gelu_erf_is_the_normal_distribution_function_times_x():
  exact = np.array([x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in _X.astype(np.float64)])
  tanh = tf_utils.get_activation('gelu')(tf.constant(_X)).numpy()
  assert np.abs(activations.gelu_erf(tf.constant(_X)).numpy() - exact).max() < 1e-6
  assert np.abs(tanh - exact).max() > 1e-4  # Control: TF-NLP's 'gelu' is another function.


def test_gelu_erf_keeps_its_dtype():
  assert activations.gelu_erf(tf.constant([1.0], tf.bfloat16)).dtype == tf.bfloat16


def test_a_layer_with_gelu_erf_survives_serialisation():
  layer = tf_keras.layers.Dense(3, activation=activations.get_activation('gelu_erf'))
  clone = tf_keras.layers.Dense.from_config(layer.get_config())
  assert clone.activation is activations.gelu_erf


@pytest.mark.parametrize('name', encoder_blocks.ACTIVATIONS)
def test_each_known_name_is_a_function_of_a_tensor(name):
  y = activations.get_activation(name.upper())(tf.constant([[-1.0, 2.0]]))
  assert y.shape == (1, 2)
  if name != 'gelu_erf':
    assert activations.get_activation(name) is tf_utils.get_activation(name)


def test_the_list_of_known_names_misses_none_of_tf_keras():
  helpers = {'deserialize', 'get', 'keras_export', 'serialize'}
  here = {name for name in dir(tf_keras.activations)
          if callable(getattr(tf_keras.activations, name)) and not name.startswith('_')}
  assert here - helpers <= set(encoder_blocks.ACTIVATIONS)
  with pytest.raises(ValueError, match='Unknown activation'):  # Control: TF-NLP refuses others.
    tf_utils.get_activation('gleu')
