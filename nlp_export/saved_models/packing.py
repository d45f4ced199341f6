"""How do segments of tokens become one row of encoder inputs: truncated, joined, padded?

`[CLS] segment [SEP] (segment [SEP])... [PAD]...`, the packing of BERT (Devlin et al. 2019). Equal
to TF-NLP's BertPackInputs, which goes through several ragged tensors; here an index into the flat
tokens is computed, and one op lays them out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from nlp_export import names

ROUND_ROBIN = 'round_robin'
WATERFALL = 'waterfall'
TRUNCATORS = (ROUND_ROBIN, WATERFALL)


@dataclasses.dataclass(frozen=True)
class Packing:
  """Packs segments of ids.

  Attributes:
    start_id, end_id, padding_id: ids of [CLS], [SEP], [PAD].
    truncator: ROUND_ROBIN shares the space token by token, first segment first; what one segment
      does not use, others may. WATERFALL fills it from left to right.
    checks_seq_length: whether to put an assertion on a `seq_length` tensor into the graph.
  """

  start_id: int
  end_id: int
  padding_id: int
  truncator: str = ROUND_ROBIN
  checks_seq_length: bool = True

  def __call__(
      self, segments: Sequence[tuple[tf.Tensor, tf.Tensor]], seq_length: int | tf.Tensor
  ) -> dict[str, tf.Tensor]:
    """Rows of encoder inputs.

    Args:
      segments: for each segment its tokens in a row, values int32 [tokens] and row_splits int64
        [batch + 1].
      seq_length: length of the rows, a Python int or an int32 scalar; at least the number of
        segments + 1. (If it is less and nothing checks it, rows are cut short.)

    Returns:
      `input_word_ids`, `input_mask`, `input_type_ids`, int32 [batch, seq_length]. The type id is
      the number of the segment; [CLS] belongs to segment 0, each [SEP] to the one before it.
    """
    count = len(segments)
    if self.checks_seq_length and isinstance(seq_length, tf.Tensor):
      enough = tf.debugging.Assert(
          seq_length > count,
          [f'bert_pack_inputs of {count} segments needs {count + 1} special tokens, so seq_length '
           f'must be at least {count + 1}, not', seq_length])
      with tf.control_dependencies([enough]):
        seq_length = tf.identity(seq_length)
    lengths = tf.stack([splits[1:] - splits[:-1] for _, splits in segments], 1)
    budget = tf.cast(tf.maximum(seq_length - count - 1, 0), tf.int64)
    kept = self._kept(lengths, budget)

    # The tokens of all segments in a row, then [CLS] and a [SEP] for each segment, beside the
    # numbers of their segments; an index lists what goes where.
    sizes = [tf.size(values, tf.int64) for values, _ in segments]
    tokens = tf.concat([*(values for values, _ in segments),
                        [self.start_id] + [self.end_id] * count], 0)
    start_at = tf.add_n(sizes)
    rows = tf.shape(lengths)[:1]
    begins, ends = [tf.fill(rows, start_at)], [tf.fill(rows, start_at + 1)]
    before = tf.constant(0, tf.int64)
    for i, (_, splits) in enumerate(segments):
      begin = splits[:-1] + before
      end_at = start_at + 1 + i
      begins += [begin, tf.fill(rows, end_at)]
      ends += [begin + kept[:, i], tf.fill(rows, end_at + 1)]
      before += sizes[i]
    splits, index = tf.raw_ops.RaggedRange(
        starts=tf.reshape(tf.stack(begins, 1), [-1]), limits=tf.reshape(tf.stack(ends, 1), [-1]),
        deltas=tf.constant(1, tf.int64))
    splits = splits[::2 * count + 1]
    shape = tf.stack([rows[0], seq_length])

    def laid_out(values: tf.Tensor, default_value: int) -> tf.Tensor:
      return tf.raw_ops.RaggedTensorToTensor(
          shape=shape, values=values, default_value=default_value,
          row_partition_tensors=[splits], row_partition_types=['ROW_SPLITS'])

    # Three times the same op: comparing positions with lengths takes several times as long.
    mask = laid_out(tf.ones_like(index, tf.int32), 0)
    if count > 1:
      numbers = tf.concat([*(tf.fill([sizes[i]], i) for i in range(count)), [0, *range(count)]], 0)
      type_ids = laid_out(tf.gather(numbers, index), 0)
    else:
      type_ids = tf.zeros_like(mask)
    return {
        names.INPUT_WORD_IDS: laid_out(tf.gather(tokens, index), self.padding_id),
        names.INPUT_MASK: mask,
        names.INPUT_TYPE_IDS: type_ids,
    }

  def _kept(self, lengths: tf.Tensor, budget: tf.Tensor) -> tf.Tensor:
    """How many tokens of each segment are kept: int64 [batch, segments] like `lengths`."""
    if lengths.shape[1] == 1:
      return tf.minimum(lengths, budget)
    if self.truncator == WATERFALL:
      left = budget - tf.cumsum(lengths, axis=1, exclusive=True)
      return tf.minimum(lengths, tf.maximum(left, 0))
    return _round_robin(lengths, budget)


def _round_robin(lengths: tf.Tensor, budget: tf.Tensor) -> tf.Tensor:
  """Counts after dealing `budget` tokens one at a time, in turn, to segments that want more.

  After `level` full rounds a segment has min(length, level). All rounds but the last are full, so
  `level` is the largest number for which these add up to the budget at most. For each k, the k
  shortest segments and `level` of each other one are an upper bound of the sum, and for one k the
  sum itself; so `level` is the maximum over k of (budget - the k shortest) / (others).
  """
  count = lengths.shape[1]
  shortest = tf.cumsum(tf.sort(lengths, axis=1), axis=1, exclusive=True)
  others = tf.range(count, 0, -1, dtype=tf.int64)
  level = tf.reduce_max((budget - shortest) // others, axis=1, keepdims=True)
  level = tf.maximum(level, 0)
  kept = tf.minimum(lengths, level)
  wants = tf.cast(lengths > level, tf.int64)
  rest = budget - tf.reduce_sum(kept, axis=1, keepdims=True)
  return kept + wants * tf.cast(tf.cumsum(wants, axis=1, exclusive=True) < rest, tf.int64)
