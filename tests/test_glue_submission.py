"""Submissions to the GLUE server from the command line: tiny encoders, few steps, all files.

The test sets have 25 rows here, and so the table of tasks says in this module.
"""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from nlp_export.errors import RequestError
from nlp_export.glue import cell_files, prediction_files, submission_check, tasks
from nlp_export.glue.cells import DEGENERATE, FAILED, OK, Cell, CellResult
from nlp_export.submitting import answers
from tests.glue import official_layout
from tests.in_process import run_main, settings

RUN_FILE = 'gin/runs/glue_submission.gin'
NINE = ('cola', 'sst2', 'mrpc', 'stsb', 'qqp', 'mnli', 'qnli', 'rte', 'wnli')
ROWS = 25
SMALL = {'EPOCHS': 'None', 'recipe.steps': 2, 'BATCH_SIZE': 8, 'MAX_SEQ_LENGTH': 16}
BUT_RTE = f'{tuple(name for name in NINE if name != "rte")!r}'


@pytest.fixture(scope='module', autouse=True)
def small_test_sets():
  with pytest.MonkeyPatch.context() as patch:
    for name in (*NINE, 'ax'):
      task = tasks.TASKS[name]
      splits = tuple(dataclasses.replace(split, rows=ROWS) if split.is_test else split
                     for split in task.splits)
      patch.setitem(tasks.TASKS, name, dataclasses.replace(task, splits=splits))
    yield


@pytest.fixture(scope='module')
def glue(tmp_path_factory) -> str:
  return str(official_layout.write(tmp_path_factory.mktemp('glue'), ROWS - 1))


@pytest.fixture(scope='module')
def given(uncased_exports, glue) -> dict[str, object]:
  return {'EXPORT': uncased_exports['model'], 'PREPROCESSING': uncased_exports['preprocessing'],
          'GLUE_DIR': glue, **SMALL}


def submit(out: Path, *arguments: object, **macros):
  return run_main(RUN_FILE, *settings(**macros), *arguments, '--out_dir', out)


@pytest.fixture(scope='module')
def submitted(given, tmp_path_factory):
  """All nine tasks with two seeds: its out_dir and what the screen showed."""
  out = tmp_path_factory.mktemp('submitted') / 'out'
  return out, submit(out, **given, SEEDS='(0, 1)')


def contents(zip_file: Path) -> dict[str, list[str]]:
  """The answers in each file of a zip."""
  with zipfile.ZipFile(zip_file) as archive:
    return {name: [line.split('\t')[1] for line in archive.read(name).decode().splitlines()[1:]]
            for name in archive.namelist()}


def stored(out: Path, task: str, seed: int) -> dict:
  return json.loads((out / f'glue/cells/{task}/keep/export/seed_{seed}.json').read_text())


def predicted(out: Path, task: str, seed: int) -> dict[str, prediction_files.Predictions]:
  return prediction_files.read(str(out / f'glue/predictions/{task}/keep/export/seed_{seed}.npz'))


def best_seed(out: Path, task: str) -> int:
  """The better one on dev, the lower one of equals; degenerate ones last."""
  cells = [stored(out, task, seed) for seed in (0, 1)]
  scores = [(cell['status'] == OK, cell['metrics'][cell['main_metric']] or -9) for cell in cells]
  return int(scores[1] > scores[0])


def test_nine_tasks_fill_the_eleven_files_of_the_server(submitted):
  out, done = submitted
  assert done.status == 0, done.output
  zip_file = out / 'glue/submission.zip'
  assert len(submission_check.check(str(zip_file))) == 11
  found = contents(zip_file)
  assert list(found) == list(submission_check.test_sets())
  assert {len(rows) for rows in found.values()} == {ROWS}
  lines = done.stdout.splitlines()
  assert lines[-2] == f'submission: {zip_file}'
  assert any(line.startswith('AX.tsv: 25 rows, entailment ') for line in lines)


