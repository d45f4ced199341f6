"""The matrix runner, in one process and in two."""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nlp_export import files
from nlp_export.errors import CheckError, RequestError
from nlp_export.glue import cell_files
from nlp_export.glue.cells import CellResult
from nlp_export.glue.matrix import preview, run_matrix
from nlp_export.glue.work import Work, open_work
from nlp_export.running.claims import Claims
from tests.glue import matrix_lab

ROOT = Path(__file__).resolve().parent.parent.parent
CELLS = matrix_lab.cells(seeds=2)[:4]
good = matrix_lab.run_cell_with(lambda what, name: None)


class Said(list):
  """Lines, and the function that shows one."""

  def __call__(self, line):
    self.append(line)


def run(out, run_cell=good, cells=CELLS, **options):
  said = Said()
  outcome = run_matrix(cells, run_cell, str(out), say=said, terminal=False, poll_seconds=0.02,
                       **options)
  return outcome, said


def counted(run_cell=good):
  """The function, and the names of the cells it was called with."""
  names = []

  def counting(cell, work):
    names.append(cell.name)
    return run_cell(cell, work)

  return counting, names


def test_a_matrix_and_its_repetition(tmp_path):
  run_cell, names = counted()
  assert preview(CELLS, str(tmp_path)) == ['cells: 4 in all: 4 to do']
  assert not list(tmp_path.iterdir())
  outcome, said = run(tmp_path, run_cell)
  assert outcome.passed and outcome.ran == tuple(names) == tuple(c.name for c in CELLS)
  assert [r.metrics['accuracy'] for r in outcome.results] == [
      matrix_lab.expected(cell) for cell in CELLS]
  assert outcome.lines() == ['4 of 4 cells have results']
  assert said[0] == 'cells: 4 in all: 4 to do'
  assert said[1] == 'cola/keep/export/seed_0: starting'
  assert said[2].startswith(
      f'cola/keep/export/seed_0: accuracy {matrix_lab.expected(CELLS[0]):.4f} after 0 s (1 of 4')
  again, said = run(tmp_path, run_cell)
  assert said == ['cells: 4 in all: 4 done']
  assert (again.ran, again.results) == ((), outcome.results)
  assert len(names) == 4


def test_a_failed_cell_is_recorded_and_the_rest_goes_on(tmp_path):
  causes = {CELLS[0].name: CheckError('No space in the model.'),
            CELLS[1].name: ZeroDivisionError('division by zero'), CELLS[2].name: SystemExit(4)}

  def run_cell(cell, work):
    files.write_text(files.join(work.directory, 'half'), 'x')
    if cell.name in causes:
      raise causes[cell.name]
    files.remove(files.join(work.directory, 'half'))
    return good(cell, work)

  outcome, said = run(tmp_path, run_cell)
  assert not outcome.passed
  assert [r.status for r in outcome.results] == ['failed', 'failed', 'failed', 'ok']
  assert [r.cause for r in outcome.failed] == [
      'No space in the model.', 'ZeroDivisionError: division by zero', 'SystemExit: 4']
  assert outcome.lines()[0] == '1 of 4 cells have results'
  assert outcome.lines()[-1] == 'Repeat the command to try the failed cells again'
  assert any(line.startswith('cola/keep/export/seed_0: failed: No space in the model. after')
             for line in said)
  assert [r.status for r in cell_files.collect(str(tmp_path))].count('failed') == 3
  again, said = run(tmp_path)
  assert said[0] == 'cells: 4 in all: 1 done, 3 to do'
  assert said[1] == 'trying again: cola/keep/export/seed_0: No space in the model.'
  assert again.passed and len(again.ran) == 3
  stored = cell_files.read(str(tmp_path), CELLS[0])
  assert stored is not None and stored.attempt == 2


def test_a_cell_that_fails_again_is_not_tried_for_ever(tmp_path):
  def run_cell(cell, work):
    raise ValueError('always')

  for attempt in (1, 2):
    counting, names = counted(run_cell)
    outcome, _ = run(tmp_path, counting)
    assert len(names) == len(CELLS) and len(outcome.failed) == len(CELLS)
    stored = cell_files.read(str(tmp_path), CELLS[0])
    assert stored is not None and stored.attempt == attempt


