"""A researcher's own package with small experiments, and run.py as a process, for tests."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import textwrap

REPO = pathlib.Path(__file__).resolve().parent.parent

LAB = '''
from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Callable

import gin

from nlp_export import config, files
from nlp_export.errors import CheckError, RequestError
from nlp_export.experiment import Outcome, Plan, Run, experiment, require


@gin.register(module='noises')
def noise(width: int, seed: int = 0, stddev: float = 0.02):
  """Numbers that mean nothing."""
  return (width, seed, stddev)


@gin.register(module='noises')
def silence(width: int):
  return (width, 0, 0.0)


@gin.register(module='other_noises')
def silence(width: int):
  return (width,)


@gin.register(module='sizes')
def size(rows: int, columns: int = 2) -> int:
  return rows * columns


@gin.register(module='sizes')
def double(half: int) -> int:
  return 2 * half


@experiment(conditional=('checkpoint', 'vocab_file', 'sp_model_file'))
def LABEL(
    out_dir: str,
    noises: tuple[Callable, ...] = (),
    tasks: tuple[str, ...] = ('cola',),
    checkpoint: str | None = gin.REQUIRED,
    vocab_file: str | None = gin.REQUIRED,
    sp_model_file: str | None = None,
    seed: int = gin.REQUIRED,
    rate: float = 0.1,
    size: int = 1,
    files_to_read: tuple[str, ...] = (),
    act: str = 'write',
) -> Plan:
  """Does the noise matter?

  More text.
  """
  if 'model' in tasks:
    require({'vocab_file': vocab_file, 'sp_model_file': sp_model_file}, checkpoint=checkpoint,
            why="TASKS has 'model'")
  if act == 'plan_defect':
    raise ValueError('a defect in the plan')
  names = config.reference_names(noises)

  def execute(run: Run) -> Outcome:
    with run.step('make noise'):
      values = [f(width=3) for f in noises]
      run.record('values', [list(v) for v in values])
    with run.step('act'):
      done = files.join(run.out_dir, 'results', 'numbers.txt')
      if act == 'refuse':
        raise RequestError('The shard is truncated. Copy it again.')
      if act == 'check':
        raise CheckError('Layer 3 differs. Look at layer 3.')
      if act == 'defect':
        raise ValueError('a number was odd')
      if act == 'part_without_value':
        noises[0]()
      if act == 'disk_full':
        raise OSError(28, 'No space left on device', 'big_file')
      if act == 'tensorflow_disk_full':
        raise RuntimeError('/x/variables.data; No space left on device')
      if act in ('wait', 'wait_after_writing'):
        if act == 'wait_after_writing':
          files.write_text(done, 'half')
        with run.child([sys.executable, '-c', 'import time; time.sleep(60)']) as process:
          files.write_text(os.environ['LAB_PID_FILE'], str(process.pid))
          process.wait()
      if act == 'fail_once' and not run.resumed:
        files.write_text(done, 'half')
        raise CheckError('One cell failed. Repeat the command.')
      files.write_text(done, str(values))
    return Outcome(lines=[f'{len(values)} noises'], passed=act != 'not_passed',
                   result={'count': len(values)})

  return Plan([f'would make {names} with seed {seed}, checkpoint {checkpoint}'],
              inputs=files_to_read, execute=execute, outputs=('results/numbers.txt',))
'''

STUDY = '''
# Does the noise matter,
# or does it not?
#
#   a command
import LAB.study

CHECKPOINT = %gin.REQUIRED
VOCAB_FILE = %gin.REQUIRED
SEED = %gin.REQUIRED
NOISES = (@noises.noise, @small/noises.noise)
TASKS = ('cola',)
ACT = 'write'
INPUTS = ()

LABEL.noises = %NOISES
LABEL.tasks = %TASKS
LABEL.checkpoint = %CHECKPOINT
LABEL.vocab_file = %VOCAB_FILE
LABEL.seed = %SEED
LABEL.act = %ACT
LABEL.files_to_read = %INPUTS
small/noises.noise.stddev = 0.01
'''


def write_lab(directory: pathlib.Path, package: str = 'my_lab', label: str = 'study') -> None:
  """Writes <package>/study.py with experiment <label>, and study.gin, which names it."""
  (directory / package).mkdir()
  (directory / package / '__init__.py').write_text('')
  (directory / package / 'study.py').write_text(LAB.replace('LABEL', label))
  (directory / 'study.gin').write_text(
      STUDY.lstrip().replace('LABEL', label).replace('LAB', package))


def write(path: pathlib.Path, text: str) -> pathlib.Path:
  """Writes a file of dedented text."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(textwrap.dedent(text).lstrip('\n'))
  return path


def command(*arguments: str) -> list[str]:
  """run.py's command line."""
  return [sys.executable, str(REPO / 'run.py'), *arguments]


def run_py(directory: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess[str]:
  """Runs run.py in a directory; `.returncode`, `.stdout`, `.stderr`."""
  return subprocess.run(command(*arguments), cwd=directory, capture_output=True, text=True,
                        timeout=60, env=environment(), check=False)


def environment() -> dict[str, str]:
  """The caller's, without what would reach into the child."""
  return {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
