"""Which texts does a file hold, and how is a part of them read without the rest?

One text a line, or a column of a table: Parquet, JSON lines, TSV or CSV with a header, told apart
by content. Text i is row i of what comes out, so that an empty line is a text too. A TSV has no
quotation, as GLUE's; in a CSV a quoted field may hold line ends (RFC 4180). A byte-order mark and
the carriage return of a line end are dropped. Rows are found by one pass over the bytes.
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
  """

  def __init__(self, path: str, column: str | None = None):
    """Looks at the beginning of the file.

    Raises:
      RequestError: it is compressed, a table without TEXT_COLUMN, or it has no such column.
    """
    self.path, self.column = path, column
    self._head = files.read_head(path, _HEAD_BYTES)
    self._index = 0  # Of the column, in TSV and CSV.
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
    if self.column is None:
      return LINES
    line = head.partition(b'\n')[0].decode('utf-8', errors='replace').rstrip('\r')
    if line.lstrip().startswith('{'):
      return JSON_LINES
    for kind, found in ((TSV, line.split('\t')), (CSV, next(csv.reader([line]), []))):
      if self.column in found:
        self._index = found.index(self.column)
        return kind
    self._check_column(line.split('\t') if '\t' in line else next(csv.reader([line]), []))
    raise AssertionError(line)

  def _check_column(self, columns: list[str]) -> None:
    if self.column in columns:
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
          if not skip and begin[0] < offset:
            yield begin
          skip, begin = False, (offset, number + 1)
    if quotes % 2:
      raise RequestError(
          f'{self.path}, line {begin[1]}: a quotation mark is opened there and never closed. '
          'Correct that row')

  # Reading one.

  def read(self, part: Part) -> list[str]:
    """The texts of a part.

    Raises:
      RequestError: a row is not UTF-8, or has no text in the column: with file and line.
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
        if piece and self.kind == CSV and record.count(b'"') % 2:
          continue
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
    fields = row.split('\t') if self.kind == TSV else next(csv.reader(io.StringIO(row)), [])
    if self._index >= len(fields):
      raise RequestError(f'{place}: there are {len(fields)} fields, and {self.column!r} is number '
                         f'{self._index + 1}. Correct that row')
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
