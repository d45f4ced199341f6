"""What is there to train and to score on: a task of GLUE, or a user's own file?"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from nlp_export import files, paths
from nlp_export.errors import RequestError
from nlp_export.glue import data
from nlp_export.glue.cells import derived_seed
from nlp_export.glue.data import Source
from nlp_export.glue.examples import Examples
from nlp_export.glue.tasks import ACCURACY, MATTHEWS, PEARSON, SPEARMAN, TRAIN, Split, Task
from nlp_export.tuning import labels, tables
from nlp_export.tuning.tables import Column, Row

DEV = 'dev'
_NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]*')


@dataclasses.dataclass(frozen=True)
class Loaded:
  """Data, read.

  Attributes:
    task: texts, labels and metrics.
    splits: 'train' and the dev splits.
    description: for the screen and the card: what it is.
    dev: what scores are measured on, in words: 'dev'.
    data: name of each file that was read, of `paths.names_apart` -> SHA-256.
  """

  task: Task
  splits: Mapping[str, Examples]
  description: str
  dev: str
  data: Mapping[str, str]


class Data(Protocol):
  """Where examples come from."""

  @property
  def name(self) -> str:
    """Names the directory of the exports."""

  def inputs(self) -> Sequence[str]:
    """Every file that is read; RequestError if one is missing or lacks a column."""

  def lines(self) -> Sequence[str]:
    """The plan for a human."""

  def load(self) -> Loaded:
    """Reads it. No TensorFlow, but for what tensorflow_datasets prepared."""


@dataclasses.dataclass(frozen=True)
class GlueData:
  """A task of nlp_export/glue/tasks.py.

  Attributes:
    task: has examples to train on.
    source: see `glue.data.source_for`.
  """

  task: Task
  source: Source

  @property
  def name(self) -> str:
    """The task's."""
    return self.task.name

  def inputs(self) -> Sequence[str]:
    """The files of the train and dev splits."""
    return self.source.inputs(self.task, data.training_splits(self.task))

  def lines(self) -> Sequence[str]:
    """One line."""
    return [f'train on {self.task.name} ({", ".join(data.training_splits(self.task))})']

  def load(self) -> Loaded:
    """Reads and checks the splits."""
    splits = data.load_for_training(self.task, self.source)
    read: dict[str, str] = {}
    for examples in splits.values():
      read |= dict(examples.origin.get('files', {}))
    called = paths.names_apart(read)
    kind = 'a regression' if self.task.labels is None else f'classes {", ".join(self.task.labels)}'
    return Loaded(self.task, splits, f'{self.task.name}: {kind}',
                  ' and '.join(self.task.dev_splits),
                  {called[name]: sha256 for name, sha256 in read.items()})


