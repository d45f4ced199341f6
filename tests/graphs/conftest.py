"""What the tests of graphs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from nlp_export import names
from nlp_export.graphs import freezing
from nlp_export.graphs.graph import Graph


@pytest.fixture(scope='session')
def encoder(uncased_exports) -> Any:
  """The tiny export, loaded. Shared: do not change it."""
  return tf.saved_model.load(uncased_exports['model'])


def function_of(encoder: Any) -> Any:
  """A concrete function of the encoder's inputs to what it returns for every token."""
  @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32, name=name)
                                for name in names.ENCODER_INPUTS], autograph=False)
  def function(*inputs):
    return encoder(dict(zip(names.ENCODER_INPUTS, inputs, strict=True)))[names.SEQUENCE_OUTPUT]

  return function.get_concrete_function()


@pytest.fixture(scope='session')
def frozen(encoder) -> Callable[[], Graph]:
  """Freezes it anew."""
  return lambda: freezing.frozen(function_of(encoder), ['tokens'])


def traced(function: Callable[..., tf.Tensor], **given: np.ndarray) -> Graph:
  """The graph of a function, of inputs without static shape, to `out`."""
  with tf.Graph().as_default() as graph:
    inputs = {name: tf.compat.v1.placeholder(value.dtype, [None] * value.ndim, name=name)
              for name, value in given.items()}
    tf.identity(function(**inputs), name='out')
  return Graph(graph.as_graph_def(), tuple(given), ('out',))


def run(graph: Graph, **given: np.ndarray) -> list[np.ndarray]:
  """Outputs of a graph in a session of its own."""
  with tf.Graph().as_default():
    tf.graph_util.import_graph_def(graph.graph_def(), name='')
    with tf.compat.v1.Session() as session:
      return session.run([f'{name}:0' for name in graph.outputs],
                         {f'{name}:0': value for name, value in given.items()})
