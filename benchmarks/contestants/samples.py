"""Which examples do all contestants train on?

The same ones: a draw from the training set, as many as the batches hold. Each contestant then puts
them into batches in its own way, once.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from benchmarks.contestants import Given
from nlp_export.glue import data, tasks
from nlp_export.glue.examples import Examples

_DEV_ROWS = 64  # An evaluation belongs to a fine-tuning, but not to what is measured.


def draw(task: str, given: Given) -> dict[str, Examples]:
  """'train': a random draw of whole batches in random order; each dev split: its first rows.

  A training set with fewer examples than `given.steps` batches gives as many batches as it has.
  """
  splits = whole(task, given)
  train = splits[tasks.TRAIN]
  count = min(given.steps, len(train) // given.batch_size) * given.batch_size
  rows = np.random.default_rng([given.seed, len(train)]).permutation(len(train))[:count]
  return {name: take(examples, rows if name == tasks.TRAIN else np.arange(_DEV_ROWS))
          for name, examples in splits.items()}


def whole(task: str, given: Given) -> dict[str, Examples]:
  """The splits as they are."""
  found = tasks.get(task)
  return dict(data.load_for_training(found, data.source_for(found, given.glue_dir)))


def take(examples: Examples, rows: np.ndarray) -> Examples:
  """The examples at these positions, in this order; positions past the end are left out."""
  rows = rows[rows < len(examples)]
  if examples.labels is None:
    raise ValueError(f'{examples.place} has no labels to train on')
  return dataclasses.replace(
      examples, texts=tuple(tuple(segment[row] for row in rows) for segment in examples.texts),
      labels=examples.labels[rows], ids=examples.ids[rows],
      lines=None if examples.lines is None else examples.lines[rows])
