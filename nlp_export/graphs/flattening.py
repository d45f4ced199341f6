"""How does an encoder's graph compute the same with fewer passes over memory?

TF-NLP's layers compute on [batch, seq_length, width] with Einsum, and add biases, activations and
residuals in passes of their own. Here the frozen graph is written again on [tokens, width]:

    Einsum with constant weights, AddV2   ->  MatMul, BiasAdd
    x * erfc(-x / sqrt(2)) / 2            ->  x * (1 + erf(x / sqrt(2))) / 2, the same function
    layer norm as moments and rsqrt       ->  (x - mean) * rsqrt(variance + epsilon) * gamma + beta

Of the first two TensorFlow's own optimizer (Grappler's remapper) makes one kernel: product, bias
and GELU. It knows layer norm as moments too, but then takes 1e-3 for epsilon, whatever the model
says, which is wrong for BERT (`layer_norms`). It would also make one kernel of Keras' form, a
FusedBatchNormV3 whose channels are tokens, which is no faster than this one; and where bfloat16
keeps the two from being joined, oneDNN's batch norm, called in two threads at once, writes where it
must not (TensorFlow 2.20: the process ends with a corrupted heap). All operations are public ones:
where nothing is fused the result is the same. What is not recognised stays. It is for batches of
many tokens, with oneDNN; `products` and `gelus` are for any.

Whoever uses a graph made here compares it with the one it was made of (`proving`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import node_def_pb2

from nlp_export.graphs import gelus, layer_norms, patterns, products, shapes
from nlp_export.graphs.graph import HAND_ON, Graph, data, dtype_of
from nlp_export.graphs.patterns import ADDITIONS

_ELEMENTWISE = (*ADDITIONS, 'Sub', 'Mul', 'RealDiv', 'Neg', 'Erf', 'Tanh', 'Pow', 'Square', 'Relu',
                'Sigmoid')


@dataclasses.dataclass(frozen=True)
class _Flat:
  """A tensor as [tokens, width].

  Attributes:
    name: of the tensor of rank 2.
    width: of its rows.
    lead: a tensor of the graph that begins with the dimensions that became one.
    lead_rank: how many those are; -1: all but its last.
  """

  name: str
  width: int
  lead: str
  lead_rank: int


def flattened(graph: Graph) -> Graph:
  """The same graph on [tokens, width], as far as it is recognised; `graph` stays as it is."""
  return _Flattening(graph).run()


class _Flattening:
  """One rewriting; nodes keep their names, those that moved become a Reshape of their flat form."""

  def __init__(self, graph: Graph):
    self._graph, self._made = graph, graph.copy()
    self._flat: dict[str, _Flat] = {}
    self._rows: dict[tuple[str, int], str] = {}

  def run(self) -> Graph:
    """See `flattened`."""
    for name in self._graph.in_order():
      self._look_at(self._graph.nodes[name])
    return self._made.pruned()

  # What a node is.

  def _look_at(self, node: node_def_pb2.NodeDef) -> None:
    if 'T' not in node.attr or dtype_of(node) != tf.float32:
      return
    if node.op in HAND_ON:
      handed = self._flat.get(data(node)[0])
      if handed is not None:
        self._flat[node.name] = handed
      return
    flat = self._dense(node) or self._layer_norm(node) or self._gelu(node)
    flat = flat or self._elementwise(node)
    if flat is not None:
      self._flat[node.name] = flat
      self._unflat(node.name, flat)

  def _dense(self, node: node_def_pb2.NodeDef) -> _Flat | None:
    """Einsum of a tensor's last dimensions with constant weights."""
    found = patterns.dense(self._graph, node)
    if found is None:
      return None
    flat = self._flattened(found.x, math.prod(found.summed), found.kept)
    product = products.multiplied(self._made, f'{node.name}/flat', flat.name, found, tf.float32)
    flat = dataclasses.replace(flat, name=product, width=math.prod(found.made))
    if len(found.made) == 1:
      return flat
    # Heads: what follows wants them apart, so this is where rows end.
    self._unflat(node.name, flat, found.made)
    self._heads_with_bias(node.name, flat, found.made)
    return None

  def _heads_with_bias(self, product: str, flat: _Flat, shape: tuple[int, ...]) -> None:
    """Adds to rows what is added to heads alone."""
    for node in self._graph.users(product):
      if node.op in ADDITIONS and len(data(node)) == 2:
        bias = data(node)[data(node)[0] == product]
        if self._graph.constant_shape(bias) == shape:
          added = self._add(f'{node.name}/flat', 'BiasAdd', [
              flat.name, self._made.constant_as(bias, (flat.width,))])
          self._unflat(node.name, dataclasses.replace(flat, name=added), shape)

  def _layer_norm(self, node: node_def_pb2.NodeDef) -> _Flat | None:
    """Over the last of three dimensions."""
    norm = patterns.layer_norm(self._graph, node)
    if norm is None or norm.axes[1] not in ((-1,), (2,)) or not norm.keep_dims:
      return None
    shape = self._graph.constant_shape(norm.gamma)
    if shape is None or len(shape) != 1 or self._graph.constant_shape(norm.beta) != shape:
      return None
    flat, name = self._flattened(norm.x, shape[0], -1), f'{node.name}/flat'
    axes = self._made.add_constant(f'{name}/axes', np.array([-1], np.int32))
    layer_norms.write(self._made, name, dataclasses.replace(
        norm, x=flat.name, axes=(axes, (-1,))), tf.float32)
    return dataclasses.replace(flat, name=name)

  def _gelu(self, node: node_def_pb2.NodeDef) -> _Flat | None:
    """With erf the remapper knows it."""
    flat = self._flat.get(patterns.gelu(self._graph, node) or '')
    if flat is None:
      return None
    name = f'{node.name}/flat'
    gelus.write(self._made, name, flat.name, tf.float32)
    return dataclasses.replace(flat, name=name)

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
      shape = None if flat is not None else self._graph.constant_shape(name)
      if flat is None and shape not in ((), (known[0].width,)):
        return None
      if shape and node.op in ADDITIONS:
        op = 'BiasAdd'
      inputs.append(name if flat is None else flat.name)
    if op == 'BiasAdd' and flats[0] is None:
      inputs.reverse()
    return dataclasses.replace(known[0], name=self._add(f'{node.name}/flat', op, inputs))

  # Making.

  def _flattened(self, name: str, width: int, lead_rank: int) -> _Flat:
    """A tensor [..., (dimensions of) width] as [tokens, width]."""
    flat = self._flat.get(name) or self._flat.get(self._graph.behind(name))
    if flat is not None and flat.width == width:
      return flat
    if (name, width) not in self._rows:
      self._rows[name, width] = products.as_rows(self._made, name, width, tf.float32)
    return _Flat(self._rows[name, width], width, name, lead_rank)

  def _unflat(self, name: str, flat: _Flat, trailing: Sequence[int] | None = None) -> None:
    """Makes the node `name` the flat tensor in the shape that others expect."""
    shape = shapes.begun_as(self._made, f'{name}/whole', flat.lead, flat.lead_rank,
                            [flat.width] if trailing is None else trailing)
    self._made.put(name, 'Reshape', [flat.name, shape], T=tf.float32, Tshape=tf.int32)

  def _add(self, name: str, op: str, inputs: Sequence[str], **attributes: Any) -> str:
    return self._made.add(name, op, inputs, T=tf.float32, **attributes)
