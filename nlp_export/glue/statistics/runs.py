"""Which runs are there, which of them count, and do their predictions belong to them?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from nlp_export.errors import RequestError
from nlp_export.glue import degenerate
from nlp_export.glue.statistics import scores

Predictions = Callable[[Mapping[str, Any]], np.ndarray | None]

# Recorded scores may have been computed in another order or precision.
_AGREES = 1e-4


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
  """A cell as the statistics see it.

  Attributes:
    status: 'ok', 'degenerate' or 'failed', also where the cell had not noticed itself.
    reasons: why it is degenerate, or failed.
    value: main metric, 0 to 1 (-1 to 1); None if it failed. NaN of a correlation (constant
      predictions) counts as 0, what guessing gives; the run is degenerate then.
    predictions: [examples] on dev, or None.
  """

  task: str
  pooler: str
  arm: str
  seed: int
  init_seed: int | None
  data_seed: int | None
  pooler_seed: int | None
  metric: str
  status: str
  reasons: tuple[str, ...]
  value: float | None
  predictions: np.ndarray | None

  @property
  def key(self) -> tuple[str, str, str, int]:
    """What makes it different from every other run."""
    return self.task, self.pooler, self.arm, self.seed


def read_runs(
    cells: Iterable[Mapping[str, Any]],
    predictions: Predictions | None = None,
    labels: Mapping[str, np.ndarray] | None = None,
) -> list[Run]:
  """Cells to runs, checked.

  Args:
    cells: finished cells as in results.json.
    predictions: gives the dev predictions that the main metric is of, [examples], or None.
    labels: task -> [examples], gold labels of the same examples.

  Returns:
    The runs, by task, pooler, arm and seed; tasks and poolers in the order of the cells.

  Raises:
    RequestError: two cells are the same; cells of a task have different main metrics or gold
      labels; predictions do not give the score that the cell says.
  """
  labels = labels or {}
  found: dict[tuple, Run] = {}
  metrics: dict[str, str] = {}
  golds: dict[str, str] = {}
  for cell in cells:
    run = _run(cell, predictions, labels.get(cell['task']))
    if run.key in found:
      raise RequestError(
          f'{_name(cell)} occurs twice: two results cannot both be that cell. '
          'Give results.json of one matrix, without repeated cells.')
    if run.metric and metrics.setdefault(run.task, run.metric) != run.metric:
      raise RequestError(
          f'{_name(cell)} has the main metric {run.metric}, other cells of {run.task} have '
          f'{metrics[run.task]}: their scores do not compare. Run the task with one main metric.')
    gold = cell.get('gold_sha256')
    if gold and golds.setdefault(run.task, gold) != gold:
      raise RequestError(
          f'{_name(cell)} was scored on other gold labels (SHA-256 {gold[:12]}) than other cells '
          f'of {run.task} ({golds[run.task][:12]}). Run all its cells on the same dev set.')
    found[run.key] = run
  for key, run in found.items():
    if not run.metric:  # A cell can fail before it knows.
      found[key] = dataclasses.replace(run, metric=metrics.get(run.task, ''))
  order: dict[tuple, int] = {}
  for run in found.values():
    order.setdefault((run.task,), len(order))
    order.setdefault((run.task, run.pooler, run.arm), len(order))
  return sorted(found.values(), key=lambda run: (
      order[run.task,], order[run.task, run.pooler, run.arm], run.seed))


def _run(
    cell: Mapping[str, Any], predictions: Predictions | None, labels: np.ndarray | None
) -> Run:
  metric, status = cell.get('main_metric') or '', cell['status']
  value, reasons, guessed = None, list(cell.get('degenerate') or ()), None
  if status == 'failed':
    reasons = [str(cell.get('cause') or 'no cause was recorded').strip().partition('\n')[0]]
  else:
    value = cell['metrics'].get(metric)
    guessed = predictions(cell) if predictions else None
    if guessed is not None:
      guessed = np.asarray(guessed)
      guessed = None if labels is None else _checked(cell, guessed, labels, value)
    reasons += [reason for reason in degenerate.reasons(
        cell['task'], cell['metrics'], guessed, labels, cell.get('history') or (),
        cell.get('labels') or ())
                if reason not in reasons]
    if value is None or not math.isfinite(value):
      value = 0.0 if metric in scores.CORRELATIONS or metric == 'matthews_correlation' else None
    status = 'degenerate' if reasons or status == 'degenerate' else 'ok'
    if guessed is not None and not np.isfinite(guessed).all():
      guessed = None
  return Run(
      cell['task'], cell['pooler'], cell['arm'], int(cell['seed']), cell.get('init_seed'),
      cell.get('data_seed'), cell.get('pooler_seed'), metric, status, tuple(reasons),
      None if value is None else float(value), guessed)


def _checked(
    cell: Mapping[str, Any], predictions: np.ndarray, labels: np.ndarray, value: float | None
) -> np.ndarray:
  if predictions.shape != np.shape(labels):
    raise RequestError(
        f'{_name(cell)} has predictions of shape {predictions.shape}, and the gold labels have '
        f'{np.shape(labels)}: they are not of the same examples. Run the cell again.')
  if value is None or not math.isfinite(value) or not np.isfinite(predictions).all():
    return predictions
  computed = scores.compute(cell['main_metric'], predictions, labels)
  if abs(computed - value) > _AGREES:
    raise RequestError(
        f'{_name(cell)} says {cell["main_metric"]} {value:.4f}, and its predictions give '
        f'{computed:.4f}: they are not of this run or this dev set. Run the cell again.')
  return predictions


def _name(cell: Mapping[str, Any]) -> str:
  return f'Cell {cell["task"]}/{cell["pooler"]}/{cell["arm"]}/seed_{cell["seed"]}'
