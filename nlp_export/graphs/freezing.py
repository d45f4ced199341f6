"""How does a TF function become a graph without variables?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import convert_to_constants

from nlp_export.graphs.graph import Graph, node_of


def frozen(function: Any, outputs: Sequence[str]) -> Graph:
  """The graph of a function, with constants for variables, and calls inlined.

  Args:
    function: a ConcreteFunction.
    outputs: names for what it returns, in the order of tf.nest (of a dict, that of its keys): the
      functions of TensorFlow 2.20 lose them.
  """
  found = convert_to_constants.convert_variables_to_constants_v2(function)
  graph = Graph(found.graph.as_graph_def(), [node_of(tensor.name) for tensor in found.inputs], ())
  for name, tensor in zip(outputs, found.outputs, strict=True):
    _name_output(graph, name, tensor)
  graph.outputs = tuple(outputs)
  return graph


def _name_output(graph: Graph, name: str, tensor: tf.Tensor) -> None:
  """Adds an Identity called `name`; what was called so before is renamed."""
  behind = tensor.name.removesuffix(':0')
  if name in graph.nodes:
    old = graph.nodes.pop(name)
    old.name = f'{name}/before_output'
    graph.nodes[old.name] = old
    graph.replace(name, old.name)
    behind = old.name if behind == name else behind
  graph.add(name, 'Identity', [behind], T=tensor.dtype)
