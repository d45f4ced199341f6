"""Which rows of the word embeddings can a training change, and how are only those trained?

A task's texts hold a fifth of the vocabulary (CoLA) to a half. The other rows never have a
gradient, so their moments stay zero and AdamW does nothing to them but weight decay, which a
product of all its factors does at once. The rows that occur are trained as a table of their own:
an optimizer's passes over memory are what it costs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

_WORD_EMBEDDINGS = 'word_embeddings/embeddings'


def is_word_embedding(name: str, variable: tf.Variable) -> bool:
  """Whether word ids choose rows of that variable, and nothing else uses it."""
  return (name == _WORD_EMBEDDINGS or name.endswith(f'/{_WORD_EMBEDDINGS}')) and (
      variable.shape.rank == 2)


class OccurringRows:
  """The rows of an embedding table that occur, beside the whole.

  Attributes:
    table: float32 [rows, width]: what is trained; `write_back` puts it into the whole.
  """

  def __init__(self, whole: tf.Variable):
    """All rows occur until `choose`.

    Args:
      whole: float32 [vocabulary, width].
    """
    count, width = whole.shape
    self._whole = whole
    # Their number changes with the task; functions that are compiled stay.
    self.table = tf.Variable(
        tf.convert_to_tensor(whole), shape=[None, width], trainable=False, name='occurring_rows')
    self._ids = tf.Variable(tf.range(count), shape=[None], trainable=False)
    self._places = tf.Variable(tf.range(count), trainable=False)
    self._absent = np.zeros(0, int)
    self._absent_start = np.zeros([0, width], np.float32)

  def choose(self, word_ids: np.ndarray) -> None:
    """These occur, and no others; followed by `start`.

    Args:
      word_ids: int32 [any number], with repeats, in any order.
    """
    count = self._whole.shape[0]
    occurs = np.zeros(count, bool)
    occurs[word_ids] = True
    ids = np.flatnonzero(occurs).astype(np.int32)
    places = np.full(count, -1, np.int32)
    places[ids] = np.arange(len(ids), dtype=np.int32)
    self._ids.assign(ids)
    self._places.assign(places)
    self._absent = np.flatnonzero(~occurs)

  def start(self) -> None:
    """Training begins at the whole's present values."""
    self.read_back()
    self._absent_start = self._whole.numpy()[self._absent]

  def read_back(self) -> None:
    """The table takes the values of the whole."""
    self.table.assign(tf.gather(self._whole, self._ids))

  def of_gradient(self, gradient: Any) -> tf.Tensor:
    """The table's gradient, for that of the whole.

    Args:
      gradient: IndexedSlices, or float32 [vocabulary, width].

    Returns:
      float32 [rows, width].
    """
    if not isinstance(gradient, tf.IndexedSlices):
      return tf.gather(gradient, self._ids)
    places = tf.gather(self._places, gradient.indices)
    with tf.control_dependencies([tf.debugging.assert_non_negative(
        places, 'a batch holds a word id that the training texts do not')]):
      return tf.math.unsorted_segment_sum(gradient.values, places, tf.size(self._ids))

  def write_back(self) -> None:
    """Puts the table into the whole; part of a step."""
    self._whole.scatter_update(tf.IndexedSlices(tf.convert_to_tensor(self.table), self._ids))

  def decay_absent(self, factor: float) -> None:
    """Multiplies the other rows, as they were at the start."""
    if len(self._absent):
      self._whole.scatter_update(tf.IndexedSlices(
          tf.constant(self._absent_start * np.float32(factor)), tf.constant(self._absent)))
