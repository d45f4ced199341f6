"""What runs in the fresh process? Loading and checking, with TF-NLP and Keras 2 out of reach.

    python -m nlp_export.saved_models.verification.worker [--leave_imports]

It imports what it needs, waits for a line with the path of a work file, JSON {jobs: [{job,
moved_path}], report}, and writes the reports to `report`. The end of its input without a line
ends it: nothing is to be verified, or the parent has gone.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Sequence
from importlib import abc, machinery
from types import ModuleType
from typing import Any

# An export must need none of these. `keras` cannot be barred: TensorFlow itself imports it.
BARRED = ('official', 'tf_keras', 'tensorflow_models')

# TensorFlow and Keras import these where they are installed and do without them where not; so does
# an export. They are 40 % of the time that `import tensorflow_text` takes.
NEEDLESS = ('jax', 'matplotlib', 'pandas', 'scipy', 'sklearn')


class ImportBar(abc.MetaPathFinder):
  """Makes `import` of the barred packages fail as if they were not installed."""

  def find_spec(self, fullname: str, path: Sequence[str] | None = None,
                target: ModuleType | None = None) -> machinery.ModuleSpec | None:
    """Raises ModuleNotFoundError for barred names; leaves all others to the next finder."""
    if fullname.partition('.')[0] in (*BARRED, *NEEDLESS):
      raise ModuleNotFoundError(f'{fullname} is barred in this process', name=fullname)
    return None


def isolation_fault() -> str:
  """'' if nothing barred can be imported or has been, else what is wrong. The bar's own control."""
  for name in BARRED:
    loaded = [m for m in sys.modules if m.partition('.')[0] == name]
    if loaded:
      return f'{loaded[0]} had been imported in the process that loads the export'
    try:
      importlib.import_module(name)
    except ImportError:
      continue
    return f'{name} could be imported in the process that loads the export'
  return ''


def run(work: dict[str, Any]) -> list[dict[str, Any]]:
  """Loads and checks each job's SavedModel; reports as JSON-able dicts with name, ours, seconds."""
  import tensorflow_text  # noqa: F401  # Registers the ops of preprocessing.

  from nlp_export import files
  from nlp_export.saved_models.verification import checking
  from nlp_export.saved_models.verification.job import Job

  answers: dict[str, Any] = {}
  encoders: dict[str, Any] = {}
  memory: dict[Any, Any] = {}
  done = []
  for entry in work['jobs']:
    job, path = Job.from_json(entry['job']), entry['moved_path']
    partner = encoders.get(job.encoder)
    try:
      graph = files.sha256(os.path.join(path, 'saved_model.pb'))
      subject = checking.load(job, path, isolation_fault(), partner, memory)
    except Exception as error:
      report = checking.not_loadable(job, error)
    else:
      report = checking.run_checks(subject, answers.get(graph))
      answers.setdefault(graph, {c.name: c for c in report.checks})
      if job.label in work['wanted_encoders']:
        encoders[job.label] = subject
      del subject  # Its weights, before the next ones are loaded.
    done.append({**report.to_json(), 'name': report.name, 'ours': report.ours,
                 'seconds': report.seconds})
  return done


def main(argv: list[str]) -> int:
  """Reads the work file named on standard input, writes the reports."""
  if '--leave_imports' not in argv:
    sys.meta_path.insert(0, ImportBar())
  # Now, while the parent is still writing what will be checked.
  import tensorflow_text  # noqa: F401

  from nlp_export.saved_models.verification import check_modules  # noqa: F401

  work_file = sys.stdin.readline().rstrip('\n')
  if not work_file:
    return 0
  with open(work_file, encoding='utf-8') as f:
    work = json.load(f)
  reports = run(work)
  with open(work['report'], 'w', encoding='utf-8') as f:
    json.dump(reports, f, allow_nan=False)
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv))
