"""How much of what is held out has been trained on all the same, sentence by sentence?

Whole documents are held out, copies together. A text whose documents quote each other still shows
its held-out sentences in training, and a model's score on them is too good then.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator

import numpy as np

from nlp_export.corpora.text_files import Document

MIN_WORDS = 8  # Shorter sentences come twice without anybody quoting.
_WORD = re.compile(r'\w+')


class Sentences:
  """The hashes of the sentences that pass by."""

  def __init__(self) -> None:
    self._found: set[int] = set()

  def of(self, documents: Iterable[Document]) -> Iterator[Document]:
    """The documents, as they are."""
    for document in documents:
      for sentence in document.sentences:
        words = _WORD.findall(sentence.lower())
        if len(words) >= MIN_WORDS:
          digest = hashlib.blake2b(' '.join(words).encode(), digest_size=8).digest()
          self._found.add(int.from_bytes(digest, 'big'))
      yield document

  def hashes(self) -> np.ndarray:
    """uint64 [different sentences of 8 words or more], sorted."""
    return np.array(sorted(self._found), np.uint64)


def seen(held_out: np.ndarray, training: np.ndarray) -> list[int]:
  """Which of the held-out sentences (positions in `held_out`) are among those of training."""
  return np.flatnonzero(np.isin(held_out, training)).tolist()
