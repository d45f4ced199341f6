"""Does a graph that was written again give what the function gives that it was made of?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from nlp_export.graphs.graph import Graph

# What TensorFlow raises where a graph is not one, or cannot be run.
_NOT_A_GRAPH = (tf.errors.OpError, ValueError, KeyError, NotImplementedError)


@dataclasses.dataclass(frozen=True)
class Proven:
  """A graph that is right.

  Attributes:
    graph: itself.
    call: from its inputs, in their order, to the list of its outputs.
  """

  graph: Graph
  call: Callable[..., list[tf.Tensor]]


def proven(
    written: Callable[[], Graph], function: Callable[..., Any], signature: Sequence[tf.TensorSpec],
    probe: Sequence[tf.Tensor], tolerance: float) -> tuple[Proven | None, str]:
  """Writes a graph and runs it beside the function.

  Args:
    written: returns the graph.
    function: what it has to compute: of the graph's inputs, to a tensor or a dict of them.
    signature: of these inputs.
    probe: such inputs.
    tolerance: of a component, relative to the largest one of an output where that is above 1.

  Returns:
    The graph, or None and why not.
  """
  try:
    graph = written()
    call = callable_of(graph, signature)
    found, wanted = call(*probe), tf.nest.flatten(function(*probe))
  except _NOT_A_GRAPH as error:
    first = str(error).strip().partition('\n')[0]
    return None, f'it cannot be written again: {first}'
  for one, other in zip(found, wanted, strict=True):
    difference = _largest(one.numpy() - other.numpy()) if one.shape == other.shape else np.inf
    if not difference <= tolerance * max(1.0, _largest(other.numpy())):  # Also if it is NaN.
      return None, f'written again it differs by {difference:.1e}'
  return Proven(graph, call), ''


def callable_of(graph: Graph, signature: Sequence[tf.TensorSpec]) -> Any:
  """A TF function of a graph's inputs, in their order, to the list of its outputs."""
  graph_def = graph.graph_def()

  def imported(*inputs: tf.Tensor) -> list[tf.Tensor]:
    return tf.graph_util.import_graph_def(
        graph_def, dict(zip(graph.inputs, inputs, strict=True)),
        [f'{name}:0' for name in graph.outputs], name='')

  return tf.compat.v1.wrap_function(imported, signature)


def _largest(values: np.ndarray) -> float:
  return float(np.abs(values).max(initial=0.0))
