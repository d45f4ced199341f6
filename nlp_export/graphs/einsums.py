"""How are the Einsum nodes of an encoder written as matrix products?

For runtimes that have no einsum: tf2onnx looks for its own way through each, which takes minutes
and leaves shapes that are computed anew at every call.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from nlp_export.graphs import patterns, shapes
from nlp_export.graphs.graph import Graph, dtype_of


def rewrite(graph: Graph) -> int:
  """Writes what it can as BatchMatMulV2, in place; returns how many einsums are left."""
  return sum(not (_dense(graph, node) or _batched(graph, node)) for node in graph.of_type('Einsum'))


def _dense(graph: Graph, node: Any) -> bool:
  """[rows..., inner...] times a constant [inner..., columns...]."""
  found = patterns.dense(graph, node)
  if found is None:
    return False
  name, dtype, x = node.name, dtype_of(node), found.x
  width = math.prod(found.summed)
  if len(found.summed) > 1:
    shape = shapes.begun_as(graph, f'{name}/rows', x, found.kept, [width])
    x = graph.add(f'{name}/rows/reshaped', 'Reshape', [x, shape], T=dtype, Tshape=tf.int32)
  inputs = [x, graph.constant_as(found.kernel, (width, math.prod(found.made)))]
  if len(found.made) == 1:
    graph.put(name, 'BatchMatMulV2', inputs, T=dtype)
    return True
  product = graph.add(f'{name}/product', 'BatchMatMulV2', inputs, T=dtype)
  shape = shapes.begun_as(graph, name, found.x, found.kept, found.made)
  graph.put(name, 'Reshape', [product, shape], T=dtype, Tshape=tf.int32)
  return True


def _batched(graph: Graph, node: Any) -> bool:
  """Attention: one label each for rows, columns and inner, the others in both."""
  terms, _, out = patterns.equation(node).partition('->')
  first, _, second = terms.partition(',')
  batch = [label for label in first if label in second and label in out]
  inner = [label for label in first if label in second and label not in out]
  rows = [label for label in first if label not in second]
  columns = [label for label in second if label not in first]
  if '.' in terms or not (len(inner) == len(rows) == len(columns) == 1 and sorted(out) == sorted(
      batch + rows + columns) and len(set(first)) == len(first)):
    return False
  tensors = list(node.input)
  if out.index(rows[0]) > out.index(columns[0]):
    first, second, rows, columns = second, first, columns, rows
    tensors.reverse()
  dtype, name = dtype_of(node), node.name
  inputs = [
      _transposed(graph, f'{name}/left', tensors[0], first, batch + rows + inner, dtype),
      _transposed(graph, f'{name}/right', tensors[1], second, batch + inner + columns, dtype)]
  product = batch + rows + columns
  if ''.join(product) == out:
    graph.put(name, 'BatchMatMulV2', inputs, T=dtype)
    return True
  found = graph.add(f'{name}/product', 'BatchMatMulV2', inputs, T=dtype)
  order = graph.add_constant(f'{name}/order', _order(product, out))
  graph.put(name, 'Transpose', [found, order], T=dtype, Tperm=tf.int32)
  return True


def _transposed(graph: Graph, name: str, tensor: str, labels: str, wanted: list[str],
                dtype: Any) -> str:
  if list(labels) == wanted:
    return tensor
  order = graph.add_constant(f'{name}/order', _order(list(labels), wanted))
  return graph.add(name, 'Transpose', [tensor, order], T=dtype, Tperm=tf.int32)


def _order(labels: list[str], wanted: Any) -> np.ndarray:
  return np.array([labels.index(label) for label in wanted], np.int32)
