"""A graph on [tokens, width] computes the same, with the operations that are wanted."""

from __future__ import annotations

import collections

import numpy as np
import tensorflow as tf

from nlp_export.graphs import flattening
from nlp_export.graphs.graph import Graph
from tests import tiny
from tests.graphs.conftest import run, traced


def ops(graph: Graph) -> collections.Counter:
  return collections.Counter(node.op for node in graph.nodes.values())


def test_every_layer_of_an_export_is_recognised(frozen):
  graph = frozen()
  before = ops(graph)
  found = ops(flattening.flattened(graph))
  assert before['Einsum'] == 2 * 8  # Query, key, value, scores, context, output, two dense.
  assert found['Einsum'] == 2 * 2  # Scores and context have no constant side.
  assert found['Rsqrt'] == 5 and not found['SquaredDifference'] and not found['FusedBatchNormV3']
  assert found['BiasAdd'] == 2 * 6
  assert ops(graph) == before  # What it was made of is as it was.


def test_it_computes_the_same(frozen):
  rows = tiny.encoder_inputs(seq_length=9)
  graph = frozen()
  found, = run(flattening.flattened(graph), **rows)
  # Not the frozen graph as it is: of its layer norms TensorFlow makes others.
  from nlp_export.graphs import layer_norms

  layer_norms.rewrite(graph)
  np.testing.assert_allclose(found, run(graph, **rows)[0], atol=1e-5)


def test_the_exact_gelu_becomes_erf():
  kernel = np.random.default_rng(0).normal(size=[8, 6]).astype(np.float32)
  bias = np.arange(6, dtype=np.float32)
  x = np.random.default_rng(1).normal(size=[2, 3, 8]).astype(np.float32)
  graph = traced(lambda x: tf.nn.gelu(tf.einsum('abc,cd->abd', x, kernel) + bias), x=x)
  flat = flattening.flattened(graph)
  assert ops(graph)['Erfc'] == 1
  assert ops(flat)['Erf'] == 1 and not ops(flat)['Erfc'] and ops(flat)['MatMul'] == 1
  np.testing.assert_allclose(run(flat, x=x)[0], run(graph, x=x)[0], atol=1e-5)
