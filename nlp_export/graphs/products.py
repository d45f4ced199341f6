"""How are an encoder's products with weights written so that they are quick at any length of rows?

    Einsum with constant weights  ->  Reshape to [tokens, width], MatMul, Reshape

A MatMul of two dimensions is handed to the processor's library as it is. The bias stays behind the
second Reshape, and on purpose: a bias right after a MatMul makes one kernel of both with oneDNN
(TensorFlow 2.20, core/kernels/mkl/mkl_matmul_op_fused.cc), which keeps the weights in the order
that suits the first call's number of tokens, and puts them in order again at every call of another
kind: a file's reader who meets rows of any length would pay for that.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from nlp_export.graphs import patterns, shapes
from nlp_export.graphs.graph import Graph, dtype_of, node_of


def rewrite(graph: Graph) -> int:
  """Writes every such product as above, in place; returns how many."""
  found = [(node, dense) for node in graph.of_type('Einsum')
           if (dense := patterns.dense(graph, node)) is not None]
  rows: dict[tuple[str, int], str] = {}
  for node, dense in found:
    dtype, width = dtype_of(node), math.prod(dense.summed)
    if (dense.x, width) not in rows:
      rows[dense.x, width] = as_rows(graph, dense.x, width, dtype)
    product = multiplied(graph, f'{node.name}/rows', rows[dense.x, width], dense, dtype)
    shape = shapes.begun_as(graph, f'{node.name}/whole', dense.x, dense.kept, dense.made)
    graph.put(node.name, 'Reshape', [product, shape], T=dtype, Tshape=tf.int32)
  return len(found)


def as_rows(graph: Graph, tensor: str, width: int, dtype: tf.DType) -> str:
  """Adds a tensor [..., (dimensions of) width] as [tokens, width]."""
  name = f'{node_of(tensor)}/rows_of_{width}'
  shape = graph.add_constant(f'{name}/shape', np.array([-1, width], np.int32))
  return graph.add(name, 'Reshape', [tensor, shape], T=dtype, Tshape=tf.int32)


def multiplied(
    graph: Graph, name: str, rows: str, dense: patterns.Dense, dtype: tf.DType) -> str:
  """Adds the product of [tokens, width] with a layer's weights."""
  kernel = graph.constant_as(dense.kernel, (math.prod(dense.summed), math.prod(dense.made)))
  return graph.add(name, 'MatMul', [rows, kernel], T=dtype, transpose_a=False, transpose_b=False)
