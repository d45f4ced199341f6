"""Which two segments does a run of sentences give: next sentence, sentence order, or one alone?

BERT's rules for all documents at once, in NumPy. A segment is a span of the corpus's tokens, also
after it was cut to length: (first token, number of tokens).

A chunk is a run of sentences of one document that reaches the length that is aimed at, or the
document's end (google-research/bert, `create_instances_from_document`; TF-NLP's
data/create_pretraining_data.py is the same).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from nlp_export.pretraining.data.draws import Purpose, below, draws, heads, unit
from nlp_export.pretraining.data.recipe import NEXT_SENTENCE, SENTENCE_ORDER
from nlp_export.pretraining.data.tokens import TokenisedCorpus


@dataclasses.dataclass(frozen=True, eq=False)
class Places:
  """Where the next chunk of each of n documents begins.

  Attributes:
    document: int64 [n], numbers of the documents.
    first: int64 [n], the first sentence that is not used yet.
    end: int64 [n], one past the last sentence that may be used.
    target: int64 [n], tokens that are aimed at.
    key: uint64 [n], the place of the chunk's draws.
  """

  document: np.ndarray
  first: np.ndarray
  end: np.ndarray
  target: np.ndarray
  key: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Made:
  """What n chunks give.

  Attributes:
    rows: int64 [n, 5]: first token and length of segment a, of segment b, label.
    sentences: int64 [n], in the chunk; of one alone no true pair can be made.
    following: int64 [n], the sentence at which the document goes on.
  """

  rows: np.ndarray
  sentences: np.ndarray
  following: np.ndarray


def next_sentence(corpus: TokenisedCorpus, at: Places, room: int) -> Made:
  """BERT's pairs: b follows a, or (label 1) is from another document.

  A chunk of one sentence always gets another document's, as in BERT, which makes label 1 more
  frequent than label 0. Sentences that a random b displaces are used by the next chunk.
  """
  splits = corpus.sentence_splits
  stop = _reaching(splits, at.first, at.target, at.end)
  sentences = stop - at.first
  a_end = at.first + 1 + below(
      draws(at.key, Purpose.END_OF_FIRST), np.maximum(sentences - 1, 1)) * (sentences > 1)
  a = _span(splits, at.first, a_end)
  is_random = (sentences == 1) | (unit(draws(at.key, Purpose.COIN)) < 0.5)
  # Any document but the own one. (BERT's script tries ten times to find another.)
  other = below(draws(at.key, Purpose.OTHER_DOCUMENT), corpus.documents - 1)
  other += other >= at.document
  begin, end = corpus.document_splits[other], corpus.document_splits[other + 1]
  start = begin + below(draws(at.key, Purpose.OTHER_SENTENCE), end - begin)
  wanted = np.maximum(at.target - a[:, 1], 1)
  random = _span(splits, start, _reaching(splits, start, wanted, end))
  b = np.where(is_random[:, None], random, _span(splits, a_end, stop))
  a, b = truncated(a, b, room, at.key)
  return Made(np.column_stack([a, b, is_random]), sentences, np.where(is_random, a_end, stop))


def sentence_order(corpus: TokenisedCorpus, at: Places, room: int) -> Made:
  """ALBERT's pairs: b follows a, or (label 1) the two are swapped.

  A chunk has two sentences where the document has them, however long. (ALBERT's script gives a
  chunk of one sentence a random b with label 1, which is another task.)
  """
  splits = corpus.sentence_splits
  stop = np.maximum(_reaching(splits, at.first, at.target, at.end), at.first + 2)
  stop = np.minimum(stop, at.end)
  sentences = stop - at.first
  a_end = at.first + 1 + below(
      draws(at.key, Purpose.END_OF_FIRST), np.maximum(sentences - 1, 1)) * (sentences > 1)
  a, b = _span(splits, at.first, a_end), _span(splits, a_end, stop)
  swapped = unit(draws(at.key, Purpose.COIN)) < 0.5
  a, b = np.where(swapped[:, None], b, a), np.where(swapped[:, None], a, b)
  a, b = truncated(a, b, room, at.key)
  return Made(np.column_stack([a, b, swapped]), sentences, stop)


def single(corpus: TokenisedCorpus, at: Places, room: int) -> Made:
  """One segment of whole sentences that fit; of a sentence that alone does not, a random window."""
  splits = corpus.sentence_splits
  fitting = np.searchsorted(splits, splits[at.first] + at.target, side='right') - 1
  stop = np.minimum(np.maximum(fitting, at.first + 1), at.end)
  a = _span(splits, at.first, stop)
  excess = np.maximum(a[:, 1] - room, 0)
  a[:, 0] += below(draws(at.key, Purpose.WINDOW), excess + 1)
  a[:, 1] -= excess
  zeros = np.zeros(len(a), np.int64)
  return Made(np.column_stack([a, zeros, zeros, zeros]), stop - at.first, stop)


MAKERS: Mapping[str | None, Callable[[TokenisedCorpus, Places, int], Made]] = {
    NEXT_SENTENCE: next_sentence,
    SENTENCE_ORDER: sentence_order,
    None: single,
}


def truncated(
    a: np.ndarray, b: np.ndarray, room: int, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Pairs of spans cut to at most `room` tokens together.

  BERT's `truncate_seq_pair` in closed form: one token after the other goes from the longer segment
  (from b if they are equal), each from the front or the back by a coin.

  Args:
    a, b: int64 [n, 2], first token and length (1 or more).
    room: at least 2.
    key: uint64 [n], places of the draws.

  Returns:
    Both, of the same shapes; each has a token at least.
  """
  length_a, length_b = a[:, 1], b[:, 1]
  excess = np.maximum(length_a + length_b - room, 0)
  from_a = np.clip(length_a - length_b, 0, excess)  # Until they are equal.
  from_b = np.clip(length_b - length_a, 0, excess)
  rest = excess - from_a - from_b
  from_a, from_b = from_a + rest // 2, from_b + (rest + 1) // 2
  a = np.column_stack([a[:, 0] + heads(key, Purpose.CUT_OF_FIRST, from_a), length_a - from_a])
  b = np.column_stack([b[:, 0] + heads(key, Purpose.CUT_OF_SECOND, from_b), length_b - from_b])
  return a, b


def _reaching(
    splits: np.ndarray, first: np.ndarray, tokens: np.ndarray, end: np.ndarray) -> np.ndarray:
  """One past the sentence with which that many tokens are reached, or the end; int64 [n]."""
  stop = np.searchsorted(splits, splits[first] + tokens, side='left')
  return np.minimum(np.maximum(stop, first + 1), end)


def _span(splits: np.ndarray, first: np.ndarray, stop: np.ndarray) -> np.ndarray:
  """Sentences first ... stop - 1 as tokens: int64 [n, 2], the first one and their number."""
  return np.column_stack([splits[first], splits[stop] - splits[first]])
