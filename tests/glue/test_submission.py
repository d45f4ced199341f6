"""The zip for the GLUE server: what is written, and every way in which one can be wrong."""

from __future__ import annotations

import dataclasses
import io
import zipfile

import numpy as np
import pytest

from nlp_export.errors import CheckError, RequestError
from nlp_export.glue import data, submission, submission_check, tasks
from nlp_export.glue.submission import TestPredictions

FILES = ('CoLA.tsv', 'SST-2.tsv', 'MRPC.tsv', 'STS-B.tsv', 'QQP.tsv', 'MNLI-m.tsv', 'MNLI-mm.tsv',
         'QNLI.tsv', 'RTE.tsv', 'WNLI.tsv', 'AX.tsv')


def predictions(task: tasks.Task, split: tasks.Split, **changes) -> TestPredictions:
  """Plausible ones for a whole test set."""
  rng = np.random.default_rng(0)
  values = (rng.normal(2.5, 2.0, split.rows).astype(np.float32) if task.is_regression
            else rng.integers(0, task.outputs, split.rows))
  made = TestPredictions(task, split.name, values, np.arange(split.rows), task.model_task,
                         task.labels)
  return dataclasses.replace(made, **changes)


@pytest.fixture(scope='module')
def all_predictions():
  return {name: predictions(*place) for name, place in submission_check.test_sets().items()}


@pytest.fixture(scope='module')
def good(all_predictions, tmp_path_factory) -> dict[str, str]:
  """Names and contents of a right zip."""
  path = tmp_path_factory.mktemp('submission') / 'glue.zip'
  submission.write(str(path), list(all_predictions.values()))
  with zipfile.ZipFile(path) as archive:
    return {name: archive.read(name).decode() for name in archive.namelist()}


def pack(contents: dict[str, str | bytes]) -> bytes:
  data = io.BytesIO()
  with zipfile.ZipFile(data, 'w') as archive:
    for name, text in contents.items():
      archive.writestr(name, text)
  return data.getvalue()


def test_the_server_s_eleven_files_with_header_and_index(good):
  assert sorted(good) == sorted(FILES)
  for text in good.values():
    lines = text.splitlines()
    assert lines[0] == 'index\tprediction'
    # From 0 in every file: MNLI's two as well.
    assert [line.split('\t')[0] for line in lines[1:]] == [str(n) for n in range(len(lines) - 1)]


@pytest.mark.parametrize(('name', 'words'), [
    ('CoLA.tsv', '0 1'), ('SST-2.tsv', '0 1'), ('MRPC.tsv', '0 1'), ('QQP.tsv', '0 1'),
    ('WNLI.tsv', '0 1'), ('MNLI-m.tsv', 'contradiction entailment neutral'),
    ('MNLI-mm.tsv', 'contradiction entailment neutral'),
    ('AX.tsv', 'contradiction entailment neutral'), ('QNLI.tsv', 'entailment not_entailment'),
    ('RTE.tsv', 'entailment not_entailment'),
])
def test_label_strings(good, all_predictions, name, words):
  found = [line.split('\t')[1] for line in good[name].splitlines()[1:]]
  assert sorted(set(found)) == words.split()
  task = all_predictions[name].task
  assert [task.values.index(word) for word in found] == all_predictions[name].values.tolist()


def test_scores_are_clipped(good, all_predictions):
  raw = all_predictions['STS-B.tsv'].values
  assert raw.min() < 0 and raw.max() > 5
  found = [float(line.split('\t')[1]) for line in good['STS-B.tsv'].splitlines()[1:]]
  np.testing.assert_allclose(found, np.clip(raw, 0, 5), atol=1e-5)


def test_another_order_of_outputs_does_not_permute_the_answers():
  task = tasks.get('mnli')
  ours = predictions(task, task.split('test_matched'))
  order = ('contradiction', 'entailment', 'neutral')  # As peers have it.
  theirs = dataclasses.replace(
      ours, labels=order, values=np.array([order.index(task.labels[v]) for v in ours.values]))
  assert submission.file_text(theirs) == submission.file_text(ours)
  misread = dataclasses.replace(theirs, labels=task.labels)  # Control: ids alone would.
  assert submission.file_text(misread) != submission.file_text(ours)


