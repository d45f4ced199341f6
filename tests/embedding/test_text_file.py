"""Texts of a file: which they are, by kind and by part, and what is refused."""

from __future__ import annotations

import json

import pyarrow
import pyarrow.parquet
import pytest

from nlp_export.embedding import text_file
from nlp_export.embedding.text_file import TextFile
from nlp_export.errors import RequestError

TEXTS = ['A "quoted" text, with a comma.', '', 'Grüße aus 東京', ' spaces ', 'the last one']


def write(path, kind: str) -> TextFile:
  """The texts in a file of that kind."""
  if kind == text_file.LINES:
    path.write_text('\n'.join(TEXTS), encoding='utf-8')
    return TextFile(str(path))
  if kind == text_file.JSON_LINES:
    path.write_text(''.join(json.dumps({'n': 1, 'text': text}) + '\n' for text in TEXTS))
  elif kind == text_file.TSV:
    path.write_text('n\ttext\r\n' + ''.join(f'1\t{text}\r\n' for text in TEXTS), encoding='utf-8')
  elif kind == text_file.CSV:
    quoted = (text.replace('"', '""') for text in TEXTS)
    path.write_text('text,n\n' + ''.join(f'"{text}",1\n' for text in quoted), encoding='utf-8')
  else:
    table = pyarrow.table({'n': [1] * len(TEXTS), 'text': TEXTS})
    pyarrow.parquet.write_table(table, path, row_group_size=2)
  return TextFile(str(path), 'text')


@pytest.mark.parametrize('part_texts', [1, 2, 3, 100])
@pytest.mark.parametrize('kind', [
    text_file.LINES, text_file.JSON_LINES, text_file.TSV, text_file.CSV, text_file.PARQUET])
def test_parts_hold_all_texts_in_their_order(kind, part_texts, tmp_path):
  found = write(tmp_path / 'texts', kind)
  assert found.kind == kind
  parts = found.parts(part_texts)
  assert [part.row for part in parts] == list(range(0, len(TEXTS), part_texts))
  assert [text for part in parts for text in found.read(part)] == TEXTS
  # A part is read without the others.
  assert found.read(parts[-1]) == TEXTS[parts[-1].row:]


def test_a_byte_order_mark_and_carriage_returns_are_no_text(tmp_path):
  path = tmp_path / 'texts'
  path.write_bytes('\ufeffone\r\ntwo\r\n'.encode())
  found = TextFile(str(path))
  assert [found.read(part) for part in found.parts(1)] == [['one'], ['two']]


def test_a_quoted_field_may_hold_a_line_end(tmp_path):
  path = tmp_path / 'texts'
  path.write_text('n,text\n1,"two\nlines"\n2,three\n')
  found = TextFile(str(path), 'text')
  assert [found.read(part) for part in found.parts(1)] == [['two\nlines'], ['three']]


def test_an_empty_file_has_no_parts(tmp_path):
  path = tmp_path / 'texts'
  path.write_bytes(b'')
  assert TextFile(str(path)).parts(10) == []


@pytest.mark.parametrize(('content', 'column', 'says'), [
    (b'\x1f\x8b\x08', None, 'Unpack it: gunzip -k'),
    (b'one\ntwo\xff\n', None, 'line 2: byte 3 (0xff) is not UTF-8. Convert the file to UTF-8'),
    (b'a\tb\nc\td\n', 'text', "the columns of {path} are 'a', 'b'. Name one of them: --set "
                              'TEXT_COLUMN=a'),
    (b'{"text": 3}\n', 'text', "line 1: there is no text under 'text' but 3. Correct that row"),
    (b'{"text": "a"}\n{"text"\n', 'text', 'Write one JSON object a line'),
    (b'a\ttext\n1\n', 'text', "there are 1 fields, and 'text' is number 2. Correct that row"),
    (b'a,text\n1,"open\n', 'text', 'opened there and never closed. Correct that row'),
])
def test_what_is_wrong_is_named_with_its_line(content, column, says, tmp_path):
  path = tmp_path / 'texts'
  path.write_bytes(content)
  with pytest.raises(RequestError) as error:
    found = TextFile(str(path), column)
    for part in found.parts(10):
      found.read(part)
  assert str(error.value).endswith(says.format(path=path))


def test_a_parquet_file_needs_a_column_of_texts(tmp_path):
  path = tmp_path / 'texts'
  pyarrow.parquet.write_table(pyarrow.table({'a': ['x', None]}), path)
  with pytest.raises(RequestError) as error:
    TextFile(str(path))
  assert str(error.value).endswith('Name the one with the texts: --set TEXT_COLUMN=a')
  found = TextFile(str(path), 'a')
  with pytest.raises(RequestError) as error:
    found.read(found.parts(10)[0])
  assert str(error.value).endswith("row 1: 'a' holds None, which is no text. Correct that row")
