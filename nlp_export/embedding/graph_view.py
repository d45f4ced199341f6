"""What stands in a frozen graph: constants, layer norms, GELUs, whatever their nodes are called?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2

PASSED_ON = ('Identity', 'StopGradient')


class GraphView:
  """A graph to look into.

  Attributes:
    nodes: by name.
  """

  def __init__(self, graph: graph_pb2.GraphDef):
    self.nodes = {node.name: node for node in graph.node}
    self._constants: dict[str, np.ndarray] = {}

  def in_order(self, outputs: Sequence[str]) -> Iterator[str]:
    """Names of all nodes that the outputs need, each after its inputs."""
    done: set[str] = set()
    waiting = [(name, False) for name in outputs]
    while waiting:
      name, ready = waiting.pop()
      if ready:
        yield name
      elif name not in done:
        done.add(name)
        waiting.append((name, True))
        waiting += [(node_of(i), False) for i in self.nodes[name].input]

  def users(self, name: str) -> Iterator[node_def_pb2.NodeDef]:
    """Nodes that take a tensor."""
    return (node for node in self.nodes.values() if name in data(node))

  def layer_norm(
      self, node: node_def_pb2.NodeDef) -> tuple[str, np.ndarray, np.ndarray, float] | None:
    """(x, gamma, beta, epsilon) if the node ends a layer norm over the last dimension."""
    for product, offset in both_ways(self._inputs(node, 'AddV2')):
      for x, m in both_ways(self._inputs(product, 'Mul')):
        for rsqrt, gamma in both_ways(self._inputs(m, 'Mul')):
          parts = self._normalised(x, rsqrt)
          scale, beta_and_mean = self.constant(gamma), self._inputs(offset, 'Sub')
          if parts is None or scale is None or scale.ndim != 1 or len(beta_and_mean) != 2:
            continue
          mean, epsilon = parts
          beta, shift = self.constant(beta_and_mean[0]), self._inputs(beta_and_mean[1], 'Mul')
          if beta is not None and beta.shape == scale.shape and set(shift) == {mean, m}:
            return x, scale, beta, epsilon
    return None

  def _normalised(self, x: str, rsqrt: str) -> tuple[str, float] | None:
    """(mean, epsilon) if `rsqrt` is 1 / sqrt(variance of x + epsilon)."""
    for root in self._inputs(rsqrt, 'Rsqrt'):
      for variance, small in both_ways(self._inputs(root, 'AddV2')):
        epsilon, squares = self.constant(small), self._inputs(variance, 'Mean')
        if epsilon is None or epsilon.size != 1 or not squares or not self._over_last(variance):
          continue
        for one, other in both_ways(self._inputs(squares[0], 'SquaredDifference')):
          means = self._inputs(other, 'Mean')
          if one == x and means and means[0] == x and self._over_last(other):
            return other, float(epsilon.reshape(-1)[0])
    return None

  def _over_last(self, mean: str) -> bool:
    """Whether a mean is over one dimension, the last of three, and keeps it."""
    node = self.nodes[mean]
    axes = self.constant(data(node)[1])
    return bool(node.attr['keep_dims'].b and axes is not None and axes.size == 1
                and int(axes.reshape(-1)[0]) in (-1, 2))

  def gelu(self, node: node_def_pb2.NodeDef) -> str | None:
    """x if the node is (x / 2) * erfc(-x / sqrt(2)), as tf.nn.gelu writes it."""
    for half, erfc in both_ways(self._inputs(node, 'Mul')):
      for x, a_half in both_ways(self._inputs(half, 'Mul')):
        for argument in self._inputs(erfc, 'Erfc'):
          for negative, root in both_ways(self._inputs(argument, 'Mul')):
            if (self._inputs(negative, 'Neg') == [x] and self._is(a_half, 0.5)
                and self._is(root, 0.5**0.5)):
              return x
    return None

  def seen_through(self, name: str) -> str:
    """The tensor behind operations that hand their input on."""
    while self.nodes[node_of(name)].op in PASSED_ON:
      name = data(self.nodes[node_of(name)])[0]
    return name

  def _inputs(self, name: str | node_def_pb2.NodeDef, op: str) -> list[str]:
    """Inputs of a node if it has that op, seen through; else none."""
    node = name if isinstance(name, node_def_pb2.NodeDef) else self.nodes[node_of(name)]
    return [self.seen_through(i) for i in data(node)] if node.op == op else []

  def constant(self, name: str) -> np.ndarray | None:
    """The value of a tensor, None if it is not constant."""
    name = self.seen_through(name)
    node = self.nodes[node_of(name)]
    if node.op != 'Const':
      return None
    if name not in self._constants:
      self._constants[name] = tf.make_ndarray(node.attr['value'].tensor)
    return self._constants[name]

  def _is(self, name: str, value: float) -> bool:
    constant = self.constant(name)
    if constant is None or constant.size != 1:
      return False
    return abs(float(constant.reshape(-1)[0]) - value) < 1e-6


def data(node: node_def_pb2.NodeDef) -> list[str]:
  """Inputs without control edges."""
  return [name for name in node.input if not name.startswith('^')]


def node_of(tensor: str) -> str:
  """Name of the node that makes a tensor, or that a control edge comes from."""
  return tensor.removeprefix('^').partition(':')[0]


def other_input(node: node_def_pb2.NodeDef, name: str) -> str:
  """The input of a node of two that is not this one."""
  inputs = data(node)
  return inputs[1] if inputs[0] == name else inputs[0]


def both_ways(inputs: Sequence[str]) -> list[tuple[str, str]]:
  """The two inputs of a commutative operation in either order; nothing if there are not two."""
  return [(inputs[0], inputs[1]), (inputs[1], inputs[0])] if len(inputs) == 2 else []


def reachable(
    nodes: Mapping[str, node_def_pb2.NodeDef], outputs: Sequence[str]) -> Iterator[str]:
  """Names of the nodes that the outputs need."""
  done, waiting = set(), list(outputs)
  while waiting:
    name = waiting.pop()
    if name not in done:
      done.add(name)
      yield name
      waiting += [node_of(i) for i in nodes[name].input]