def test_each_answer_is_of_the_best_seed_s_model_in_the_words_of_the_server(submitted):
  out, done = submitted
  found = contents(out / 'glue/submission.zip')
  seeds = set()
  for task, split, file, words in (
      ('cola', 'test', 'CoLA.tsv', '0 1'), ('mrpc', 'test', 'MRPC.tsv', '0 1'),
      ('qnli', 'test', 'QNLI.tsv', 'entailment not_entailment'),
      ('rte', 'test', 'RTE.tsv', 'entailment not_entailment'),
      # The order of the data set, not that of peers.
      ('mnli', 'test_matched', 'MNLI-m.tsv', 'entailment neutral contradiction'),
      ('mnli', 'test_mismatched', 'MNLI-mm.tsv', 'entailment neutral contradiction'),
      ('mnli', 'ax', 'AX.tsv', 'entailment neutral contradiction'),
  ):
    seed = best_seed(out, task)
    seeds.add(seed)
    outputs = predicted(out, task, seed)[split].outputs
    assert found[file] == [words.split()[at] for at in outputs.argmax(axis=1)], file
    cell = stored(out, task, seed)
    score = cell['metrics'][cell['main_metric']]
    assert f'{task}: seed {seed} of 0, 1: {cell["main_metric"]} {score:.4f}' in done.stdout
  assert seeds == {0, 1}  # Otherwise nothing was chosen.
  other = predicted(out, 'mnli', 1 - best_seed(out, 'mnli'))['ax'].outputs  # Control.
  assert not np.array_equal(other, predicted(out, 'mnli', best_seed(out, 'mnli'))['ax'].outputs)


def test_scores_are_clipped_to_the_scale(submitted):
  out, _ = submitted
  raw = predicted(out, 'stsb', best_seed(out, 'stsb'))['test'].outputs[:, 0]
  assert raw.min() < 0
  written = np.array(contents(out / 'glue/submission.zip')['STS-B.tsv'], float)
  np.testing.assert_allclose(written, np.clip(raw, 0, 5), atol=1e-5)


def test_the_record_says_who_answered_and_that_the_choice_is_biased(submitted, glue):
  out, done = submitted
  record = json.loads((out / 'glue/submission.json').read_text())
  mnli = record['answered']['mnli']
  assert mnli['files'] == ['MNLI-m.tsv', 'MNLI-mm.tsv', 'AX.tsv']
  assert mnli['labels'] == ['entailment', 'neutral', 'contradiction']
  assert (mnli['seed'], mnli['chosen_by']) == (best_seed(out, 'mnli'), 'accuracy_matched')
  assert set(mnli['dev']) == {'accuracy_matched', 'accuracy_mismatched'}
  assert 'biased upwards' in record['notes'][0] and record['notes'][0] in done.stdout
  assert 'diagnostic/diagnostic.tsv' in record['provenance']['inputs']
  hashes = stored(out, 'mnli', 0)['description']['content_hashes']
  assert {'test set test_matched', 'test set test_mismatched', 'test set ax'} < set(hashes)


def test_the_same_command_goes_on_from_its_cells(submitted, given):
  out, _ = submitted
  again = submit(out, **given, SEEDS='(0, 1)')
  assert again.stdout.splitlines()[-1] == f'done: {out} holds this run already'
  zip_file, cell = out / 'glue/submission.zip', out / 'glue/cells/rte/keep/export/seed_0.json'
  before, when = zip_file.read_bytes(), cell.stat().st_mtime_ns
  zip_file.unlink()
  once_more = submit(out, **given, SEEDS='(0, 1)')
  assert once_more.status == 0, once_more.output
  assert 'cells: 18 in all: 18 done' in once_more.stdout.splitlines()
  assert zip_file.read_bytes() == before
  assert cell.stat().st_mtime_ns == when


# Checking a zip alone.


