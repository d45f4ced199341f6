"""How is a GraphDef read and changed: what makes a tensor, who uses it, what is needed?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2

# Operations that hand on their first input, at inference.
HAND_ON = ('Identity', 'StopGradient', 'Snapshot', 'PreventGradient', 'CheckNumerics')


class Graph:
  """A frozen GraphDef: weights are constants, there is no state.

  Attributes:
    nodes: by name.
    inputs: names of the placeholders.
    outputs: names of the nodes that are asked for.
  """

  def __init__(self, graph_def: graph_pb2.GraphDef, inputs: Sequence[str], outputs: Sequence[str]):
    self.nodes = {node.name: node for node in graph_def.node}
    self.inputs, self.outputs = tuple(inputs), tuple(outputs)
    self._rest = graph_pb2.GraphDef(versions=graph_def.versions, library=graph_def.library)
    self._reshaped: dict[tuple[str, tuple[int, ...]], str] = {}

  # Reading.

  def behind(self, tensor: str) -> str:
    """The tensor itself, beyond nodes that only hand on."""
    node = self.nodes[node_of(tensor)]
    while node.op in HAND_ON:
      tensor = node.input[0]
      node = self.nodes[node_of(tensor)]
    return tensor

  def source(self, tensor: str) -> Any:
    """The node that makes a tensor, beyond those that only hand on."""
    return self.nodes[node_of(self.behind(tensor))]

  def inputs_of(self, node: str | node_def_pb2.NodeDef, *ops: str) -> list[str]:
    """What a node, or that which makes a tensor, takes if its type is of `ops`; else nothing."""
    made_by = self.source(node) if isinstance(node, str) else node
    return [self.behind(tensor) for tensor in data(made_by)] if made_by.op in ops else []

  def constant(self, tensor: str) -> np.ndarray | None:
    """The value of a tensor, None if it is not constant."""
    node = self.source(tensor)
    return tf.make_ndarray(node.attr['value'].tensor) if node.op == 'Const' else None

  def constant_shape(self, tensor: str) -> tuple[int, ...] | None:
    """The shape of a tensor if it is constant, else None."""
    node = self.source(tensor)
    if node.op != 'Const':
      return None
    return tuple(dim.size for dim in node.attr['value'].tensor.tensor_shape.dim)

  def of_type(self, *ops: str) -> list[Any]:
    """The nodes of some types."""
    return [node for node in self.nodes.values() if node.op in ops]

  def users(self, name: str) -> list[Any]:
    """Nodes that take the tensor of a node, directly."""
    return [node for node in self.nodes.values() if name in data(node)]

  def in_order(
      self, follow: Callable[[node_def_pb2.NodeDef], Sequence[str]] | None = None) -> Iterator[str]:
    """Names of the inputs and of all nodes that the outputs need, each after what it takes.

    The order is one that the graph alone decides, where TensorFlow's is by chance.

    Args:
      follow: from a node to what it needs; all its inputs and control inputs if None.
    """
    done: set[str] = set()
    waiting = [(name, False) for name in (*self.outputs, *self.inputs)]
    while waiting:
      name, is_ready = waiting.pop()
      if is_ready:
        yield name
      elif name not in done:
        done.add(name)
        waiting.append((name, True))
        node = self.nodes[name]
        needed = node.input if follow is None else follow(node)
        waiting += [(node_of(tensor), False) for tensor in reversed(needed)]

  # Writing.

  def add(self, name: str, op: str, inputs: Sequence[str], **attributes: Any) -> str:
    """Adds a node. Returns its name, made unique.

    Args:
      name: wanted.
      op: its type.
      inputs: tensors.
      **attributes: a tf.DType, bool, int, float or bytes each.
    """
    unique, number = name, 0
    while unique in self.nodes:
      number += 1
      unique = f'{name}_{number}'
    self.put(unique, op, inputs, **attributes)
    return unique

  def put(self, name: str, op: str, inputs: Sequence[str], **attributes: Any) -> None:
    """The same with this very name, instead of the node that has it."""
    node = node_def_pb2.NodeDef(name=name, op=op, input=inputs)
    for key, value in attributes.items():
      if isinstance(value, tf.DType):
        node.attr[key].type = value.as_datatype_enum
      elif isinstance(value, bool):
        node.attr[key].b = value
      elif isinstance(value, int):
        node.attr[key].i = value
      elif isinstance(value, float):
        node.attr[key].f = value
      else:
        node.attr[key].s = value
    self.nodes[name] = node

  def add_constant(self, name: str, value: Any, dtype: Any = None) -> str:
    """Adds a constant; returns its name."""
    proto = tf.make_tensor_proto(value, dtype)
    added = self.add(name, 'Const', [], dtype=tf.as_dtype(proto.dtype))
    self.nodes[added].attr['value'].tensor.CopyFrom(proto)
    return added

  def constant_as(self, tensor: str, shape: tuple[int, ...]) -> str:
    """A constant in another shape: one for all who ask, so that layers go on sharing weights."""
    if self.constant_shape(tensor) == shape:
      return self.behind(tensor)
    key = (self.source(tensor).name, shape)
    if key not in self._reshaped:
      value = self.constant(tensor)
      if value is None:
        raise ValueError(f'{tensor} is not constant')
      self._reshaped[key] = self.add_constant(f'{key[0]}/reshaped', value.reshape(shape))
    return self._reshaped[key]

  def replace(self, old: str, new: str) -> None:
    """Whoever takes the only tensor of `old` takes that of `new`; `old` itself stays."""
    for node in self.nodes.values():
      for i, tensor in enumerate(node.input):
        if node_of(tensor) == old and node.name != new:
          node.input[i] = new

  def copy(self) -> Graph:
    """One to change. Constants, which are large and never changed, are the same objects."""
    copied = Graph(self._rest, self.inputs, self.outputs)
    copied.nodes = {name: node if node.op == 'Const' else _copied(node)
                    for name, node in self.nodes.items()}
    copied._reshaped = dict(self._reshaped)
    return copied

  def pruned(self) -> Graph:
    """Without what no output needs; control inputs count as needs."""
    kept = Graph(self._rest, self.inputs, self.outputs)
    kept.nodes = {name: self.nodes[name] for name in self.in_order()}
    return kept

  def tidied(self) -> Graph:
    """Without what no output needs, without nodes that hand on, without control inputs.

    Constants, whose names are by chance, get others: equal graphs become equal.
    """
    def taken(node: node_def_pb2.NodeDef) -> list[str]:
      return [self.behind(tensor) for tensor in data(node)]

    kept: list[Any] = []
    renamed: dict[str, str] = {}
    for name in self.in_order(taken):
      original = self.nodes[name]
      node = _copied(original)
      kept.append(node)
      del node.input[:]
      node.attr.pop('_class', None)  # Where the variable had to lie.
      if node.op == 'Const':
        renamed[name] = node.name = f'constant_{len(renamed)}'
      for tensor in taken(original):
        behind, colon, output = tensor.partition(':')
        node.input.append(f'{renamed.get(behind, behind)}{colon}{output}')
    graph_def = graph_pb2.GraphDef(versions=self._rest.versions, library=self._rest.library)
    graph_def.node.extend(kept)
    return Graph(graph_def, self.inputs, self.outputs)

  def graph_def(self) -> graph_pb2.GraphDef:
    """All of it as a GraphDef."""
    found = graph_pb2.GraphDef(versions=self._rest.versions, library=self._rest.library)
    found.node.extend(self.nodes.values())
    return found


def to_bytes(graph: Graph) -> bytes:
  """The file: equal graphs give equal bytes."""
  return graph.graph_def().SerializeToString(deterministic=True)


def data(node: node_def_pb2.NodeDef) -> list[str]:
  """Inputs without control edges."""
  return [name for name in node.input if not name.startswith('^')]


def node_of(tensor: str) -> str:
  """Name of the node that makes a tensor, or that a control edge comes from."""
  return tensor.removeprefix('^').partition(':')[0]


def both_ways(inputs: Sequence[str]) -> list[tuple[str, str]]:
  """The two inputs of a commutative operation in either order; nothing if there are not two."""
  return [(inputs[0], inputs[1]), (inputs[1], inputs[0])] if len(inputs) == 2 else []


def dtype_of(node: node_def_pb2.NodeDef) -> tf.DType:
  """The type that a node computes in, of its attribute T."""
  return tf.as_dtype(node.attr['T'].type)


def _copied(node: node_def_pb2.NodeDef) -> node_def_pb2.NodeDef:
  copied = node_def_pb2.NodeDef()
  copied.CopyFrom(node)
  return copied
