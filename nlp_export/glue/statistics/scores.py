"""How is a metric had from sums over examples, so that thousands of resamples cost one product?

Every metric of GLUE is a function of a few sums over the examples (of the ranks, for Spearman).
A resample weights the examples, a permutation exchanges some: both change the sums only. The
values are those of scikit-learn and SciPy, which `nlp_export/glue/metrics.py` reports.
"""

from __future__ import annotations

import numpy as np

from nlp_export.errors import RequestError

COUNTED = ('accuracy', 'accuracy_matched', 'accuracy_mismatched', 'f1', 'matthews_correlation')
CORRELATIONS = ('pearson', 'spearman')
METRICS = COUNTED + CORRELATIONS


def limits(metric: str) -> tuple[float, float]:
  """The smallest and largest value that a metric can have."""
  signed = metric == 'matthews_correlation' or metric in CORRELATIONS
  return (-1.0, 1.0) if signed else (0.0, 1.0)


def features(
    metric: str,
    predictions: np.ndarray,
    labels: np.ndarray,
    classes: np.ndarray | None = None,
) -> np.ndarray:
  """What an example adds to the sums of a metric.

  Args:
    metric: one of METRICS.
    predictions: [examples], classes (int) or values (float).
    labels: [examples], the gold ones.
    classes: for matthews_correlation, every class that any of the runs to be stacked predicts;
      unset, those of this run and the labels. A class too many changes nothing.

  Returns:
    [examples, sums], float64. Spearman's are those of the ranks within this set.

  Raises:
    RequestError: the metric has no such form here.
  """
  predictions, labels = np.asarray(predictions), np.asarray(labels)
  if metric.startswith('accuracy'):
    correct = (predictions == labels).astype(float)
    return np.stack([correct, np.ones(len(labels))], axis=1)
  if metric == 'f1':  # Of class 1, as GLUE has it.
    positive, gold = predictions == 1, labels == 1
    return np.stack([positive & gold, positive, gold], axis=1).astype(float)
  if metric == 'matthews_correlation':
    classes = np.union1d(predictions, labels) if classes is None else classes
    return np.concatenate([
        (predictions == labels)[:, None], np.ones((len(labels), 1)),
        labels[:, None] == classes, predictions[:, None] == classes], axis=1).astype(float)
  if metric in CORRELATIONS:
    if metric == 'spearman':
      from scipy import stats

      predictions, labels = stats.rankdata(predictions), stats.rankdata(labels)
    # Centred: the sums of squares of ranks of thousands would lose digits.
    p = np.asarray(predictions, float) - np.mean(predictions)
    g = np.asarray(labels, float) - np.mean(labels)
    return np.stack([np.ones(len(g)), p, g, p * p, g * g, p * g], axis=1)
  raise RequestError(
      f'Metric {metric!r} cannot be resampled; known are {", ".join(METRICS)}. '
      'Name one of them as the main metric of the task.')


def score(metric: str, sums: np.ndarray) -> np.ndarray:
  """A metric from its sums.

  Args:
    metric: one of METRICS.
    sums: [..., sums], weighted sums over examples of `features`.

  Returns:
    [...], float64; 0 where the metric is not defined (a resample with one class only).
  """
  part = np.moveaxis(np.asarray(sums, float), -1, 0)
  if metric.startswith('accuracy'):
    return _ratio(part[0], part[1])
  if metric == 'f1':
    return _ratio(2 * part[0], part[1] + part[2])
  if metric == 'matthews_correlation':
    # R_K of Gorodkin (2004), scikit-learn's form; for two classes the usual coefficient.
    classes = (len(part) - 2) // 2
    gold, guessed = part[2:2 + classes], part[2 + classes:]
    top = part[0] * part[1] - (gold * guessed).sum(0)
    bottom = (part[1]**2 - (guessed**2).sum(0)) * (part[1]**2 - (gold**2).sum(0))
    return _ratio(top, np.sqrt(np.maximum(bottom, 0)))
  n, p, g, pp, gg, pg = part
  spread = np.maximum(n * pp - p * p, 0) * np.maximum(n * gg - g * g, 0)
  return _ratio(n * pg - p * g, np.sqrt(spread))


def compute(metric: str, predictions: np.ndarray, labels: np.ndarray) -> float:
  """The metric of one run over the whole set."""
  return float(score(metric, features(metric, predictions, labels).sum(0)))


def step(metric: str, examples: int | None) -> float:
  """The smallest change of a metric that counts examples; 0 for correlations, which are smooth."""
  return 1.0 / examples if examples and metric in COUNTED else 0.0


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
  defined = bottom > 1e-12 * np.maximum(1.0, np.abs(top))
  return np.where(defined, top / np.where(defined, bottom, 1.0), 0.0)
