"""run.py with a log of the moments at which an end could matter: one process of a study.

`python -m tests.glue.study_lab LOG INTERRUPT_AT ARGUMENTS...` loads TensorFlow, waits for a line,
and is then `python run.py ARGUMENTS`, its trainings saved after each step. With INTERRUPT_AT above
0 they are saved as seldom as usual, and at that step the process gets SIGTERM.
"""

from __future__ import annotations

import functools
import os
import signal
import sys

import run
from nlp_export.glue import cell_files, matrix, prediction_files
from nlp_export.glue.work import Work
from tests.glue import matrix_lab


def cell_of(work: Work) -> str:
  """Name of the cell that works there."""
  return work.directory.rpartition(f'/{cell_files.WORK_DIR}/')[2].removesuffix('/files')


def watch(log: matrix_lab.Log, interrupt_at: int) -> None:
  """Lets everything that matters write its lines."""
  from nlp_export.ablation import executing
  from nlp_export.glue.fine_tuning.training import Training

  def around(owner, name, before, after):
    function = getattr(owner, name)

    def wrapped(*arguments, **options):
      before(*arguments)
      found = function(*arguments, **options)
      after(found, *arguments)
      return found

    setattr(owner, name, wrapped)

  def nothing(*arguments):
    pass

  steps = [0]

  def step(found, work, *more):
    log('step', cell_of(work))
    steps[0] += 1
    if steps[0] == interrupt_at:
      os.kill(os.getpid(), signal.SIGTERM)

  around(Work, 'progress', nothing, step)
  around(Training, '_write', lambda self, *more: log('save<', cell_of(self._work)),
         lambda found, self, *more: log('save>', cell_of(self._work)))
  around(matrix, 'open_work', nothing, lambda work, out_dir, cell, *more: log(
      'resume' if work.resumed else 'begin', cell.name))
  around(cell_files, 'write', nothing, lambda found, out_dir, cell, *more: log(
      'stored', cell.name))
  around(prediction_files, 'write', nothing, lambda *arguments: log('predicted', '-'))
  matrix_lab.logged_operations(log)
  if not interrupt_at:
    executing.FineTuning = functools.partial(executing.FineTuning, save_every_seconds=0)


def main(log_path: str, interrupt_at: str, *arguments: str) -> int:
  """One run."""
  import tensorflow_text  # noqa: F401
  from official.nlp.modeling import networks  # noqa: F401

  if not sys.stdin.readline():  # Whoever started this is gone.
    return 0
  log = matrix_lab.Log(log_path)
  watch(log, int(interrupt_at))
  return run.main(arguments)


if __name__ == '__main__':
  sys.exit(main(*sys.argv[1:]))
