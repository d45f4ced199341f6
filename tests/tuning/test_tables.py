"""Rows of a user's CSV, TSV and JSONL files; every complaint names file and row."""

from __future__ import annotations

import json

import pytest

from nlp_export.errors import RequestError
from nlp_export.tuning import tables


def written(tmp_path, name, content):
  path = tmp_path / name
  path.write_bytes(content if isinstance(content, bytes) else content.encode())
  return str(path)


def refusal(path, columns=('text', 'label')):
  with pytest.raises(RequestError) as caught:
    tables.read(path, columns)
  return str(caught.value)


def test_csv_has_quoted_commas_quotation_marks_and_line_ends(tmp_path):
  path = written(tmp_path, 'a.csv', 'id,text,label\r\n1,"so, ""it"" is",x\r\n2,"two\nlines",y\r\n'
                 '3,plain,z\r\n')
  rows = tables.read(path, ('text', 'label'))
  assert [row.values for row in rows] == [
      ('so, "it" is', 'x'), ('two\nlines', 'y'), ('plain', 'z')]
  assert [row.line for row in rows] == [2, 3, 5]


def test_in_tsv_a_quotation_mark_is_text(tmp_path):
  path = written(tmp_path, 'a.tsv', '\ufefftext\tlabel\n"open\t1\nit, "so"\t0\n')
  assert [row.values for row in tables.read(path, ('text', 'label'))] == [
      ('"open', '1'), ('it, "so"', '0')]


def test_jsonl_keeps_types(tmp_path):
  lines = [{'text': 'a\nb', 'label': 1, 'more': None}, {'label': 2.5, 'text': 'é'}]
  path = written(tmp_path, 'a.jsonl', '\n'.join(map(json.dumps, lines)) + '\n\n')
  assert [row.values for row in tables.read(path, ('text', 'label'))] == [('a\nb', 1), ('é', 2.5)]


@pytest.mark.parametrize(('name', 'content'), [
    ('a.csv', 'text,label\na,b\n'), ('a.tsv', 'text\tlabel\na\tb\n'),
    ('a.csv', 'text,label\r\na,b\r\n'), ('a.tsv', 'text\tlabel\r\na\tb\r\n')])
@pytest.mark.parametrize('end', ['\n', '\r\n\r\n', '  \n\n', ' '])
def test_blank_lines_at_the_end_are_none(tmp_path, name, content, end):
  (row,) = tables.read(written(tmp_path, name, content + end), ('text', 'label'))
  assert (row.line, row.values) == (2, ('a', 'b'))


def test_positions_stand_for_a_file_without_header(tmp_path):
  path = written(tmp_path, 'a.tsv', 'x\t1\ty\nz\t0\tw\n')
  rows = tables.read(path, (2, 1))
  assert [(row.line, row.values) for row in rows] == [(1, ('y', '1')), (2, ('w', '0'))]


@pytest.mark.parametrize(('name', 'content', 'where', 'ends'), [
    ('a.csv', 'text,label\na,b\nc\n', 'a.csv, line 3: has 1 field, the first line has 2',
     'that is not quoted? Correct or remove that row'),
    ('a.tsv', 'text\tlabel\na\tb\tc\n', 'a.tsv, line 2: has 3 fields',
     'A tab or a line end inside a text? Correct or remove that row'),
    ('a.csv', 'text,label\na,b\n\n \nc,d\n', 'a.csv, line 3: is blank, and line 5 is not',
     'at the end only. Remove that line'),
    ('a.tsv', 'text\tlabel\n\na\tb\n', 'a.tsv, line 2: is blank, and line 3 is not',
     'at the end only. Remove that line'),
    ('a.csv', 'text,label\na,b\n"c"d,e\n', 'a.csv, line 3:', '"so ""it"" is"'),
    ('a.csv', 'text,mark\na,b\n', "a.csv, line 1: no column 'label'. The line names 'text', 'mark'",
     '(numbers from 0 for a file without a header line)'),
    ('a.csv', 'text,label,label\na,b,c\n', "a.csv, line 1: 2 columns 'label'",
     '(numbers from 0 for a file without a header line)'),
    ('a.tsv', 'text,label\na,b\n', 'It looks like commas: name it .csv.',
     '(numbers from 0 for a file without a header line)'),
    ('a.jsonl', '{"text": "a", "label": 1}\nnonsense\n', 'a.jsonl, line 2: no JSON',
     'correct or remove it'),
    ('a.jsonl', '["a", 1]\n', 'a.jsonl, line 1: a JSON list', 'on each line'),
    ('a.jsonl', '{"text": "a"}\n', "a.jsonl, line 1: no key 'label'",
     'SECOND_TEXT_COLUMN or LABEL_COLUMN'),
    ('a.jsonl', '{"text": "a", "label": 1}\n{"text": "b\\ud83d", "label": 1}\n',
     'a.jsonl, line 2: ', 'Correct or remove that row'),
    ('a.csv', b'text,label\na,b\n\xe9,c\n', 'a.csv, line 3: not UTF-8 (byte 0xe9)',
     'iconv -f <its encoding> -t utf-8'),
    ('a.csv', 'text,label\n', 'a.csv: holds no examples', 'It should have a line for each'),
    ('a.csv', '', 'a.csv: holds no examples', 'It should have a line for each'),
    ('a.txt', 'x', 'a.txt: what format is it?', 'Rename it to say which it is'),
])
def test_what_does_not_fit_is_refused_by_line(tmp_path, name, content, where, ends):
  message = refusal(written(tmp_path, name, content))
  assert where in message
  assert message.endswith(ends)


def test_a_plan_looks_at_the_columns_only(tmp_path):
  path = written(tmp_path, 'a.csv', 'text,label\na\n')
  tables.check_columns(path, ('text', 'label'))  # The short row is for `read` to find.
  with pytest.raises(RequestError, match='no column'):
    tables.check_columns(path, ('text', 'stars'))
  with pytest.raises(RequestError, match="or all as names$"):
    tables.check_columns(path, (0, 7))
  with pytest.raises(RequestError, match='TEXT_COLUMN=text$'):
    tables.check_columns(written(tmp_path, 'a.jsonl', '{}'), (0, 1))
  with pytest.raises(RequestError, match='a line for each example$'):
    tables.check_columns(written(tmp_path, 'b.csv', ''), ('text', 'label'))


def test_mixed_columns_are_refused(tmp_path):
  message = refusal(written(tmp_path, 'a.csv', 'a,b\n'), (0, 'label'))
  assert message.endswith('(a file without a header line) or all as names')
