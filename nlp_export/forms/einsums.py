"""How are the Einsum nodes of an encoder written as matrix products?

For runtimes that have no einsum: tf2onnx looks for its own way through each, which takes minutes
and leaves shapes that are computed anew at every call.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from nlp_export.forms.graphs import Graph


def rewrite(graph: Graph) -> int:
  """Writes what it can as BatchMatMulV2, in place; returns how many einsums are left."""
  left = 0
  for node in graph.of_type('Einsum'):
    equation = node.attr['equation'].s.decode()
    terms, _, out = equation.partition('->')
    first, _, second = terms.partition(',')
    if not (second and out and '.' not in equation and len(node.input) == 2):
      left += 1
    elif _dense(graph, node, first, second, out) or _batched(graph, node, first, second, out):
      del node.attr['equation'], node.attr['N']
    else:
      left += 1
  return left


def _dense(graph: Graph, node: Any, first: str, second: str, out: str) -> bool:
  """[rows..., inner...] times a constant [inner..., columns...]."""
  kernel = graph.constant(node.input[1])
  inner = ''.join(label for label in second if label in first)
  rows, columns = first.removesuffix(inner), second.removeprefix(inner)
  if kernel is None or not inner or first != rows + inner or second != inner + columns or (
      out != rows + columns):
    return False
  sizes = dict(zip(second, kernel.shape, strict=True))
  x, dtype = node.input[0], node.attr['T'].type
  flat = kernel.reshape(_size(inner, sizes), _size(columns, sizes))
  name = node.name
  if len(inner) > 1:
    x = _reshaped(graph, f'{name}/rows', x, node.input[0], len(rows), [flat.shape[0]], dtype)
  inputs = [x, graph.add_constant(f'{name}/kernel', flat)]
  if len(columns) == 1:
    node.op, node.input[:] = 'BatchMatMulV2', inputs
    return True
  product = graph.add(f'{name}/product', 'BatchMatMulV2', inputs, T=dtype)
  shape = _shape(graph, name, node.input[0], len(rows), [sizes[label] for label in columns])
  node.op, node.input[:] = 'Reshape', [product, shape]
  node.attr['Tshape'].type = tf.int32.as_datatype_enum
  return True


def _batched(graph: Graph, node: Any, first: str, second: str, out: str) -> bool:
  """Attention: one label each for rows, columns and inner, the others in both."""
  batch = [label for label in first if label in second and label in out]
  inner = [label for label in first if label in second and label not in out]
  rows = [label for label in first if label not in second]
  columns = [label for label in second if label not in first]
  if not (len(inner) == len(rows) == len(columns) == 1 and sorted(out) == sorted(
      batch + rows + columns) and len(set(first)) == len(first)):
    return False
  tensors = list(node.input)
  if out.index(rows[0]) > out.index(columns[0]):
    first, second, rows, columns = second, first, columns, rows
    tensors.reverse()
  dtype, name = node.attr['T'].type, node.name
  inputs = [
      _transposed(graph, f'{name}/left', tensors[0], first, batch + rows + inner, dtype),
      _transposed(graph, f'{name}/right', tensors[1], second, batch + inner + columns, dtype)]
  product = batch + rows + columns
  if ''.join(product) == out:
    node.op, node.input[:] = 'BatchMatMulV2', inputs
    return True
  found = graph.add(f'{name}/product', 'BatchMatMulV2', inputs, T=dtype)
  order = graph.add_constant(f'{name}/order', _order(product, out))
  node.op, node.input[:] = 'Transpose', [found, order]
  node.attr['Tperm'].type = tf.int32.as_datatype_enum
  return True


def _transposed(graph: Graph, name: str, tensor: str, labels: str, wanted: list[str],
                dtype: Any) -> str:
  if list(labels) == wanted:
    return tensor
  order = graph.add_constant(f'{name}/order', _order(list(labels), wanted))
  return graph.add(name, 'Transpose', [tensor, order], T=dtype, Tperm=tf.int32)


def _order(labels: list[str], wanted: Any) -> np.ndarray:
  return np.array([labels.index(label) for label in wanted], np.int32)


def _reshaped(graph: Graph, name: str, tensor: str, like: str, kept: int, rest: list[int],
              dtype: Any) -> str:
  shape = _shape(graph, name, like, kept, rest)
  return graph.add(f'{name}/reshaped', 'Reshape', [tensor, shape], T=dtype, Tshape=tf.int32)


def _shape(graph: Graph, name: str, like: str, kept: int, rest: list[int]) -> str:
  """int32 [kept + len(rest)]: the first dimensions of a tensor, then known ones."""
  dtype = tf.float32
  shape = graph.add(f'{name}/shape', 'Shape', [like], T=dtype, out_type=tf.int32)
  begin = graph.add_constant(f'{name}/begin', np.array([0], np.int32))
  size = graph.add_constant(f'{name}/size', np.array([kept], np.int32))
  first = graph.add(f'{name}/kept', 'Slice', [shape, begin, size], T=tf.int32, Index=tf.int32)
  known = graph.add_constant(f'{name}/known', np.array(rest, np.int32))
  axis = graph.add_constant(f'{name}/axis', np.int32(0))
  joined = graph.add(f'{name}/joined', 'ConcatV2', [first, known, axis], T=tf.int32, Tidx=tf.int32)
  graph.nodes[joined].attr['N'].i = 2
  return joined


def _size(labels: str, sizes: dict[str, int]) -> int:
  return int(np.prod([sizes[label] for label in labels]))