def changed(zip_file: Path, name: str, change) -> bytes:
  """A copy of a zip with one file changed, or left out."""
  data = io.BytesIO()
  with zipfile.ZipFile(zip_file) as archive, zipfile.ZipFile(data, 'w') as copy:
    for each in archive.namelist():
      text = archive.read(each).decode()
      new = change(text) if each == name else text
      assert new != text or each != name
      if new is not None:
        copy.writestr(each, new)
  return data.getvalue()


@pytest.mark.parametrize(('name', 'change', 'says'), [
    ('MNLI-mm.tsv', lambda text: text.replace('\n0\t', '\n9796\t'),
     "- MNLI-mm.tsv, line 2: index '9796' where 0 should be. Count from 0 in every file, in "
     'order.'),
    ('RTE.tsv', lambda text: text.replace('entailment', '1'),
     'is none of entailment, not_entailment. Write those.'),
    ('STS-B.tsv', lambda text: text.replace('\n0\t0.', '\n0\t7.'),
     '- STS-B.tsv, line 2: \'7.'),
    ('AX.tsv', lambda text: None, '- AX.tsv is missing. The server wants all of 11. Add it.'),
])
def test_a_wrong_zip_is_refused(submitted, tmp_path, name, change, says):
  zip_file = tmp_path / 'submission.zip'
  zip_file.write_bytes(changed(submitted[0] / 'glue/submission.zip', name, change))
  done = submit(tmp_path / 'out', SUBMISSION=zip_file)
  assert done.status == 1, done.output
  assert says in done.stderr
  assert done.stderr.splitlines()[-1] == 'Correct these places and check it again.'
  zip_file.write_bytes((submitted[0] / 'glue/submission.zip').read_bytes())  # Control: corrected.
  done = submit(tmp_path / 'out', SUBMISSION=zip_file)
  assert done.status == 0, done.output
  assert done.stdout.splitlines()[-2] == f'{zip_file} is what the GLUE server takes'


# Parts of a submission.


def test_one_label_answers_for_the_tasks_of_majority_and_is_marked(given, tmp_path):
  done = submit(tmp_path / 'out', **given, MAJORITY=BUT_RTE)
  assert done.status == 0, done.output
  found = contents(tmp_path / 'out/glue/submission.zip')
  assert len(found) == 11
  assert found['WNLI.tsv'] == ['0'] * ROWS and found['CoLA.tsv'] == ['1'] * ROWS
  assert set(found['AX.tsv'] + found['MNLI-m.tsv']) == {'entailment'}
  assert set(found['STS-B.tsv']) == {'2.50000'}
  outputs = predicted(tmp_path / 'out', 'rte', 0)['test'].outputs
  assert found['RTE.tsv'] == [('entailment', 'not_entailment')[at] for at in outputs.argmax(1)]
  lines = done.stdout.splitlines()
  assert 'NOT FROM A MODEL: wnli with not_entailment throughout (MAJORITY)' in lines
  assert 'NOT FROM A MODEL: mnli and ax with entailment throughout (MAJORITY)' in lines
  assert not any('biased' in line for line in lines)  # There was one seed.
  record = json.loads((tmp_path / 'out/glue/submission.json').read_text())
  assert record['answered']['wnli']['by'] == 'one label'
  assert record['answered']['rte']['by'] == 'model'


def test_the_labels_of_the_majority_are_those_of_the_real_files(glue_dir):
  from nlp_export.glue import data

  for name in ('cola', 'sst2', 'mrpc', 'rte'):
    counts = data.load(tasks.get(name), 'train', data.GlueDirectory(glue_dir)).label_counts()
    assert answers.one_label(name) == max(counts, key=counts.get)


def test_a_task_whose_trainings_all_failed_leaves_no_zip(given, tmp_path):
  study = tmp_path / 'study.gin'
  study.write_text(f"# What?\ninclude '{RUN_FILE}'\nARMS = {{'export': {{'trainable_layers': 7}}}}"
                   f'\nMAJORITY = {BUT_RTE}\n')
  done = run_main(study, *settings(**given), '--out_dir', tmp_path / 'out')
  assert done.status == 1, done.output
  lines = done.stdout.splitlines()
  assert any(line.startswith('failed: rte/keep/export/seed_0: ') for line in lines)
  assert 'no zip: nothing answers the test sets of rte' in lines
  assert not (tmp_path / 'out/glue/submission.zip').exists()


