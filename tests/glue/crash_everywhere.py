"""Kills a matrix at each single change that it makes to the file system.

`python -m tests.glue.crash_everywhere DIRECTORY` prints the number of kills and what was wrong.
Forks, so it must be a process of its own, without TensorFlow's threads.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import json
import logging
import os
import shutil
import signal
import sys
from pathlib import Path

from nlp_export import files
from nlp_export.glue import cell_files
from nlp_export.glue.cells import FAILED
from nlp_export.glue.matrix import run_matrix
from nlp_export.glue.work import has_work
from tests.glue import matrix_lab

CHANGES = ('link', 'replace', 'remove', 'rmdir', 'unlink', 'mkdir', 'write', 'utime')
CELLS = matrix_lab.cells(seeds=1)[:2]


def dying_at(moment: int) -> None:
  """This process kills itself before its `moment`-th change, that is after the one before."""
  left = [moment]

  def wrap(function, counts=lambda *arguments: True):
    def wrapped(*arguments, **options):
      if counts(*arguments):
        left[0] -= 1
        if left[0] == 0:
          os.kill(os.getpid(), signal.SIGKILL)
      return function(*arguments, **options)
    return wrapped

  for name in CHANGES:
    setattr(os, name, wrap(getattr(os, name)))
  os.open = wrap(os.open, lambda path, flags, *mode: flags & os.O_CREAT)
  builtins.open = wrap(builtins.open, lambda path, mode='r', *more: 'w' in mode)


def run(directory: Path, failing: bool) -> None:
  """The matrix; its first cell fails in its first attempt of all."""
  good = matrix_lab.run_cell_with(lambda what, name: None)

  def run_cell(cell, work):
    with (directory / 'log').open('a') as f:
      f.write(f'{cell.name}\n')
    if cell is CELLS[0] and failing:
      files.write_text(files.join(work.directory, 'cause'), 'x')
      raise ValueError('first attempt')
    return good(cell, work)

  with contextlib.redirect_stdout(io.StringIO()):
    run_matrix(CELLS, run_cell, str(directory / 'out'), terminal=False, poll_seconds=0.01)


def in_child(work) -> int:
  """Exit status of a fork that does `work`; negative for a signal."""
  child = os.fork()
  if child == 0:
    status = 1
    try:
      work()
      status = 0
    finally:
      os._exit(status)
  return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def problems(directory: Path, moment: str) -> list[str]:
  """What is wrong after the kill, and after the same command has gone on."""
  out, found = str(directory / 'out'), []
  try:
    status = {r.name: r.status for r in cell_files.collect(out)}
  except Exception as error:
    return [f'{moment}: after the kill: {error}']
  whole = {name for name in status if status[name] != FAILED}
  cause = Path(cell_files.work_path(out, CELLS[0]), 'files', 'cause')
  if status.get(CELLS[0].name) == FAILED and has_work(out, CELLS[0]) and cause.exists():
    found.append(f'{moment}: the work of a failed cell is gone on from')
  before = (directory / 'log').read_text().split() if (directory / 'log').exists() else []
  code = in_child(lambda: run(directory, failing=False))
  if code:
    return [f'{moment}: going on ended with {code}']
  ran = (directory / 'log').read_text().split()[len(before):]
  found += [f'{moment}: {name} was made again' for name in ran if name in whole]
  found += [f'{moment}: {name} ran twice' for name in set(ran) if ran.count(name) > 1]
  values = {r.name: r.metrics['accuracy'] for r in cell_files.collect(out)}
  if values != {cell.name: matrix_lab.expected(cell) for cell in CELLS}:
    found.append(f'{moment}: results are {values}')
  left = [p for p in (directory / 'out').rglob('*')
          if '.partial-' in p.name or p.name in ('claims', 'work')
          or (p.is_file() and p.suffix not in ('.json', '.npz'))]
  return found + [f'{moment}: {p} is left' for p in left]


def main(place: str) -> None:
  os.fsync = lambda descriptor: None  # For the power to fail; here processes die.
  logging.disable()
  matrix_lab.STEPS = 2
  kills, found = 0, []
  for retrying in (False, True):
    for moment in range(1, 1000):
      directory = Path(place) / 'one'
      shutil.rmtree(directory, ignore_errors=True)
      directory.mkdir()
      if retrying:  # An earlier run has ended with a failed cell.
        assert in_child(lambda directory=directory: run(directory, failing=True)) == 0

      def work(moment=moment, retrying=retrying, directory=directory):
        dying_at(moment)
        run(directory, failing=not retrying)

      status = in_child(work)
      if status == 0:
        break
      assert status == -signal.SIGKILL, status
      kills += 1
      found += problems(directory, f'kill before change {moment}, retrying={retrying}')
  print(json.dumps({'kills': kills, 'problems': found}))


if __name__ == '__main__':
  main(sys.argv[1])
