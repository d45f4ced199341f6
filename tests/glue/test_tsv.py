"""Every official file under its real header; what is wrong in one is named with its line."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest

from nlp_export.errors import RequestError
from nlp_export.glue import tasks, tsv
from tests.glue import official_layout

FILES = {f'{task.directory}/{split.file}': (task, split)
         for task in tasks.TASKS.values() if not task.is_builtin for split in task.splits}


def read(tmp_path: Path, name: str, text: str | bytes, **options):
  path = tmp_path / Path(name).name
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  return tsv.read(*FILES[name], str(path), **options)


def refused(tmp_path: Path, name: str, text: str | bytes, **options) -> str:
  with pytest.raises(RequestError) as caught:
    read(tmp_path, name, text, **options)
  assert caught.value.message.startswith(str(tmp_path / Path(name).name))
  return caught.value.message.removeprefix(str(tmp_path / Path(name).name))


def test_the_layout_has_every_file_of_the_table():
  assert set(FILES) == set(official_layout.HEADERS)


@pytest.mark.parametrize('name', FILES)
def test_a_file_under_its_real_header(tmp_path, name):
  task, split = FILES[name]
  body = official_layout.rows(name, 6)
  examples = read(tmp_path, name, official_layout.content(name, body))
  header = official_layout.HEADERS[name] or ('source', 'label', 'mark', 'sentence')
  columns = [column for column in header if column in official_layout.TEXT_COLUMNS]
  assert examples.texts == tuple(
      tuple(row[header.index(column)] for row in body) for column in columns)
  assert examples.ids.tolist() == list(range(6)) and examples.ids.dtype == np.int32
  assert examples.lines.tolist() == [at + 1 + split.has_header for at in range(6)]
  if split.is_test:
    assert examples.labels is None
  elif task.is_regression:
    assert examples.labels.dtype == np.float32 and examples.labels.shape == (6,)
    np.testing.assert_allclose(examples.labels, [5, 0, 2.75, 3.2, 5, 0])
  else:
    assert examples.labels.dtype == np.int32
    at = next(at for at, column in enumerate(header) if column in official_layout.LABEL_COLUMNS)
    written = [row[at] for row in body]
    assert [task.values[label] for label in examples.labels] == written
  assert examples.notes == (  # A file that is not the official one is noticed.
      f'{name} has 6 examples; the official file has {split.rows}.',)


SIZES = {'cola': (8551, 1043, 1063), 'mrpc': ((3667, 3668), 408, 1725), 'rte': (2490, 277, 3000),
         'sst2': (67349, 872, 1821)}


@pytest.mark.parametrize('name', SIZES)
def test_the_real_files(glue_dir, name):
  task = tasks.get(name)
  if not (Path(glue_dir) / task.directory).is_dir():
    pytest.skip(f'GLUE_DIR has no {task.directory}')
  for split, size in zip(task.splits, SIZES[name]):
    examples = tsv.read(task, split, f'{glue_dir}/{task.directory}/{split.file}')
    assert len(examples) in np.atleast_1d(size)
    assert not any('left out' in note for note in examples.notes)
    assert (examples.labels is None) == split.is_test
    if not split.is_test:
      assert min(examples.label_counts().values()) > 0


def test_quotation_marks_are_text(tmp_path):
  body = [['0', 'a "b', 'c', 'entailment'], ['1', '"d', 'e"', 'not_entailment']]
  text = official_layout.content('RTE/dev.tsv', body)
  assert read(tmp_path, 'RTE/dev.tsv', text).texts == (('a "b', '"d'), ('c', 'e"'))
  # Control: with quoting, the same file is read wrong without a word.
  quoted = list(csv.reader(text.splitlines(keepends=True), delimiter='\t'))
  assert quoted[2][1] != '"d'


def test_byte_order_mark_windows_line_ends_and_a_missing_last_one(tmp_path):
  text = '\ufeffindex\tsentence1\tsentence2\tlabel\r\n0\ta\tb\tentailment\r\n1\tc\td\tentailment'
  examples = read(tmp_path, 'RTE/dev.tsv', text)
  assert examples.texts == (('a', 'c'), ('b', 'd'))
  assert examples.labels.tolist() == [0, 0]


def test_unicode_line_separators_are_text(tmp_path):
  examples = read(tmp_path, 'SST-2/dev.tsv', 'sentence\tlabel\na\u2028b\x0bc\x85d\t1\n')
  assert examples.texts == (('a\u2028b\x0bc\x85d',),)


def test_where_a_row_stands(tmp_path):
  examples = read(tmp_path, 'SST-2/dev.tsv', 'sentence\tlabel\na\t1\nb\t0\n')
  assert examples.where(1) == f'{tmp_path}/dev.tsv, line 3'
  assert set(examples.origin['files']) == {'SST-2/dev.tsv'}


RTE_HEADER = 'index\tsentence1\tsentence2\tlabel\n'


@pytest.mark.parametrize(('name', 'text', 'says'), [
    ('RTE/train.tsv', RTE_HEADER + '0\ta\tb\tentailment\n1\ta\tentailment\n',
     ", line 3: has 3 fields, not 4: '1\\ta\\tentailment'. A line end inside a text, or a lost "
     'field? Correct it, or train without such rows, each listed in the report: '
     '--set LEAVE_OUT_MALFORMED=True'),
    ('RTE/dev.tsv', RTE_HEADER + '0\ta\tb\tc\tentailment\n',
     ", line 2: has 5 fields, not 4: '0\\ta\\tb\\tc\\tentailment'. A tab inside a text? Correct "
     "it, "
     'or train without such rows, each listed in the report: --set LEAVE_OUT_MALFORMED=True'),
    ('RTE/dev.tsv', RTE_HEADER + '0\ta\tb\tentailment\n\n1\ta\tb\tentailment\n',
     ", line 3: is blank, not 4: ''. A line end inside a text, or spaces in place of tabs? Correct "
     'it, or train without such rows, each listed in the report: --set LEAVE_OUT_MALFORMED=True'),
    ('RTE/test.tsv', 'index\tsentence1\tsentence2\n0\ta\n',
     ", line 2: has 2 fields, not 3: '0\\ta'. A line end inside a text, or a lost field? The "
     "server "
     'wants every row: correct it, or take the file from the download.'),
    ('CoLA/dev.tsv', 'gj04\t1\tMine.\n',
     ", line 1: has 3 fields, not 4: 'gj04\\t1\\tMine.'. A line end inside a text, or a lost "
     "field? "
     'Correct it, or train without such rows, each listed in the report: '
     '--set LEAVE_OUT_MALFORMED=True'),
    ('RTE/dev.tsv', 'index\tpremise\tsentence2\tlabel\n',
     ", line 1: no column 'sentence1'. The line names 'index', 'premise', 'sentence2', 'label'. "
     "RTE "
     'dev needs the columns sentence1, sentence2, label, separated by tabs. Take the file from the '
     'download again, or add the line if it was cut off.'),
    ('RTE/dev.tsv', 'index\tsentence1\tsentence2\n0\ta\tb\n',
     ", line 1: no column 'label'. The line names 'index', 'sentence1', 'sentence2'. RTE dev needs "
     'the columns sentence1, sentence2, label, separated by tabs. Is it the test file, which has '
     'no '
     'labels? Put the labelled one here.'),
    ('RTE/dev.tsv', 'index,sentence1,sentence2,label\n',
     ", line 1: no column 'sentence1' and no column 'sentence2' and no column 'label'. The line "
     "names 'index,sentence1,sentence2,label'. RTE dev needs the columns sentence1, sentence2, "
     'label, separated by tabs. This looks like commas: save it with tabs.'),
    ('RTE/dev.tsv', 'label\tsentence1\tsentence2\tlabel\n',
     ", line 1: the column 'label' is there 2 times. Which is meant? Rename the others."),
    ('RTE/dev.tsv', '', ': is empty. It should start with a line that names its columns. Take it '
     'from the download again.'),
    ('RTE/dev.tsv', RTE_HEADER,
     ': holds no examples. The official file has 277. Take it from the download again.'),
    ('CoLA/train.tsv', '',
     ': holds no examples. The official file has 8551. Take it from the download again.'),
    ('RTE/dev.tsv', RTE_HEADER + '0\ta\tb\tneutral\n',
     ", line 2: label 'neutral' is none of entailment, not_entailment. Correct it, or take the "
     "file "
     'from the download again.'),
    ('RTE/dev.tsv', RTE_HEADER + '0\ta\tb\tentailment \n',
     ", line 2: label 'entailment ' is none of entailment, not_entailment. Remove the spaces "
     "around "
     'it.'),
    ('WNLI/dev.tsv', RTE_HEADER + '0\ta\tb\tentailment\n',
     ", line 2: label 'entailment' is none of 0, 1. This file writes '1' for it."),
    ('MNLI/dev_matched.tsv',
     'sentence1\tsentence2\tgold_label\na\tb\t-\n',
     ", line 2: label '-' is none of entailment, neutral, contradiction. Correct it, or take the "
     'file from the download again.'),
    ('CoLA/dev.tsv', 'source\tlabel\tmark\tsentence\ngj04\t1\t\tMine.\n',
     ", line 1: label 'label' is none of 0, 1. CoLA's dev.tsv has no header, so its first line is "
     'an example. If this one names columns, remove it.'),
    ('STS-B/dev.tsv', 'sentence1\tsentence2\tscore\na\tb\tnan\n',
     ", line 2: score 'nan' is no number from 0 to 5. Correct it, or take the file from the "
     'download again.'),
    ('STS-B/dev.tsv', 'sentence1\tsentence2\tscore\na\tb\t5.1\n',
     ", line 2: score '5.1' is no number from 0 to 5. Correct it, or take the file from the "
     'download again.'),
    ('QQP/test.tsv', 'id\tquestion1\tquestion2\n0\ta\tb\n2\ta\tb\n',
     ", line 3: index '2' where 1 should be. The rows of a test set count from 0 without gaps, and "
     'the server scores by that number. Take the file from the download again.'),
    ('SST-2/dev.tsv', b'sentence\tlabel\na\t1\ncaf\xe9\t0\n',
     ', line 3: not UTF-8 (byte 0xe9). The official files are. Convert it with iconv -f <its '
     'encoding> -t utf-8, or take it from the download again.'),
])  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, name, text, says):
  assert refused(tmp_path, name, text) == says


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(RequestError, match=r'dev.tsv: there is no such file or directory. Check'):
    tsv.read(*FILES['RTE/dev.tsv'], str(tmp_path / 'dev.tsv'))


BROKEN_QQP = ('id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n'
              '1\t2\t3\tWho?\tWhat?\t0\n'
              '4\t5\t6\tWas he real?\n'
              '"\tWas he?\t0\n'
              '7\t8\t9\tWhy?\tWhy not?\t1\n')


def test_malformed_rows_can_be_left_out_and_are_all_written_down(tmp_path):
  examples = read(tmp_path, 'QQP/train.tsv', BROKEN_QQP, leave_out_malformed=True)
  assert examples.texts == (('Who?', 'Why?'), ('What?', 'Why not?'))
  assert examples.ids.tolist() == [0, 3] and examples.lines.tolist() == [2, 5]
  assert examples.notes[:2] == (
      'QQP/train.tsv, line 3, left out: has 4 fields, not 6.',
      'QQP/train.tsv, line 4, left out: has 3 fields, not 6.')
  assert 'line 3' in refused(tmp_path, 'QQP/train.tsv', BROKEN_QQP)  # Control: not by default.


def test_many_malformed_rows_are_all_written_down(tmp_path):
  text = BROKEN_QQP + 'x\n' * 30
  notes = read(tmp_path, 'QQP/train.tsv', text, leave_out_malformed=True).notes
  assert 'lines 24, 25, ' in notes[20] and notes[20].endswith('34, 35.')


def test_a_test_set_keeps_every_row_even_then(tmp_path):
  message = refused(tmp_path, 'RTE/test.tsv', 'index\tsentence1\tsentence2\n0\ta\n',
                    leave_out_malformed=True)
  assert 'The server wants every row' in message


def test_an_unknown_label_is_never_left_out(tmp_path):
  text = RTE_HEADER + '0\ta\tb\tneutral\n'
  assert 'line 2' in refused(tmp_path, 'RTE/train.tsv', text, leave_out_malformed=True)


def test_an_empty_text_is_kept_and_written_down(tmp_path):
  text = ('id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\tWho?\t\t0\n'
          '1\t2\t3\tWho?\tMe?\t0\n')
  examples = read(tmp_path, 'QQP/train.tsv', text)
  assert len(examples) == 2
  assert examples.notes[0] == (
      'QQP/train.tsv: the text in column question2 is empty in 1 row (line 2); kept.')


def test_hashes_tell_other_labels_and_other_texts(tmp_path):
  text = 'sentence\tlabel\na\t1\nb\t0\n'
  one = read(tmp_path, 'SST-2/dev.tsv', text)
  same = read(tmp_path, 'SST-2/dev.tsv', text.replace('\n', '\r\n'))
  assert one.gold_sha256() == same.gold_sha256() and one.text_sha256() == same.text_sha256()
  other = read(tmp_path, 'SST-2/dev.tsv', text.replace('b\t0', 'b\t1'))
  assert one.gold_sha256() != other.gold_sha256() and one.text_sha256() == other.text_sha256()
  little_endian = bytes([1, 0, 0, 0, 0, 0, 0, 0])  # Two int32.
  assert one.gold_sha256() == hashlib.sha256(little_endian).hexdigest()


def test_labels_are_a_vector():
  task = tasks.get('stsb')
  from nlp_export.glue.examples import Examples

  with pytest.raises(ValueError, match=r'\(2, 1\), not \[N\]'):
    Examples(task, 'dev', (('a', 'b'), ('c', 'd')), np.zeros((2, 1), np.float32), np.arange(2), {},
             'x')
