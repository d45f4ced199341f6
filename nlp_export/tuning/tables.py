"""What stands in the rows of a user's CSV, TSV or JSONL file? Every complaint names file and row.

    .csv    commas, quotation marks as in RFC 4180; the first line names the columns
    .tsv    tabs, a quotation mark is text, as in GLUE's files
    .jsonl  one JSON object a line

Columns that are numbers are positions from 0 in a CSV or TSV file without a header line. Blank
lines may stand at the end of a file.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from nlp_export import files
from nlp_export.errors import RequestError

CSV, TSV, JSONL = 'csv', 'tsv', 'jsonl'
FORMATS = (CSV, TSV, JSONL)

Column = str | int
# A text may be a whole document; the standard library stops at 131,072 characters.
_LONGEST_FIELD = 1 << 27


@dataclasses.dataclass(frozen=True)
class Row:
  """One row.

  Attributes:
    line: of the file, from 1: its first line, where it has several.
    values: of the wanted columns, in their order: strings, or what JSON has.
  """

  line: int
  values: tuple[Any, ...]


def format_of(path: str) -> str:
  """'csv', 'tsv' or 'jsonl', by the end of the file's name.

  Raises:
    RequestError: it is none of them.
  """
  suffix = files.basename(path).lower().rpartition('.')[2]
  if suffix not in FORMATS:
    raise RequestError(
        f'{path}: what format is it? Files with examples end in .csv (commas), .tsv (tabs) or '
        '.jsonl (a JSON object a line). Rename it to say which it is')
  return suffix


def check_columns(path: str, columns: Sequence[Column]) -> None:
  """Looks at the beginning of a file: are the columns there? For a plan; it reads a megabyte.

  Raises:
    RequestError: see `read`.
  """
  if format_of(path) == JSONL:
    if not all(isinstance(column, str) for column in columns):
      raise RequestError(f'{path}: columns of a .jsonl file are names, not {list(columns)}. Write '
                         "the object's keys: --set TEXT_COLUMN=text")
    return
  head = files.read_head(path, 1 << 20).decode('utf-8', 'replace')
  first = next(_records(path, head), None)
  if first is None:
    raise RequestError(f'{path}: is empty. It should have a line for each example')
  _positions(path, first[1], columns)


def read(path: str, columns: Sequence[Column]) -> list[Row]:
  """Every row of a file.

  Args:
    path: of the file; may be remote.
    columns: the wanted ones: names, or positions from 0 where the file has no header line.

  Raises:
    RequestError: another format, not UTF-8, a column that is not there, a row that does not fit,
      or no row at all: with file and line.
  """
  text = _decoded(path)
  rows = list(_objects(path, text, columns) if format_of(path) == JSONL
              else _table(path, text, columns))
  if not rows:
    raise RequestError(f'{path}: holds no examples. It should have a line for each')
  return rows


def _decoded(path: str) -> str:
  data = files.read_bytes(path)
  try:
    return data.decode('utf-8-sig')
  except UnicodeDecodeError as error:
    line = data.count(b'\n', 0, error.start) + 1
    raise RequestError(
        f'{path}, line {line}: not UTF-8 (byte {data[error.start]:#04x}). Convert it with '
        'iconv -f <its encoding> -t utf-8') from error


def _records(path: str, text: str) -> Iterator[tuple[int, list[str]]]:
  """Line number and fields of each record."""
  if format_of(path) == TSV:
    lines = text.removeprefix('\ufeff').split('\n')
    if not lines[-1]:
      lines.pop()
    for number, line in enumerate(lines, 1):
      yield number, line.removesuffix('\r').split('\t')
    return
  csv.field_size_limit(_LONGEST_FIELD)
  reader = csv.reader(io.StringIO(text.removeprefix('\ufeff'), newline=''), strict=True)
  before = 0
  while True:
    try:
      fields = next(reader, None)
    except csv.Error as error:
      raise RequestError(
          f'{path}, line {before + 1}: {error}. A field that holds a quotation mark or a line end '
          'stands in quotation marks, and a mark in it is doubled: "so ""it"" is"') from error
    if fields is None:
      return
    yield before + 1, fields
    before = reader.line_num


def _table(path: str, text: str, columns: Sequence[Column]) -> Iterator[Row]:
  records = _records(path, text)
  first = next(records, None)
  if first is None:
    return
  positions = _positions(path, first[1], columns)
  width = len(first[1])
  if _has_no_header(columns):
    yield Row(first[0], tuple(first[1][at] for at in positions))
  blank = 0  # The first of the blank lines that may be the last ones.
  for line, fields in records:
    if len(fields) <= 1 < width and not ''.join(fields).strip():
      blank = blank or line
      continue
    if blank:
      raise RequestError(f'{path}, line {blank}: is blank, and line {line} is not. Blank lines may '
                         'stand at the end only. Remove that line')
    if len(fields) != width:
      found = f'has {len(fields)} field{"s"[:len(fields) != 1]}'
      hint = ('A tab or a line end inside a text?' if format_of(path) == TSV
              else 'A comma or a quotation mark in a text that is not quoted?')
      raise RequestError(f'{path}, line {line}: {found}, the first line has {width}. {hint} '
                         'Correct or remove that row')
    yield Row(line, tuple(fields[at] for at in positions))


def _has_no_header(columns: Sequence[Column]) -> bool:
  return any(isinstance(column, int) for column in columns)


def _positions(path: str, first: Sequence[str], columns: Sequence[Column]) -> list[int]:
  if _has_no_header(columns):
    wrong = [column for column in columns
             if not isinstance(column, int) or isinstance(column, bool)
             or not 0 <= column < len(first)]
    if wrong:
      raise RequestError(
          f'{path}: there is no column {wrong[0]!r} among the {len(first)} of its first line, '
          'which are counted from 0 because one column was given as a number. Give all columns as '
          'numbers (a file without a header line) or all as names')
    return [int(column) for column in columns]
  header = list(first)
  for column in columns:
    if header.count(str(column)) != 1:
      found = 'no column' if column not in header else f'{header.count(str(column))} columns'
      commas = ''
      if len(header) == 1 and ',' in header[0]:
        commas = ' It looks like commas: name it .csv.'
      raise RequestError(
          f'{path}, line 1: {found} {column!r}. The line names {_shown(header)}.{commas} Write '
          'which of them it is: --set TEXT_COLUMN=..., SECOND_TEXT_COLUMN or LABEL_COLUMN '
          '(numbers from 0 for a file without a header line)')
  return [header.index(str(column)) for column in columns]


def _shown(header: Sequence[str]) -> str:
  shown = ', '.join(repr(name[:40]) for name in header[:12])
  return shown + (f' and {len(header) - 12} more' if len(header) > 12 else '')


def _objects(path: str, text: str, columns: Sequence[Column]) -> Iterator[Row]:
  lines = text.split('\n')
  while lines and not lines[-1].strip():
    lines.pop()
  for number, line in enumerate(lines, 1):
    try:
      value = json.loads(line)
    except ValueError as error:
      raise RequestError(f'{path}, line {number}: no JSON ({error}). A .jsonl file has one whole '
                         'object a line: correct or remove it') from error
    if not isinstance(value, dict):
      raise RequestError(f'{path}, line {number}: a JSON {type(value).__name__}, not an object. '
                         'Write {"text": "...", "label": ...} on each line')
    missing = [column for column in columns if column not in value]
    if missing:
      raise RequestError(
          f'{path}, line {number}: no key {missing[0]!r}. The object has {_shown(list(value))}. '
          'Write which of them it is: --set TEXT_COLUMN=..., SECOND_TEXT_COLUMN or LABEL_COLUMN')
    wanted = tuple(value[column] for column in columns)
    broken = next((each for each in wanted if isinstance(each, str) and _is_broken(each)), None)
    if broken is not None:
      raise RequestError(f'{path}, line {number}: {broken!r} has half a character, written as '
                         r'\ud800 to \udfff without its other half. Correct or remove that row')
    yield Row(number, wanted)


def _is_broken(text: str) -> bool:
  return any('\ud800' <= letter <= '\udfff' for letter in text)
