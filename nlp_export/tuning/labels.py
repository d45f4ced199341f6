"""Are the labels of a user's examples classes or numbers, and which id has each class?"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from nlp_export.errors import RequestError
from nlp_export.tuning.tables import Row

CLASSES, NUMBERS = 'classes', 'numbers'
KINDS = (CLASSES, NUMBERS)

_INTEGER = re.compile(r'[+-]?\d+')
# Not all that float() reads: codes are written 1_0, 2e1 or inf as well.
_DECIMAL = re.compile(r'[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?')
# Where it is known that labels are numbers: pandas writes 1e-05.
_NUMBER = re.compile(r'[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?')
_MANY = 100


@dataclasses.dataclass(frozen=True)
class Labels:
  """What the labels of all examples are.

  Attributes:
    names: of the classes, in the order of their ids; None for numbers (a regression).
    values: how each class is written in the files, in the same order; None likewise.
  """

  names: tuple[str, ...] | None
  values: tuple[str, ...] | None

  @property
  def is_regression(self) -> bool:
    """Whether a label is a number."""
    return self.names is None

  def description(self) -> str:
    """'2 classes: neg, pos', for the screen."""
    if self.names is None:
      return 'numbers: a regression'
    shown = ', '.join(self.names[:10]) + (' ...' if len(self.names) > 10 else '')
    return f'{len(self.names)} classes: {shown}'

  def ids(self, path: str, rows: Sequence[Row], at: int) -> np.ndarray:
    """The labels of rows: int32 ids, or float32 numbers.

    Args:
      path: their file, for messages.
      rows: of `tables.read`.
      at: place of the label among their values.

    Raises:
      RequestError: a row's label is no class that is known, or no number; with file and line.
    """
    if self.values is None:
      return np.array([_number(path, row, row.values[at]) for row in rows], np.float32)
    ids = {value: number for number, value in enumerate(self.values)}
    labels = np.empty(len(rows), np.int32)
    for place, row in enumerate(rows):
      written = as_written(path, row, row.values[at])
      if written not in ids:
        raise RequestError(
            f'{path}, line {row.line}: no example to train on has the label {written!r}; they have '
            f'{", ".join(map(repr, self.values[:20]))}. Correct it, or add such examples')
      labels[place] = ids[written]
    return labels


def find(
    path: str, rows: Sequence[Row], at: int, kind: str | None = None,
    names: Mapping[str, str] | None = None,
) -> Labels:
  """What the labels of the training examples are.

  Args:
    path: their file, for messages.
    rows: of `tables.read`.
    at: place of the label among their values.
    kind: 'classes' or 'numbers'; None: numbers if one has a decimal point.
    names: label as written -> name; its order is that of the ids. None: the names are what is
      written, whole numbers by value and others by their letters.

  Raises:
    RequestError: a row has none, there is one class only, two are one but for spaces or zeros,
      `names` lacks one or has one twice, some are numbers with a decimal point and others none, or
      the labels are more than 100 numbers without one, and `kind` does not say what they are.
  """
  if kind is not None and kind not in KINDS:
    raise RequestError(f'LABELS is {kind!r}, but labels are {" or ".join(KINDS)}. Leave it out to '
                       'have it decided by what is written: numbers with a decimal point are '
                       'numbers')
  if kind == NUMBERS and names is not None:
    raise RequestError(f'LABELS is {NUMBERS!r}, which have no names, but LABEL_NAMES gives some. '
                       'Leave one of them out')
  written = [as_written(path, row, row.values[at]) for row in rows]
  distinct = set(written)
  integers = all(_INTEGER.fullmatch(value) for value in distinct)
  if kind is None and names is None:
    if any(map(_DECIMAL.fullmatch, distinct)):
      kind = NUMBERS  # All of them, then: one 'n/a' does not make a class of every number.
    elif len(distinct) > _MANY and all(map(_is_number, distinct)):
      raise RequestError(
          f'{path}: its labels are {len(distinct)} different {"whole " * integers}numbers. '
          f'Classes, or numbers to predict? Write --set LABELS={NUMBERS} or --set LABELS={CLASSES}')
  if kind == NUMBERS:
    for row in rows:
      _number(path, row, row.values[at])
    if len(distinct) < 2:
      raise RequestError(f'{path}: all {len(rows)} labels are {written[0]}, so there is nothing to '
                         'learn from them. Is LABEL_COLUMN the right one?')
    return Labels(None, None)
  if names is not None:
    return _named(path, rows, written, {str(key): str(name) for key, name in names.items()})
  if len(distinct) < 2:
    raise RequestError(f'{path}: all {len(rows)} labels are {written[0]!r}, so there is nothing to '
                       'tell apart. Is LABEL_COLUMN the right one?')
  _check_spellings(path, distinct, integers)
  ordered = tuple(sorted(distinct, key=int) if integers else sorted(distinct))
  return Labels(ordered, ordered)


def _check_spellings(path: str, distinct: Collection[str], integers: bool) -> None:
  """Refuses 'pos' beside 'pos ', and 1 beside 01: nobody means two classes by them."""
  found: dict[str | int, str] = {}
  for value in sorted(distinct):
    other = found.setdefault(int(value) if integers else value.strip(), value)
    if other != value:
      raise RequestError(
          f'{path}: some labels are {other!r} and some {value!r}. Write them alike; or, if they '
          f'are two classes, --set LABEL_NAMES="{{{other!r}: ..., {value!r}: ...}}" with all')


def _named(path: str, rows: Sequence[Row], written: Sequence[str], names: Mapping[str, str]
           ) -> Labels:
  listed = list(names.values())
  for name in listed:
    if listed.count(name) > 1 or not name.strip() or len(name.splitlines()) > 1:
      why = 'more than once' if listed.count(name) > 1 else 'which is no text on one line'
      raise RequestError(f'LABEL_NAMES has the name {name!r} {why}. Write another name for each '
                         'label; labels that are one class have to be written alike in the file')
  for row, value in zip(rows, written, strict=True):
    if value not in names:
      raise RequestError(f'{path}, line {row.line}: the label {value!r} is not in LABEL_NAMES '
                         f'({", ".join(map(repr, names))}). Add it there, or correct the row')
  absent = sorted(set(names) - set(written))
  if absent:
    raise RequestError(f'LABEL_NAMES has {absent[0]!r}, which no example of {path} has. Leave it '
                       'out: nothing could be learnt about it')
  return Labels(tuple(names.values()), tuple(names))


def as_written(path: str, row: Row, value: Any) -> str:
  """A label as text: 'true' for JSON's true, '3' for 3.

  Raises:
    RequestError: it is empty, has a line end in it, or is no text, number or truth value.
  """
  if isinstance(value, bool):
    return 'true' if value else 'false'
  text = str(value) if isinstance(value, str | int | float) and value == value else ''  # No NaN.
  if not text.strip() or '\n' in text or '\r' in text:
    raise RequestError(f'{path}, line {row.line}: {value!r} is no label: it has to be text on one '
                       'line or a number. Correct or remove that row')
  return text


def _is_number(text: str) -> bool:
  return _NUMBER.fullmatch(text.strip()) is not None and math.isfinite(float(text))


def _number(path: str, row: Row, value: Any) -> float:
  text = as_written(path, row, value)
  if isinstance(value, bool) or not _is_number(text):
    raise RequestError(f'{path}, line {row.line}: the label {text!r} is no number, as others are. '
                       f'Correct it, or write --set LABELS={CLASSES}')
  return float(text)