@pytest.mark.parametrize(('returned', 'cause'), [
    (lambda cell: None, 'TypeError: run_cell returned NoneType, not a CellResult'),
    (lambda cell: {'status': 'ok'}, 'TypeError: run_cell returned dict, not a CellResult'),
    (lambda cell: CellResult.of(CELLS[1], status='failed', cause='x'),
     'ValueError: run_cell returned the result of cola/keep/export/seed_1 or of other seeds'),
    (lambda cell: CellResult.of(cell, status='ok', metrics={'f1': 1.0}, main_metric='f1',
                                predictions_file='glue/predictions/no.npz'),
     'ValueError: run_cell has not written its predictions, glue/predictions/no.npz'),
])
def test_a_result_that_is_none_fails_the_cell(tmp_path, returned, cause):
  outcome, _ = run(tmp_path, lambda cell, work: returned(cell), CELLS[:1])
  assert [r.cause for r in outcome.failed] == [cause]


def test_degenerate_cells_are_counted_and_do_not_fail(tmp_path):
  def run_cell(cell, work):
    return CellResult.of(cell, status='degenerate', metrics={'pearson': float('nan')},
                         main_metric='pearson', degenerate=('constant prediction',))

  outcome, said = run(tmp_path, run_cell, CELLS[:1])
  assert outcome.passed
  assert outcome.lines() == ['1 of 1 cells have results, 1 of them degenerate']
  assert 'pearson nan, degenerate: constant prediction' in said[2]


def test_interrupted_a_cell_is_free_and_goes_on_inside(tmp_path):
  def run_cell(cell, work):
    if not work.resumed:
      files.write_json(files.join(work.directory, 'state.json'), {
          'step': 1, 'state': matrix_lab.step(cell.config_hash)})
      raise KeyboardInterrupt
    return good(cell, work)

  with pytest.raises(KeyboardInterrupt):
    run(tmp_path, run_cell)
  assert cell_files.collect(str(tmp_path)) == []
  lines = preview(CELLS, str(tmp_path))
  assert lines == ['cells: 4 in all: 1 resuming, 3 to do', f'resuming: {CELLS[0].name}']
  outcome, said = run(tmp_path, run_cell, CELLS[:1])
  assert f'{CELLS[0].name}: resuming' in said
  assert outcome.results[0].metrics['accuracy'] == matrix_lab.expected(CELLS[0])


def test_another_configuration_is_refused_before_anything_runs(tmp_path):
  run(tmp_path, cells=CELLS[:2])
  run_cell, names = counted()
  changed = [dataclasses.replace(cell, recipe={**cell.recipe, 'learning_rate': 1e-4})
             for cell in CELLS]
  with pytest.raises(RequestError, match='recipe.learning_rate: was 3e-05, is 0.0001'):
    run(tmp_path, run_cell, changed)
  with pytest.raises(RequestError, match='recipe.learning_rate'):
    preview(changed, str(tmp_path))
  assert not names
  run(tmp_path, run_cell, changed[2:])  # Other cells are not concerned.


def test_unfinished_work_of_another_configuration_is_refused_too(tmp_path):
  open_work(str(tmp_path), CELLS[0])
  changed = dataclasses.replace(CELLS[0], content_hashes={'export': 'c' * 64})
  with pytest.raises(RequestError, match='content_hashes.export: was'):
    run(tmp_path, cells=[changed])
  run(tmp_path, cells=CELLS[:1])  # Control.


def test_a_damaged_cell_stops_the_run_before_anything_runs(tmp_path):
  run(tmp_path)
  Path(cell_files.cell_path(str(tmp_path), CELLS[1])).write_text('{"schema')
  run_cell, names = counted()
  with pytest.raises(RequestError, match=r'runs the cell again: rm '):
    run(tmp_path, run_cell)
  files.remove(cell_files.cell_path(str(tmp_path), CELLS[1]))
  run(tmp_path, run_cell)
  assert names == [CELLS[1].name]


