"""Which documents go into which shard, and which are held out? Decided by the text alone.

Every file is read once for the places and hashes of its documents. Then a shard is a list of places
(neighbouring documents of about the same number of bytes in each), so that any process can make it,
at any time, reading nothing else.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from nlp_export.corpora.text_files import Document, Run
from nlp_export.errors import RequestError
from nlp_export.pretraining.data import shards

# A document that would take more than this times the share that is asked for is not held out.
_MOST_OF_SHARE = 1.5

# Columns of a scan.
_HASH, _BYTES, _SENTENCES, _OFFSET, _LINE = range(5)


def scan(documents: Iterable[tuple[Run, Document]]) -> np.ndarray:
  """uint64 [documents, 5]: hash of the content, its bytes, its sentences, offset, line."""
  rows = []
  for place, document in documents:
    data = '\n'.join(document.sentences).encode()
    digest = int.from_bytes(hashlib.sha256(data).digest()[:8], 'big')
    rows.append((digest, len(data), len(document.sentences), place.offset, place.line))
  return np.array(rows, np.uint64).reshape(-1, 5)


@dataclasses.dataclass(frozen=True)
class Division:
  """Where each document belongs.

  Attributes:
    shards: name -> rows (text, offset, line, count), in the order of the text: `Run`s of texts.
    documents: in all.
    copies: documents that have been there before, word for word.
  """

  shards: dict[str, list[list[int]]]
  documents: int
  copies: int


def divide(scans: Sequence[np.ndarray], num_shards: int, held_out_share: float) -> Division:
  """Places all documents.

  Args:
    scans: of the texts, in their order.
    num_shards: of training; what is held out is one shard.
    held_out_share: of the bytes, above 0 and at most 0.5. Whole documents are held out in the order
      of their contents' hashes, all copies of one together, wherever they stand.

  Raises:
    RequestError: fewer documents than shards, or too few to hold some out.
  """
  text = np.repeat(np.arange(len(scans)), [len(found) for found in scans])
  rows = np.concatenate(scans)
  held_out = _held_out(rows, held_out_share)
  left = int((~held_out).sum())
  if left < num_shards:
    raise RequestError(
        f'SHARDS is {num_shards}, but {_documents(left)} left to train on (of {len(rows)} in all; '
        'the others are held out), and a shard has one at least. A blank line ends a document. '
        f'Write --set SHARDS={left}, or fewer')
  shard = np.full(len(rows), -1)
  shard[~held_out] = _even_parts(rows[~held_out, _BYTES].astype(np.int64), num_shards)
  found = {shards.shard_name(shards.HELD_OUT, 0, 1): _runs(text, rows, held_out)}
  for number in range(num_shards):
    found[shards.shard_name(shards.TRAIN, number, num_shards)] = _runs(text, rows, shard == number)
  return Division(found, len(rows), len(rows) - len(np.unique(rows[:, _HASH])))


def runs_by_text(rows: Sequence[Sequence[int]]) -> list[tuple[int, list[Run]]]:
  """Rows of `Division.shards` as runs, for each text that has any."""
  found: dict[int, list[Run]] = {}
  for text, offset, line, count in rows:
    found.setdefault(text, []).append(Run(offset, line, count))
  return sorted(found.items())


def facts(scanned: np.ndarray) -> dict[str, int]:
  """Counts of a text, for the index."""
  return {'documents': len(scanned), 'sentences': int(scanned[:, _SENTENCES].sum()),
          'bytes_of_text': int(scanned[:, _BYTES].sum())}


def _held_out(rows: np.ndarray, share: float) -> np.ndarray:
  """bool [documents]."""
  hashes, first, group = np.unique(rows[:, _HASH], return_index=True, return_inverse=True)
  copies = np.bincount(group, minlength=len(hashes))
  sizes = rows[first, _BYTES].astype(np.int64) * copies
  wanted, taken, chosen, left = share * sizes.sum(), 0, [], len(hashes)
  for number, size in enumerate(sizes.tolist()):  # Sorted by the hash.
    if taken >= wanted or left == 1:
      break
    if taken + size <= _MOST_OF_SHARE * wanted:
      chosen.append(number)
      taken += size
      left -= 1
  if not chosen:
    raise RequestError(
        f'HELD_OUT_SHARE is {share}, but {_documents(len(rows))} there, {len(hashes)} different, '
        f'each with more than {_MOST_OF_SHARE} times that share of the text. A blank line, or the '
        'end of a file, ends a document. Separate them, or write a larger --set HELD_OUT_SHARE')
  return np.isin(group, chosen).reshape(-1)


def _documents(count: int) -> str:
  return '1 document is' if count == 1 else f'{count} documents are'


def _even_parts(sizes: np.ndarray, parts: int) -> np.ndarray:
  """The part of each of neighbours, so that parts are about equal in size and none is empty."""
  ends, total = np.cumsum(sizes), int(sizes.sum())
  cuts, at = [], 0
  for part in range(1, parts):
    fit = int(np.searchsorted(ends, total * part / parts)) + 1
    at = min(max(fit, at + 1), len(sizes) - (parts - part))
    cuts.append(at)
  return np.searchsorted(cuts, np.arange(len(sizes)), side='right')


def _runs(text: np.ndarray, rows: np.ndarray, chosen: np.ndarray) -> list[list[int]]:
  """Neighbours among the chosen documents together: [text, offset, line, count] each."""
  numbers = np.flatnonzero(chosen)
  starts = np.flatnonzero((np.diff(numbers, prepend=-2) != 1)
                          | (np.diff(text[numbers], prepend=-1) != 0))
  counts = np.diff(starts, append=len(numbers))
  first: list[Any] = numbers[starts].tolist()
  return [[int(text[n]), int(rows[n, _OFFSET]), int(rows[n, _LINE]), int(count)]
          for n, count in zip(first, counts.tolist(), strict=True)]