def test_a_test_set_of_another_length_is_refused_before_training(given, glue, tmp_path):
  other = official_layout.write(tmp_path / 'glue', ROWS - 1)
  path = other / 'RTE/test.tsv'
  path.write_text(''.join(path.read_text().splitlines(keepends=True)[:-1]))
  done = submit(tmp_path / 'out', **{**given, 'GLUE_DIR': other}, MAJORITY=BUT_RTE)
  assert done.status == 2
  assert done.stderr == (
      f'{path} has 24 rows, and the GLUE server wants 25 answers in RTE.tsv. Take the file from '
      'the official download\n')
  assert not (tmp_path / 'out').exists()


# What is refused before any work.


@pytest.mark.parametrize(('macros', 'end'), [
    ({'TASKS': "('rte', 'cola')"},
     "--set \"MAJORITY=('sst2', 'mrpc', 'stsb', 'qqp', 'mnli', 'qnli', 'wnli')\""),
    ({'TASKS': "('rte', 'builtin_word_order')"},
     'It has those of cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte, wnli'),
    ({'MAJORITY': "('ax',)"}, "Name 'mnli' alone"),
    ({'MAJORITY': "('wnl',)"}, 'builtin_next_sentence.'),
    ({'MAJORITY': f'{NINE!r}'}, 'Leave out of MAJORITY what it is to answer'),
    ({'GLUE_DIR': None}, '--set GLUE_DIR=... or --set TFDS_DATA_DIR=...'),
    ({'ARMS': "{'a': {}, 'b': {}}"}, "Write ARMS = {'export': {}}"),
    ({'ARMS': "{'a': {'built': 'baseline'}}"}, "Write ARMS = {'export': {}}"),
    ({'PREPROCESSING': None}, '--set PREPROCESSING=...'),
])
def test_a_wrong_request_is_refused(macros, end, given, tmp_path):
  done = submit(tmp_path / 'out', '--dry_run', **{**given, **macros})
  assert done.status == 2, done.output
  assert done.stderr.rstrip('\n').endswith(end), done.stderr


def test_two_poolers_are_refused(tiny_uncased, glue, tmp_path):
  macros = {**tiny_uncased, 'GLUE_DIR': glue}
  done = submit(tmp_path / 'out', '--dry_run', **macros,
                POOLERS='(@poolers.keep, @poolers.identity)')
  assert done.status == 2
  assert done.stderr.endswith("--set POOLERS='(@poolers.keep,)' or another one\n")
  done = submit(tmp_path / 'out', '--dry_run', **macros)  # Control.
  assert 'to do: mnli/keep/export, seed 0' in done.stdout.splitlines(), done.output


@pytest.mark.parametrize('macro', ['GLUE_DIR', 'TFDS_DATA_DIR'])
def test_all_that_is_missing_is_in_one_message(macro, given, tmp_path):
  place = tmp_path / 'data'
  if macro == 'GLUE_DIR':
    official_layout.write(place, ROWS - 1)
    for name in ('STS-B/test.tsv', 'diagnostic/diagnostic.tsv', 'WNLI/train.tsv'):
      (place / name).unlink()
    expected = ['  stsb: STS-B/test.tsv', '  mnli: diagnostic/diagnostic.tsv',
                '  wnli: WNLI/train.tsv']
    rest = ('stsb', 'mnli', 'wnli')
  else:
    for name in (*NINE, 'ax'):
      if name not in ('ax', 'rte'):
        (place / 'glue' / name / '2.0.0').mkdir(parents=True)
        (place / 'glue' / name / '2.0.0/dataset_info.json').write_text('{}')
    expected, rest = ['  mnli: glue/ax', '  rte: glue/rte'], ('mnli', 'rte')
  done = submit(tmp_path / 'out', '--dry_run', **{**given, 'GLUE_DIR': None, macro: place})
  assert done.status == 2, done.output
  assert done.stderr.splitlines() == [
      'The GLUE server takes the answers to all of its test sets or none, and '
      f'{macro}={place} lacks', *expected,
      'Add these; or let one label answer for these tasks, to try out the rest: '
      f'--set "MAJORITY={rest!r}"']


