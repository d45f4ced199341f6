"""Which texts does a file hold, and how is a part of them read without the rest?

One text a line, or a column of a table: Parquet, JSON lines, TSV or CSV with a header, told apart
by content: a table whose header has a tab is a TSV. Text i is row i of what comes out, so that an
empty line is a text too; between JSON objects it is none. A TSV has no quotation, as GLUE's; in a
CSV a quoted field may hold line ends (RFC 4180). A byte-order mark and the carriage return of a
line end are dropped. Rows are found by one pass over the bytes.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
from collections.abc import Iterator
from typing import Any

from nlp_export import files
from nlp_export.errors import RequestError

LINES, PARQUET, JSON_LINES, TSV, CSV = 'lines', 'parquet', 'json_lines', 'tsv', 'csv'
_BYTE_ORDER_MARK = b'\xef\xbb\xbf'
_PARQUET_MAGIC, _GZIP_MAGIC = b'PAR1', b'\x1f\x8b'
_HEAD_BYTES = 1 << 20
# A text may be a whole document; the standard library stops at 131,072 characters.
_LONGEST_FIELD = 1 << 27


@dataclasses.dataclass(frozen=True)
class Part:
  """Neighbouring texts.

  Attributes:
    row: number of the first text in the file, from 0.
    count: of texts.
    offset: of the first one [bytes]; 0 in Parquet.
    line: where it stands, from 1, for messages; 0 in Parquet.
  """

  row: int
  count: int
  offset: int = 0
  line: int = 0


class TextFile:
  """Texts in a file.

  Attributes:
    path: of the file.
    column: of a table; None for lines.
    kind: one of the names above.
    note: what the user may not have meant, or ''.
  """

  def __init__(self, path: str, column: str | None = None):
    """Looks at the beginning of the file.

    Raises:
      RequestError: it is compressed, a table without TEXT_COLUMN, or it has no such column.
    """
    self.path, self.column = path, column
    self._head = files.read_head(path, _HEAD_BYTES)
    self.note = ''
    self._index = self._width = 0  # Of the column, and how many there are, in TSV and CSV.
    csv.field_size_limit(_LONGEST_FIELD)
    self.kind = self._find_kind()

  def _find_kind(self) -> str:
    head = self._head.removeprefix(_BYTE_ORDER_MARK)
    if head.startswith(_GZIP_MAGIC):
      raise RequestError(
          f'TEXT_FILE {self.path} is compressed with gzip, where no part can be read without what '
          'stands before it. Unpack it: gunzip -k')
    if head.startswith(_PARQUET_MAGIC):
      with self._parquet() as table:
        self._check_column(table.schema_arrow.names)
      return PARQUET
    line = head.partition(b'\n')[0].decode('utf-8', errors='replace').rstrip('\r')
    if self.column is None:
      if _is_json_object(line):
        self.note = (f'the first line of {self.path} is a JSON object, and TEXT_COLUMN is not set, '
                     'so that each line is a text with its braces and keys. For the text in it '
                     'write --set TEXT_COLUMN=text')
      return LINES
    if line.lstrip().startswith('{'):
      return JSON_LINES
    # One column is a CSV: what writes it quotes texts with commas, and the marks are no text.
    kind, found = (TSV, line.split('\t')) if '\t' in line else (CSV, next(csv.reader([line]), []))
    self._check_column(found)
    self._index, self._width = found.index(str(self.column)), len(found)
    return kind

  def _check_column(self, columns: list[str]) -> None:
    if columns.count(str(self.column)) == 1:
      return
    found = f'the columns of {self.path} are {", ".join(map(repr, columns[:12]))}'
    if self.column is None:
      raise RequestError(f'TEXT_COLUMN is not set, but {found}. Name the one with the texts: --set '
                         f'TEXT_COLUMN={columns[0] if columns else "text"}')
    raise RequestError(f'TEXT_COLUMN is {self.column!r}, but {found}. Name one of them: --set '
                       f'TEXT_COLUMN={columns[0] if columns else "text"}')

  # Where the parts are.

  def parts(self, part_texts: int) -> list[Part]:
    """Parts of so many texts, the last one perhaps of fewer: one pass over the file."""
    if self.kind == PARQUET:
      with self._parquet() as table:
        rows = table.metadata.num_rows
      return [Part(row, min(part_texts, rows - row)) for row in range(0, rows, part_texts)]
    found: list[Part] = []
    count = 0
    for row, (offset, line) in enumerate(self._records()):
      if row % part_texts == 0:
        found.append(Part(row, 0, offset, line))
      count = row + 1
    return [dataclasses.replace(part, count=min(part_texts, count - part.row)) for part in found]

  def _records(self) -> Iterator[tuple[int, int]]:
    """Offset and line number of every row that holds a text."""
    offset, quotes, begin = 0, 0, (0, 1)
    skip = self.kind in (TSV, CSV)  # The header.
    with files.open_binary(self.path) as stream:
      for number, line in enumerate(stream, start=1):
        if number == 1 and line.startswith(_BYTE_ORDER_MARK):
          begin = (len(_BYTE_ORDER_MARK), 1)
        if self.kind == CSV:
          quotes += line.count(b'"')
        offset += len(line)
        if quotes % 2 == 0:  # Else the row goes on in the next line.
          if not skip and begin[0] < offset and not self._is_none(line):
            yield begin
          skip, begin = False, (offset, number + 1)
    if quotes % 2:
      raise RequestError(
          f'{self.path}, line {begin[1]}: a quotation mark is opened there and never closed. '
          'Correct that row')

  def _is_none(self, line: bytes) -> bool:
    """Whether a line between rows holds none."""
    return self.kind == JSON_LINES and not line.strip()

  # Reading one.

  def read(self, part: Part) -> list[str]:
    """The texts of a part.

    Raises:
      RequestError: a row is not UTF-8, not as wide as the header, or has no text in the column:
        with file and line. Or the file has become shorter.
    """
    if self.kind == PARQUET:
      return self._read_parquet(part)
    texts: list[str] = []
    with files.open_binary(self.path) as stream:
      stream.seek(part.offset)
      line, record = part.line, b''
      while len(texts) < part.count:
        piece = stream.readline()
        record += piece
        if not record:
          raise RequestError(f'{self.path} ends before line {line}, and was longer a while ago. '
                             'Leave it as it is during a run, and give another --out_dir')
        if piece and self.kind == CSV and record.count(b'"') % 2:
          continue
        if not self._is_none(record):
          texts.append(self._text(record, line))
        line += max(1, record.count(b'\n'))
        record = b''
    return texts

  def _text(self, record: bytes, line: int) -> str:
    place = f'{self.path}, line {line}'
    try:
      row = record.decode('utf-8').removesuffix('\n').removesuffix('\r')
    except UnicodeDecodeError as error:
      raise RequestError(f'{place}: byte {error.start} ({record[error.start]:#04x}) is not UTF-8. '
                         'Convert the file to UTF-8') from error
    if self.kind == LINES:
      return row
    if self.kind == JSON_LINES:
      return self._of_json(row, place)
    fields = row.split('\t') if self.kind == TSV else _of_csv(row, place)
    if len(fields) != self._width:
      hint = ('Is the line blank?' if not row.strip() else 'A tab in a text?'
              if self.kind == TSV else 'A comma in a text that is not in quotation marks?')
      raise RequestError(f'{place}: there are {len(fields)} fields, and the header has '
                         f'{self._width}. {hint} Correct that row')
    return fields[self._index]

  def _of_json(self, row: str, place: str) -> str:
    try:
      value = json.loads(row)
    except json.JSONDecodeError as error:
      raise RequestError(f'{place}: {error}. Write one JSON object a line') from error
    text = value.get(self.column) if isinstance(value, dict) else None
    if not isinstance(text, str):
      raise RequestError(f'{place}: there is no text under {self.column!r} but {text!r}. '
                         'Correct that row')
    try:
      text.encode()
    except UnicodeEncodeError as error:  # JSON can write the half of a character.
      raise RequestError(f'{place}: {text[error.start]!r} under {self.column!r} is half a '
                         'character (a surrogate without its other). Correct that row') from error
    return text

  @contextlib.contextmanager
  def _parquet(self) -> Iterator[Any]:
    """The file, open."""
    import pyarrow.parquet

    with files.open_binary(self.path) as stream:
      yield pyarrow.parquet.ParquetFile(stream)

  def _read_parquet(self, part: Part) -> list[str]:
    texts: list[Any] = []
    start = 0
    with self._parquet() as table:
      for group in range(table.metadata.num_row_groups):
        rows = table.metadata.row_group(group).num_rows
        first, last = max(part.row, start), min(part.row + part.count, start + rows)
        if first < last:
          column = table.read_row_group(group, columns=[self.column]).column(0)
          texts += column.slice(first - start, last - first).to_pylist()
        start += rows
    wrong = next((i for i, text in enumerate(texts) if not isinstance(text, str)), None)
    if wrong is not None:
      raise RequestError(f'{self.path}, row {part.row + wrong}: {self.column!r} holds '
                         f'{texts[wrong]!r}, which is no text. Correct that row')
    return [str(text) for text in texts]


def _is_json_object(line: str) -> bool:
  try:
    return isinstance(json.loads(line), dict)
  except ValueError:
    return False


def _of_csv(record: str, place: str) -> list[str]:
  """Fields of the one row that a record should be: marks out of place would hide other rows."""
  reader = csv.reader(io.StringIO(record), strict=True)
  try:
    fields = next(reader, [])
    rest = next(reader, None)
  except csv.Error as error:
    raise RequestError(f'{place}: {error}. A field with a quotation mark or a line end stands in '
                       'quotation marks, and a mark in it is doubled: "so ""it"" is"') from error
  if rest is not None:
    raise RequestError(f'{place}: a quotation mark stands in a field that is not in quotation '
                       'marks. Put the field in them and double the mark: "so ""it"" is"')
  return fields
