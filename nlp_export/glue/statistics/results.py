"""What does an analysis hand to a report? Frozen records that turn into JSON; scores are 0 to 1.

Names that end in `_points` are in points, hundredths; every other score is as the metrics give it.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from nlp_export.glue.published import Beside


class Record:
  """A frozen dataclass with a JSON form."""

  def to_json(self) -> dict[str, Any]:
    """Plain dicts, lists and numbers; what is not finite becomes None."""
    return {field.name: _plain(getattr(self, field.name))
            for field in dataclasses.fields(self)}  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
  if hasattr(value, 'to_json'):
    return value.to_json()
  if isinstance(value, dict):
    return {str(key): _plain(item) for key, item in value.items()}
  if isinstance(value, (list, tuple, np.ndarray)):
    return [_plain(item) for item in value]
  if isinstance(value, np.generic):
    value = value.item()
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value


@dataclasses.dataclass(frozen=True)
class Settings(Record):
  """How sure is sure enough.

  Attributes:
    margin_points: differences below this do not matter (equivalence), in points.
    confidence: of intervals; 1 - confidence is the error rate of every test.
    power: chance of an answer that a recommended number of seeds should give.
    replicates: of the bootstrap; permutations too where there are too many to try all.
    random_seed: of the resampling. Equal cells give equal analyses.
  """

  margin_points: float = 1.0
  confidence: float = 0.95
  power: float = 0.8
  replicates: int = 2000
  random_seed: int = 0

  @property
  def alpha(self) -> float:
    """The error rate of tests."""
    return 1 - self.confidence

  @property
  def margin(self) -> float:
    """The margin as a difference of scores."""
    return self.margin_points / 100


@dataclasses.dataclass(frozen=True)
class Interval(Record):
  """An interval of confidence.

  Attributes:
    low, high: its ends.
    confidence: 0.95, say.
    covers: what varies: 'seeds and examples', 'seeds' (this dev set only), or 'examples' (one
      seed: these trained weights only).
  """

  low: float
  high: float
  confidence: float
  covers: str


@dataclasses.dataclass(frozen=True)
class Statistics(Record):
  """Scores of one group of runs, or paired differences of two.

  Attributes:
    seeds: the seeds, in the order of `values`.
    values: one score (difference) a seed.
    mean, median, sd, min, max: of `values`; sd (n - 1) is None for one seed.
    interval: of the mean, from the variance between seeds (Student's t) and the variance over
      examples; None for one seed without predictions.
    bootstrap: the multi-bootstrap's percentile interval, as published. Too narrow below about
      ten seeds, since few seeds resampled are fewer still: `interval` is the one to quote.
    p_value: two-sided, of a mean of 0, from the same variances as `interval`; None for scores.
  """

  seeds: tuple[int, ...]
  values: tuple[float, ...]
  mean: float
  median: float
  sd: float | None
  min: float
  max: float
  interval: Interval | None
  bootstrap: Interval | None
  p_value: float | None = None


@dataclasses.dataclass(frozen=True)
class RunScore(Record):
  """One run as a dot: its status is 'ok', 'degenerate' or 'failed'."""

  seed: int
  value: float | None
  status: str
  reasons: tuple[str, ...] = ()
  pooler_seed: int | None = None


@dataclasses.dataclass(frozen=True)
class Group(Record):
  """Every run of one pooler and arm on one task.

  Attributes:
    metric: name of the main metric.
    runs: every run, also failed ones.
    counts: {'ok': n, 'degenerate': n, 'failed': n}.
    without_degenerate: statistics of the ok runs; None if there is none.
    with_degenerate: of the ok and the degenerate runs; equal to the above if none is degenerate.
    noise_floor: one standard error of the score of one run, from the choice of dev examples.
    noise_floor_from: 'binomial', 'bootstrap' or '' (not known).
    beside: what was published for comparable encoders and recipes (`published.Beside`).
  """

  task: str
  pooler: str
  arm: str
  metric: str
  runs: tuple[RunScore, ...]
  counts: dict[str, int]
  without_degenerate: Statistics | None
  with_degenerate: Statistics | None
  noise_floor: float | None
  noise_floor_from: str
  beside: Beside | None


@dataclasses.dataclass(frozen=True)
class Average(Record):
  """Mean over tasks (WNLI never among them) of one pooler and arm."""

  pooler: str
  arm: str
  tasks: tuple[str, ...]
  without_degenerate: float | None
  with_degenerate: float | None


@dataclasses.dataclass(frozen=True)
class Comparison(Record):
  """First minus second, paired by seed and by example.

  Attributes:
    task: a task, or 'average' over `tasks`.
    kind: 'pooler' or 'arm'; `within` is the arm or pooler they share.
    without_degenerate: statistics of the differences of pairs in which both runs are ok.
    with_degenerate: of all pairs that finished.
    degenerate: how many degenerate runs first and second have in these pairs.
    p_holm: of without_degenerate.p_value, corrected over tasks (over pairs, for the average).
    p_permutation: paired permutation test, signs of the seeds' differences exchanged.
    p_permutation_smallest: the smallest that so few seeds can give; above 1 - confidence the
      permutation test cannot find anything.
    p_permutation_holm: corrected like p_holm.
    p_examples: examples exchanged between the runs: whether these trained weights differ, not
      whether the poolers do; None without predictions.
    verdict: 'first', 'second', 'equivalent', 'open'.
    seeds_needed: about how many seeds would show a difference as large as this one, or as the
      margin if that is larger; None where not even 1,000 would, or it cannot be said.
    sentence: all of it, for people.
  """

  task: str
  tasks: tuple[str, ...]
  kind: str
  within: str
  first: str
  second: str
  metric: str
  without_degenerate: Statistics | None
  with_degenerate: Statistics | None
  degenerate: tuple[int, int]
  p_holm: float | None
  p_permutation: float | None
  p_permutation_smallest: float | None
  p_permutation_holm: float | None
  p_examples: float | None
  verdict: str
  seeds_needed: int | None
  sentence: str


@dataclasses.dataclass(frozen=True)
class Equivalence(Record):
  """Arm minus reference (export minus baseline) on one task, paired by seed.

  Attributes:
    differences: statistics over seeds on this dev set; None if no pair says anything.
    with_degenerate: pairs of which one run is degenerate included; pairs of which both are say
      nothing about equivalence and are in neither.
    both_degenerate: seeds of such pairs.
    tost_interval: its 1 - 2 alpha interval; inside of the margin means equivalent.
    p_equivalence: of two one-sided t-tests against the margin.
    p_difference: two-sided, of no difference; p_difference_holm corrected over tasks.
    identical_predictions: pairs whose dev predictions are all the same; None if not known.
    verdict: 'equivalent', 'different' or 'not enough seeds'.
    seeds_needed: about how many would do; None if it cannot be said.
  """

  task: str
  pooler: str
  arm: str
  reference: str
  metric: str
  margin_points: float
  differences: Statistics | None
  with_degenerate: Statistics | None
  both_degenerate: tuple[int, ...]
  tost_interval: Interval | None
  p_equivalence: float | None
  p_difference: float | None
  p_difference_holm: float | None
  identical_predictions: int | None
  verdict: str
  seeds_needed: int | None
  sentence: str


@dataclasses.dataclass(frozen=True)
class PoolerDraw(Record):
  """How much of the spread over seeds comes from drawing the pooler at random.

  Attributes:
    design: 'crossed', 'repeated', 'against a fixed draw', 'against other poolers' (an assumption),
      'fixed' (the draw never varied) or 'confounded'.
    total_sd: of the runs' scores.
    draw_sd, rest_sd: the two parts, None where the design cannot tell them apart.
    share: of the variance, that comes from the draw; share_interval around it.
    p_value: of no variance from the draw.
  """

  task: str
  pooler: str
  arm: str
  design: str
  total_sd: float | None
  draw_sd: float | None
  rest_sd: float | None
  share: float | None
  share_interval: Interval | None
  p_value: float | None
  sentence: str


@dataclasses.dataclass(frozen=True)
class Verdict(Record):
  """An answer: `sure` is 'shown', 'suggested' or 'open'."""

  question: str
  answer: str
  sure: str
  sentence: str


@dataclasses.dataclass(frozen=True)
class Analysis(Record):
  """Everything a report needs.

  Attributes:
    verdicts: first of all.
    apart: groups of tasks that are in no average, comparison or verdict, and `apart_because`.
    counts: over all cells.
    remarks: what limits the conclusions, one sentence each.
    passed: False if an arm was shown to differ from its reference.
  """

  settings: Settings
  verdicts: tuple[Verdict, ...]
  groups: tuple[Group, ...]
  averages: tuple[Average, ...]
  comparisons: tuple[Comparison, ...]
  average_comparisons: tuple[Comparison, ...]
  equivalence: tuple[Equivalence, ...]
  pooler_draws: tuple[PoolerDraw, ...]
  apart: tuple[Group, ...]
  apart_because: dict[str, str]
  counts: dict[str, int]
  remarks: tuple[str, ...]
  passed: bool
  schema_version: int = 1
