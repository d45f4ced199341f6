"""Products with weights, and GELUs, written again compute the same."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from nlp_export.graphs import gelus, products
from tests.graphs.conftest import run, traced

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
  return RNG.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize('equation, shape, kernel', [
    ('abc,cd->abd', (2, 3, 4), (4, 5)),
    ('abc,cde->abde', (2, 3, 4), (4, 2, 5)),
    ('abcd,cde->abe', (2, 3, 4, 5), (4, 5, 6)),
    ('abc,cd->abd', (0, 3, 4), (4, 5)),
])
def test_an_einsum_with_weights_is_a_product_of_rows(equation, shape, kernel):
  x, weights = normal(*shape), normal(*kernel)
  graph = traced(lambda x: tf.einsum(equation, x, weights), x=x).tidied()
  assert products.rewrite(graph) == 1
  assert not graph.of_type('Einsum')
  assert len(graph.of_type('MatMul')) == 1
  np.testing.assert_allclose(run(graph, x=x)[0], np.einsum(equation, x, weights), atol=1e-5)


@pytest.mark.parametrize('equation, shape', [
    ('abc,abd->acd', (2, 3, 5)),  # No weights.
    ('abc,dc->abd', (5, 4)),  # Its weights the other way round.
])
def test_others_are_left(equation, shape):
  x, other = normal(2, 3, 4), normal(*shape)
  given = {'x': x, 'y': other} if 'abd->' in equation else {'x': x}
  graph = traced(lambda x, y=other: tf.einsum(equation, x, y), **given).tidied()
  assert products.rewrite(graph) == 0
  assert len(graph.of_type('Einsum')) == 1


def test_layers_go_on_sharing_their_weights():
  x, weights = normal(2, 3, 4), normal(4, 2, 2)

  def layers(x):
    kernel = tf.constant(weights)
    for _ in range(3):
      x = tf.reshape(tf.einsum('abc,cde->abde', x, kernel), [2, 3, 4])
    return x

  graph = traced(layers, x=x).tidied()
  assert products.rewrite(graph) == 3
  kernels = [node for node in graph.tidied().of_type('Const')
             if node.attr['value'].tensor.ByteSize() > weights.nbytes]
  assert len(kernels) == 1
  assert len({node.input[1] for node in graph.of_type('MatMul')}) == 1


def test_a_bias_is_not_next_to_a_product():
  """Else TensorFlow makes a kernel of both that is slow where lengths change."""
  x, weights, bias = normal(2, 3, 4), normal(4, 5), normal(5)
  graph = traced(lambda x: tf.einsum('abc,cd->abd', x, weights) + bias, x=x).tidied()
  products.rewrite(graph)
  product, = graph.of_type('MatMul')
  assert [node.op for node in graph.users(product.name)] == ['Reshape']


def test_the_exact_gelu_is_written_with_erf():
  x = normal(3, 4, 5)
  graph = traced(lambda x: tf.nn.gelu(x), x=x).tidied()
  before = run(graph, x=x)[0]
  assert gelus.rewrite(graph) == 1
  assert not graph.tidied().of_type('Erfc') and len(graph.of_type('Erf')) == 1
  np.testing.assert_allclose(run(graph, x=x)[0], before, atol=1e-6)


def test_another_gelu_is_left():
  graph = traced(lambda x: tf.nn.gelu(x, approximate=True), x=normal(3, 4)).tidied()
  assert gelus.rewrite(graph) == 0
