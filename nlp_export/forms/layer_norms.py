"""Why is a frozen encoder off by 0.3 a layer, and how is it written so that it is not?

On processors with oneDNN TensorFlow's optimizer takes the operations of a Keras layer norm, once
gamma and beta are constants, for one kernel, `_MklLayerNorm`, and hands on everything but epsilon:
the kernel then adds its own default of 1e-3, where BERT has 1e-12 (TensorFlow 2.20,
core/grappler/optimizers/remapper.cc, `IsCommonNormPattern`). The cure lies in the graph and not in
its reader's settings: the same function is written as

    (x - mean) * rsqrt(variance + epsilon) * gamma + beta

which the optimizer leaves alone, and which passes over memory fewer times.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from nlp_export.forms import graphs
from nlp_export.forms.graphs import Graph


@dataclasses.dataclass(frozen=True, eq=False)
class _LayerNorm:
  """The nodes of one layer norm, as tf.nn.batch_normalization writes it."""

  x: str
  mean: str
  squared_difference: Any
  rsqrt: Any
  gamma: str
  beta: str
  output: Any


def rewrite(graph: Graph) -> int:
  """Writes every layer norm of a tidied graph as above, in place; returns how many."""
  found = list(_layer_norms(graph))
  for norm in found:
    base = norm.output.name
    dtype = norm.rsqrt.attr['T'].type
    difference = graph.add(f'{base}/difference', 'Sub', [norm.x, norm.mean], T=dtype)
    squared = norm.squared_difference
    squared.op = 'Mul'
    squared.input[:] = [difference, difference]
    scaled = graph.add(f'{base}/normalized', 'Mul', [difference, norm.rsqrt.name], T=dtype)
    with_gamma = graph.add(f'{base}/scaled', 'Mul', [scaled, norm.gamma], T=dtype)
    norm.output.input[:] = [with_gamma, norm.beta]
  return len(found)


def unchanged(graph: Graph) -> list[str]:
  """Names of square roots of variances that are still written in the way that is mistaken."""
  return [norm.output.name for norm in _layer_norms(graph)]


def _layer_norms(graph: Graph) -> Iterator[_LayerNorm]:
  for rsqrt in graph.of_type('Rsqrt'):
    norm = _layer_norm(graph, rsqrt)
    if norm:
      yield norm


def _layer_norm(graph: Graph, rsqrt: Any) -> _LayerNorm | None:
  """add(x * (rsqrt * gamma), beta - mean * (rsqrt * gamma)), or None."""
  add = graph.source(rsqrt.input[0])
  if add.op not in ('AddV2', 'Add'):
    return None
  variance = graph.source(add.input[0])
  if variance.op != 'Mean':
    return None
  squared = graph.source(variance.input[0])
  if squared.op != 'SquaredDifference':
    return None
  x, mean = squared.input
  if graph.source(mean).op != 'Mean':
    x, mean = mean, x
  for scale in _products(graph, rsqrt):
    gamma = graphs.other_input(scale, graph, rsqrt.name)
    outputs = [(product, output) for product in _products(graph, scale)
               for output in graphs.users(graph, product.name) if output.op in ('AddV2', 'Add')]
    for product, output in outputs:
      shift = graph.source(graphs.other_input(output, graph, product.name) or output.input[0])
      if gamma is None or shift.op != 'Sub' or graphs.other_input(
          product, graph, scale.name) != x:
        continue
      shifted = graph.source(shift.input[1])
      if shifted.op == 'Mul' and graphs.other_input(shifted, graph, scale.name) == mean:
        return _LayerNorm(x, mean, squared, rsqrt, gamma, shift.input[0], output)
  return None


def _products(graph: Graph, node: Any) -> list[Any]:
  return graphs.users(graph, node.name, graph.of_type('Mul'))
