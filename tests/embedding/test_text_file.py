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


@pytest.mark.parametrize(('content', 'column', 'noted'), [
    ('{"text": "a"}\n', None, True), ('{"text": "a"}\n', 'text', False),
    ('{curly} words\n', None, False), ('[1]\n', None, False)])
def test_objects_that_would_be_texts_are_noted(content, column, noted, tmp_path):
  path = tmp_path / 'texts'
  path.write_text(content)
  note = TextFile(str(path), column).note
  assert note.endswith('For the text in it write --set TEXT_COLUMN=text') is noted


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
    (b'a\ttext\n1\n', 'text', '1 fields, and the header has 2. A tab in a text? Correct that row'),
    (b'a\ttext\n1\tx\ty\n', 'text', 'header has 2. A tab in a text? Correct that row'),
    (b'a,text\n1,Hello, you\n', 'text', 'line 2: there are 3 fields, and the header has 2. A comma '
     'in a text that is not in quotation marks? Correct that row'),
    (b'a,text\n\n1,x\n', 'text', 'Is the line blank? Correct that row'),
    # Two inches would make one row of three, where each row alone is none.
    (b'a,text\n1,5" disk\n2,lost\n3,6" disk\n', 'text', 'line 2: a quotation mark stands in a '
     'field that is not in quotation marks. Put the field in them and double the mark: '
     '"so ""it"" is"'),
    (b'a,text\n1,one\rtwo\n', 'text', 'and a mark in it is doubled: "so ""it"" is"'),
    (b'text,text\na,b\n', 'text', "'text', 'text'. Name one of them: --set TEXT_COLUMN=text"),
    (b'{"text": "\\ud800"}\n', 'text', 'without its other). Correct that row'),
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


def test_a_table_of_one_column_has_quotation_marks_around_texts(tmp_path):
  path = tmp_path / 'texts'
  path.write_text('text\n"one, two"\nthree\n"""four"""\n')
  found = TextFile(str(path), 'text')
  assert [found.read(part) for part in found.parts(2)] == [['one, two', 'three'], ['"four"']]


def test_a_text_may_be_a_document(tmp_path):
  path = tmp_path / 'texts'
  path.write_text(f'n,text\n1,"{"word " * 40_000}"\n')
  found = TextFile(str(path), 'text')
  assert found.read(found.parts(1)[0]) == ['word ' * 40_000]


def test_blank_lines_between_objects_are_no_texts(tmp_path):
  path = tmp_path / 'texts'
  path.write_text('{"text": "a"}\n\n{"text": ""}\n \n{"text": "c"}\n\n')
  found = TextFile(str(path), 'text')
  assert [found.read(part) for part in found.parts(2)] == [['a', ''], ['c']]


def test_a_file_that_became_shorter_is_refused(tmp_path):
  path = tmp_path / 'texts'
  path.write_text('one\ntwo\nthree\n')
  found = TextFile(str(path))
  part = found.parts(3)[0]
  path.write_text('one\n')
  with pytest.raises(RequestError) as error:
    found.read(part)
  assert 'ends before line 2' in str(error.value)
  assert str(error.value).endswith('give another --out_dir')
