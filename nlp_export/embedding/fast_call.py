"""How is a loaded export called fast, and right?

The call is frozen and written again (`flat_graph`), run on a few texts beside the export itself,
and used only if it gives the same vectors. Weights stand in the graph then, so they can be
converted to bfloat16 once and not in every batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import convert_to_constants

from nlp_export import names
from nlp_export.embedding import flat_graph

TOLERANCE = 1e-5  # Of a component, relative to the largest one where that is above 1.
# A GraphDef holds 2 GB at most, and freezing takes several times the weights in memory.
_LARGEST_WEIGHTS = 1_500_000_000

Inputs = Mapping[str, tf.Tensor]
Call = Callable[[Inputs], tf.Tensor]


def make(call: Call, probe: Inputs, seq_length: int | None = None) -> tuple[Call, str]:
  """A function that computes what `call` does.

  Args:
    call: of a loaded SavedModel: `input_word_ids`, `input_mask`, `input_type_ids`, int32
      [batch, seq_length], to float32 [batch, dim].
    probe: such inputs, of several texts of different length, to compare on.
    seq_length: the only one that `call` takes; None for any.

  Returns:
    The function, and why it is not the fast one: '' if it is.
  """
  signature = [tf.TensorSpec([None, seq_length], tf.int32, name=name)
               for name in names.ENCODER_INPUTS]

  @tf.function(input_signature=signature, autograph=False)
  def plain(*inputs: tf.Tensor) -> tf.Tensor:
    return call(dict(zip(names.ENCODER_INPUTS, inputs, strict=True)))

  concrete = plain.get_concrete_function()
  size = sum(int(np.prod(v.shape)) * v.dtype.size for v in concrete.variables)
  if size > _LARGEST_WEIGHTS:
    return _by_name(concrete), f'its weights take {size / 1e9:.1f} GB, too much for one graph'
  try:
    fast = _flattened(concrete, signature)
    wanted, found = (_by_name(f)(probe).numpy() for f in (concrete, fast))
  except (tf.errors.OpError, ValueError, KeyError, NotImplementedError) as error:
    first = str(error).strip().partition('\n')[0]
    return _by_name(concrete), f'it cannot be written again: {first}'
  difference = float(np.abs(found - wanted).max(initial=0.0))
  if not difference <= TOLERANCE * max(1.0, float(np.abs(wanted).max(initial=0.0))):
    return _by_name(concrete), f'written again it differs by {difference:.1e}'
  return _by_name(fast), ''


def _by_name(function: Callable[..., Any]) -> Call:
  return lambda inputs: function(*(tf.convert_to_tensor(inputs[name])
                                   for name in names.ENCODER_INPUTS))


def _flattened(concrete: Any, signature: list[tf.TensorSpec]) -> Callable[..., tf.Tensor]:
  frozen = convert_to_constants.convert_variables_to_constants_v2(concrete)
  placeholders = [tensor.name.partition(':')[0] for tensor in frozen.inputs]
  output = frozen.outputs[0].name
  graph = flat_graph.flattened(frozen.graph.as_graph_def(), [output.partition(':')[0]])

  def imported(*inputs: tf.Tensor) -> tf.Tensor:
    return tf.graph_util.import_graph_def(
        graph, dict(zip(placeholders, inputs, strict=True)), [output], name='')[0]

  return tf.compat.v1.wrap_function(imported, signature)
