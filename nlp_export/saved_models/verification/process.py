"""How does an export reach a fresh process, and how do its answers come back?

One process serves all exports of a run, since importing TensorFlow costs seconds. A staged export
of ours is renamed for the time of the check; anybody else's directory is left alone, and a copy at
another place is checked.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

import nlp_export
from nlp_export import children, files
from nlp_export.errors import CheckError, RequestError
from nlp_export.saved_models.verification import report as reports
from nlp_export.saved_models.verification.job import Job
from nlp_export.saved_models.verification.report import VerificationReport

_WORKER = 'nlp_export.saved_models.verification.worker'


def verify(jobs: Sequence[Job], *, bar_imports: bool = True) -> list[VerificationReport]:
  """Loads each SavedModel from a moved path in one fresh process and checks it.

  Args:
    jobs: what to verify; encoders before the preprocessing that names them.
    bar_imports: False leaves `official` and `tf_keras` importable in the process, which the check
      `files.loads_alone` must find out: for tests.

  Returns:
    One report for each job, in order. A SavedModel that cannot be loaded has a report that says so.

  Raises:
    RequestError: a path is no SavedModel directory.
    CheckError: the process ended without an answer (killed, out of memory).
  """
  for job in jobs:
    _require_saved_model(job.path)
  with tempfile.TemporaryDirectory(prefix='nlp_export_verify_') as directory, \
       contextlib.ExitStack() as stack:
    entries = []
    for number, job in enumerate(jobs):
      # The directory of the copy says nothing of where the export came from.
      moved = stack.enter_context(_moved(job, os.path.join(directory, str(number))))
      entries.append({'job': _with_origin(job).to_json(), 'moved_path': moved})
    work = {'jobs': entries, 'report': os.path.join(directory, 'report.json'), 'bar': bar_imports,
            'wanted_encoders': sorted({job.encoder for job in jobs if job.encoder})}
    return _run_worker(work, directory, jobs)


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


def _run_worker(work: dict, directory: str, jobs: Sequence[Job]) -> list[VerificationReport]:
  work_file = os.path.join(directory, 'work.json')
  files.write_json(work_file, work)
  root = os.path.dirname(os.path.dirname(os.path.abspath(nlp_export.__file__)))
  environment = {k: v for k, v in os.environ.items() if k != 'TF_USE_LEGACY_KERAS'}
  environment['PYTHONPATH'] = os.pathsep.join(
      p for p in (root, environment.get('PYTHONPATH')) if p)
  environment.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  # -P: what lies in the working directory is not imported instead of what is installed.
  command = [sys.executable, '-P', '-m', _WORKER, work_file]
  with children.child(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                      text=True, errors='replace') as process:
    output, _ = process.communicate()
  status = process.returncode
  if status or not os.path.exists(work['report']):
    tail = '\n'.join(output.splitlines()[-12:])
    how = f'was killed by signal {-status}' if status < 0 else f'ended with status {status}'
    labels = ', '.join(job.label for job in jobs)
    raise CheckError(f'The verification of {labels} {how} before it had an answer. Its last '
                     f'lines:\n{tail}\nNothing is known about the export: run it again, with '
                     'more memory if it was killed.')
  with open(work['report'], encoding='utf-8') as f:
    answers = json.load(f)
  return [VerificationReport(
      a['name'], a['kind'], a['ours'],
      tuple(reports.CheckResult.from_json(c) for c in a['checks']), a['seconds'])
      for a in answers]
