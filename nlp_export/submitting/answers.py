"""Which answers go into the zip: of which seed's model, or of none?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.glue import prediction_files, tasks
from nlp_export.glue.cells import FAILED, OK, CellResult
from nlp_export.glue.submission import TestPredictions
from nlp_export.glue.submission_check import test_sets
from nlp_export.glue.tasks import Split, Task

# What answers for a task without a model. The most frequent label of train, counted from the
# official files for CoLA, SST-2, MRPC and RTE; WNLI's is that of its test set too, with 65.1 % by
# the BERT paper's score for it. Labels of MNLI, QNLI and RTE are about equally frequent. Scores
# have no label: the middle of their range, for which a correlation is undefined.
_ONE_LABEL: Mapping[str, str | float] = {
    'cola': 'acceptable', 'sst2': 'positive', 'mrpc': 'equivalent', 'stsb': 2.5,
    'qqp': 'not_duplicate', 'mnli': 'entailment', 'qnli': 'entailment', 'rte': 'entailment',
    'wnli': 'not_entailment', 'ax': 'entailment',
}


def model_tasks() -> tuple[str, ...]:
  """The tasks to fine-tune on for a whole submission: GLUE's nine."""
  return tuple(dict.fromkeys(task.model_task for task, _ in test_sets().values()))


def answered_by(model_task: str) -> dict[str, tuple[Task, Split]]:
  """The test sets that a task's model answers: 'mnli' answers its own two and the diagnostic set.

  Returns:
    By the name that they have among the splits of the model's cell: 'test_matched', 'ax'.
  """
  return {split.name if task.name == model_task else task.name: (task, split)
          for task, split in test_sets().values() if task.model_task == model_task}


def chosen(results: Sequence[CellResult]) -> CellResult | None:
  """The seed to submit: of the best main metric on dev, of equal ones the lowest.

  A degenerate one only if there is no other; None if all failed.
  """

  def order(result: CellResult) -> tuple[bool, float, int]:
    score = result.metrics[result.main_metric]
    return result.status != OK, -score if math.isfinite(score) else math.inf, result.seed

  return min((r for r in results if r.status != FAILED), key=order, default=None)


def of_model(out_dir: str, result: CellResult) -> list[TestPredictions]:
  """What a cell's model says about each of its test sets.

  Args:
    out_dir: of the run.
    result: of the cell, not a failed one.

  Raises:
    RequestError: its predictions are damaged, of another run, or not numbers.
  """
  path = files.join(out_dir, result.predictions_file)
  splits = prediction_files.read(path)
  _check_same_run(path, result, splits)
  found = []
  for key, (task, split) in answered_by(result.task).items():
    if key not in splits:
      raise RequestError(
          f'{path} has no {key}, only {", ".join(splits)}: its cell was not fine-tuned for a '
          'submission. Give another --out_dir')
    outputs = splits[key].outputs
    if not np.isfinite(outputs).all():
      row = int(np.flatnonzero(~np.isfinite(outputs).all(axis=1))[0])
      raise RequestError(
          f'{result.name}: the outputs for row {row} of {task.name} {split.name} are no numbers. '
          'The training diverged; fine-tune again with a lower LEARNING_RATE')
    found.append(TestPredictions(
        task, split.name, splits[key].values(task), splits[key].ids, result.task,
        tuple(result.labels) or None))
  return found


def _check_same_run(
    path: str, result: CellResult, splits: Mapping[str, prediction_files.Predictions]) -> None:
  """The cell and its predictions are two files; gold labels tell if they belong together."""
  task = tasks.get(result.task)
  main = next(split for split in task.dev_splits if result.main_metric in task.metric_names(split))
  if main not in splits or splits[main].gold_sha256() != result.gold_sha256:
    raise RequestError(
        f'{path} is not of the run that scored {result.name}: its {main} labels are others. '
        'Remove it and the .json of its cell below glue/cells, and the same command runs the cell '
        f'again: rm {path}')


def of_one_label(model_task: str) -> list[TestPredictions]:
  """One answer for every row of the test sets that a task's model would answer."""
  found = []
  for task, split in answered_by(model_task).values():
    answer = _ONE_LABEL[task.name]
    value = np.float32(answer) if task.labels is None else task.labels.index(str(answer))
    found.append(TestPredictions(
        task, split.name, np.full(split.rows, value), np.arange(split.rows, dtype=np.int32),
        model_task, task.labels))
  return found


def one_label(model_task: str) -> str:
  """The answer of `of_one_label`, for people."""
  return str(_ONE_LABEL[model_task])
