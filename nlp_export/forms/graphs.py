"""How is a GraphDef read and changed: what makes a tensor, who uses it, what is needed?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2

# Operations that hand on their first input, at inference.
_HAND_ON = ('Identity', 'StopGradient', 'Snapshot', 'PreventGradient', 'CheckNumerics')


class Graph:
  """A frozen GraphDef: no variables, no state, so that control inputs mean nothing.

  Attributes:
    nodes: by name.
    inputs: names of the placeholders.
    outputs: names of the nodes that are asked for.
  """

  def __init__(self, graph_def: graph_pb2.GraphDef, inputs: Sequence[str], outputs: Sequence[str]):
    self.nodes = {node.name: node for node in graph_def.node}
    self.inputs, self.outputs = tuple(inputs), tuple(outputs)
    self._rest = graph_pb2.GraphDef(versions=graph_def.versions, library=graph_def.library)

  def source(self, tensor: str) -> Any:
    """The node behind a tensor, beyond those that only hand on."""
    node = self.nodes[tensor.partition(':')[0]]
    while node.op in _HAND_ON:
      node = self.nodes[node.input[0].partition(':')[0]]
    return node

  def constant(self, tensor: str) -> np.ndarray | None:
    """The value of a tensor, None if it is not constant."""
    node = self.source(tensor)
    return tf.make_ndarray(node.attr['value'].tensor) if node.op == 'Const' else None

  def of_type(self, op: str) -> list[Any]:
    """The nodes of a type."""
    return [node for node in self.nodes.values() if node.op == op]

  def add(self, name: str, op: str, inputs: Sequence[str], **types: Any) -> str:
    """Adds a node; `types` are attributes that are dtypes. Returns its name, made unique."""
    unique, number = name, 0
    while unique in self.nodes:
      number += 1
      unique = f'{name}_{number}'
    node = self._rest.node.add(name=unique, op=op, input=inputs)
    for key, dtype in types.items():
      node.attr[key].type = tf.as_dtype(dtype).as_datatype_enum
    self.nodes[unique] = node
    return unique

  def add_constant(self, name: str, value: Any, dtype: Any = None) -> str:
    """Adds a constant; returns its name."""
    proto = tf.make_tensor_proto(value, dtype)
    added = self.add(name, 'Const', [], dtype=proto.dtype)
    self.nodes[added].attr['value'].tensor.CopyFrom(proto)
    return added

  def replace(self, old: str, new: str) -> None:
    """Whoever takes the only tensor of `old` takes that of `new`; `old` itself stays."""
    for node in self.nodes.values():
      for i, tensor in enumerate(node.input):
        if tensor.partition(':')[0] == old and node.name != new:
          node.input[i] = new

  def tidied(self) -> Graph:
    """Without what no output needs, without nodes that hand on, without control inputs."""
    kept: dict[str, Any] = {}
    renamed: dict[str, str] = {}
    waiting = [(name, False) for name in (*self.outputs, *self.inputs)]
    # Inputs of a node before the node: an order that the graph alone decides, where TensorFlow's
    # order and names of constants are by chance.
    while waiting:
      name, is_ready = waiting.pop()
      if name in kept:
        continue
      original = self.nodes[name]
      data = [self._beyond(tensor) for tensor in original.input if not tensor.startswith('^')]
      if not is_ready:
        waiting.append((name, True))
        waiting += [(tensor.partition(':')[0], False) for tensor in reversed(data)]
        continue
      node = kept[name] = node_def_pb2.NodeDef()
      node.CopyFrom(original)
      del node.input[:]
      node.attr.pop('_class', None)  # Where the variable had to lie.
      if node.op == 'Const':
        renamed[name] = node.name = f'constant_{len(renamed)}'
      for tensor in data:
        behind, colon, output = tensor.partition(':')
        node.input.append(f'{renamed.get(behind, behind)}{colon}{output}')
    graph_def = graph_pb2.GraphDef(versions=self._rest.versions, library=self._rest.library)
    graph_def.node.extend(kept.values())
    return Graph(graph_def, self.inputs, self.outputs)

  def _beyond(self, tensor: str) -> str:
    node = self.nodes[tensor.partition(':')[0]]
    while node.op in _HAND_ON:
      tensor = node.input[0]
      node = self.nodes[tensor.partition(':')[0]]
    return tensor

  def graph_def(self) -> graph_pb2.GraphDef:
    """All of it as a GraphDef."""
    found = graph_pb2.GraphDef(versions=self._rest.versions, library=self._rest.library)
    found.node.extend(self.nodes.values())
    return found


def to_bytes(graph: Graph) -> bytes:
  """The file: equal graphs give equal bytes."""
  return graph.graph_def().SerializeToString(deterministic=True)


def users(graph: Graph, name: str, among: Iterable[Any] | None = None) -> list[Any]:
  """Nodes that take a tensor of a node, directly."""
  return [node for node in among or graph.nodes.values()
          if any(tensor.partition(':')[0] == name for tensor in node.input)]


def other_input(node: Any, graph: Graph, name: str) -> str | None:
  """Of a node with two inputs the one that does not come from `name`; None if neither does."""
  if len(node.input) != 2:
    return None
  sources = [graph.source(tensor).name for tensor in node.input]
  if name not in sources:
    return None
  return node.input[1 - sources.index(name)]



