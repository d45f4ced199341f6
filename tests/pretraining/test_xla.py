"""The nearest check without a TPU: the step compiles, is static, and is dense mathematics only."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf

from nlp_export.pretraining import flops, optimizers, strategies
from tests.pretraining import training_lab as lab

# Everything that a step does, all of it dense mathematics that XLA compiles for TPUs too. A new
# operation needs a look at the published list of what Cloud TPU runs before it comes in here.
ALLOWED = frozenset("""
    AddN AddV2 ArgMax AssignSubVariableOp AssignVariableOp BiasAdd BiasAddGrad BitwiseAnd
    BroadcastGradientArgs BroadcastTo Cast ConcatV2 Const Einsum Equal ExpandDims Fill FloorDiv
    GatherV2 Greater GreaterEqual Identity L2Loss Less LogicalAnd MatMul Maximum Mean Mul Neg NoOp
    OneHot Pack Placeholder Pow Range ReadVariableOp RealDiv Reshape ResourceApplyAdam
    ResourceGather RightShift Rsqrt RsqrtGrad SelectV2 Softmax SparseSoftmaxCrossEntropyWithLogits
    Sqrt Square SquaredDifference Squeeze StatelessRandomGetKeyCounter
    StatelessRandomUniformFullIntV2 StopGradient StridedSlice StridedSliceGrad Sub Sum Tanh TanhGrad
    Tile UnsortedSegmentSum While
    """.split())
# Lists of axes that gradients of broadcasting are summed over: XLA knows them when it compiles.
AXES = ('BroadcastGradientArgs', 'AddV2')
# 16-bit integers are not in the published list of Cloud TPU's types; 64-bit floats are slow.
ALLOWED_TYPES = {tf.float32, tf.bfloat16, tf.int32, tf.int64, tf.uint32, tf.uint64, tf.bool,
                 tf.resource}


# Operations that call functions -> the attributes that name them.
CALLS = {'While': ('cond', 'body'), 'StatelessWhile': ('cond', 'body'),
         'PartitionedCall': ('f',), 'StatefulPartitionedCall': ('f',)}


def concrete(function, *arguments):
  return tf.function(function, autograph=False).get_concrete_function(*arguments)


def graphs(graph):
  """A function's graph, and those of the loops and functions in it."""
  yield graph
  for operation in graph.get_operations():
    for name in CALLS.get(operation.type, ()):
      yield from graphs(graph._get_function(operation.get_attr(name).name).graph)


def operations(graph):
  return [operation for inner in graphs(graph) for operation in inner.get_operations()]


def foreign(graph):
  """Operations that a TPU may not have."""
  return {op.type for op in operations(graph)} - ALLOWED


def not_static(graph):
  """Tensors without a static shape."""
  return [tensor.name for op in operations(graph) for tensor in op.outputs
          if tensor.dtype != tf.resource and not tensor.shape.is_fully_defined()
          and not (op.type in AXES and tensor.dtype == tf.int32 and tensor.shape.rank == 1)
          and 'redundant_placeholder' not in op.name]  # What a loop's condition does not read.


def wrong_types(graph):
  return {tensor.dtype for op in operations(graph) for tensor in op.outputs} - ALLOWED_TYPES


@functools.cache  # Building takes seconds.
def step_and_arguments(kind):
  """A loop, its step as on a TPU, and what it is called with."""
  fields = dict(KINDS[kind])
  runtime = strategies.Begun(tf.distribute.get_strategy(), 'tpu', narrow_integers=False)
  loop = lab.build(runtime, encoder=lab.spec(fields.pop('encoder')), **fields)
  batch = {key: tf.constant(value) for key, value in lab.SyntheticBatches(8).batch(0).items()}
  arguments = (batch, tf.constant(0, tf.int64), tf.constant([3, 0], tf.int64),
               tf.constant(1e-3), tf.constant(0.0))
  return loop, loop.replica_step(), arguments


KINDS = {
    'AdamW': {'encoder': 'bert'},
    'ALBERT, LAMB, accumulated': {
        'encoder': 'albert', 'optimizer': optimizers.lamb, 'accumulation_steps': 2},
    'bert_v2, bfloat16': {'encoder': 'bert_v2', 'precision': 'mixed_bfloat16'},
}


@functools.cache
def step_graph(kind):
  _, step, arguments = step_and_arguments(kind)
  return concrete(step, *arguments).graph


