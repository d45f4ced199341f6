"""A layer norm is recognised whatever its nodes are called, and written so that it stays right."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from nlp_export.graphs import layer_norms, patterns
from tests.graphs.conftest import run, traced

X = np.random.default_rng(0).normal(size=[2, 3, 8]).astype(np.float32)
GAMMA = np.linspace(0.5, 2, 8, dtype=np.float32)
BETA = np.linspace(-1, 1, 8, dtype=np.float32)
EPSILON = 0.1


def keras(x, axes=(-1,)):
  mean, variance = tf.nn.moments(x, axes, keepdims=True)
  return tf.nn.batch_normalization(x, mean, variance, BETA, GAMMA, EPSILON)


def as_numpy(x, axis):
  mean, variance = x.mean(axis, keepdims=True), x.var(axis, keepdims=True)
  return (x - mean) / np.sqrt(variance + EPSILON) * GAMMA + BETA


@pytest.mark.parametrize('axes', [(-1,), (2,), (1, 2)])
def test_its_parts_are_found_and_it_is_the_same_after(axes):
  graph = traced(lambda x: keras(x, axes), x=X).tidied()
  (_, norm), = patterns.layer_norms(graph)
  assert norm.x == 'x' and norm.axes[1] == axes and norm.keep_dims
  assert norm.epsilon[1] == pytest.approx(EPSILON)
  np.testing.assert_array_equal(graph.constant(norm.gamma), GAMMA)
  np.testing.assert_array_equal(graph.constant(norm.beta), BETA)
  assert layer_norms.rewrite(graph) == 1
  assert layer_norms.unchanged(graph) == []
  np.testing.assert_allclose(run(graph, x=X)[0], as_numpy(X, axes), atol=1e-5)


def test_what_uses_one_gets_the_new_one():
  graph = traced(lambda x: keras(x) - BETA, x=X).tidied()
  assert layer_norms.rewrite(graph) == 1
  np.testing.assert_allclose(run(graph.tidied(), x=X)[0], as_numpy(X, -1) - BETA, atol=1e-5)


def batch_norm_of_another(x):
  mean, variance = tf.nn.moments(2 * x, [-1], keepdims=True)
  return tf.nn.batch_normalization(x, mean, variance, BETA, GAMMA, EPSILON)


def of_two_kinds(x):
  mean = tf.reduce_mean(x, -1, keepdims=True)
  variance = tf.reduce_mean(tf.math.squared_difference(x, mean), [1, 2], keepdims=True)
  return tf.nn.batch_normalization(x, mean, variance, BETA, GAMMA, EPSILON)


@pytest.mark.parametrize('other', [batch_norm_of_another, of_two_kinds])
def test_what_only_looks_like_one_is_left(other):
  graph = traced(other, x=X).tidied()
  assert list(patterns.layer_norms(graph)) == []
  before = run(graph, x=X)[0]
  assert layer_norms.rewrite(graph) == 0
  np.testing.assert_array_equal(run(graph, x=X)[0], before)
