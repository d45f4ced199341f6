"""How much would a score move with other dev examples and other seeds? The multi-bootstrap.

Sellam et al. 2022, "The MultiBERTs: BERT Reproductions for Robustness Analysis" (ICLR), section 3:
each replicate draws examples and seeds, both with replacement; what is compared within a task gets
the same draw.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nlp_export.glue.statistics import scores

# Weights held at once: 32 MB.
_WEIGHTS = 4_000_000


def bootstrap_scores(
    metric: str,
    predictions: Sequence[np.ndarray],
    labels: np.ndarray,
    replicates: int,
    generator: np.random.Generator,
) -> np.ndarray:
  """The metric of every run on the same resamples of the examples.

  Args:
    metric: one of `scores.METRICS`.
    predictions: [examples] per run.
    labels: [examples].
    replicates: how many resamples.
    generator: of the resamples.

  Returns:
    [replicates, runs], float64.
  """
  labels = np.asarray(labels)
  count, runs = len(labels), len(predictions)
  table = None
  if metric != 'spearman':
    classes = np.unique(np.concatenate([labels, *predictions]))
    table = np.concatenate(
        [scores.features(metric, p, labels, classes) for p in predictions], axis=1)
  found = []
  rows = max(1, _WEIGHTS // count)
  for start in range(0, replicates, rows):
    size = min(rows, replicates - start)
    weights = generator.multinomial(count, np.full(count, 1 / count), size=size).astype(float)
    if table is None:  # Each resample has its own ranks.
      gold = weighted_ranks(labels, weights)
      found.append(np.stack(
          [_pearson(weighted_ranks(p, weights), gold, weights) for p in predictions], axis=1))
    else:
      found.append(scores.score(metric, (weights @ table).reshape(size, runs, -1)))
  return np.concatenate(found)


def multibootstrap(replicates: np.ndarray, generator: np.random.Generator) -> np.ndarray:
  """Replicates of the mean over seeds, the seeds drawn with replacement too.

  Args:
    replicates: [replicates, seeds], from `bootstrap_scores`; or differences of two such arrays,
      whose columns then are pairs of the same seed.
    generator: of the seeds.

  Returns:
    [replicates].
  """
  replicates = np.asarray(replicates, float)
  seeds = replicates.shape[1]
  drawn = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=len(replicates))
  return (drawn * replicates).sum(1) / seeds


def weighted_ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
  """Ranks (ties: their mean) of values that occur as often as their weights say.

  Args:
    values: [examples].
    weights: [resamples, examples], counts.

  Returns:
    [resamples, examples]: what scipy.stats.rankdata gives for the repeated values.
  """
  _, group = np.unique(values, return_inverse=True)
  order = np.argsort(group, kind='stable')
  starts = np.flatnonzero(np.r_[True, np.diff(group[order]) > 0])
  sizes = np.add.reduceat(weights[:, order], starts, axis=1)
  return (np.cumsum(sizes, axis=1) - sizes / 2 + 0.5)[:, group]


def _pearson(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
  total = weights.sum(1, keepdims=True)
  x = x - (weights * x).sum(1, keepdims=True) / total
  y = y - (weights * y).sum(1, keepdims=True) / total
  spread = np.sqrt((weights * x * x).sum(1) * (weights * y * y).sum(1))
  top = (weights * x * y).sum(1)
  return np.where(spread > 0, top / np.where(spread > 0, spread, 1.0), 0.0)

