"""What is loaded data: texts, labels, and where each row came from?"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from nlp_export.glue.tasks import Task


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
  """The rows of one split, in the order of the official file.

  Attributes:
    task: whose they are.
    split: 'train', 'dev_matched' ...
    texts: for each segment its N strings: `texts[0]` are all first sentences. Quotation marks and
      spaces are as in the file.
    labels: int32 [N], positions in `task.labels`; float32 [N] for a regression; None if kept by
      the server.
    ids: int32 [N], the row's index from 0 in the official file, which the server expects back.
    origin: what was read, as JSON values: kind, files by base name and SHA-256.
    place: the file, for messages.
    lines: int32 [N], line numbers from 1 in that file; None if it has no lines.
    notes: everything unusual about the rows, a sentence each; a report prints them.
  """

  task: Task
  split: str
  texts: tuple[tuple[str, ...], ...]
  labels: np.ndarray | None
  ids: np.ndarray
  origin: Mapping[str, Any]
  place: str
  lines: np.ndarray | None = None
  notes: tuple[str, ...] = ()

  def __post_init__(self) -> None:
    sizes = {len(segment) for segment in self.texts} | {len(self.ids)}
    if self.labels is not None:
      if self.labels.ndim != 1:
        # [B, 1] against [B] would broadcast to [B, B] in a loss without a word.
        raise ValueError(f'labels have shape {self.labels.shape}, not [N]')
      sizes.add(len(self.labels))
    if len(sizes) != 1 or len(self.texts) != self.task.segments:
      raise ValueError(f'{len(self.texts)} segments of {sizes} rows for {self.task.name}')

  def __len__(self) -> int:
    return len(self.ids)

  def where(self, row: int) -> str:
    """Place of a row for a message: '.../RTE/dev.tsv, line 7'."""
    if self.lines is None:
      return f'{self.place}, example {self.ids[row]}'
    return f'{self.place}, line {self.lines[row]}'

  def gold_sha256(self) -> str:
    """SHA-256 of the labels in their order (little-endian int32 or float32).

    Predictions are compared only over equal ones.
    """
    if self.labels is None:
      raise ValueError(f'{self.task.name} {self.split} has no labels')
    kind = '<f4' if self.task.is_regression else '<i4'
    return hashlib.sha256(np.ascontiguousarray(self.labels, kind).tobytes()).hexdigest()

  def text_sha256(self) -> str:
    """SHA-256 of all texts in their order."""
    digest = hashlib.sha256()
    for row in zip(*self.texts, strict=True):
      digest.update(('\0'.join(row) + '\n').encode())
    return digest.hexdigest()

  def label_counts(self) -> dict[str, int]:
    """Number of rows of each label, in the order of `task.labels`; classification only."""
    if self.labels is None or self.task.labels is None:
      raise ValueError(f'{self.task.name} {self.split} has no classes to count')
    counts = np.bincount(self.labels, minlength=len(self.task.labels))
    return dict(zip(self.task.labels, counts.tolist(), strict=True))
