"""How far off may a mean over seeds be, for other seeds and other examples?

The two sources are added: Student's t for the variance between seeds, the bootstrap for the
variance over examples, in quadrature (MOVER: Zou and Donner 2008, "Construction of confidence
limits about effect measures", Statistics in Medicine 27). The variance between seeds is seen on
one dev set, so it holds the interaction of seeds and examples; that part is taken out of the
examples' variance, or it would count twice.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from nlp_export.glue.statistics.resampling import multibootstrap
from nlp_export.glue.statistics.results import Interval, Settings, Statistics


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A mean over seeds and the variances behind it.

  Attributes:
    seeds_sd: between seeds, on this dev set; None for one seed.
    examples_variance: of the mean, from the examples alone; None without predictions.
    all_examples_variance: the same with the interaction.
  """

  mean: float
  count: int
  seeds_sd: float | None
  examples_variance: float | None
  all_examples_variance: float | None

  @property
  def covers(self) -> str:
    """See `Interval.covers`."""
    if self.seeds_sd is None:
      return 'examples'
    return 'seeds' if self.examples_variance is None else 'seeds and examples'

  def half_width(self, confidence: float) -> float | None:
    """Half of the interval, or None if nothing is known of the variance."""
    from scipy import special  # The quantiles of scipy.stats, without its checks of arguments.

    quantile = (1 + confidence) / 2
    z = special.ndtri(quantile)
    least = z * math.sqrt(self.all_examples_variance or 0.0)
    if self.seeds_sd is None:
      return None if self.all_examples_variance is None else float(least)
    t = special.stdtrit(self.count - 1, quantile)
    both = math.hypot(t * self.seeds_sd / math.sqrt(self.count),
                      z * math.sqrt(self.examples_variance or 0.0))
    return float(max(both, least))

  def interval(
      self, confidence: float, limits: tuple[float, float] = (-math.inf, math.inf)
  ) -> Interval | None:
    """The interval of the mean, inside of the metric's limits."""
    half = self.half_width(confidence)
    if half is None:
      return None
    return Interval(max(limits[0], self.mean - half), min(limits[1], self.mean + half), confidence,
                    self.covers)

  def p_value(self) -> float | None:
    """Two-sided, of a mean of 0: one minus the confidence at which the interval just touches 0.

    None for one seed: that says nothing of other seeds.
    """
    from scipy import optimize

    if self.seeds_sd is None:
      return None

    def beyond(log_alpha: float) -> float:
      return (self.half_width(-math.expm1(log_alpha)) or 0.0) - abs(self.mean)

    smallest = -36.0  # Of log alpha: where 1 - alpha is still less than 1 in float64.
    if self.mean == 0 or beyond(-1e-12) > 0:
      return 1.0
    if beyond(smallest) <= 0:
      return math.exp(smallest)
    return math.exp(optimize.brentq(beyond, smallest, -1e-12))


def estimate(
    values: np.ndarray, replicates: np.ndarray | None = None, step: float = 0.0
) -> Estimate:
  """The mean over seeds with its variances.

  Args:
    values: [seeds], scores or paired differences.
    replicates: [replicates, seeds], the same on resamples of the examples.
    step: the smallest change of a difference. Seeds cannot be seen to agree better than that,
      so it is the least standard deviation; give it for differences only.

  Returns:
    The estimate.
  """
  values = np.asarray(values, float)
  count, mean = len(values), float(np.mean(values))
  sd = float(np.std(values, ddof=1)) if count > 1 else None
  if sd is not None:
    sd = at_least_a_step(sd, mean, step)
  if replicates is None:
    return Estimate(mean, count, sd, None, None)
  of_mean = float(np.var(replicates.mean(1), ddof=1))
  alone = of_mean
  if count > 1:
    of_each = float(np.mean(np.var(replicates, axis=0, ddof=1)))
    interaction = max(0.0, of_each - of_mean) / (count - 1)  # Its part in the variance of the mean.
    alone = max(0.0, of_mean - interaction)
  return Estimate(mean, count, sd, alone, of_mean)


def at_least_a_step(sd: float, mean: float, step: float) -> float:
  """The standard deviation that equal differences of a counted metric allow to claim.

  Two seeds that both differ by one example of 277 have a standard deviation of 0; that is chance
  and not certainty. Where the step is not known, equal differences vouch for their own size only.
  """
  if mean == 0 and sd == 0:
    return step
  if step == 0 and sd <= 1e-12 * abs(mean):
    return abs(mean)
  return max(sd, step)


def statistics(
    seeds: tuple[int, ...],
    values: np.ndarray,
    replicates: np.ndarray | None,
    settings: Settings,
    *,
    limits: tuple[float, float] = (-math.inf, math.inf),
    step: float = 0.0,
    differences: bool = False,
) -> Statistics | None:
  """Everything about scores (differences) of some seeds; None for no seed.

  Args:
    seeds: in the order of values.
    values: [seeds].
    replicates: [replicates, seeds] on resamples of examples, or None.
    settings: confidence and resampling.
    limits: of the metric; not for differences.
    step: see `estimate`.
    differences: whether 0 is a value to test against.
  """
  values = np.asarray(values, float)
  if not len(values):
    return None
  found = estimate(values, replicates, step if differences else 0.0)
  generator = np.random.default_rng([settings.random_seed, len(values)])
  resampled = (multibootstrap(replicates, generator) if replicates is not None
               else _seeds_only(values, settings, generator))
  bootstrap = None
  if resampled is not None:
    tail = (1 - settings.confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    bootstrap = Interval(float(low), float(high), settings.confidence, found.covers)
  return Statistics(
      tuple(seeds), tuple(values.tolist()), found.mean, float(np.median(values)),
      float(np.std(values, ddof=1)) if len(values) > 1 else None, float(values.min()),
      float(values.max()), found.interval(settings.confidence, limits), bootstrap,
      found.p_value() if differences else None)


def _seeds_only(
    values: np.ndarray, settings: Settings, generator: np.random.Generator
) -> np.ndarray | None:
  from scipy import stats

  if len(values) < 2:
    return None
  return stats.bootstrap(
      (values,), np.mean, n_resamples=settings.replicates, method='percentile',
      rng=generator).bootstrap_distribution
