"""A graph written again on [tokens, width] computes the same, and is seen if it does not."""

from __future__ import annotations

import collections

import numpy as np
import pytest

from nlp_export import names, poolings
from nlp_export.embedding import fast_call, flat_graph


def frozen(call):
  """(the frozen graph of a call, the name of its output's node)."""
  import tensorflow as tf
  from tensorflow.python.framework import convert_to_constants

  @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)] * 3, autograph=False)
  def function(*inputs):
    return call(dict(zip(names.ENCODER_INPUTS, inputs, strict=True)))

  found = convert_to_constants.convert_variables_to_constants_v2(function.get_concrete_function())
  return found.graph.as_graph_def(), found.outputs[0].name.partition(':')[0]


def mean_of(encoder):
  """The call that embeds by mean pooling."""
  return lambda inputs: poolings.pool('mean', encoder(inputs), inputs[names.INPUT_MASK])


@pytest.fixture(scope='module')
def probe(loaded, some_texts):
  tokens = loaded[1].tokenize(some_texts[:8])
  return dict(loaded[1].bert_pack_inputs([tokens], seq_length=24))


def ops(graph) -> collections.Counter:
  return collections.Counter(node.op for node in graph.node)


def test_every_layer_of_an_export_is_recognised(loaded):
  graph, output = frozen(mean_of(loaded[0]))
  found = ops(flat_graph.flattened(graph, [output]))
  assert ops(graph)['Einsum'] == 2 * 8  # Query, key, value, scores, context, output, two dense.
  assert found['Einsum'] == 2 * 2  # Scores and context have no constant side.
  assert found['FusedBatchNormV3'] == 5 and not found['Rsqrt']
  assert found['BiasAdd'] == 2 * 6


def test_it_computes_the_same(loaded, probe):
  call = mean_of(loaded[0])
  fast, why = fast_call.make(call, probe)
  assert why == ''
  np.testing.assert_allclose(fast(probe).numpy(), call(probe).numpy(), atol=1e-5)


def test_the_exact_gelu_becomes_erf():
  import tensorflow as tf

  kernel = np.random.default_rng(0).normal(size=[8, 6]).astype(np.float32)
  bias = np.arange(6, dtype=np.float32)

  def call(inputs):
    x = tf.one_hot(inputs[names.INPUT_WORD_IDS], 8)
    return tf.reduce_sum(tf.nn.gelu(tf.einsum('abc,cd->abd', x, kernel) + bias), 1)

  inputs = {name: tf.constant([[0, 1, 2], [5, 6, 7]]) for name in names.ENCODER_INPUTS}
  graph, output = frozen(call)
  found = ops(flat_graph.flattened(graph, [output]))
  assert ops(graph)['Erfc'] == 1
  assert found['Erf'] == 1 and not found['Erfc'] and found['MatMul'] == 1
  fast, why = fast_call.make(call, inputs)
  assert why == ''
  np.testing.assert_allclose(fast(inputs), call(inputs), atol=1e-5)


def test_a_stranger_s_keras_export_is_recognised_too(tfhub_export, probe):
  import tensorflow as tf

  call = mean_of(tf.saved_model.load(tfhub_export))
  fast, why = fast_call.make(call, probe)
  assert why == ''
  np.testing.assert_allclose(fast(probe).numpy(), call(probe).numpy(), atol=1e-5)
  graph, output = frozen(call)
  assert ops(flat_graph.flattened(graph, [output]))['Einsum'] == 2 * 2


def test_a_graph_that_computes_something_else_is_not_used(loaded, probe, monkeypatch):
  right = flat_graph.flattened

  def wrong(graph, outputs):
    made = right(graph, outputs)
    for node in made.node:
      if node.op == 'FusedBatchNormV3':
        node.attr['epsilon'].f = 1e-3  # What Grappler takes for layer norms as moments.
    return made

  monkeypatch.setattr(flat_graph, 'flattened', wrong)
  call = mean_of(loaded[0])
  fast, why = fast_call.make(call, probe)
  assert why.startswith('written again it differs by ')
  np.testing.assert_allclose(fast(probe).numpy(), call(probe).numpy(), atol=1e-6)


def test_one_that_cannot_be_written_is_used_as_it_is(loaded, probe, monkeypatch):
  def fails(graph, outputs):
    raise NotImplementedError('no such op')

  monkeypatch.setattr(flat_graph, 'flattened', fails)
  call = mean_of(loaded[0])
  fast, why = fast_call.make(call, probe)
  assert why == 'it cannot be written again: no such op'
  np.testing.assert_allclose(fast(probe).numpy(), call(probe).numpy(), atol=1e-6)


def test_a_model_too_large_for_one_graph_is_used_as_it_is(loaded, probe, monkeypatch):
  monkeypatch.setattr(fast_call, '_LARGEST_WEIGHTS', 1000)
  assert fast_call.make(mean_of(loaded[0]), probe)[1].endswith('too much for one graph')