@pytest.mark.parametrize('kind', KINDS)
def test_the_step_is_static_and_holds_nothing_that_a_tpu_cannot_run(kind):
  graph = step_graph(kind)
  assert not foreign(graph)
  assert not not_static(graph)
  assert not wrong_types(graph)
  if 'accumulated' in kind:  # Control: the loop's body was looked into.
    assert len(list(graphs(graph))) >= 3


def test_the_step_compiles_and_computes_the_same():
  loop, step, arguments = step_and_arguments('AdamW')
  begin = lab.state(loop)
  compiled = tf.function(step.__call__, jit_compile=True, autograph=False)
  fused, after = compiled(*arguments).numpy(), lab.state(loop)
  lab.set_state(loop, begin)
  plain = tf.function(step.__call__, autograph=False)(*arguments).numpy()
  np.testing.assert_allclose(fused, plain, rtol=1e-5, atol=1e-6)
  for kind, values in lab.state(loop).items():
    for a, b in zip(after[kind], values):
      np.testing.assert_allclose(a, b, atol=1e-5)


def products(graph):
  """Floating point operations of the matrix products of a graph."""
  total = 0
  for op in operations(graph):
    shapes = [tensor.shape.as_list() for tensor in op.inputs]
    if op.type == 'MatMul':
      total += 2 * np.prod(shapes[0]) * shapes[1][0 if op.get_attr('transpose_b') else 1]
    elif op.type == 'Einsum' and len(shapes) == 2:
      terms = op.get_attr('equation').decode().partition('->')[0].split(',')
      sizes = {name: size for term, shape in zip(terms, shapes) for name, size in zip(term, shape)}
      total += 2 * np.prod(list(sizes.values()))
  return total


def test_the_count_of_operations_is_that_of_the_graph():
  size = dict(rows=8, seq_length=lab.SEQ_LENGTH, max_predictions=lab.PREDICTIONS)
  counted = flops.of_step(lab.spec(), lab.HEADS, **size)
  # One hundredth: segment embeddings are a product of width 2, which nobody counts.
  assert products(step_graph('AdamW')) == pytest.approx(counted, rel=0.03)
  assert flops.of_step(lab.spec(), (), **size) < 0.995 * counted  # Control: heads are seen.


REFUSED = {
    'a string': (lambda s: s + 'a', tf.constant('b')),
    'a ragged tensor': (
        lambda v: tf.RaggedTensor.from_row_lengths(v, [1, 3]).to_tensor(), tf.range(4)),
    'Python': (lambda v: tf.py_function(lambda y: y, [v], tf.float32), tf.ones([2])),
    'a print': (lambda v: (tf.print(v), v)[1], tf.ones([2])),
}


@pytest.mark.parametrize('what', REFUSED)
def test_xla_and_the_list_refuse(what):  # Controls: what must not be in a step.
  function, argument = REFUSED[what]
  with pytest.raises((tf.errors.InvalidArgumentError, tf.errors.UnimplementedError)):
    tf.function(function, jit_compile=True, autograph=False)(argument)
  graph = concrete(function, argument).graph
  assert foreign(graph) or wrong_types(graph)


ACCEPTED_BY_XLA = {
    'a mask of unknown length': (lambda v: tf.reduce_sum(tf.boolean_mask(v, v > 1)), tf.range(4)),
    'unique': (lambda v: tf.reduce_sum(tf.unique(v).y), tf.range(4)),
    'an assertion': (lambda v: (tf.debugging.assert_positive(v), v)[1], tf.range(1, 4)),
    'a check of numbers': (lambda v: tf.debugging.check_numerics(v, 'bad'), tf.ones([2])),
    'random numbers with a state': (lambda v: tf.nn.dropout(v, 0.5), tf.ones([2])),
}


@pytest.mark.parametrize('what', ACCEPTED_BY_XLA)
def test_the_list_refuses_what_xla_accepts_on_a_cpu(what):
  function, argument = ACCEPTED_BY_XLA[what]
  assert foreign(concrete(function, argument).graph)


def test_a_dynamic_batch_would_be_seen():
  dynamic = concrete(lambda v: v * 2.0, tf.TensorSpec([None, 4]))
  assert not_static(dynamic.graph)
  assert wrong_types(concrete(lambda v: tf.cast(v, tf.uint16), tf.ones([2])).graph) == {tf.uint16}
