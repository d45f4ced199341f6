"""How far apart may two scores be and still be the same, for the size of the dev set alone?"""

from __future__ import annotations

import numpy as np


def noise_floor(
    metric: str,
    value: float,
    examples: int | None,
    replicates: np.ndarray | None,
) -> tuple[float | None, str]:
  """One standard error of one run's score over the choice of dev examples.

  Args:
    metric: an accuracy has the binomial one, sqrt(p (1 - p) / n); others are bootstrapped.
    value: the (mean) score, 0 to 1.
    examples: how many there are in dev, None if not known.
    replicates: [replicates, runs] on resamples of the examples, or None.

  Returns:
    The standard error and where it is from: 'binomial', 'bootstrap' or ''.
  """
  if metric.startswith('accuracy') and examples:
    return float(np.sqrt(value * (1 - value) / examples)), 'binomial'
  if replicates is not None and replicates.size:
    return float(np.sqrt(np.mean(np.var(replicates, axis=0, ddof=1)))), 'bootstrap'
  return None, ''
