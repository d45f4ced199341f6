"""Which examples are in which batch, in which order, and to which length is a batch padded?

The answer depends on the rows' lengths, the batch size, the grouping window and the data seed, and
on nothing else: not on the arm, the machine or NumPy's version (Philox's raw numbers are fixed; the
shuffles of `numpy.random.Generator` may change between versions).

Examples of like length are put together, because padding costs as much as text. Sorting the whole
epoch would pad least, but then the same examples meet in every epoch, in steps that are all short
or all long. So rows are shuffled first and sorted only within a window of some batches, which is to
be much smaller than the epoch. Share of padding in training, in percent, with MiniLM's vocabulary,
batches of 32 and at most 128 tokens, mean of 3 seeds and 3 epochs:

    task (batches an epoch)      window 1    8   16   32   64   whole epoch   always to 128
    CoLA (268)                         54   19   14   11    9             7              91
    MRPC (115)                         39   16   13   11   10             9              58
    RTE (78)                           48   14   11    9    8             7              48

Rounding to static lengths makes 6 to 8 points of each, which no window changes. 16 saves most of
what can be saved, and leaves RTE five windows in an epoch; 64 would sort nearly all of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

# A compiled function is for one shape, so batches have a few lengths only: quarters of the way from
# a power of two to the next. About ten of them occur in a task of GLUE (short ones in CoLA).
LENGTHS = (8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224,
           256, 320, 384, 448, 512)


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
  """Examples of one step.

  Attributes:
    rows: int32 [batch], positions in the split.
    length: tokens that each row is padded to, one of `static_lengths`.
  """

  rows: np.ndarray
  length: int


def static_lengths(max_seq_length: int) -> tuple[int, ...]:
  """Every length that a batch may have, ascending; the last one is `max_seq_length`."""
  return (*(length for length in LENGTHS if length < max_seq_length), max_seq_length)


def epoch(
    lengths: np.ndarray, batch_size: int, grouping_window: int, data_seed: int, epoch: int,
    max_seq_length: int,
) -> list[Batch]:
  """The batches of one epoch of training, in order.

  Rows are shuffled, sorted by length within each window, cut into batches, and the batches of the
  window are shuffled. If the rows do not come out even, the last ones of the shuffle, of whatever
  length, are the smaller batch: always the epoch's last, padded to the longest row of all, so that
  it has one shape in every epoch and is no sample of short or long examples.

  Args:
    lengths: integers [N], tokens of each row.
    batch_size: rows in every batch but that one.
    grouping_window: batches among which rows are sorted; 1 sorts nothing that matters.
    data_seed: the order's seed, at least 0.
    epoch: its number from 0; each has an order of its own.
    max_seq_length: what the rows were truncated to.

  Returns:
    ceil(N / batch_size) batches, every row in exactly one.
  """
  if not len(lengths):
    return []
  bits = np.random.Philox(key=np.array([data_seed, epoch], np.uint64))
  order = _shuffled(bits, len(lengths))
  whole = len(order) - len(order) % batch_size
  batches: list[Batch] = []
  for start in range(0, whole, grouping_window * batch_size):
    window = order[start:min(start + grouping_window * batch_size, whole)]
    window = window[np.argsort(lengths[window], kind='stable')].reshape(-1, batch_size)
    batches += [_batch(rows, lengths[rows].max(), max_seq_length)
                for rows in window[_shuffled(bits, len(window))]]
  if whole < len(order):
    batches.append(_batch(order[whole:], np.max(lengths), max_seq_length))
  return batches


def for_evaluation(lengths: np.ndarray, batch_size: int, max_seq_length: int) -> list[Batch]:
  """All rows once, shortest first; the smaller batch, if there is one, is the first.

  Args:
    lengths, batch_size, max_seq_length: see `epoch`.
  """
  order = np.argsort(lengths, kind='stable')
  cuts = range(len(order) % batch_size or batch_size, len(order), batch_size)
  return [_batch(rows, lengths[rows].max(), max_seq_length)
          for rows in np.split(order, cuts) if len(rows)]


def real_tokens(lengths: np.ndarray, batches: Iterable[Batch]) -> int:
  """Tokens in batches, without padding."""
  return sum(int(lengths[batch.rows].sum(dtype=np.int64)) for batch in batches)


def padding_share(lengths: np.ndarray, batches: Sequence[Batch]) -> float:
  """Share of padding among all positions of batches, 0 to 1; 0 for no batches."""
  positions = sum(len(batch.rows) * batch.length for batch in batches)
  return 1 - real_tokens(lengths, batches) / positions if positions else 0.0


def _batch(rows: np.ndarray, longest: int, max_seq_length: int) -> Batch:
  if longest > max_seq_length:
    raise ValueError(f'a row has {longest} tokens, max_seq_length is {max_seq_length}')
  length = next(length for length in static_lengths(max_seq_length) if length >= longest)
  return Batch(rows.astype(np.int32), length)


def _shuffled(bits: np.random.Philox, count: int) -> np.ndarray:
  """A permutation of 0 ... count - 1 from the next raw numbers."""
  return np.argsort(bits.random_raw(count), kind='stable')