def test_equal_predictions_give_equal_bytes(all_predictions, tmp_path):
  for name in ('a.zip', 'b.zip'):
    order = list(all_predictions.values())[:: 1 if name == 'a.zip' else -1]
    submission.write(str(tmp_path / name), order)
  assert (tmp_path / 'a.zip').read_bytes() == (tmp_path / 'b.zip').read_bytes()
  lines = submission_check.check(str(tmp_path / 'a.zip'))
  assert len(lines) == 11 and lines[0].startswith('CoLA.tsv: 1063 rows, 0 ')


def refused(all_predictions, path, name, prediction) -> str:
  with pytest.raises(RequestError) as caught:
    submission.write(str(path), [*(p for n, p in all_predictions.items() if n != name), prediction])
  assert not path.exists()
  return caught.value.message


def test_ax_from_another_model_is_refused(all_predictions, tmp_path):
  wrong = dataclasses.replace(all_predictions['AX.tsv'], model_task='rte')
  says = refused(all_predictions, tmp_path / 'x.zip', 'AX.tsv', wrong)
  assert says.endswith('Predict it with a model fine-tuned on mnli.')


def test_other_label_names_are_refused(all_predictions, tmp_path):
  wrong = dataclasses.replace(all_predictions['RTE.tsv'], labels=('LABEL_0', 'LABEL_1'))
  says = refused(all_predictions, tmp_path / 'x.zip', 'RTE.tsv', wrong)
  assert says.endswith('in the order of its outputs.')


def test_a_score_that_is_no_number_is_refused(all_predictions, tmp_path):
  values = all_predictions['STS-B.tsv'].values.copy()
  values[7] = np.nan
  wrong = dataclasses.replace(all_predictions['STS-B.tsv'], values=values)
  says = refused(all_predictions, tmp_path / 'x.zip', 'STS-B.tsv', wrong)
  assert says == ('stsb: the prediction of row 7 is nan. The training diverged; fine-tune again '
                  'with a lower LEARNING_RATE.')


def test_too_few_rows_are_refused_and_nothing_is_written(all_predictions, tmp_path):
  few = all_predictions['RTE.tsv']
  few = dataclasses.replace(few, values=few.values[:9], ids=few.ids[:9])
  says = refused(all_predictions, tmp_path / 'x.zip', 'RTE.tsv', few)
  assert '- RTE.tsv: 9 predictions, but rte test has 3000 rows.' in says
  assert says.endswith('Predict every row of the official test files.')


def test_missing_repeated_and_foreign_sets_are_refused(all_predictions, tmp_path):
  some = list(all_predictions.values())
  path = str(tmp_path / 'x.zip')
  with pytest.raises(RequestError, match=r'No predictions for AX.tsv. .*WNLI: everybody does\).$'):
    submission.write(path, some[:-1])
  with pytest.raises(RequestError, match='CoLA.tsv is given twice. .* Give one of them.$'):
    submission.write(path, [*some, some[0]])
  builtin = dataclasses.replace(some[0], task=tasks.get('builtin_word_order'))
  with pytest.raises(RequestError, match='builtin_word_order test is not a test set'):
    submission.write(path, [builtin])


def test_a_right_zip_passes(good):
  assert submission_check.check_bytes(pack(good)) == []


def edited(good, name, old, new, count=1):
  text = good[name].replace(old, new, count)
  assert text != good[name]
  return {**good, name: text}


def row(good, name, number):
  return good[name].splitlines()[number + 1] + '\n'


