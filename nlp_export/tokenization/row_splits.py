"""How are rows of tokens kept: small helpers on flat values and row splits?"""

from __future__ import annotations

import tensorflow as tf


def with_static_size(splits: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
  """Row splits int64 [rows + 1], their static size known if that of `rows` [rows] is."""
  return tf.concat([tf.zeros([1], tf.int64), tf.reshape(splits[1:], tf.shape(rows))], 0)


def without_words(tokens: tf.RaggedTensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Values and row splits of ragged rank 1 of a RaggedTensor of ragged rank 1 or 2."""
  splits = tokens.row_splits
  if tokens.ragged_rank == 2:
    splits = tf.gather(tokens.values.row_splits, splits)
  return tokens.flat_values, splits
