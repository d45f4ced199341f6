"""Could exchanging the two sides have given this difference? Paired permutation tests, and Holm.

Over seeds the question is about the procedure; over examples it is about the trained weights at
hand on this dev set, which is a weaker statement.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nlp_export.glue.statistics import scores


def over_seeds(differences: np.ndarray, permutations: int = 9999, random_seed: int = 0) -> float:
  """Two-sided p-value of paired differences, [seeds]: all sign changes, or a sample of them."""
  from scipy import stats

  differences = np.asarray(differences, float)
  if len(differences) < 2:  # Either sign is as good: SciPy wants two.
    return 1.0
  tested = stats.permutation_test(
      (differences, np.zeros_like(differences)), _mean_difference, permutation_type='samples',
      vectorized=True, n_resamples=permutations, rng=np.random.default_rng(random_seed))
  return float(min(1.0, tested.pvalue))


def smallest(seeds: int) -> float:
  """The smallest two-sided p-value that so many seeds can give: 2 of 2^seeds sign patterns."""
  return min(1.0, 2.0 ** (1 - seeds))


def over_examples(
    metric: str,
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    labels: np.ndarray,
    permutations: int = 2000,
    random_seed: int = 0,
) -> float:
  """Two-sided p-value of no difference between two sets of trained weights on these examples.

  An example's predictions change sides for all seeds at once, so the test makes no assumption on
  how the seeds depend on each other.

  Args:
    metric: one of `scores.METRICS`.
    first, second: [examples] per seed, paired.
    labels: [examples].
    permutations: how many random exchanges.
    random_seed: of the exchanges.
  """
  generator = np.random.default_rng(random_seed)
  labels = np.asarray(labels)
  classes = np.unique(np.concatenate([labels, *first, *second]))

  def table(predictions: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack(
        [scores.features(metric, p, labels, classes) for p in predictions], axis=1)

  one, other = table(first), table(second)  # [examples, seeds, sums]
  change, shape = (one - other).reshape(len(labels), -1), one.shape[1:]
  observed = _mean(metric, one.sum(0)) - _mean(metric, other.sum(0))
  extreme, rows, done = 1, max(1, 4_000_000 // len(labels)), 0
  while done < permutations:
    size = min(rows, permutations - done)
    moved = (generator.random((size, len(labels))) < 0.5).astype(float) @ change
    moved = moved.reshape(size, *shape)
    found = _mean(metric, one.sum(0) - moved) - _mean(metric, other.sum(0) + moved)
    extreme += int((np.abs(found) >= abs(observed) - 1e-12).sum())
    done += size
  return extreme / (permutations + 1)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
  """Holm's (1979) correction of the p-values that there are; None stays None."""
  known = [p for p in p_values if p is not None]
  if len(known) < 2:  # Nothing to correct for.
    return list(p_values)
  from statsmodels.stats.multitest import multipletests

  corrected = iter(multipletests(known, method='holm')[1].tolist())
  return [None if p is None else next(corrected) for p in p_values]


def _mean(metric: str, sums: np.ndarray) -> np.ndarray:
  return scores.score(metric, sums).mean(-1)


def _mean_difference(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
  return np.mean(x, axis=axis) - np.mean(y, axis=axis)
