"""Small made-up corpora and recipes for the tests of the training data."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from nlp_export.pretraining.data.recipe import DataRecipe
from nlp_export.pretraining.data.tokens import TokenisedCorpus

FIRST_ID = 5  # Behind the special tokens of tests/tiny.py.
CLS, SEP, MASK = 2, 3, 4


def corpus(
    documents: int = 24, sentences: tuple[int, int] = (2, 20), tokens: tuple[int, int] = (2, 14),
    vocab_size: int = 80, seed: int = 0) -> TokenisedCorpus:
  """Random ids in documents and sentences of random sizes; the bounds are included."""
  rng = np.random.default_rng(seed)
  counts = rng.integers(sentences[0], sentences[1] + 1, documents)
  lengths = rng.integers(tokens[0], tokens[1] + 1, counts.sum())
  return TokenisedCorpus.of_lengths(
      rng.integers(FIRST_ID, vocab_size, lengths.sum()), lengths, counts,
      [f'document {number}' for number in range(documents)])


def of_sizes(*documents: list[int]) -> TokenisedCorpus:
  """Documents given by their sentences' lengths; their tokens are counted up, 75 different ids."""
  lengths = [length for document in documents for length in document]
  return TokenisedCorpus.of_lengths(
      FIRST_ID + np.arange(sum(lengths)) % 75, lengths, [len(document) for document in documents])


def recipe(**values: Any) -> DataRecipe:
  """Rows of 32 tokens with at most 6 masked ones."""
  return DataRecipe(**{'seq_length': 32, 'max_predictions': 6, **values})


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
  """Whether two batches are equal byte for byte, types and shapes too."""
  return list(first) == list(second) and all(
      np.asarray(first[name]).dtype == np.asarray(second[name]).dtype
      and np.array_equal(first[name], second[name]) for name in first)


def joined(parts: list[dict[str, Any]]) -> dict[str, np.ndarray]:
  """Batches one below the other."""
  return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def digest(batch: dict[str, np.ndarray]) -> str:
  """The first half of a hash of everything in a batch."""
  found = hashlib.sha256()
  for name, values in sorted(batch.items()):
    found.update(name.encode() + np.ascontiguousarray(values, '<f8').tobytes())
  return found.hexdigest()[:16]


def selected(batch: dict[str, np.ndarray]) -> np.ndarray:
  """bool [B, S], which positions are to be predicted."""
  found = np.zeros(batch['input_mask'].shape, bool)
  row, column = np.nonzero(batch['masked_lm_weights'])
  found[row, batch['masked_lm_positions'][row, column]] = True
  return found


def original(batch: dict[str, np.ndarray]) -> np.ndarray:
  """int32 [B, S], the text before it was masked."""
  text = batch['input_word_ids'].copy()
  row, column = np.nonzero(batch['masked_lm_weights'])
  text[row, batch['masked_lm_positions'][row, column]] = batch['masked_lm_ids'][row, column]
  return text
