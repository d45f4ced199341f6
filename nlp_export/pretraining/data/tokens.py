"""What is a corpus once it is tokenised: flat arrays, and which documents are held out?

NumPy only; the tokenizer's graph (TensorFlow) is run by `TokenisedCorpus.tokenised` alone.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nlp_export.errors import RequestError
from nlp_export.own_parts import explain_part

if TYPE_CHECKING:
  from nlp_export.corpora.text_files import Document

_CHUNK_SENTENCES = 4096
# A document that would take more than this times the share that is asked for is not held out.
_MOST_OF_SHARE = 1.5


@dataclasses.dataclass(frozen=True, eq=False)
class TokenisedCorpus:
  """Documents of sentences of token ids, without special tokens. No sentence is empty, no document.

  Attributes:
    tokens: int32 [tokens], everything in a row.
    sentence_splits: int64 [sentences + 1], places in `tokens`.
    document_splits: int64 [documents + 1], numbers of sentences.
    sources: where each document is from, for messages and reports; None if that is not known.
    dropped_sentences: sentences without a token that were left out.
    dropped_documents: documents without a sentence that were left out.
  """

  tokens: np.ndarray
  sentence_splits: np.ndarray
  document_splits: np.ndarray
  sources: tuple[str, ...] | None = None
  dropped_sentences: int = 0
  dropped_documents: int = 0

  def __post_init__(self) -> None:
    for name, splits, total in (
        ('sentence_splits', self.sentence_splits, len(self.tokens)),
        ('document_splits', self.document_splits, len(self.sentence_splits) - 1)):
      whole = len(splits) and splits[0] == 0 and splits[-1] == total
      if splits.dtype != np.int64 or not whole or (np.diff(splits) < 1).any():
        raise ValueError(f'{name} has to rise from 0 to {total}, int64')
    if self.tokens.dtype != np.int32:
      raise ValueError(f'tokens are {self.tokens.dtype}, not int32')
    if self.sources is not None and len(self.sources) != self.documents:
      raise ValueError(f'{len(self.sources)} sources for {self.documents} documents')

  @property
  def sentences(self) -> int:
    """Their number."""
    return len(self.sentence_splits) - 1

  @property
  def documents(self) -> int:
    """Their number."""
    return len(self.document_splits) - 1

  @functools.cached_property
  def token_splits(self) -> np.ndarray:
    """int64 [documents + 1]: document i has tokens[token_splits[i]:token_splits[i + 1]]."""
    return self.sentence_splits[self.document_splits]

  def document_of(self, places: np.ndarray) -> np.ndarray:
    """int64 [n], numbers of the documents at these places of `tokens`."""
    return np.searchsorted(self.token_splits, places, side='right') - 1

  def sha256(self) -> str:
    """SHA-256 of all tokens, sentences and documents in their order; sources do not count."""
    return self._sha256

  @functools.cached_property
  def _sha256(self) -> str:
    digest = hashlib.sha256()
    for values, kind in ((self.document_splits, '<i8'), (self.sentence_splits, '<i8'),
                         (self.tokens, '<i4')):
      digest.update(np.ascontiguousarray(values, kind).data)
    return digest.hexdigest()

  @classmethod
  def tokenised(cls, documents: Iterable[Document], tokenizer: Any) -> TokenisedCorpus:
    """Text through a tokenizer.

    Args:
      documents: objects with `sentences` (strings) and `source`, read once, a few at a time.
      tokenizer: a `tokenizers.Tokenizer`.

    Raises:
      RequestError: a tokenizer of one's own fails.
    """
    with explain_part(tokenizer, f'build() of the {tokenizer.kind} tokenizer'):
      graph = tokenizer.build(False)
    counts: list[int] = []  # Sentences of each document.
    sources: list[str] = []

    def sentences() -> Iterator[str]:
      for document in documents:
        counts.append(len(document.sentences))
        sources.append(str(document.source))
        yield from document.sentences

    values, lengths = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
    for chunk in _chunks(sentences()):
      with explain_part(tokenizer, f'tokenize() of the {tokenizer.kind} tokenizer'):
        flat, splits = _tokens(graph, chunk)
      values.append(flat)
      lengths.append(np.diff(splits))
    return cls.of_lengths(np.concatenate(values), np.concatenate(lengths), counts, sources)

  @classmethod
  def of_lengths(
      cls, tokens: np.ndarray, sentence_lengths: np.ndarray,
      document_lengths: Sequence[int] | np.ndarray,
      sources: Sequence[str] | None = None) -> TokenisedCorpus:
    """From lengths, which may be 0: such sentences and documents are left out and counted.

    Args:
      tokens: integers [tokens].
      sentence_lengths: integers [sentences], tokens in each.
      document_lengths: integers [documents], sentences in each.
      sources: strings [documents], or None.
    """
    sentence_lengths = np.asarray(sentence_lengths, np.int64)
    document = np.repeat(np.arange(len(document_lengths)), document_lengths)
    kept = sentence_lengths > 0
    sizes = np.bincount(document[kept], minlength=len(document_lengths))
    return cls(
        np.asarray(tokens, np.int32), _splits(sentence_lengths[kept]), _splits(sizes[sizes > 0]),
        None if sources is None else tuple(
            source for source, size in zip(sources, sizes, strict=True) if size),
        int((~kept).sum()), int((sizes == 0).sum()))

  @classmethod
  def joined(cls, parts: Sequence[TokenisedCorpus]) -> TokenisedCorpus:
    """Several corpora, shards say, one behind the other."""
    known = all(part.sources is not None for part in parts)
    none = [np.zeros(0, np.int64)]
    return cls(
        np.concatenate([np.zeros(0, np.int32), *(part.tokens for part in parts)]),
        _splits(np.concatenate(none + [np.diff(part.sentence_splits) for part in parts])),
        _splits(np.concatenate(none + [np.diff(part.document_splits) for part in parts])),
        tuple(source for part in parts for source in part.sources or ()) if known else None,
        sum(part.dropped_sentences for part in parts),
        sum(part.dropped_documents for part in parts))

  def only(self, documents: np.ndarray) -> TokenisedCorpus:
    """Some documents alone: integers [n], their numbers, in the order wanted."""
    sentence = _places(self.document_splits, documents)
    return TokenisedCorpus(
        self.tokens[_places(self.sentence_splits, sentence)],
        _splits(np.diff(self.sentence_splits)[sentence]),
        _splits(np.diff(self.document_splits)[documents]),
        self.sources and tuple(self.sources[number] for number in documents))

  def split(self, held_out_share: float) -> tuple[TokenisedCorpus, TokenisedCorpus]:
    """Keeps whole documents out of training.

    Documents are taken in the order of their contents' hashes until the share of tokens is reached,
    so that the split is the same wherever the documents stand; one that would take more than 1.5
    times the share is passed over. Copies of a document are on one side.

    Args:
      held_out_share: of the tokens, above 0 and at most 0.5.

    Returns:
      What is trained on, and what is held out, both in the order of this corpus.

    Raises:
      RequestError: another share, or every document is too large a part of the corpus.
    """
    if not 0 < held_out_share <= 0.5:
      raise RequestError(
          f'held_out_share is {held_out_share!r}, but it has to be above 0 and at most 0.5, such '
          'as 0.1')
    wanted, taken = held_out_share * len(self.tokens), 0
    held_out: list[int] = []
    groups = sorted(self._copies().items())
    for _, group in groups:
      size = int(sum(np.diff(self.token_splits)[group]))
      if taken >= wanted:
        break
      if taken + size <= _MOST_OF_SHARE * wanted and len(held_out) + len(group) < self.documents:
        held_out += group
        taken += size
    if not held_out:
      raise RequestError(
          f'held_out_share is {held_out_share}, but the corpus has {self.documents} documents '
          f'({len(groups)} different ones), each of which is more than {_MOST_OF_SHARE} times that '
          'share of its text. A blank line (or the end of a file) ends a document: separate them, '
          'or give the held-out text in files of its own')
    kept = np.setdiff1d(np.arange(self.documents), held_out)
    return self.only(kept), self.only(np.sort(np.array(held_out, np.int64)))

  def _copies(self) -> dict[bytes, list[int]]:
    """SHA-256 of the tokens of a document -> the documents that have these."""
    found: dict[bytes, list[int]] = {}
    for number in range(self.documents):
      tokens = self.tokens[self.token_splits[number]:self.token_splits[number + 1]]
      digest = hashlib.sha256(np.ascontiguousarray(tokens, '<i4').data).digest()
      found.setdefault(digest, []).append(number)
    return found


def _splits(lengths: np.ndarray) -> np.ndarray:
  return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _places(splits: np.ndarray, numbers: np.ndarray) -> np.ndarray:
  """Everything between splits[i] and splits[i + 1] for each number i: int64 [n]."""
  lengths = (splits[1:] - splits[:-1])[numbers]
  before = np.cumsum(lengths) - lengths
  return np.repeat(splits[numbers] - before, lengths) + np.arange(lengths.sum())


def _chunks(sentences: Iterator[str]) -> Iterator[list[str]]:
  chunk: list[str] = []
  for sentence in sentences:
    chunk.append(sentence)
    if len(chunk) == _CHUNK_SENTENCES:
      yield chunk
      chunk = []
  if chunk:
    yield chunk


def _tokens(graph: Any, sentences: list[str]) -> tuple[np.ndarray, np.ndarray]:
  """int32 [tokens] and int64 [sentences + 1] of a tokenizer's graph."""
  import tensorflow as tf

  text = tf.constant(sentences)
  if hasattr(graph, 'tokenize_flat'):
    values, splits = graph.tokenize_flat(text)
    return values.numpy(), splits.numpy()
  tokens = graph.tokenize(text)
  tokens = tokens.merge_dims(1, -1) if tokens.ragged_rank > 1 else tokens
  return tokens.values.numpy(), tokens.row_splits.numpy()
