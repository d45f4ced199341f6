"""How is a loaded export called fast, and right?

The call is frozen and written again (nlp_export/graphs/flattening.py), run on a few texts beside
the export itself, and used only if it gives the same vectors. Weights stand in the graph then, so
they can be converted to bfloat16 once and not in every batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from nlp_export import names
from nlp_export.graphs import flattening, freezing, proving

TOLERANCE = 1e-5  # Of a component, relative to the largest one where that is above 1.
# A GraphDef holds 2 GB at most, and freezing takes several times the weights in memory.
_LARGEST_WEIGHTS = 1_500_000_000
_OUTPUT = 'vectors'

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
  fast, why = proving.proven(
      lambda: flattening.flattened(freezing.frozen(concrete, [_OUTPUT])), concrete, signature,
      _in_order(probe), TOLERANCE)
  if fast is None:
    return _by_name(concrete), why
  return _by_name(lambda *inputs: fast.call(*inputs)[0]), ''


def _by_name(function: Callable[..., Any]) -> Call:
  return lambda inputs: function(*_in_order(inputs))


def _in_order(inputs: Inputs) -> list[tf.Tensor]:
  return [tf.convert_to_tensor(inputs[name]) for name in names.ENCODER_INPUTS]
