"""A graph is read and changed as a graph, and written as equal bytes."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from nlp_export.graphs import freezing
from nlp_export.graphs.graph import to_bytes
from tests.graphs.conftest import run, traced

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def twice_plus_one(x):
  return tf.identity(tf.identity(x, name='same') * tf.constant(2.0), name='y') + 1


def test_tidied_has_only_what_is_computed():
  graph = traced(twice_plus_one, x=X)
  tidy = graph.tidied()
  assert sorted(node.op for node in tidy.nodes.values()) == [
      'AddV2', 'Const', 'Const', 'Identity', 'Mul', 'Placeholder']  # The Identity is the output.
  np.testing.assert_array_equal(run(tidy, x=X)[0], 2 * X + 1)
  assert len(graph.nodes) > len(tidy.nodes)  # Control.


def test_pruned_keeps_control_inputs_and_tidied_does_not():
  def checked(x):
    with tf.control_dependencies([tf.debugging.assert_less(x, 100.0)]):
      return tf.identity(x)

  graph = traced(checked, x=X)
  assert graph.pruned().of_type('Assert', 'If', 'Switch')
  assert not graph.tidied().of_type('Assert', 'If', 'Switch')


def test_a_copy_is_changed_alone():
  graph = traced(twice_plus_one, x=X).tidied()
  before, copied = to_bytes(graph), graph.copy()
  product, = copied.of_type('Mul')
  copied.put(product.name, 'Identity', [copied.inputs[0]], T=tf.float32)
  copied.replace('x', copied.add('negative', 'Neg', ['x'], T=tf.float32))
  assert to_bytes(graph) == before
  np.testing.assert_array_equal(run(copied, x=X)[0], 1 - X)


def test_a_constant_is_reshaped_once():
  graph = traced(lambda x: x @ tf.constant(X.T), x=X).tidied()
  kernel = graph.of_type('MatMul')[0].input[1]
  flat = graph.constant_as(kernel, (6,))
  assert graph.constant_as(kernel, (6,)) == flat != kernel
  assert graph.constant_as(kernel, (3, 2)) == kernel
  np.testing.assert_array_equal(graph.constant(flat), X.T.reshape(-1))
  assert graph.constant_shape(flat) == (6,) and graph.constant_shape('x') is None


def test_names_of_outputs_are_given_though_a_node_has_them():
  @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name='x')], autograph=False)
  def function(x):
    inner = tf.multiply(x, 2.0, name='answer')
    return {'answer': inner + 1, 'other': inner}

  graph = freezing.frozen(function.get_concrete_function(), ['answer', 'other'])
  assert graph.inputs == ('x',)
  found = run(graph.tidied(), x=np.ones(2, np.float32))
  np.testing.assert_array_equal(found, [[3, 3], [2, 2]])
