"""Which spans of the corpus make instance i of training?

Instances are an endless sequence of epochs. An epoch makes its instances anew and takes them in an
order of its own; both are functions of (seed, epoch). Its length depends on the number of tokens
alone, so that the epoch of any instance is found by a division, without planning earlier ones.
"""

from __future__ import annotations

import hashlib
import threading

import numpy as np

from nlp_export.errors import RequestError
from nlp_export.pretraining.data import pairs
from nlp_export.pretraining.data.draws import Purpose, below, draws, unit
from nlp_export.pretraining.data.recipe import NEXT_SENTENCE, DataRecipe
from nlp_export.pretraining.data.tokens import TokenisedCorpus

# All documents are gone through side by side, one chunk each at a time. One document with all the
# text would be gone through alone, so longer ones are cut into parts for this: a chunk ends there.
_PART_SENTENCES = 1024
_EPOCHS_KEPT = 2  # Two, because a batch may take instances of both.


class Plan:
  """The endless sequence of instances, with random access. May be asked by several threads."""

  def __init__(self, corpus: TokenisedCorpus, recipe: DataRecipe, seed: int | None = None):
    """Prepares nothing: an epoch is planned when it is asked for.

    Args:
      corpus: the text.
      recipe: lengths and pairs.
      seed: instead of the recipe's data_seed.

    Raises:
      RequestError: there is no text, or no pairs can be made of it.
    """
    _check(corpus, recipe)
    self.seed = recipe.data_seed if seed is None else seed
    self._corpus, self._recipe = corpus, recipe
    lengths = np.diff(corpus.document_splits)
    parts = -(-lengths // _PART_SENTENCES)
    self._document = np.repeat(np.arange(corpus.documents), parts)
    number = np.arange(len(self._document)) - np.repeat(np.cumsum(parts) - parts, parts)
    self._first = corpus.document_splits[self._document] + number * _PART_SENTENCES
    self._end = np.minimum(self._first + _PART_SENTENCES,
                           corpus.document_splits[self._document + 1])
    self._epochs: dict[int, np.ndarray] = {}
    self._lock = threading.Lock()

  @property
  def instances_per_epoch(self) -> int:
    """How many instances of an epoch are used: its tokens fill that many rows.

    For pairs the rules make more (1.35 to 1.45 times as many were seen: rows are not full, and
    random segments are text that is used besides); the rest of an epoch's order is left out,
    another subset each time. Where the rules make fewer, because sentences are longer than a row,
    an epoch starts over.
    """
    return max(1, len(self._corpus.tokens) // self._recipe.room)

  def rows(self, first: int, count: int) -> np.ndarray:
    """Instances first ... first + count - 1.

    Returns:
      int64 [count, 5]: first token and length of segment a, of segment b (0, 0 without pairs), and
      the label.
    """
    at = np.arange(first, first + count)
    epochs, places = np.divmod(at, self.instances_per_epoch)
    found = np.empty((count, 5), np.int64)
    for epoch in np.unique(epochs):
      rows, mine = self._kept(int(epoch)), epochs == epoch
      found[mine] = rows[places[mine] % len(rows)]
    return found

  def _kept(self, epoch: int) -> np.ndarray:
    with self._lock:  # tf.data calls from several threads.
      if epoch not in self._epochs:
        rows, _ = self.epoch(epoch)
        self._epochs[epoch] = rows
        for old in sorted(self._epochs, key=lambda other: abs(other - epoch))[_EPOCHS_KEPT:]:
          del self._epochs[old]
      return self._epochs[epoch]

  def epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """All instances of an epoch in its order, also those that `rows` leaves out.

    Returns:
      int64 [n, 5] as `rows`, and int64 [n], the number of sentences that each was made of: of one
      alone, label 1 of 'next_sentence' was not drawn but forced.
    """
    recipe, room = self._recipe, self._recipe.room
    make = pairs.MAKERS[recipe.pairs]
    part, first = np.arange(len(self._document)), self._first
    target = self._target(part, epoch, 0)
    rows, sentences, keys = [], [], []
    chunk = 0
    while len(part):
      if recipe.per_chunk and chunk:
        target = self._target(part, epoch, chunk)
      key = draws(self.seed, epoch, part, chunk, Purpose.CHUNK)
      made = make(self._corpus, pairs.Places(
          self._document[part], first, self._end[part], target, key), room)
      # A pair that lacks one of its segments is none.
      used = (made.rows[:, [1, 3]] > 0).all(axis=1) if recipe.pairs else made.rows[:, 1] > 0
      rows.append(made.rows[used])
      sentences.append(made.sentences[used])
      keys.append(key[used])
      going_on = made.following < self._end[part]
      part, first, target = part[going_on], made.following[going_on], target[going_on]
      chunk += 1
    order = np.argsort(draws(np.concatenate(keys), Purpose.ORDER), kind='stable')
    return np.concatenate(rows)[order], np.concatenate(sentences)[order]

  def _target(self, part: np.ndarray, epoch: int, chunk: int) -> np.ndarray:
    """Tokens that the chunks are to reach: the row's room, now and then fewer; int64 [n]."""
    room, place = self._recipe.room, (self.seed, epoch, part, chunk)
    is_short = unit(draws(*place, Purpose.IS_SHORT)) < self._recipe.short_seq_probability
    return np.where(is_short, 2 + below(draws(*place, Purpose.SHORT_LENGTH), room - 1), room)


class ShuffledRows:
  """An endless sequence of instances that are there already: each epoch, all in another order."""

  def __init__(self, rows: np.ndarray, seed: int):
    """Args:
      rows: int64 [n, 5] as `Plan.rows` returns them.
      seed: of the order.
    """
    self.seed = seed
    self._rows = rows

  def sha256(self) -> str:
    """Of the rows, little-endian int64."""
    return hashlib.sha256(np.ascontiguousarray(self._rows, '<i8').data).hexdigest()

  @property
  def instances_per_epoch(self) -> int:
    """Their number."""
    return len(self._rows)

  def rows(self, first: int, count: int) -> np.ndarray:
    """Instances first ... first + count - 1: int64 [count, 5]."""
    epochs, places = np.divmod(np.arange(first, first + count), len(self._rows))
    found = np.empty((count, 5), np.int64)
    for epoch in np.unique(epochs):
      keys = draws(self.seed, epoch, np.arange(len(self._rows)), Purpose.ORDER)
      mine = epochs == epoch
      found[mine] = self._rows[np.argsort(keys, kind='stable')[places[mine]]]
    return found


def _check(corpus: TokenisedCorpus, recipe: DataRecipe) -> None:
  """Raises RequestError if no instances can be made."""
  if not corpus.sentences:
    dropped = (f' ({corpus.dropped_sentences} sentences without a token were left out)'
               if corpus.dropped_sentences else '')
    raise RequestError(
        f'The text has no sentence to train on{dropped}. Give text files with one sentence a line '
        'and a blank line between documents')
  if not recipe.pairs:
    return
  several = int((np.diff(corpus.document_splits) > 1).sum())
  if not several:
    raise RequestError(
        f"pairs = '{recipe.pairs}' needs documents of two sentences or more, but none of the "
        f'{corpus.documents} documents has two. A line is a sentence, and a blank line ends a '
        'document: take out blank lines between sentences that belong together, or write '
        'pairs = None')
  if recipe.pairs == NEXT_SENTENCE and corpus.documents < 2:
    raise RequestError(
        f"pairs = '{recipe.pairs}' takes random sentences from another document, but the text is "
        f'one document of {corpus.sentences} sentences. Separate documents by blank lines, or '
        "write pairs = 'sentence_order' or None")
