"""What processes of a matrix remove of each other's and of their own, and when."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.glue import cell_files
from nlp_export.glue.cells import CellResult
from nlp_export.glue.matrix import preview, run_matrix
from nlp_export.glue.work import open_work
from nlp_export.running.claims import Claims
from tests.glue import matrix_lab

CELLS = matrix_lab.cells(seeds=2)[:4]
good = matrix_lab.run_cell_with(lambda what, name: None)


def run(out, run_cell=good, cells=CELLS[:1]):
  return run_matrix(cells, run_cell, str(out), say=lambda line: None, terminal=False,
                    poll_seconds=0.02)


def names_in(place):
  return sorted(p.name for p in Path(place).iterdir())


def call_once(monkeypatch, name, function, counts, before):
  """The next call of a function of `os` with such a path has `function` before or after it."""
  real, called = getattr(os, name), []

  def wrapped(path, *arguments, **options):
    now = not called and counts(os.fspath(path))
    if now:
      called.append(path)
    if now and before:
      function()
    result = real(path, *arguments, **options)
    if now and not before:
      function()
    return result

  monkeypatch.setattr(os, name, wrapped)
  return called


def test_who_ends_leaves_the_empty_work_of_another(tmp_path):
  """The other may have begun a cell that failed here."""
  run(tmp_path, cells=CELLS[1:2])
  work = open_work(str(tmp_path), CELLS[0])
  run(tmp_path, cells=CELLS[1:2])
  assert files.list_dir(work.directory) == []
  run(tmp_path)  # Control: its own owner removes it.
  assert names_in(tmp_path / 'glue') == ['cells', 'predictions']


def test_directories_that_vanish_while_work_is_opened_are_made_again(tmp_path, monkeypatch):
  run(tmp_path, cells=CELLS[1:2])
  place = cell_files.work_path(str(tmp_path), CELLS[0])
  called = call_once(monkeypatch, 'mkdir', lambda: run(tmp_path, cells=CELLS[1:2]),
                     lambda path: path == place, before=True)
  assert run(tmp_path).passed
  assert called


def test_directories_of_work_that_cannot_be_made_are_no_endless_loop(tmp_path, monkeypatch):
  def mkdir(path, mode=0o777):
    raise FileNotFoundError(2, 'no such file or directory')

  monkeypatch.setattr(os, 'mkdir', mkdir)
  with pytest.raises(RequestError, match='Cannot make .*Check the path.$'):
    open_work(str(tmp_path), CELLS[0])


def test_directories_that_vanish_while_a_claim_is_made_are_made_again(tmp_path, monkeypatch):
  root = str(tmp_path / 'claims')
  place = os.path.join(root, CELLS[0].name)
  called = call_once(monkeypatch, 'mkdir', lambda: os.rmdir(os.path.dirname(place)),
                     lambda path: path == place, before=True)
  claim = Claims(root).acquire(CELLS[0].name)
  assert called and claim is not None
  claim.finish()


def test_who_ends_does_not_disturb_another_that_removes_its_work(tmp_path, monkeypatch):
  run(tmp_path, cells=CELLS[1:2])
  called = call_once(monkeypatch, 'unlink', lambda: run(tmp_path, cells=CELLS[1:2]),
                     lambda path: path == 'state.json', before=False)
  assert run(tmp_path).passed
  assert called
  assert names_in(tmp_path / 'glue') == ['cells', 'predictions']


def fails(cell, work):
  """Its work is whole with both files."""
  for name in ('a', 'b'):
    files.write_text(files.join(work.directory, name), name)
  raise ValueError('always')


def test_the_work_of_a_failed_cell_is_gone_before_the_failure_can_be_read(tmp_path, monkeypatch):
  store, seen = cell_files.write, []

  def write(out_dir, cell, stored):
    seen.append((stored.result.status, files.exists(cell_files.work_path(out_dir, cell))))
    store(out_dir, cell, stored)

  monkeypatch.setattr(cell_files, 'write', write)
  run(tmp_path, fails)
  run(tmp_path)
  # Control: that of a finished one is kept until the result is stored.
  assert seen == [('failed', False), ('ok', True)]


def test_half_removed_work_is_not_gone_on_from(tmp_path, monkeypatch):
  class Killed(BaseException):
    pass

  def kill():
    raise Killed

  with monkeypatch.context() as patch:
    assert call_once(patch, 'unlink', kill, lambda path: path in 'ab', before=False) == []
    with pytest.raises(Killed):
      run(tmp_path, fails)
  left = Path(cell_files.work_path(str(tmp_path), CELLS[0]), 'files')
  assert len(names_in(left)) == 1  # Control: there is something left.
  assert preview(CELLS[:1], str(tmp_path))[1:] in (
      [], [f'trying again: {CELLS[0].name}: ValueError: always'])
  seen = []

  def run_cell(cell, work):
    seen.append((work.resumed, files.list_dir(work.directory)))
    return good(cell, work)

  assert run(tmp_path, run_cell).passed
  assert seen == [(False, [])]


def test_what_another_process_has_of_its_next_try_stays(tmp_path):
  """It was interrupted; who ends had seen the cell fail."""
  def run_cell(cell, work):
    if cell is CELLS[0]:
      raise ValueError('first')
    # Meanwhile the other has come and gone.
    directory = open_work(str(tmp_path), CELLS[0]).directory
    files.write_text(files.join(directory, 'a'), 'a')
    return CellResult.of(cell, status='ok', metrics={'f1': 1.0}, main_metric='f1')

  run(tmp_path, run_cell, CELLS[:2])
  assert preview(CELLS[:2], str(tmp_path))[1:] == [f'resuming: {CELLS[0].name}']
  assert run(tmp_path, cells=CELLS[:2]).passed
  assert names_in(tmp_path / 'glue') == ['cells', 'predictions']


def test_half_written_predictions_of_a_killed_process_are_removed(tmp_path):
  ended = subprocess.Popen([sys.executable, '-c', ''])
  ended.wait()
  place = tmp_path / cell_files.predictions_file(CELLS[0])
  place.parent.mkdir(parents=True)
  for pid in (ended.pid, os.getppid()):
    place.with_name(f'.{place.name}.partial-{pid}-0').write_text('')
  run(tmp_path)
  assert names_in(place.parent) == [f'.{place.name}.partial-{os.getppid()}-0', place.name]
