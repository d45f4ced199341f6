"""How are rows of tokens kept: small helpers on flat values and row splits?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

# tf.text's operations use one thread each. A batch is cut into so many parts, which TensorFlow's
# inter-op threads tokenise side by side. Measured on 2 cores: no cost for a batch of one.
_PARTS = 4
# A slice that starts at a multiple of so many strings is aligned (8 x 24 bytes, 3 x 64), so that
# TensorFlow shares its memory instead of copying each string.
_ALIGNED_STRINGS = 8


def with_static_size(splits: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
  """Row splits int64 [rows + 1], their static size known if that of `rows` [rows] is."""
  return tf.concat([tf.zeros([1], tf.int64), tf.reshape(splits[1:], tf.shape(rows))], 0)


def without_words(tokens: tf.RaggedTensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Values and row splits of ragged rank 1 of a RaggedTensor of ragged rank 1 or 2."""
  splits = tokens.row_splits
  if tokens.ragged_rank == 2:
    splits = tf.gather(tokens.values.row_splits, splits)
  return tokens.flat_values, splits


def of_lengths(lengths: tf.Tensor) -> tf.Tensor:
  """Row splits int64 [rows + 1] of int64 [rows]."""
  return tf.concat([tf.zeros([1], tf.int64), tf.cumsum(lengths)], 0)


def lengths_of(splits: tf.Tensor) -> tf.Tensor:
  """int64 [rows] of row splits [rows + 1]."""
  return splits[1:] - splits[:-1]


def row_of(splits: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
  """int32 [count], the row that each value is in."""
  return tf.searchsorted(splits[1:], tf.range(count), side='right')


def in_parts(
    function: Callable[[tf.Tensor], Sequence[tf.Tensor]], sentences: tf.Tensor
) -> list[tf.Tensor]:
  """The results of a function for all sentences, computed for parts of them side by side.

  Args:
    function: string [n] -> tensors of rank 1.
    sentences: string [batch].
  """
  size = -(-tf.size(sentences) // (_PARTS * _ALIGNED_STRINGS)) * _ALIGNED_STRINGS
  parts = [function(sentences[i * size:(i + 1) * size]) for i in range(_PARTS)]
  return [tf.concat(results, 0) for results in zip(*parts, strict=True)]
