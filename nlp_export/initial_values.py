"""What do untrained weights start as?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def truncated_normal(shape: Sequence[int], stddev: float, seed: int) -> np.ndarray:
  """Draws from a normal distribution around 0 that is cut at two standard deviations.

  Args:
    shape: of the result.
    stddev: standard deviation before the cut.
    seed: of the draw (Philox), not shared with anything else: the same seed, the same bytes.

  Returns:
    float32 of `shape`.

  Source: BERT's initialisation (Devlin et al. 2018, google-research/bert modeling.py,
    create_initializer).
  """
  from scipy import special  # Here, because --dry_run and errors must answer fast.

  uniform = np.random.Generator(np.random.Philox(seed)).random(tuple(shape))
  low, high = special.ndtr([-2.0, 2.0])
  return (stddev * special.ndtri(low + uniform * (high - low))).astype(np.float32)
