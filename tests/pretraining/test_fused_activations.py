"""GELU in one pass: the same values and gradients, in the layers of a network."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from nlp_export import encoders
from nlp_export.encoder_config import activations
from nlp_export.pretraining import fused_activations


def value_and_gradient(function, inputs, upstream):
  @tf.function(autograph=False)
  def both(inputs, upstream):
    with tf.GradientTape() as tape:
      tape.watch(inputs)
      outputs = function(inputs)
    return outputs, tape.gradient(outputs, inputs, output_gradients=upstream)

  return [tf.cast(x, tf.float32).numpy() for x in both(inputs, upstream)]


@pytest.mark.parametrize('dtype', [tf.float32, tf.bfloat16])
@pytest.mark.parametrize(('name', 'other'), [('gelu', 'gelu_erf'), ('gelu_erf', 'gelu')])
def test_values_and_gradients_are_those_of_tf_nlp(name, other, dtype):
  inputs = tf.cast(tf.linspace(-6.0, 6.0, 4001), dtype)
  upstream = tf.cast(tf.linspace(1.0, 2.0, 4001), dtype)
  # XLA rounds bfloat16 once, at the end; TensorFlow after each of its operations. Far in the
  # negative, 1 + tanh(x) cancels, and the two libraries' tanh differ in their last bit.
  tolerance = 1e-5 if dtype == tf.float32 else 0.03
  plain = activations.get_activation(name)
  got = value_and_gradient(fused_activations.fused(plain), inputs, upstream)
  want = value_and_gradient(plain, inputs, upstream)
  for a, b in zip(got, want, strict=True):
    np.testing.assert_allclose(a, b, atol=tolerance)
  if dtype == tf.float32:  # Control: the two forms of GELU are told apart.
    control = value_and_gradient(activations.get_activation(other), inputs, upstream)
    assert all(np.abs(a - b).max() > 1e-4 for a, b in zip(got, control, strict=True))


@pytest.mark.parametrize(('name', 'layers'), [('gelu', 2), ('gelu_erf', 2), ('relu', 0)])
def test_the_layers_of_an_encoder(name, layers):
  spec = encoders.bert(vocab_size=30, hidden_size=16, num_layers=2, num_attention_heads=2,
                       intermediate_size=32, max_position_embeddings=8, hidden_activation=name)
  network = spec.build(initialise=True)
  ids = tf.constant([[2, 5, 7, 3]])
  inputs = {'input_word_ids': ids, 'input_mask': tf.ones_like(ids),
            'input_type_ids': tf.zeros_like(ids)}

  def compiled() -> int:
    graph = tf.function(lambda: network(inputs)['sequence_output']).get_concrete_function().graph
    return sum('_XlaMustCompile' in op.node_def.attr for op in graph.get_operations())

  before = network(inputs)['sequence_output'].numpy()
  assert compiled() == 0
  assert fused_activations.install(network) == layers
  assert compiled() == layers
  np.testing.assert_allclose(network(inputs)['sequence_output'].numpy(), before, atol=1e-6)
