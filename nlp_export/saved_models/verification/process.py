"""How does an export reach a fresh process, and how do its answers come back?

One process serves all exports of a run, since importing TensorFlow costs seconds. A staged export
of ours is renamed for the time of the check; anybody else's directory is left alone, and a copy at
another place is checked.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import nlp_export
from nlp_export import files
from nlp_export.errors import CheckError, RequestError
from nlp_export.running import children
from nlp_export.saved_models.verification import report as reports
from nlp_export.saved_models.verification.job import Job
from nlp_export.saved_models.verification.report import VerificationReport

_WORKER = 'nlp_export.saved_models.verification.worker'


def verify(jobs: Sequence[Job], *, bar_imports: bool = True) -> list[VerificationReport]:
  """Loads each SavedModel from a moved path in one fresh process and checks it.

  See `FreshProcess.verify`, which this starts and ends.
  """
  with FreshProcess(bar_imports=bar_imports) as process:
    return process.verify(jobs)


class FreshProcess(contextlib.AbstractContextManager):
  """The process in which exports are loaded. Started early, it is ready when they are written."""

  def __init__(self, *, bar_imports: bool = True):
    """Describes the process; entering the context starts it.

    Args:
      bar_imports: False leaves `official` and `tf_keras` importable in the process, which the
        check `files.loads_alone` must find out: for tests.
    """
    self._bar_imports = bar_imports
    self._stack = contextlib.ExitStack()

  def __enter__(self) -> FreshProcess:
    self._directory = self._stack.enter_context(
        tempfile.TemporaryDirectory(prefix='nlp_export_verify_'))
    self._output = self._stack.enter_context(
        open(os.path.join(self._directory, 'output.txt'), 'w+', errors='replace'))
    # -P: what lies in the working directory is not imported instead of what is installed.
    command = [sys.executable, '-P', '-m', _WORKER]
    if not self._bar_imports:
      command.append('--leave_imports')
    self._process = self._stack.enter_context(children.child(
        command, env=_environment(), stdin=subprocess.PIPE, stdout=self._output,
        stderr=subprocess.STDOUT, text=True))
    return self

  def __exit__(self, *exception: Any) -> None:
    self._stack.close()

  def verify(self, jobs: Sequence[Job]) -> list[VerificationReport]:
    """Has each SavedModel loaded from a moved path and checked. Once for each process.

    Args:
      jobs: what to verify; encoders before the preprocessing that names them.

    Returns:
      One report for each job, in order. A SavedModel that cannot be loaded has a report that says
      so.

    Raises:
      RequestError: a path is no SavedModel directory.
      CheckError: the process ended without an answer (killed, out of memory).
    """
    for job in jobs:
      _require_saved_model(job.path)
    with contextlib.ExitStack() as stack:
      entries = []
      for number, job in enumerate(jobs):
        # The directory of the copy says nothing of where the export came from.
        moved = stack.enter_context(_moved(job, os.path.join(self._directory, str(number))))
        entries.append({'job': _with_origin(job).to_json(), 'moved_path': moved})
      work = {'jobs': entries, 'report': os.path.join(self._directory, 'report.json'),
              'wanted_encoders': sorted({job.encoder for job in jobs if job.encoder})}
      return self._answers(work, jobs)

  def _answers(self, work: dict[str, Any], jobs: Sequence[Job]) -> list[VerificationReport]:
    work_file = os.path.join(self._directory, 'work.json')
    files.write_json(work_file, work)
    with contextlib.suppress(BrokenPipeError):  # It has died: its status says so below.
      self._process.communicate(f'{work_file}\n')
    status = self._process.wait()
    if status or not os.path.exists(work['report']):
      self._output.seek(0)
      tail = '\n'.join(self._output.read().splitlines()[-12:])
      how = f'was killed by signal {-status}' if status < 0 else f'ended with status {status}'
      labels = ', '.join(job.label for job in jobs)
      raise CheckError(f'The verification of {labels} {how} before it had an answer. Its last '
                       f'lines:\n{tail}\nNothing is known about the export: run it again, with '
                       'more memory if it was killed.')
    return [VerificationReport(
        a['name'], a['kind'], a['ours'],
        tuple(reports.CheckResult.from_json(c) for c in a['checks']), a['seconds'])
        for a in files.read_json(work['report'])]


def _environment() -> dict[str, str]:
  root = os.path.dirname(os.path.dirname(os.path.abspath(nlp_export.__file__)))
  environment = {k: v for k, v in os.environ.items() if k != 'TF_USE_LEGACY_KERAS'}
  environment['PYTHONPATH'] = os.pathsep.join(
      p for p in (root, environment.get('PYTHONPATH')) if p)
  environment.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  return environment


def _require_saved_model(path: str) -> None:
  if not files.is_dir(path):
    raise RequestError(f'There is no SavedModel at {path}: no such directory. Name the directory '
                       'that holds saved_model.pb.')
  if not files.exists(files.join(path, 'saved_model.pb')):
    raise RequestError(f'{path} is no SavedModel: it holds no saved_model.pb. Name the directory '
                       'that holds saved_model.pb.')


def _with_origin(job: Job) -> Job:
  """Adds the export's own place to the paths that must not stand in it."""
  own = () if files.is_remote(job.path) else (os.path.abspath(job.path),)
  return dataclasses.replace(job, build_paths=(*job.build_paths, *own))


@contextlib.contextmanager
def _moved(job: Job, elsewhere: str) -> Iterator[str]:
  """A path, other than the job's, under which its SavedModel lies for the time being."""
  if not job.movable or files.is_remote(job.path):
    files.copy_tree(job.path, elsewhere)
    yield elsewhere
    return
  path = job.path.rstrip('/')
  beside = f'{path}.moved'
  try:
    files.rename(path, beside)  # Inside: Ctrl-C may come between any two lines.
    yield beside
  finally:
    if files.exists(beside):
      files.rename(beside, path)
