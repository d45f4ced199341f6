"""corpora/text_files.py: BERT's text format, plain and gzip, on a local disk and on ram://."""

from __future__ import annotations

import gzip
import uuid

import pytest

from nlp_export import files
from nlp_export.corpora import text_files
from nlp_export.corpora.text_files import Run
from nlp_export.errors import RequestError

TEXT = 'One.\nTwo.\n\n\nThree.\n \nFour.\nFive.'
DOCUMENTS = [(('One.', 'Two.'), 'a.txt:1'), (('Three.',), 'a.txt:5'),
             (('Four.', 'Five.'), 'a.txt:7')]


@pytest.fixture(params=['local', 'ram'])
def place(request, tmp_path):
  """An empty directory of each kind."""
  return str(tmp_path) if request.param == 'local' else f'ram://text/{uuid.uuid4().hex}'


def found(patterns):
  return [(document.sentences, document.source) for document in text_files.read(patterns)]


@pytest.mark.parametrize('form', [
    lambda text: text.encode(),
    lambda text: text.encode() + b'\n',
    lambda text: b'\xef\xbb\xbf' + text.replace('\n', '\r\n').encode(),
    lambda text: gzip.compress(text.encode()),  # Known by its first bytes, whatever its name.
    lambda text: gzip.compress(text[:7].encode()) + gzip.compress(text[7:].encode()),
], ids=['plain', 'last line ended', 'byte-order mark and CRLF', 'gzip', 'two gzip members'])
def test_forms_of_one_text_give_the_same_documents(place, form):
  path = files.join(place, 'a.txt')
  files.write_bytes(path, form(TEXT))
  assert found(path) == DOCUMENTS
  files.write_bytes(path, form(TEXT.replace('\n \n', '\n')))  # Control: blank lines count.
  assert len(found(path)) == 2


def test_a_line_ends_at_a_line_feed_alone(tmp_path):
  path = tmp_path / 'a.txt'
  path.write_bytes('One\u2028and\u0085two\x0cthree.\nNext.'.encode())
  assert found(str(path))[0][0] == ('One\u2028and\u0085two\x0cthree.', 'Next.')


def test_a_files_end_ends_a_document_and_patterns_are_sorted(tmp_path):
  for name in ('b.txt', 'a.txt', 'c.text'):
    (tmp_path / name).write_text(f'In {name}.\n')
  assert found([str(tmp_path / '*.text'), str(tmp_path / '*.txt')]) == [
      (('In c.text.',), 'c.text:1'), (('In a.txt.',), 'a.txt:1'), (('In b.txt.',), 'b.txt:1')]


@pytest.mark.parametrize('compress', [bytes, gzip.compress])
def test_a_document_is_found_again_by_its_place(place, compress):
  path = files.join(place, 'a.txt')
  files.write_bytes(path, compress(b'\xef\xbb\xbf' + TEXT.replace('Two', 'Zwölf').encode()))
  whole = list(text_files.read_runs(path))
  for run, document in whole:
    assert list(text_files.read_runs(path, [run])) == [(run, document)]
  first, last = whole[0][0], whole[2][0]
  again = text_files.read_runs(path, [first, last])
  assert list(again) == [whole[0], whole[2]]
  assert list(text_files.read_runs(path, [Run(first.offset, 1, 2)])) == whole[:2]
  wrong = Run(last.offset + 1, last.line, 1)  # Control.
  assert list(text_files.read_runs(path, [wrong])) != [whole[2]]


def test_a_file_is_read_as_a_stream(tmp_path):
  path = tmp_path / 'a.txt'
  path.write_bytes(b'One.\n\n' + b'x' * 2**20 + b'\n\xff\n')
  documents = text_files.read(str(path))
  assert next(documents).sentences == ('One.',)  # Before the line that cannot be read.
  with pytest.raises(RequestError, match='line 4'):
    next(documents)


CUT = gzip.compress(b'One.\nTwo.\n' * 5000)[:-60]
BROKEN = gzip.compress(bytes(range(1, 128)) * 50)


@pytest.mark.parametrize(('data', 'says', 'last'), [
    (b'Fine.\n\nCaf\xe9 here.\n', 'a.txt, line 3: not UTF-8 (byte 4 of the line is 0xe9)',
     'Convert it with iconv -f <its encoding> -t UTF-8'),
    ('Fine.\n'.encode('utf-16-le'), 'a.txt, line 1: has a zero byte',
     'Convert it with iconv -f UTF-16 -t UTF-8'),
    ('Fine.\n'.encode('utf-16'), 'a.txt, line 1: ', None),
    (CUT, 'damaged gzip (Compressed file ended', 'see how far it is good: gzip -t '),
    (BROKEN[:40] + b'\xff\xff\xff' + BROKEN[43:], 'damaged gzip', 'gzip -t '),
    (b'', 'a.txt: 0 bytes, and every line is blank', 'a blank line between documents.'),
    (b' \n\n\t\n', 'a.txt: 5 bytes, and every line is blank', 'a blank line between documents.'),
])
def test_what_is_no_text_is_refused(tmp_path, data, says, last):
  path = tmp_path / 'a.txt'
  path.write_bytes(data)
  with pytest.raises(RequestError) as error:
    found(str(path))
  assert says in str(error.value)
  if last is not None:
    assert str(error.value).removesuffix(str(path)).endswith(last)


def test_one_empty_file_among_others_is_no_error(tmp_path):
  (tmp_path / 'a.txt').write_text('')
  (tmp_path / 'b.txt').write_text('One.')
  assert len(found(str(tmp_path / '*.txt'))) == 1


@pytest.mark.parametrize(('patterns', 'last'), [
    (['*.md'], 'Give paths or patterns of UTF-8 text files: text/*.txt'),
    (['*.txt', 'a.*'], 'Write patterns that do not overlap'),
    (['*'], '/*'),
    ([], 'or leave it out for the embedded corpus.'),
])
def test_patterns_that_cannot_be_meant_are_refused(tmp_path, patterns, last):
  (tmp_path / 'a.txt').write_text('One.')
  (tmp_path / 'folder').mkdir()
  with pytest.raises(RequestError) as error:
    text_files.expand([str(tmp_path / pattern) for pattern in patterns])
  assert str(error.value).endswith(last)
  assert text_files.expand(str(tmp_path / '*.txt')) == (str(tmp_path / 'a.txt'),)  # Control.


def test_a_file_that_changed_since_its_places_were_noted_is_refused(tmp_path):
  path = tmp_path / 'a.txt'
  path.write_text('One.\n\nTwo.\n')
  assert len(list(text_files.read_runs(str(path), [Run(0, 1, 2)]))) == 2
  path.write_text('One.\nTwo.\n')
  with pytest.raises(RequestError, match='1 documents where there were 2.*another --out_dir$'):
    list(text_files.read_runs(str(path), [Run(0, 1, 2)]))
