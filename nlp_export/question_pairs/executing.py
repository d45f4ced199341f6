"""How does a run go from the request to its report, and on from where it was ended?

A finished pooling is a file; an ended run's next command begins with the first unfinished one.
"""

from __future__ import annotations

from typing import Any

from nlp_export import files
from nlp_export.experiment import Outcome, Run
from nlp_export.question_pairs import reporting
from nlp_export.question_pairs.request import Request, label

RESULTS, REPORT = 'results.json', 'report.md'
_POOLINGS_DIR = 'poolings'


def execute(request: Request, run: Run) -> Outcome:
  """Trains what is not trained yet, and writes report.md and results.json."""
  directory = files.join(run.out_dir, _POOLINGS_DIR)
  files.make_dirs(directory)
  results: list[dict[str, Any]] = []
  pairs = None
  for pooling in request.poolings:
    name = label(pooling)
    path = files.join(directory, f'{name}.json')
    if files.exists(path):
      run.say(f'{name}: done before')
      results.append(files.read_json(path))
      continue
    from nlp_export.question_pairs import training

    if pairs is None:
      with run.step('read the pairs'):
        pairs = training.load(request)
    with run.step(f'train {name}'):
      results.append(training.run(request, pooling, *pairs, run.say))
      files.write_json(path, results[-1])
  found = reporting.to_json(request, results)
  files.write_json(files.join(run.out_dir, RESULTS), found)
  report = files.join(run.out_dir, REPORT)
  files.write_text(report, reporting.markdown(request, results))
  return Outcome(lines=reporting.lines(request, results), result=found, report=report)
