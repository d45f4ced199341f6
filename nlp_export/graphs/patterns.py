"""What stands in a frozen graph: layer norms, GELUs, products with weights, by any names?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from tensorflow.core.framework import node_def_pb2

from nlp_export.graphs.graph import Graph, both_ways, data

ADDITIONS = ('AddV2', 'Add')


@dataclasses.dataclass(frozen=True)
class LayerNorm:
  """A layer norm as tf.nn.batch_normalization writes it, with mean and variance as tf.nn.moments.

  Attributes:
    x: the tensor.
    gamma, beta: tensors, constant of rank 1 as a rule.
    epsilon: the tensor, a constant of one element, and its value.
    axes: the tensor of the dimensions that it is over, and these.
    keep_dims: whether the mean keeps them.
  """

  x: str
  gamma: str
  beta: str
  epsilon: tuple[str, float]
  axes: tuple[str, tuple[int, ...]]
  keep_dims: bool


@dataclasses.dataclass(frozen=True)
class Dense:
  """An Einsum of a tensor's last dimensions with the first ones of constant weights.

  Attributes:
    x: the tensor.
    kernel: the weights.
    kept: how many of the dimensions of `x` stay, the first ones.
    summed, made: the shape of the weights, in two parts: what is summed over, and what comes out.
  """

  x: str
  kernel: str
  kept: int
  summed: tuple[int, ...]
  made: tuple[int, ...]


def layer_norms(graph: Graph) -> Iterator[tuple[Any, LayerNorm]]:
  """The nodes that end a layer norm, with it."""
  for node in graph.of_type(*ADDITIONS):
    found = layer_norm(graph, node)
    if found is not None:
      yield node, found


def layer_norm(graph: Graph, node: node_def_pb2.NodeDef) -> LayerNorm | None:
  """x * m + (beta - mean * m), where m = gamma * rsqrt(variance + epsilon), if the node is that."""
  for product, offset in both_ways(graph.inputs_of(node, *ADDITIONS)):
    for x, m in both_ways(graph.inputs_of(product, 'Mul')):
      for rsqrt, gamma in both_ways(graph.inputs_of(m, 'Mul')):
        found = _normalised(graph, x, rsqrt)
        beta_and_shift = graph.inputs_of(offset, 'Sub')
        if found is None or len(beta_and_shift) != 2:
          continue
        mean, epsilon = found
        beta, shift = beta_and_shift
        if set(graph.inputs_of(shift, 'Mul')) == {mean, m}:
          axes, of_mean = data(graph.source(mean))[1], graph.source(mean)
          value = graph.constant(axes)
          dims = () if value is None else tuple(int(axis) for axis in value.reshape(-1))
          return LayerNorm(x, gamma, beta, epsilon, (axes, dims),
                           bool(of_mean.attr['keep_dims'].b))
  return None


def _normalised(graph: Graph, x: str, rsqrt: str) -> tuple[str, tuple[str, float]] | None:
  """(mean, epsilon) if `rsqrt` is 1 / sqrt(variance of x + epsilon)."""
  for root in graph.inputs_of(rsqrt, 'Rsqrt'):
    for variance, small in both_ways(graph.inputs_of(root, *ADDITIONS)):
      epsilon, squares = graph.constant(small), graph.inputs_of(variance, 'Mean')
      if epsilon is None or epsilon.size != 1 or not squares:
        continue
      for one, mean in both_ways(graph.inputs_of(squares[0], 'SquaredDifference')):
        means = graph.inputs_of(mean, 'Mean')
        if one == x and means and means[0] == x and _same_dims(graph, mean, variance):
          return mean, (small, float(epsilon.reshape(-1)[0]))
  return None


def _same_dims(graph: Graph, mean: str, variance: str) -> bool:
  one, other = graph.source(mean), graph.source(variance)
  first, second = graph.constant(data(one)[1]), graph.constant(data(other)[1])
  return (first is not None and second is not None and first.tolist() == second.tolist()
          and one.attr['keep_dims'].b == other.attr['keep_dims'].b)


def gelu(graph: Graph, node: node_def_pb2.NodeDef) -> str | None:
  """x if the node is (x / 2) * erfc(-x / sqrt(2)), as tf.nn.gelu writes it."""
  for half, erfc in both_ways(graph.inputs_of(node, 'Mul')):
    for x, a_half in both_ways(graph.inputs_of(half, 'Mul')):
      for argument in graph.inputs_of(erfc, 'Erfc'):
        for negative, root in both_ways(graph.inputs_of(argument, 'Mul')):
          if (graph.inputs_of(negative, 'Neg') == [x] and _is(graph, a_half, 0.5)
              and _is(graph, root, 0.5**0.5)):
            return x
  return None


def _is(graph: Graph, tensor: str, value: float) -> bool:
  constant = graph.constant(tensor)
  if constant is None or constant.size != 1:
    return False
  return abs(float(constant.reshape(-1)[0]) - value) < 1e-6


def dense(graph: Graph, node: node_def_pb2.NodeDef) -> Dense | None:
  """[rows..., inner...] times constant [inner..., columns...], if the node is such an Einsum."""
  terms, _, out = equation(node).partition('->')
  first, _, second = terms.partition(',')
  if node.op != 'Einsum' or len(data(node)) != 2 or '.' in terms:
    return None
  x, kernel = data(node)
  shape = graph.constant_shape(kernel)
  inner = ''.join(label for label in second if label not in out)
  rows, columns = first.removesuffix(inner), second.removeprefix(inner)
  if shape is None or not inner or first != rows + inner or second != inner + columns or (
      out != rows + columns):
    return None
  return Dense(x, kernel, len(rows), shape[:len(inner)], shape[len(inner):])


def equation(node: node_def_pb2.NodeDef) -> str:
  """Of an Einsum; '' of another node."""
  return node.attr['equation'].s.decode().replace(' ', '') if node.op == 'Einsum' else ''