def test_cells_of_another_process_are_waited_for(tmp_path):
  """One thread has a cell; the other does the rest, waits, and returns all results."""
  begun, go_on = threading.Event(), threading.Event()
  slow_names, quick_names = [], []

  def slow(cell, work):
    slow_names.append(cell.name)
    begun.set()
    assert go_on.wait(10)
    return good(cell, work)

  def quick(cell, work):
    quick_names.append(cell.name)
    return good(cell, work)

  outcomes = []
  thread = threading.Thread(target=lambda: outcomes.append(run(tmp_path, slow)))
  thread.start()
  assert begun.wait(10)
  said = Said()

  def say(line):
    said(line)
    if line.startswith('waiting for'):
      go_on.set()

  outcome = run_matrix(CELLS, quick, str(tmp_path), say=say, terminal=False, poll_seconds=0.02)
  thread.join(10)
  assert said[0] == 'cells: 4 in all: 1 with another process, 3 to do'
  assert any(line.startswith(f'waiting for {CELLS[0].name} (process ') for line in said)
  assert slow_names == [CELLS[0].name]
  assert quick_names == [cell.name for cell in CELLS[1:]]
  assert outcomes[0][0].results == outcome.results


def test_what_a_sleeper_did_is_dropped_when_its_cell_was_taken_over(tmp_path):
  def taken_over(cell, work):
    place = tmp_path / 'glue' / 'claims' / cell.name
    if not (place / '1.json').exists():
      # Another machine waited long enough, took it, finished it.
      (place / '1.json').write_text('{}')
      stored = cell_files.StoredCell(
          CellResult.of(cell, status='ok', metrics={'f1': 1.0}, main_metric='f1'),
          cell.description, 1, 1.0)
      cell_files.write(str(tmp_path), cell, stored)
    return good(cell, work)

  outcome, said = run(tmp_path, taken_over, CELLS[:1])
  assert outcome.results[0].metrics == {'f1': 1.0} and outcome.ran == ()
  assert any('another process has taken it over' in line for line in said)


def test_a_cell_that_is_finished_between_look_and_claim_is_not_made_again(tmp_path):
  class Late(Claims):
    def acquire(self, name):
      if not cell_files.collect(str(tmp_path)):
        run(tmp_path, cells=CELLS[:1])  # Another process: from its claim to its result.
      return super().acquire(name)

  run_cell, names = counted()
  late = Late(str(tmp_path / cell_files.CLAIMS_DIR))
  outcome, _ = run(tmp_path, run_cell, CELLS[:1], claims=late)
  assert outcome.passed and names == []
  assert sorted(p.name for p in (tmp_path / 'glue').iterdir()) == ['cells', 'predictions']


def test_without_claims_two_would_make_one_cell(tmp_path):
  """Control: the counting of executions sees it."""
  both = threading.Barrier(2)
  names = []
  open_work(str(tmp_path), CELLS[0])  # Begun: who opens it first does not make it anew.

  def slow(cell, work):
    names.append(cell.name)
    both.wait(10)
    return CellResult.of(cell, status='ok', metrics={'f1': 1.0}, main_metric='f1')

  def work(root):
    with contextlib.suppress(RequestError):  # They also remove each other's directories.
      run(tmp_path, slow, CELLS[:1], claims=Claims(str(tmp_path / root)))

  threads = [threading.Thread(target=work, args=(root,)) for root in 'ab']
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert names == [CELLS[0].name] * 2


def test_curves_are_written_before_the_cell_is_stored(tmp_path):
  seen = []

  def before_stored(cell, result):
    seen.append((cell.name, result.history, cell_files.read(str(tmp_path), cell)))

  run(tmp_path, cells=CELLS[:1], before_stored=before_stored)
  assert seen == [(CELLS[0].name, seen[0][1], None)] and seen[0][1]


def test_work_can_be_used_without_a_matrix(tmp_path):
  work = Work(str(tmp_path), False, str(tmp_path))
  work.check()
  work.progress(0.5)


def test_an_object_store_is_for_one_process():
  place = 'ram://matrix_of_one'
  outcome, said = run(place, cells=CELLS[:2])
  assert outcome.passed
  assert said[1] == f'note: {place} has no file locks; let one process alone work on it'
  assert run(place, cells=CELLS[:2])[1][0] == 'cells: 2 in all: 2 done'


def test_it_is_light():
  code = ('import sys\nfrom nlp_export.glue import cell_files, cells, grid, matrix, '
          'progress, work\nfrom nlp_export.running import claims, once\n'
          'print({"tensorflow", "numpy", "scipy", "rich"} & set(sys.modules))')
  done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True,
                        check=True)
  assert done.stdout == 'set()\n'
