"""How good are predictions, in the numbers that GLUE defines?

Always over a whole set: the mean of F1, of Matthews' or of a correlation over batches is another
number. Computed by scikit-learn and SciPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from nlp_export.glue.tasks import ACCURACY, F1, MATTHEWS, PEARSON, SPEARMAN, Task


def compute(
    task: Task, predictions: np.ndarray, labels: np.ndarray, split: str | None = None
) -> dict[str, float]:
  """All metrics of a task on one split.

  Args:
    task: decides which metrics.
    predictions: integers [N], positions in `task.labels`; floats [N] for a regression.
    labels: the gold ones, likewise.
    split: which; needed only for MNLI, where it says 'accuracy_matched' or '..._mismatched'.

  Returns:
    Value by name, in [-1, 1] and not in percent. A correlation is NaN where one side is constant
    or a prediction is not finite; Matthews' and F1 are 0 where they are undefined.

  Raises:
    ValueError: shapes other than [N], no examples, or values that are no labels: a defect of the
      caller. ([N, 1] against [N] would broadcast.)
  """
  if split is None:
    if len(task.dev_splits) > 1:
      raise ValueError(f'{task.name} has {task.dev_splits}: say which one')
    suffix = ''
  else:
    suffix = task.split(split).suffix
  predictions, labels = np.asarray(predictions), np.asarray(labels)
  if predictions.ndim != 1 or predictions.shape != labels.shape or not len(labels):
    raise ValueError(f'predictions {predictions.shape} and labels {labels.shape}, not both [N]')
  if not task.is_regression:
    for what, values in (('predictions', predictions), ('labels', labels)):
      if values.dtype.kind not in 'iu' or values.min() < 0 or values.max() >= task.outputs:
        raise ValueError(f'{what} of {task.name} are no integers below {task.outputs}: '
                         f'{values.dtype} from {values.min()} to {values.max()}')
  return {name + suffix: _METRICS[name](predictions, labels) for name in task.metrics}


def constant_scores(task: Task, labels: np.ndarray, split: str | None = None) -> dict[str, float]:
  """The metrics of always saying the majority label: what a run that learnt nothing scores.

  Args:
    task: also a regression, for which they are NaN.
    labels: gold ones [N].
    split: as in `compute`.
  """
  labels = np.asarray(labels)
  if task.is_regression:
    return compute(task, np.full(len(labels), labels.mean()), labels, split)
  majority = np.bincount(labels, minlength=task.outputs).argmax()
  return compute(task, np.full(len(labels), majority), labels, split)


def task_score(task: Task, values: Mapping[str, float]) -> float:
  """GLUE's one number of a task: the mean of its metrics, of MNLI's over both sets.

  Args:
    task: whose metrics.
    values: of every dev (or test) split, as `compute` gives them.

  Raises:
    KeyError: a metric is missing.
  """
  splits = task.dev_splits or task.test_splits
  names = [name for split in splits for name in task.metric_names(split)]
  return math.fsum(values[name] for name in names) / len(names)


def _accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
  from sklearn import metrics

  return float(metrics.accuracy_score(labels, predictions))


def _f1(predictions: np.ndarray, labels: np.ndarray) -> float:
  from sklearn import metrics

  # Of label 1: 'equivalent' in MRPC, 'duplicate' in QQP.
  return float(metrics.f1_score(labels, predictions, pos_label=1, zero_division=0.0))


def _matthews(predictions: np.ndarray, labels: np.ndarray) -> float:
  from sklearn import metrics

  return float(metrics.matthews_corrcoef(labels, predictions))


def _correlation(function: str) -> Callable[[np.ndarray, np.ndarray], float]:
  def correlation(predictions: np.ndarray, labels: np.ndarray) -> float:
    from scipy import stats

    predictions, labels = predictions.astype(np.float64), labels.astype(np.float64)
    if not np.isfinite(predictions).all() or not np.ptp(predictions) or not np.ptp(labels):
      return math.nan  # Said here, where SciPy would warn or raise.
    return float(getattr(stats, function)(predictions, labels).statistic)

  return correlation


_METRICS: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    ACCURACY: _accuracy,
    F1: _f1,
    MATTHEWS: _matthews,
    PEARSON: _correlation('pearsonr'),
    SPEARMAN: _correlation('spearmanr'),
}
