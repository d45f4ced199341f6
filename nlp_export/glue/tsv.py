"""What do the rows of one of GLUE's TSV files say?

Fields are between tabs, rows between line feeds, and nothing else is special: a quotation mark is
text (as with csv.QUOTE_NONE; with quoting, MRPC loses rows without a word). A row that does not
fit is refused with its line number. Peers drop such rows in silence, tensorflow_datasets among
them. The QQP download of 2018 does have some (nyu-mll/GLUE-baselines issue 5), so leaving them out
can be asked for, and is then written down row by row.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.glue.examples import Examples
from nlp_export.glue.tasks import Split, Task

_NOTES_SHOWN = 20


@dataclasses.dataclass(frozen=True)
class _Row:
  line: int  # From 1.
  id: int  # From 0.
  fields: list[str]


def read(task: Task, split: Split, path: str, leave_out_malformed: bool = False) -> Examples:
  """Reads one file.

  Args:
    task: whose file it is.
    split: which of them: its columns.
    path: the file.
    leave_out_malformed: rows with a wrong number of fields are left out, each with a note, rather
      than refused. Not for test sets, of which the server wants every row.

  Returns:
    All rows in order. An empty text is kept, with a note.

  Raises:
    RequestError: no such file, not UTF-8, empty, no such columns, a malformed row, an unknown
      label. The message has file, line and what to do.
  """
  name = f'{task.directory}/{split.file}'  # Notes reach reports, which name no folder of ours.
  notes: list[str] = []
  lines = _lines(path)
  text_at, label_at, width = _columns(task, split, path, lines)
  rows, left_out = _rows(path, lines, split, width, leave_out_malformed and not split.is_test)
  notes += _left_out_notes(name, left_out, width)
  if not rows:
    raise RequestError(
        f'{path}: holds no examples. The official file has {split.rows}. '
        'Take it from the download again.')
  if split.is_test:
    _check_index(path, lines[0], rows)
  texts = tuple(tuple(row.fields[at] for row in rows) for at in text_at)
  notes += _empty_text_notes(name, rows, texts, split)
  labels = None
  if label_at is not None:
    labels = _labels(task, split, path, rows, label_at)
  if split.rows and len(rows) != split.rows:
    notes.append(f'{name} has {len(rows)} examples; the official file has {split.rows}.')
  digest = files.sha256(path)
  return Examples(
      task, split.name, texts, labels, np.array([row.id for row in rows], np.int32),
      {'kind': 'glue_dir', 'files': {name: digest}}, path,
      np.array([row.line for row in rows], np.int32), tuple(notes))


def _lines(path: str) -> list[str]:
  """Lines of a file, without line ends and byte-order mark; what follows the last one is none."""
  data = files.read_bytes(path)
  try:
    text = data.decode('utf-8-sig')
  except UnicodeDecodeError as error:
    start = error.start
    line = data.count(b'\n', 0, start) + 1
    raise RequestError(
        f'{path}, line {line}: not UTF-8 (byte {data[start]:#04x}). The official files are. '
        'Convert it with iconv -f <its encoding> -t utf-8, or take it from the download again.'
    ) from error
  lines = text.split('\n')
  if not lines[-1]:
    lines.pop()
  return [line.removesuffix('\r') for line in lines]


def _columns(
    task: Task, split: Split, path: str, lines: Sequence[str]
) -> tuple[list[int], int | None, int]:
  """Positions of the texts and of the label, and the number of fields of every row."""
  if split.width is not None:
    return [int(at) for at in split.text_columns], split.label_column, split.width  # type: ignore
  if not lines:
    raise RequestError(
        f'{path}: is empty. It should start with a line that names its columns. '
        'Take it from the download again.')
  header = lines[0].split('\t')
  wanted = [*split.text_columns] + ([] if split.label_column is None else [split.label_column])
  missing = [str(name) for name in wanted if name not in header]
  if missing:
    raise RequestError(
        f'{path}, line 1: no column {" and no column ".join(map(repr, missing))}. The line names '
        f'{_shown(header)}. {task.directory} {split.name} needs the columns '
        f'{", ".join(map(str, wanted))}, separated by tabs. {_header_cure(split, header)}')
  repeated = [str(name) for name in wanted if header.count(str(name)) > 1]
  if repeated:
    raise RequestError(
        f'{path}, line 1: the column {repeated[0]!r} is there {header.count(repeated[0])} times. '
        'Which is meant? Rename the others.')
  positions = [header.index(str(name)) for name in wanted]
  texts = positions[:len(split.text_columns)]
  return texts, None if split.label_column is None else positions[-1], len(header)


def _header_cure(split: Split, header: Sequence[str]) -> str:
  if len(header) == 1 and ',' in header[0]:
    return 'This looks like commas: save it with tabs.'
  if split.label_column is not None and all(name in header for name in split.text_columns):
    return 'Is it the test file, which has no labels? Put the labelled one here.'
  return 'Take the file from the download again, or add the line if it was cut off.'


def _rows(
    path: str, lines: Sequence[str], split: Split, width: int, leave_out: bool
) -> tuple[list[_Row], list[_Row]]:
  """The rows, and those left out for a wrong number of fields."""
  first = 1 if split.has_header else 0
  rows: list[_Row] = []
  left_out: list[_Row] = []
  for at in range(first, len(lines)):
    row = _Row(at + 1, at - first, lines[at].split('\t'))
    if len(row.fields) == width:
      rows.append(row)
    elif leave_out:
      left_out.append(row)
    else:
      raise RequestError(
          f'{path}, line {row.line}: {_fields_found(row)}, not {width}: {lines[at][:60]!r}. '
          f'{_row_cure(split, len(row.fields), width)}')
  return rows, left_out


def _fields_found(row: _Row) -> str:
  blank = len(row.fields) == 1 and not row.fields[0].strip()
  return 'is blank' if blank else f'has {_count(len(row.fields))}'


def _left_out_notes(name: str, left_out: Sequence[_Row], width: int) -> list[str]:
  notes = [f'{name}, line {row.line}, left out: {_fields_found(row)}, not {width}.'
           for row in left_out[:_NOTES_SHOWN]]
  if len(left_out) > _NOTES_SHOWN:
    lines = ', '.join(str(row.line) for row in left_out[_NOTES_SHOWN:])
    notes.append(f'{name}, left out for the same reason: lines {lines}.')
  return notes


def _row_cure(split: Split, found: int, width: int) -> str:
  if found == 1 and width > 1:
    cause = 'A line end inside a text, or spaces in place of tabs?'
  elif found < width:
    cause = 'A line end inside a text, or a lost field?'
  else:
    cause = 'A tab inside a text?'
  if split.is_test:
    return f'{cause} The server wants every row: correct it, or take the file from the download.'
  return (f'{cause} Correct it, or train without such rows, each listed in the report: '
          '--set LEAVE_OUT_MALFORMED=True')


def _check_index(path: str, header: str, rows: Sequence[_Row]) -> None:
  names = header.split('\t')
  at = next((names.index(name) for name in ('index', 'id') if name in names), None)
  if at is None:
    return
  for row in rows:
    if row.fields[at] != str(row.id):
      raise RequestError(
          f'{path}, line {row.line}: index {row.fields[at]!r} where {row.id} should be. The rows '
          'of a test set count from 0 without gaps, and the server scores by that number. '
          'Take the file from the download again.')


def _empty_text_notes(
    name: str, rows: Sequence[_Row], texts: Sequence[Sequence[str]], split: Split
) -> list[str]:
  notes = []
  for segment, column in zip(texts, split.text_columns, strict=True):
    empty = [row.line for row, text in zip(rows, segment, strict=True) if not text.strip()]
    if empty:
      some = ', '.join(map(str, empty[:5])) + (' ...' if len(empty) > 5 else '')
      notes.append(f'{name}: the text in column {column} is empty in {_count(len(empty), "row")} '
                   f'(line {some}); kept.')
  return notes


def _labels(
    task: Task, split: Split, path: str, rows: Sequence[_Row], at: int
) -> np.ndarray:
  if task.values is None:
    return np.array([_score(task, path, row, at) for row in rows], np.float32)
  ids = {value: position for position, value in enumerate(task.values)}
  labels = np.empty(len(rows), np.int32)
  for position, row in enumerate(rows):
    value = row.fields[at]
    if value not in ids:
      raise RequestError(
          f'{path}, line {row.line}: label {value!r} is none of {", ".join(task.values)}. '
          f'{_label_cure(task, split, row, value)}')
    labels[position] = ids[value]
  return labels


def _label_cure(task: Task, split: Split, row: _Row, value: str) -> str:
  if row.line == 1 and not split.has_header:
    return (f"{task.directory}'s {split.file} has no header, so its first line is an example. "
            'If this one names columns, remove it.')
  if value.strip() in (task.values or ()):
    return 'Remove the spaces around it.'
  if task.labels and value in task.labels:
    return f'This file writes {task.values[task.labels.index(value)]!r} for it.'  # type: ignore
  return 'Correct it, or take the file from the download again.'


def _score(task: Task, path: str, row: _Row, at: int) -> float:
  low, high = task.value_range or (-math.inf, math.inf)
  try:
    value = float(row.fields[at])
  except ValueError:
    value = math.nan
  if not low <= value <= high:  # NaN as well.
    raise RequestError(
        f'{path}, line {row.line}: score {row.fields[at]!r} is no number from {low:g} to '
        f'{high:g}. Correct it, or take the file from the download again.')
  return value


def _count(count: int, noun: str = 'field') -> str:
  return f'{count} {noun}' + ('' if count == 1 else 's')


def _shown(header: Sequence[str]) -> str:
  names = [name if len(name) <= 40 else f'{name[:40]}...' for name in header]
  return ', '.join(map(repr, names[:12])) + (' ...' if len(names) > 12 else '')