@dataclasses.dataclass(frozen=True)
class OwnData:
  """Files with a column of texts, perhaps a second one, and one of labels.

  Attributes:
    train_file: .csv, .tsv or .jsonl.
    dev_file: to score on, of the same columns; None: a share of `train_file` is kept out.
    text_column, second_text_column, label_column: names, or positions from 0 in files without a
      header line; `second_text_column` None for single texts.
    label_kind: 'classes', 'numbers', or None: see `labels.find`.
    label_names: label as written -> name; None: as written.
    dev_share: share of the rows that is kept out; of each class, where there are classes.
    seed: which rows are.
    own_name: for `name`; '' for the name of `train_file`.
  """

  train_file: str
  dev_file: str | None
  text_column: Column
  second_text_column: Column | None
  label_column: Column
  label_kind: str | None = None
  label_names: Mapping[str, str] | None = None
  dev_share: float = 0.1
  seed: int = 0
  own_name: str = ''

  def __post_init__(self) -> None:
    if not (isinstance(self.dev_share, float) and 0 < self.dev_share < 1):
      raise RequestError(f'DEV_SHARE is {self.dev_share!r}: it is the share of TRAIN_FILE that is '
                         'kept out to score on, between 0 and 1. Write --set DEV_SHARE=0.1')
    if not _NAME.fullmatch(self.name):
      raise RequestError(f'{self.name!r} cannot name a directory, and the exports lie in one of '
                         'that name. Write --set NAME=reviews')

  @property
  def name(self) -> str:
    """As given, or the file's name without its end."""
    return self.own_name or files.basename(self.train_file).rpartition('.')[0]

  @property
  def columns(self) -> tuple[Column, ...]:
    """Texts, then the label."""
    second = () if self.second_text_column is None else (self.second_text_column,)
    return (self.text_column, *second, self.label_column)

  def inputs(self) -> Sequence[str]:
    """The files; their columns are looked for."""
    found = [path for path in (self.train_file, self.dev_file) if path]
    for path in found:
      if not files.exists(path) or files.is_dir(path):
        raise RequestError(f'There is no file {path}. Name a .csv, .tsv or .jsonl file as '
                           'TRAIN_FILE or DEV_FILE')
      tables.check_columns(path, self.columns)
    return found

  def lines(self) -> Sequence[str]:
    """What is read, and what is scored on."""
    texts = ' and '.join(map(str, self.columns[:-1]))
    scored = (f'score on {self.dev_file}' if self.dev_file else
              f'score on {100 * self.dev_share:g} % of its rows, which are kept out')
    return [f'train on {self.train_file}: {texts} -> {self.label_column}', scored]

  def load(self) -> Loaded:
    """Reads and checks the rows."""
    rows = _without_odd_texts(self.train_file, tables.read(self.train_file, self.columns))
    last = len(self.columns) - 1
    found = labels.find(self.train_file, rows, last, self.label_kind, self.label_names)
    task = self._task(found)
    train = self._examples(task, TRAIN, self.train_file, rows, found)
    if self.dev_file:
      dev_rows = _without_odd_texts(self.dev_file, tables.read(self.dev_file, self.columns))
      dev = self._examples(task, DEV, self.dev_file, dev_rows, found)
      on = self._called(self.dev_file)
    else:
      kept, out = self._divided(train)
      dev = dataclasses.replace(_rows(train, out), split=DEV)
      train = _rows(train, kept)
      on = f'{100 * self.dev_share:g} % of {self._called(self.train_file)}, kept out'
    _check_spread(task, dev)
    dev = dataclasses.replace(dev, notes=(*dev.notes, *_repeated(train, dev)))
    read = {self._called(path): files.sha256(path)
            for path in (self.train_file, self.dev_file) if path}
    return Loaded(task, {TRAIN: train, DEV: dev}, f'{self.name}: {found.description()}', on, read)

  def _called(self, path: str) -> str:
    return paths.names_apart(each for each in (self.train_file, self.dev_file) if each)[path]

  def _task(self, found: labels.Labels) -> Task:
    metrics = (PEARSON, SPEARMAN) if found.is_regression else (ACCURACY, MATTHEWS)
    texts, label = self.columns[:-1], self.label_column
    places = [(TRAIN, self.train_file), (DEV, self.dev_file or self.train_file)]
    return Task(
        self.name, self.name, tuple(map(str, texts)), found.names, found.values, metrics,
        SPEARMAN if found.is_regression else ACCURACY,
        tuple(Split(split, self._called(path), texts, label) for split, path in places),
        self.name)

  def _examples(self, task: Task, split: str, path: str, rows: Sequence[Row],
                found: labels.Labels) -> Examples:
    last = len(self.columns) - 1
    name = self._called(path)
    texts = tuple(tuple(row.values[at] for row in rows) for at in range(last))
    empty = [row.line for row in rows if not all(text.strip() for text in row.values[:last])]
    notes = (f'{name}: a text is empty in {len(empty)} row{"s"[:len(empty) != 1]} (the first is '
             f'line {empty[0]})',) if empty else ()
    return Examples(
        task, split, texts, found.ids(path, rows, last), np.arange(len(rows), dtype=np.int32),
        {'kind': 'own', 'files': {name: files.sha256(path)}}, path,
        np.array([row.line for row in rows], np.int32), notes)

  def _divided(self, train: Examples) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on, and rows to score on, both ascending; the same share of each class."""
    groups = train.labels
    if train.task.is_regression or groups is None:
      groups = np.zeros(len(train), np.int32)
    bits = np.random.Philox(derived_seed(self.seed, 'dev rows'))
    order = np.argsort(bits.random_raw(len(train)), kind='stable')
    out = np.zeros(len(train), bool)
    for group in np.unique(groups):
      of_group = order[groups[order] == group]
      out[of_group[:round(self.dev_share * len(of_group))]] = True
    if not out.any() or out.all():
      raise RequestError(
          f'{self.train_file}: {100 * self.dev_share:g} % of its {len(train)} rows are '
          f'{int(out.sum())} to score on. Give more examples, a DEV_FILE, or another DEV_SHARE')
    return np.flatnonzero(~out), np.flatnonzero(out)


def _without_odd_texts(path: str, rows: list[Row]) -> list[Row]:
  for row in rows:
    for text in row.values[:-1]:
      if not isinstance(text, str):
        raise RequestError(f'{path}, line {row.line}: {text!r} is no text. Is TEXT_COLUMN the '
                           'right one? Correct or remove that row')
  return rows


def _rows(examples: Examples, chosen: np.ndarray) -> Examples:
  lines = examples.lines
  changes: dict[str, Any] = {
      'texts': tuple(tuple(texts[at] for at in chosen) for texts in examples.texts),
      'labels': None if examples.labels is None else examples.labels[chosen],
      'ids': examples.ids[chosen],
      'lines': None if lines is None else lines[chosen],
  }
  return dataclasses.replace(examples, **changes)


def _check_spread(task: Task, dev: Examples) -> None:
  if dev.labels is not None and len(np.unique(dev.labels)) < 2:
    what = 'label' if task.is_regression else 'class'
    raise RequestError(
        f'{dev.place}: the {len(dev)} row{"s"[:len(dev) != 1]} to score on have one {what} only, '
        'so a score would say nothing. Give more examples, or another DEV_FILE or DEV_SHARE')


def _repeated(train: Examples, dev: Examples) -> tuple[str, ...]:
  """A note where dev has what was trained on: its score is not one of unseen examples then."""
  known = set(zip(*train.texts, strict=True))
  count = sum(row in known for row in zip(*dev.texts, strict=True))
  if not count:
    return ()
  return (f'{count} of the {len(dev)} examples to score on have texts that are among those to '
          'train on, so the score is not one of unseen texts alone',)
