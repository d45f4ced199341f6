"""Which tokens of a row are masked, and what stands in their place?

tensorflow-text's `mask_language_model` with a selector and a chooser that draw from random bits
they are given. The stock ones draw from a state of their own (RandomShuffle, RandomUniform), so
that no step could be made again; and with whole words they count words instead of tokens, so that
rows exceed `max_predictions`. A stateless `shuffle_fn` is no way out: it is called row by row with
one seed, and rows of equal length get the same positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_text as tf_text

# Rounds in which words are taken until the next one does not fit. Three leave no budget unused that
# a further word would fit into (none in 1,920 rows of 128 tokens).
_ROUNDS = 3

MASK_SHARE = 0.8
RANDOM_SHARE = 0.1


def random_bits(
    seed: int, step: Any, batch_size: int, seq_length: int, max_predictions: int) -> tf.Tensor:
  """All that is drawn for a batch, a function of (seed, step).

  Always made for the whole global batch and sliced then, so that it does not matter how many
  workers share the batch.

  Args:
    seed: at least 0.
    step: int64 scalar.

  Returns:
    uint32 [batch_size, seq_length + 2 max_predictions].
  """
  return tf.random.stateless_uniform(
      [batch_size, seq_length + 2 * max_predictions],
      tf.stack([tf.constant(seed, tf.int64), tf.cast(step, tf.int64)]),
      minval=None, maxval=None, dtype=tf.uint32, alg='philox')


def in_words(
    tokens: tf.RaggedTensor, starts_word: tf.Tensor, special_ids: Sequence[int]) -> tf.RaggedTensor:
  """Rows of tokens as rows of words.

  A special token is a word, and so is what follows one: the second half of a word may stand there
  after a segment was cut at its front (as TF-NLP's `_tokens_to_grams`).

  Args:
    tokens: [batch, (tokens)].
    starts_word: bool [vocab_size].
    special_ids: of [CLS] and [SEP].

  Returns:
    [batch, (words), (tokens)].
  """
  ids = tokens.values
  special = tf.reduce_any([tf.equal(ids, number) for number in special_ids], axis=0)
  starts = tf.gather(starts_word, ids) | special | tf.concat([[True], special[:-1]], 0)
  before = tf.concat([tf.zeros([1], tf.int64), tf.cumsum(tf.cast(starts, tf.int64))], 0)
  inner = tf.concat([tf.where(starts)[:, 0], [tf.size(ids, tf.int64)]], 0)
  # The splits are right by construction; validation would put Assert nodes into the graph.
  return tf.RaggedTensor.from_nested_row_splits(
      ids, [tf.gather(before, tokens.row_splits), inner], validate=False)


class GivenBitsSelector(tf_text.RandomItemSelector):
  """Selects tokens, or whole words, in random order until the row's budget of tokens is used.

  The budget is min(max_predictions, max(1, round(share * tokens of the row))), as in BERT's script.
  A word that exceeds what is left of it is passed over; later ones may fit.
  """

  def __init__(
      self, bits: tf.Tensor, share: float, max_predictions: int, unselectable_ids: Sequence[int]):
    """Args:
      bits: uint32 [batch, seq_length], which has a static shape.
      share: of the tokens of a row, special ones counted.
      max_predictions: most tokens.
      unselectable_ids: never masked: [CLS] and [SEP]; nor is a word that holds one.
    """
    super().__init__(max_predictions, share, list(unselectable_ids))
    self._bits = bits

  def get_selection_mask(self, input_ids: tf.RaggedTensor, axis: int = 1) -> tf.RaggedTensor:
    """bool [batch, (words)] of [batch, (words), (tokens)], or with tokens instead of words."""
    selectable = self.get_selectable(input_ids, axis)
    whole_words = input_ids.ragged_rank == 2
    if whole_words:
      sizes = tf.RaggedTensor.from_row_splits(
          tf.cast(input_ids.values.row_lengths(), tf.int32), input_ids.row_splits, validate=False)
      tokens = tf.reduce_sum(sizes, axis=1)
    else:
      sizes = tf.ones_like(input_ids)
      tokens = input_ids.row_lengths()
    # float64 and half to even, as Python's round in BERT's script.
    wanted = tf.round(tf.cast(tokens, tf.float64) * self.selection_rate)
    budget = tf.clip_by_value(tf.cast(wanted, tf.int32), 1, self.max_selections_per_batch)

    length = self._bits.shape[1]
    size = sizes.to_tensor(0, shape=[None, length])
    may = selectable.to_tensor(False, shape=[None, length])
    order = tf.argsort(
        tf.where(may, tf.cast(self._bits, tf.int64), tf.int64.max), axis=1, stable=True)
    taken = _first_fitting(
        tf.gather(size, order, batch_dims=1), tf.gather(may, order, batch_dims=1), budget,
        _ROUNDS if whole_words else 1)
    chosen = tf.gather(taken, tf.argsort(order, axis=1), batch_dims=1)
    return sizes.with_values(
        tf.boolean_mask(chosen, tf.sequence_mask(sizes.row_lengths(), length)))


def _first_fitting(
    size: tf.Tensor, left: tf.Tensor, budget: tf.Tensor, rounds: int) -> tf.Tensor:
  """Which items are taken, going from left to right and passing over what does not fit.

  Args:
    size: int32 [batch, n].
    left: bool [batch, n], which may be taken.
    budget: int32 [batch].
    rounds: how often the rest is gone through again after one that did not fit.

  Returns:
    bool [batch, n].
  """
  taken, room = tf.zeros_like(left), budget[:, None]
  for _ in range(rounds):
    left = left & (size <= room)
    now = left & (tf.cumsum(tf.where(left, size, 0), axis=1) <= room)
    room = room - tf.reduce_sum(tf.where(now, size, 0), axis=1, keepdims=True)
    taken, left = taken | now, left & ~now
  return taken


class GivenBitsChooser(tf_text.MaskValuesChooser):
  """[MASK] for 80 % of the selected tokens, a random id for 10 %, the token itself for 10 %.

  Each token for itself, as google-research/bert and tensorflow-text do it (TF-NLP's script decides
  once for a word). Random ids are of the whole vocabulary, special tokens too, as in BERT.
  """

  def __init__(self, bits: tf.Tensor, vocab_size: int, mask_id: int):
    """Args:
      bits: uint32 [batch, max_predictions, 2].
    """
    super().__init__(vocab_size, mask_id, MASK_SHARE, RANDOM_SHARE)
    self._bits = bits

  def get_mask_values(self, masked_lm_ids: tf.RaggedTensor) -> tf.RaggedTensor:
    """What is put in place of [batch, (selected)]; a row uses its first draws."""
    ids = masked_lm_ids.flat_values
    used = tf.sequence_mask(masked_lm_ids.row_lengths(), self._bits.shape[1])
    bits = tf.boolean_mask(self._bits, used)
    which = tf.cast(tf.bitwise.right_shift(bits[:, 0], tf.constant(8, tf.uint32)),
                    tf.float32) * 2.0**-24
    # The product is below 2^63 for any vocabulary, and its quotient below vocab_size.
    random = tf.cast(tf.cast(bits[:, 1], tf.int64) * self.vocab_size // 2**32, ids.dtype)
    return masked_lm_ids.with_flat_values(tf.where(
        which < MASK_SHARE, tf.cast(self.mask_token, ids.dtype),
        tf.where(which < MASK_SHARE + RANDOM_SHARE, random, ids)))
