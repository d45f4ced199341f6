"""A matrix whose cells are quick and real: they compute, write partial files, and can go on.

Run as a script it is one worker: `python -m tests.glue.matrix_lab OUT_DIR LOG`. Every moment at
which a kill could matter is a line of LOG, written with one append: 'PID WHAT NAME'.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time

from nlp_export import files
from nlp_export.glue import cell_files
from nlp_export.glue.cells import OK, Cell, CellResult
from nlp_export.glue.grid import Variant, grid
from nlp_export.glue.matrix import run_matrix
from nlp_export.running import interrupts

STEPS = 4
RECIPE = {'learning_rate': 3e-5, 'epochs': 3, 'poolers': {'scale': 0.02}}


def cells(seeds: int = 8, **recipe) -> list[Cell]:
  """3 tasks, 2 variants."""
  recipe = RECIPE | recipe
  variants = [Variant('export', 'keep', recipe, {'export': 'a' * 64}),
              Variant('export', 'random', recipe, {'export': 'b' * 64}, draws_pooler=True)]
  return grid(('cola', 'mrpc', 'rte'), variants, range(seeds))


def step(state: str) -> str:
  """What a cell computes."""
  return hashlib.sha256(state.encode()).hexdigest()


def accuracy(state: str) -> float:
  """A number from 0 to 1 of a cell's last state."""
  return int(state[:12], 16) / 16**12


def expected(cell: Cell) -> float:
  """The accuracy of a cell, computed at one go."""
  state = cell.config_hash
  for _ in range(STEPS):
    state = step(state)
  return accuracy(state)


class Log:
  """Lines of several processes, none of them torn."""

  def __init__(self, path: str):
    self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

  def __call__(self, what: str, name: str) -> None:
    os.write(self._descriptor, f'{os.getpid()} {what} {name}\n'.encode())


def run_cell_with(log, seconds: float = 0.0):
  """A cell's function that says what it does and takes so long for a step [s]."""

  def run_cell(cell: Cell, work) -> CellResult:
    path = files.join(work.directory, 'state.json')
    begun = files.read_json(path) if files.exists(path) else {'step': 0, 'state': cell.config_hash}
    assert work.resumed == (begun['step'] > 0) or not begun['step']
    log('begin' if begun['step'] == 0 else 'resume', cell.name)
    state = begun['state']
    for number in range(begun['step'], STEPS):
      state = step(state)
      time.sleep(seconds)
      work.check()
      files.write_json(path, {'step': number + 1, 'state': state})
      log('step', cell.name)
      work.progress((number + 1) / STEPS)
    place = cell_files.predictions_file(cell)
    files.write_bytes(files.join(work.out_dir, place), state.encode())
    log('end', cell.name)
    value = accuracy(state)
    return CellResult.of(
        cell, status=OK, metrics={'accuracy': value}, main_metric='accuracy', train_seconds=0.1,
        history=({'step': STEPS, 'loss': 1 - value},), predictions_file=place)

  return run_cell


def logged_operations(log) -> None:
  """What this process does to the file system goes to the log as well, before and after."""

  def wrap(function, what):
    def wrapped(*arguments, **options):
      name = os.path.basename(os.fspath(arguments[0]))
      log(f'{what}<', name)
      try:
        return function(*arguments, **options)
      finally:
        log(f'{what}>', name)
    return wrapped

  for what in ('link', 'replace', 'remove', 'rmdir', 'unlink'):
    setattr(os, what, wrap(getattr(os, what), what))


def main(out_dir: str, log_path: str) -> None:
  """One worker, until all is finished."""
  interrupts.install()
  log = Log(log_path)
  logged_operations(log)
  log('up', '-')
  run_matrix(cells(), run_cell_with(log, 0.002), out_dir, poll_seconds=0.05)
  log('down', '-')


if __name__ == '__main__':
  main(*sys.argv[1:])
