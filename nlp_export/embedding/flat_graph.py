"""How does an encoder's graph compute the same with fewer passes over memory?

TF-NLP's layers compute on [batch, seq_length, width] with Einsum, and add biases, activations and
residuals in passes of their own. Here the frozen graph is written again on [tokens, width]:

    Einsum with constant weights, AddV2   ->  MatMul, BiasAdd
    x * erfc(-x / sqrt(2)) / 2            ->  x * (1 + erf(x / sqrt(2))) / 2, the same function
    layer norm as moments and rsqrt       ->  FusedBatchNormV3, as Keras writes it for TensorFlow

These are the forms that TensorFlow's own optimizer (Grappler's remapper) makes one kernel of:
product, bias and GELU; product, bias and residual; layer norm. It knows layer norm as moments too,
but then takes 1e-3 for epsilon, whatever the model says, which is wrong for BERT. All operations
are public ones: where nothing is fused the result is the same. What is not recognised stays.

Whoever uses a graph made here compares it with the one it was made of (`fast_call`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2

from nlp_export.embedding.graph_view import (
    PASSED_ON,
    GraphView,
    data,
    node_of,
    other_input,
    reachable,
)

_FLOAT = tf.float32.as_datatype_enum
_ELEMENTWISE = ('AddV2', 'Add', 'Sub', 'Mul', 'RealDiv', 'Neg', 'Erf', 'Tanh', 'Pow', 'Square',
                'Relu', 'Sigmoid')


@dataclasses.dataclass(frozen=True)
class _Flat:
  """A tensor as [tokens, width].

  Attributes:
    name: of the tensor of rank 2.
    width: of its rows.
    lead: a tensor of the graph that begins with the dimensions that became one.
    lead_rank: how many those are.
  """

  name: str
  width: int
  lead: str
  lead_rank: int


def flattened(graph: graph_pb2.GraphDef, outputs: Sequence[str]) -> graph_pb2.GraphDef:
  """The same graph on [tokens, width], as far as it is recognised.

  Args:
    graph: frozen: weights are constants, calls are inlined.
    outputs: names of the nodes that are wanted; they keep their names.

  Returns:
    A graph with the placeholders of `graph` and what the outputs need.
  """
  return _Flattening(graph).run(outputs)


class _Flattening:
  """One rewriting; nodes keep their names, those that moved become a Reshape of their flat form."""

  def __init__(self, graph: graph_pb2.GraphDef):
    self._view = GraphView(graph)
    self._nodes = self._view.nodes
    self._versions = graph.versions
    self._flat: dict[str, _Flat] = {}
    self._new: dict[str, node_def_pb2.NodeDef] = {}

  def run(self, outputs: Sequence[str]) -> graph_pb2.GraphDef:
    """See `flattened`."""
    placeholders = [node.name for node in self._nodes.values() if node.op == 'Placeholder']
    for name in self._view.in_order(outputs):
      self._look_at(self._nodes[name])
    merged = {**self._nodes, **self._new}
    made = graph_pb2.GraphDef(versions=self._versions)
    kept = set(reachable(merged, [*placeholders, *outputs]))
    made.node.extend(node for name, node in merged.items() if name in kept)
    return made

  # What a node is.

  def _look_at(self, node: node_def_pb2.NodeDef) -> None:
    if 'T' not in node.attr or node.attr['T'].type != _FLOAT:
      return
    if node.op in PASSED_ON:
      flat = self._flat.get(data(node)[0])
      if flat is not None:
        self._flat[node.name] = flat
      return
    flat = self._dense(node) or self._layer_norm(node) or self._gelu(node)
    flat = flat or self._elementwise(node)
    if flat is not None:
      self._flat[node.name] = flat
      self._new[node.name] = self._unflat(node.name, flat)

  def _dense(self, node: node_def_pb2.NodeDef) -> _Flat | None:
    """Einsum of a tensor's last dimensions with constant weights."""
    if node.op != 'Einsum' or len(data(node)) != 2:
      return None
    inputs, weights = data(node)
    kernel = self._view.constant(weights)
    sides = node.attr['equation'].s.decode().replace(' ', '').split('->')
    if kernel is None or len(sides) != 2 or '.' in sides[0]:
      return None
    left, right = sides[0].split(',')
    summed = ''.join(letter for letter in right if letter not in sides[1])
    kept = left[:len(left) - len(summed)]
    made = right[len(summed):]
    if not summed or left != kept + summed or right != summed + made or sides[1] != kept + made:
      return None
    if len(made) != 1:  # Heads: what follows wants them apart, so this is where rows end.
      self._heads(node, inputs, kernel, len(summed), len(kept))
      return None
    flat = self._flattened(inputs, int(np.prod(kernel.shape[:len(summed)])), len(kept))
    matrix = kernel.reshape(flat.width, -1)
    return dataclasses.replace(flat, name=self._matmul(node.name, flat.name, matrix),
                               width=matrix.shape[1])

  def _heads(
      self, node: node_def_pb2.NodeDef, inputs: str, kernel: np.ndarray, summed: int, kept: int
  ) -> None:
    """Rows to [..., heads, size]: the product, with the bias if one is added to it alone."""
    flat = self._flattened(inputs, int(np.prod(kernel.shape[:summed])), kept)
    product = self._matmul(node.name, flat.name, kernel.reshape(flat.width, -1))
    shape = kernel.shape[summed:]
    self._new[node.name] = self._unflat(
        node.name, dataclasses.replace(flat, name=product), shape)
    sums = [other for other in self._view.users(node.name) if other.op in ('AddV2', 'Add')]
    for other in sums:
      bias = self._view.constant(other_input(other, node.name))
      if bias is not None and bias.shape == shape:
        added = self._add(f'{other.name}/flat', 'BiasAdd', [
            product, self._const(f'{other.name}/bias', bias.reshape(-1))])
        self._new[other.name] = self._unflat(
            other.name, dataclasses.replace(flat, name=added), shape)

  def _layer_norm(self, node: node_def_pb2.NodeDef) -> _Flat | None:
    """x * m + (beta - mean * m), where m = gamma * rsqrt(variance + epsilon)."""
    found = self._view.layer_norm(node)
    if found is None:
      return None
    x, gamma, beta, epsilon = found
    width = len(gamma)
    flat = self._flattened(x, width, None)
    name = f'{node.name}/flat'
    rows = self._add(f'{name}/rows', 'StridedSlice', [
        self._add(f'{name}/shape', 'Shape', [flat.name], out_type=tf.int32),
        *(self._const(f'{name}/{part}', np.array([value], np.int32))
          for part, value in (('begin', 0), ('end', 1), ('stride', 1)))],
        Index=tf.int32, shrink_axis_mask=1, dtype_of='int32')
    one = self._const(f'{name}/one', np.array(1, np.int32))
    image = self._add(f'{name}/image', 'Reshape', [flat.name, self._add(
        f'{name}/image_shape', 'Pack', [
            one, rows, self._const(f'{name}/width', np.array(width, np.int32)), one],
        N=4, axis=0, dtype_of='int32')], Tshape=tf.int32)
    filled = [self._add(f'{name}/{part}', 'Fill', [
        self._add(f'{name}/{part}_shape', 'Pack', [rows], N=1, axis=0, dtype_of='int32'),
        self._const(f'{name}/{part}_value', np.array(value, np.float32))], index_type=tf.int32)
        for part, value in (('scale', 1), ('offset', 0))]
    nothing = self._const(f'{name}/nothing', np.zeros([0], np.float32))
    normalised = self._add(
        f'{name}/norm', 'FusedBatchNormV3', [image, *filled, nothing, nothing], U=tf.float32,
        epsilon=epsilon, exponential_avg_factor=1.0, data_format=b'NCHW', is_training=True)
    back = self._add(f'{name}/rows_again', 'Reshape', [normalised, self._add(
        f'{name}/rows_shape', 'Shape', [flat.name], out_type=tf.int32)], Tshape=tf.int32)
    scaled = self._add(f'{name}/scaled', 'Mul', [back, self._const(f'{name}/gamma', gamma)])
    return dataclasses.replace(flat, name=self._add(
        name, 'AddV2', [scaled, self._const(f'{name}/beta', beta)]))

  def _gelu(self, node: node_def_pb2.NodeDef) -> _Flat | None:
    """(x / 2) * erfc(-x / sqrt(2)); with erf the remapper knows it."""
    flat = self._flat.get(self._view.gelu(node) or '')
    if flat is None:
      return None
    name = f'{node.name}/flat'
    inner = self._add(f'{name}/inner', 'Mul', [flat.name, self._scalar(name, 0.5**0.5)])
    erf = self._add(f'{name}/erf', 'Erf', [inner])
    one_more = self._add(f'{name}/one_more', 'AddV2', [erf, self._scalar(name, 1.0)])
    halved = self._add(f'{name}/half', 'Mul', [flat.name, self._scalar(name, 0.5)])
    return dataclasses.replace(flat, name=self._add(name, 'Mul', [halved, one_more]))

  def _elementwise(self, node: node_def_pb2.NodeDef) -> _Flat | None:
    """Elementwise operations on flat tensors, scalars and vectors of their width."""
    if node.op not in _ELEMENTWISE:
      return None
    flats = [self._flat.get(name) for name in data(node)]
    known = [flat for flat in flats if flat is not None]
    if not known or len({flat.width for flat in known}) > 1:
      return None
    inputs, op = [], node.op
    for name, flat in zip(data(node), flats, strict=True):
      constant = None if flat is not None else self._view.constant(name)
      if flat is None and (constant is None or constant.shape not in ((), (known[0].width,))):
        return None
      if flat is None and constant is not None and constant.ndim and node.op in ('AddV2', 'Add'):
        op = 'BiasAdd'
      inputs.append(name if flat is None else flat.name)
    if op == 'BiasAdd' and flats[0] is None:
      inputs.reverse()
    return dataclasses.replace(known[0], name=self._add(f'{node.name}/flat', op, inputs))

  # Making.

  def _flattened(self, name: str, width: int, lead_rank: int | None) -> _Flat:
    """A tensor [..., (dimensions of) width] as [tokens, width]."""
    flat = self._flat.get(name) or self._flat.get(self._view.seen_through(name))
    if flat is not None and flat.width == width:
      return flat
    made = f'{node_of(name)}/rows_of_{width}'
    if made not in self._new:
      self._add(made, 'Reshape', [
          name, self._const(f'{made}/shape', np.array([-1, width], np.int32))], Tshape=tf.int32)
    return _Flat(made, width, name, -1 if lead_rank is None else lead_rank)

  def _unflat(
      self, name: str, flat: _Flat, trailing: Sequence[int] | None = None
  ) -> node_def_pb2.NodeDef:
    """The node `name`: the flat tensor in the shape that others expect."""
    lead = self._add(f'{name}/lead', 'StridedSlice', [
        self._add(f'{name}/lead_shape', 'Shape', [flat.lead], out_type=tf.int32),
        *(self._const(f'{name}/lead_{part}', np.array([value], np.int32))
          for part, value in (('begin', 0), ('end', flat.lead_rank), ('stride', 1)))],
        Index=tf.int32, dtype_of='int32')
    last = np.array([flat.width] if trailing is None else trailing, np.int32)
    shape = self._add(f'{name}/whole_shape', 'ConcatV2', [
        lead, self._const(f'{name}/trailing', last), self._const(
            f'{name}/axis', np.array(0, np.int32))], N=2, Tidx=tf.int32, dtype_of='int32')
    return _node(name, 'Reshape', [flat.name, shape], Tshape=tf.int32)

  def _matmul(self, name: str, rows: str, matrix: np.ndarray) -> str:
    return self._add(f'{name}/flat', 'MatMul', [
        rows, self._const(f'{name}/matrix', matrix)], transpose_a=False, transpose_b=False)

  def _scalar(self, name: str, value: float) -> str:
    return self._const(f'{name}/{value:.3f}', np.array(value, np.float32))

  def _const(self, name: str, value: np.ndarray) -> str:
    node = node_def_pb2.NodeDef(name=name, op='Const')
    node.attr['dtype'].type = tf.as_dtype(value.dtype).as_datatype_enum
    node.attr['value'].tensor.CopyFrom(tf.make_tensor_proto(value))
    self._new[name] = node
    return name

  def _add(self, name: str, op: str, inputs: Sequence[str], **attributes: Any) -> str:
    self._new[name] = _node(name, op, inputs, **attributes)
    return name


def _node(
    name: str, op: str, inputs: Sequence[str], dtype_of: str = 'float32', **attributes: Any
) -> node_def_pb2.NodeDef:
  node = node_def_pb2.NodeDef(name=name, op=op, input=inputs)
  node.attr['T'].type = tf.as_dtype(dtype_of).as_datatype_enum
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
  return node
