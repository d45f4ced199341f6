"""How is a submission made, by one process or several, and what are its last lines?"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from nlp_export import files
from nlp_export.ablation import provenance
from nlp_export.experiment import Outcome, Run
from nlp_export.glue import curves, submission, submission_check, tasks
from nlp_export.glue.cells import CellResult
from nlp_export.glue.fine_tuning import runtime
from nlp_export.glue.fine_tuning.finetune import FineTuning
from nlp_export.glue.matrix import MatrixOutcome, run_matrix
from nlp_export.submitting import answers
from nlp_export.submitting.planning import RECORD, ZIP, Submission, majority_line

SCHEMA_VERSION = 1

CHOSEN_BY_DEV = ('each task has the best of its seeds on dev, so these dev scores are biased '
                 "upwards; the server's are not")


def execute(prepared: Submission, run: Run) -> Outcome:
  """Exports, fine-tunes, predicts, writes and checks what is not there yet.

  Args:
    prepared: the submission.
    run: its out_dir may be shared with other processes that execute the same.

  Returns:
    The outcome; not passed if a fine-tuning failed. The zip is there if each task has one that did
    not.

  Raises:
    RequestError: a test set is not whole; found out before anything is trained.
  """
  runtime.make_deterministic()
  with run.step('read test sets'):
    for name in prepared.study.tasks:
      prepared.test_sets(name)
  for source in prepared.distinct_sources:
    source.make(run)
  hash_of = functools.cache(lambda path: run.input_hashes.get(path) or files.sha256(path))
  arms = {(built.named.name, built.pooler): built.arm for built in prepared.built(run.out_dir)}
  matrix = run_matrix(
      prepared.cells(run.out_dir, hash_of), FineTuning(arms, prepared.examples), run.out_dir,
      say=run.say, before_stored=functools.partial(curves.write, run.out_dir))
  by_task = {name: answers.chosen([result for result in matrix.results if result.task == name])
             for name in prepared.study.tasks}
  without = [name for name, result in by_task.items() if result is None]
  if without:
    for name in (ZIP, RECORD):  # Of an earlier attempt with other answers.
      files.remove(files.join(run.out_dir, name), missing_ok=True)
    return Outcome(
        [*matrix.lines(), f'no zip: nothing answers the test sets of {", ".join(without)}'],
        passed=False, result={'failed_cells': [result.name for result in matrix.failed]})
  with run.step('write and check'):
    return _written(prepared, run, matrix, {
        name: result for name, result in by_task.items() if result is not None})


def _written(
    prepared: Submission, run: Run, matrix: MatrixOutcome, by_task: Mapping[str, CellResult]
) -> Outcome:
  given = {name: answers.of_model(run.out_dir, result) for name, result in by_task.items()}
  given |= {name: answers.of_one_label(name) for name in prepared.majority}
  path = files.join(run.out_dir, ZIP)
  submission.write(path, [one for several in given.values() for one in several])
  checked = submission_check.check(path)
  several = len(prepared.study.seeds) > 1
  record = {
      'schema_version': SCHEMA_VERSION,
      'zip_sha256': files.sha256(path),
      'passed': matrix.passed,
      'files': checked,
      'answered': {name: _answered(by_task.get(name), name) for name in answers.model_tasks()},
      'notes': [CHOSEN_BY_DEV] if several else [],
      'provenance': provenance.of_study(prepared, run),
  }
  files.write_json(files.join(run.out_dir, RECORD), record)
  lines = [*matrix.lines(), *(_line(result, prepared) for result in by_task.values())]
  lines += [CHOSEN_BY_DEV] if several else []
  lines += [f'NOT FROM A MODEL: {majority_line(name)}' for name in prepared.majority]
  return Outcome(
      [*lines, *checked, f'submission: {path}'], passed=matrix.passed,
      result={name: record[name] for name in ('zip_sha256', 'answered', 'files', 'notes')})


def _answered(result: CellResult | None, name: str) -> dict[str, Any]:
  """Who answers the test sets of a task's model, for the record."""
  submitted = [split.submission for _, split in answers.answered_by(name).values()]
  if result is None:
    return {'by': 'one label', 'label': answers.one_label(name), 'files': submitted,
            'why': 'MAJORITY names it'}
  return {'by': 'model', 'cell': result.name, 'seed': result.seed, 'status': result.status,
          'config_hash': result.config_hash, 'dev': result.to_json()['metrics'],
          'chosen_by': result.main_metric, 'labels': list(result.labels),
          'notes': [*result.degenerate, *result.notes], 'files': submitted}


def _line(result: CellResult, prepared: Submission) -> str:
  """'rte: seed 1 of 0, 1, 2: accuracy 0.6534 on dev'."""
  seeds = prepared.study.seeds
  of = f' of {", ".join(map(str, seeds))}' if len(seeds) > 1 else ''
  task = tasks.get(result.task)
  split = next(name for name in task.dev_splits
               if result.main_metric in task.metric_names(name)).replace('_', ' ')
  line = (f'{result.task}: seed {result.seed}{of}: {result.main_metric} '
          f'{result.metrics[result.main_metric]:.4f} on {split}')
  return line + (f', degenerate: {"; ".join(result.degenerate)}' if result.degenerate else '')