# Which seed.


def result(seed: int, score: float, status: str = OK) -> CellResult:
  cell = Cell(task='rte', arm='export', pooler='keep', seed=seed)
  if status == FAILED:
    return CellResult.of(cell, status=FAILED, cause='x')
  return CellResult.of(cell, status=status, metrics={'accuracy': score}, main_metric='accuracy',
                       degenerate=('constant',) if status == DEGENERATE else ())


@pytest.mark.parametrize(('results', 'seed'), [
    ([(0, 0.5), (1, 0.7), (2, 0.6)], 1),
    ([(2, 0.7), (1, 0.7), (0, 0.6)], 1),  # Of equal ones the lowest, in whatever order.
    ([(0, 0.9, DEGENERATE), (1, 0.5)], 1),
    ([(0, float('nan'), DEGENERATE), (1, 0.5, DEGENERATE)], 1),
    ([(0, 0, FAILED), (3, 0.5)], 3),
])
def test_the_best_seed_on_dev_is_taken(results, seed):
  assert answers.chosen([result(*each) for each in results]).seed == seed


def test_of_failed_ones_none_is_taken():
  assert answers.chosen([result(0, 0, FAILED)]) is None


def write_cell(out: Path, **changes) -> CellResult:
  """Predictions of an RTE model, and its result."""
  rng = np.random.default_rng(0)
  splits = {name: prediction_files.Predictions(
      rng.normal(size=(ROWS, 2)).astype(np.float32), np.arange(ROWS, dtype=np.int32), labels)
            for name, labels in (('dev', np.zeros(ROWS, np.int32)), ('test', None))}
  splits |= changes
  found = result(0, 0.5)
  path = cell_files.predictions_file(Cell(task='rte', arm='export', pooler='keep', seed=0))
  gold = splits['dev'].gold_sha256()
  prediction_files.write(str(out / path), {k: v for k, v in splits.items() if v is not None})
  return dataclasses.replace(found, predictions_file=path, gold_sha256=gold,
                             labels=('entailment', 'not_entailment'))


def refused(out: Path, found: CellResult) -> str:
  with pytest.raises(RequestError) as raised:
    answers.of_model(str(out), found)
  return raised.value.message


def test_a_model_that_diverged_answers_nothing(tmp_path):
  good = write_cell(tmp_path)
  (found,) = answers.of_model(str(tmp_path), good)  # Control.
  assert found.labels == ('entailment', 'not_entailment') and len(found.values) == ROWS
  outputs = np.zeros((ROWS, 2), np.float32)
  outputs[3] = np.nan
  test = prediction_files.Predictions(outputs, np.arange(ROWS, dtype=np.int32))
  message = refused(tmp_path, write_cell(tmp_path, test=test))
  assert message == ('rte/keep/export/seed_0: the outputs for row 3 of rte test are no numbers. '
                     'The training diverged; fine-tune again with a lower LEARNING_RATE')


def test_predictions_of_another_run_or_without_the_test_set_are_refused(tmp_path):
  found = dataclasses.replace(write_cell(tmp_path), gold_sha256='0' * 64)
  assert refused(tmp_path, found).endswith(
      f'runs the cell again: rm {tmp_path}/{found.predictions_file}')
  message = refused(tmp_path, write_cell(tmp_path, test=None))
  assert message.endswith('was not fine-tuned for a submission. Give another --out_dir')