@pytest.mark.parametrize(('change', 'says'), [
    (lambda good: {k: v for k, v in good.items() if k != 'WNLI.tsv'},
     '- WNLI.tsv is missing. The server wants all of 11. Add it.'),
    (lambda good: {**good, 'SNLI.tsv': ''}, '- SNLI.tsv is not a file of the server. Remove it.'),
    (lambda good: {(f'glue/{k}' if k == 'AX.tsv' else k): v for k, v in good.items()},
     '- AX.tsv lies in a folder (glue/AX.tsv). Zip the files themselves, not their folder.'),
    (lambda good: edited(good, 'RTE.tsv', 'index\tprediction', 'id\tlabel'),
     "- RTE.tsv, line 1: 'id\\tlabel' where index<TAB>prediction should be. Write that line "
     "first."),
    (lambda good: edited(good, 'RTE.tsv', 'index\tprediction\n', ''),
     'where index<TAB>prediction should be. Write that line first.'),
    (lambda good: edited(good, 'RTE.tsv', '\n', '\r\n'),
     "'index\\tprediction\\r' where index<TAB>prediction should be. Write that line first."),
    (lambda good: {**good, 'RTE.tsv': b'\xef\xbb\xbf' + good['RTE.tsv'].encode()},
     '- RTE.tsv, line 1: byte 0xef is not ASCII. Save it as plain ASCII text.'),
    (lambda good: edited(good, 'RTE.tsv', row(good, 'RTE.tsv', 2999), ''),
     '- RTE.tsv: 2999 predictions, but rte test has 3000 rows. Predict each row of the official '
     'test file.'),
    (lambda good: {**good, 'RTE.tsv': good['RTE.tsv'] + '3000\tentailment\n'},
     '- RTE.tsv: 3001 predictions, but rte test has 3000 rows.'),
    (lambda good: {**good, 'RTE.tsv': good['RTE.tsv'][:-1]},
     '- RTE.tsv, line 3001: the last line has no end. Is the file cut off? Write it again.'),
    (lambda good: edited(good, 'RTE.tsv', '\n5\t', '\n6\t'),
     "- RTE.tsv, line 7: index '6' where 5 should be. Count from 0 in every file, in order."),
    # MNLI's indices restart in each file.
    (lambda good: edited(good, 'MNLI-mm.tsv', '\n0\t', '\n9796\t'),
     "- MNLI-mm.tsv, line 2: index '9796' where 0 should be. Count from 0 in every file, in "
     "order."),
    (lambda good: edited(good, 'RTE.tsv', 'not_entailment', 'contradiction'),
     "'contradiction' is none of entailment, not_entailment. Write those."),
    (lambda good: edited(good, 'CoLA.tsv', '\n3\t', '\n3\tacceptable '),
     'is none of 0, 1. Write those.'),
    (lambda good: edited(good, 'STS-B.tsv', '5.00000', '5.20000'),
     "'5.20000' is no number from 0 to 5. Clip the scores."),
    (lambda good: edited(good, 'STS-B.tsv', '5.00000', 'nan'),
     "'nan' is no number from 0 to 5. Clip the scores."),
    (lambda good: edited(good, 'QNLI.tsv', '\n4\t', '\n4,'),
     'is not index<TAB>prediction. Write two fields with a tab.'),
    (lambda good: edited(good, 'QNLI.tsv', 'entailment', 'ENTAILMENT', -1),
     '- QNLI.tsv: 5460 more lines like these.'),
])  # fmt: skip
def test_a_wrong_zip_is_refused(good, tmp_path, change, says):
  path = tmp_path / 'glue.zip'
  path.write_bytes(pack(change(good)))
  with pytest.raises(CheckError) as caught:
    submission_check.check(str(path))
  assert says in caught.value.message
  assert caught.value.message.endswith('Correct these places and check it again.')


@pytest.mark.filterwarnings('ignore:Duplicate name')
def test_a_file_twice_no_zip_and_a_damaged_one(good, tmp_path):
  twice = io.BytesIO(pack(good))
  with zipfile.ZipFile(twice, 'a') as archive:
    archive.writestr('AX.tsv', good['AX.tsv'])
  assert submission_check.check_bytes(twice.getvalue()) == [
      '- AX.tsv is there 2 times. Keep one.']
  assert submission_check.check_bytes(b'no')[0].endswith('Pack the TSV files with zip.')
  damaged = bytearray(pack(good))
  damaged[2000] ^= 1
  assert submission_check.check_bytes(bytes(damaged)) == ['- CoLA.tsv is damaged. Pack it again.']


def test_the_rows_the_checker_expects_are_those_of_the_real_test_files(glue_dir):
  for name in ('cola', 'sst2', 'mrpc', 'rte'):
    task = tasks.get(name)
    test = data.load(task, 'test', data.GlueDirectory(glue_dir))
    assert len(test) == task.split('test').rows
    assert test.ids.tolist() == list(range(len(test)))
