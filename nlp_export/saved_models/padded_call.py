"""How is an encoder of one length called with rows that are shorter?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from nlp_export import names

Call = Callable[..., Mapping[str, Any]]


def at_length(encoder: Call, length: int) -> Call:
  """`encoder`, called on inputs that are padded to `length`; its outputs without the padding.

  The padding has id, mask and type 0, as preprocessing writes it where [PAD] is 0.

  Args:
    encoder: (dict of int32 [batch, length], training=) -> dict of tensors and lists of tensors.
    length: what it takes; longer inputs are an error of TensorFlow's.

  Returns:
    The same for int32 [batch, seq_length]: what is [batch, length, width] comes back as
    [batch, seq_length, width].
  """

  def call(inputs: Mapping[str, tf.Tensor], training: bool = False) -> dict[str, Any]:
    size = tf.shape(inputs[names.INPUT_WORD_IDS])
    missing = length - size[1]
    # Static shapes: a padded row has `length` tokens, and where S is known so are the outputs'.
    whole = {name: tf.ensure_shape(tf.pad(value, [[0, 0], [0, missing]]), [None, length])
             for name, value in inputs.items()}

    def cut(value: tf.Tensor) -> tf.Tensor:
      if value.shape.rank != 3 or value.shape[1] not in (None, length):
        return value
      return tf.reshape(value[:, :size[1]], [size[0], size[1], value.shape[2]])

    return tf.nest.map_structure(cut, dict(encoder(whole, training=training)))

  return call
