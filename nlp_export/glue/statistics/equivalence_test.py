"""Are two arms the same within a margin, different, or are the seeds too few to tell?

Two one-sided t-tests (Schuirmann 1987) on paired differences over seeds. A test that finds no
difference does not show equivalence; this one does, or says how many seeds it would take.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from nlp_export.glue.statistics.estimate import at_least_a_step

MOST_SEEDS = 1000


@dataclasses.dataclass(frozen=True)
class Tost:
  """Attributes: mean and sd used; p-values; low and high of the 1 - 2 alpha interval."""

  mean: float
  sd: float
  p_equivalence: float
  p_difference: float
  low: float
  high: float


def tost(differences: np.ndarray, margin: float, alpha: float = 0.05, step: float = 0.0) -> Tost:
  """Two one-sided t-tests of paired differences.

  Args:
    differences: [seeds], at least two.
    margin: equivalent means inside of -margin and +margin.
    alpha: error rate of each of the two.
    step: smallest possible change of the metric, see `estimate.at_least_a_step`.

  Returns:
    The p-values and the interval that goes with them.
  """
  from scipy import stats
  from statsmodels.stats.weightstats import DescrStatsW

  values = np.asarray(differences, float)
  mean = float(values.mean())
  measured = float(values.std(ddof=1))
  sd = at_least_a_step(measured, mean, step)
  if sd > measured:  # Values with this mean and standard deviation instead.
    spread = np.linspace(-1, 1, len(values))
    values = mean + spread / spread.std(ddof=1) * sd
  if sd == 0:  # All are 0, of a metric without steps.
    return Tost(0.0, 0.0, 0.0, 1.0, 0.0, 0.0)
  described = DescrStatsW(values)
  low, high = described.tconfint_mean(alpha=2 * alpha)
  return Tost(mean, sd, float(described.ttost_mean(-margin, margin)[0]),
              float(stats.ttest_1samp(values, 0.0).pvalue), float(low), float(high))


def tost_power(seeds: np.ndarray, sd: float, difference: float, margin: float,
               alpha: float = 0.05) -> np.ndarray:
  """Chance that `tost` finds equivalence, a lower bound that is close where it is large.

  Args:
    seeds: [n], numbers of seeds.
    sd: of the differences.
    difference: the true one.
    margin: as in `tost`.
    alpha: as in `tost`.

  Returns:
    [n]. The chances that either test fails are added (Bonferroni's bound), each from the
    noncentral t distribution.
  """
  from scipy import stats

  seeds = np.asarray(seeds)
  root = np.sqrt(seeds) / sd
  critical = stats.t.ppf(1 - alpha, seeds - 1)
  # Far beyond what matters, the noncentral t has no digits left; 37 is certainty already.
  lower = np.clip((margin + difference) * root, -37, 37)
  upper = np.clip((margin - difference) * root, -37, 37)
  fails = [_nct_cdf(critical, seeds - 1, shift) for shift in (lower, upper)]
  return np.maximum(0.0, 1 - fails[0] - fails[1])


def _nct_cdf(critical: np.ndarray, df: np.ndarray, shift: np.ndarray) -> np.ndarray:
  from scipy import stats

  # Where SciPy has no value (a tail too far out), the probability is 0 to all digits.
  return np.nan_to_num(stats.nct.cdf(critical, df, shift), nan=0.0)


def seeds_for_equivalence(
    sd: float, difference: float, margin: float, alpha: float, power: float
) -> int | None:
  """The smallest number of seeds with which `tost` would say equivalent with that chance."""
  if abs(difference) >= margin:
    return None
  if sd == 0:
    return 2
  counts = np.arange(2, MOST_SEEDS + 1)
  enough = np.flatnonzero(tost_power(counts, sd, difference, margin, alpha) >= power)
  return int(counts[enough[0]]) if len(enough) else None


def seeds_for_difference(
    sd: float,
    difference: float,
    alpha: float,
    power: float,
    examples_variance: float = 0.0,
) -> int | None:
  """The smallest number of seeds that would show a difference of this size with that chance.

  Args:
    sd: of paired differences between seeds.
    difference: its size.
    alpha: of a two-sided test.
    power: the chance.
    examples_variance: of the mean difference from the choice of examples, which no number of
      seeds makes smaller; 0 for this dev set as it is.

  Returns:
    None if 1,000 seeds would not do.
  """
  from scipy import stats
  from statsmodels.stats.power import TTestPower

  difference = abs(difference)
  if difference == 0:
    return None
  if sd == 0 and examples_variance == 0:
    return 2
  counts = np.arange(2, MOST_SEEDS + 1)
  if examples_variance == 0:
    reached = np.asarray(TTestPower().power(difference / sd, counts, alpha))
    enough = np.flatnonzero(np.nan_to_num(reached, nan=1.0) >= power)
  else:
    t = stats.t.ppf(1 - alpha / 2, counts - 1) + stats.t.ppf(power, counts - 1)
    z = stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)
    needed = np.hypot(t * sd / np.sqrt(counts), z * np.sqrt(examples_variance))
    enough = np.flatnonzero(needed <= difference)
  return int(counts[enough[0]]) if len(enough) else None
