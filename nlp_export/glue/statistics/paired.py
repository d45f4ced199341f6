"""How do two groups of runs differ, paired by seed and by example?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from nlp_export.glue.statistics import equivalence_test, permutation, scores
from nlp_export.glue.statistics.estimate import estimate, statistics
from nlp_export.glue.statistics.resampling import bootstrap_scores
from nlp_export.glue.statistics.results import Comparison, Settings, Statistics
from nlp_export.glue.statistics.runs import Run


class Replicates:
  """Scores of the runs of one task on the same resamples of its examples.

  Attributes:
    metric: the main metric.
    labels: [examples] or None.
    of: run key -> [replicates].
  """

  def __init__(self, runs: Sequence[Run], labels: np.ndarray | None, settings: Settings):
    self.metric = runs[0].metric
    self.labels = None if labels is None else np.asarray(labels)
    known = [run for run in runs if run.predictions is not None and run.value is not None]
    self.of: dict[tuple, np.ndarray] = {}
    if known and self.labels is not None:
      scored = bootstrap_scores(
          self.metric, [run.predictions for run in known if run.predictions is not None],
          self.labels, settings.replicates, np.random.default_rng(settings.random_seed))
      self.of = {run.key: scored[:, i] for i, run in enumerate(known)}

  @property
  def step(self) -> float:
    """The smallest change of the metric, 0 if that is not known."""
    return scores.step(self.metric, None if self.labels is None else len(self.labels))

  def stacked(self, runs: Sequence[Run]) -> np.ndarray | None:
    """[replicates, runs], or None if one of them has no predictions."""
    if not runs or any(run.key not in self.of for run in runs):
      return None
    return np.stack([self.of[run.key] for run in runs], axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class Paired:
  """Differences of pairs.

  Attributes:
    seeds: of the pairs.
    differences: [seeds], first minus second.
    replicates: [replicates, seeds] or None.
    step: smallest change of a difference.
  """

  seeds: tuple[int, ...]
  differences: np.ndarray
  replicates: np.ndarray | None
  step: float

  def statistics(self, settings: Settings) -> Statistics | None:
    """None if there is no pair."""
    return statistics(self.seeds, self.differences, self.replicates, settings, step=self.step,
                      differences=True)


def pairs(
    first: Sequence[Run], second: Sequence[Run], *, degenerate: bool
) -> list[tuple[Run, Run]]:
  """Runs of the same seed that have scores; degenerate ones too if asked for."""
  allowed = ('ok', 'degenerate') if degenerate else ('ok',)
  others = {run.seed: run for run in second if run.value is not None and run.status in allowed}
  return [(run, others[run.seed]) for run in first
          if run.seed in others and run.value is not None and run.status in allowed]


def paired(matched: Sequence[tuple[Run, Run]], replicates: Replicates) -> Paired:
  """Differences of matched runs of one task."""
  one = replicates.stacked([a for a, _ in matched])
  other = replicates.stacked([b for _, b in matched])
  return Paired(
      tuple(a.seed for a, _ in matched),
      np.array([(a.value or 0.0) - (b.value or 0.0) for a, b in matched], float),
      None if one is None or other is None else one - other, replicates.step)


def average(parts: Sequence[Paired]) -> Paired:
  """The mean over tasks, for the seeds that every task has.

  A seed is one draw of the pooler for all tasks, so their differences depend on each other; the
  mean over tasks of each seed does not. The examples of the tasks are drawn independently.
  """
  shared = sorted(set.intersection(*(set(part.seeds) for part in parts))) if parts else []
  columns = [[part.seeds.index(seed) for seed in shared] for part in parts]
  values = np.mean([p.differences[c] for p, c in zip(parts, columns, strict=True)], axis=0)
  replicates = None
  if shared and all(part.replicates is not None for part in parts):
    # Resamples of different tasks have nothing to do with each other: shuffle them apart.
    generator = np.random.default_rng(len(parts))
    replicates = np.mean(
        [generator.permutation(part.replicates)[:, column]
         for part, column in zip(parts, columns, strict=True) if part.replicates is not None],
        axis=0)
  step = min((part.step for part in parts), default=0.0) / max(1, len(parts))
  return Paired(tuple(shared), np.atleast_1d(values), replicates, step)


def compare(
    without: Paired,
    everything: Paired,
    settings: Settings,
    *,
    task: str,
    tasks: Sequence[str],
    kind: str,
    within: str,
    names: tuple[str, str],
    metric: str,
    degenerate: tuple[int, int],
    tests: int = 1,
    p_examples: float | None = None,
) -> Comparison:
  """Tests of one pair of groups, not yet corrected nor put into words.

  Args:
    without: pairs of ok runs.
    everything: with degenerate ones.
    settings: margin and confidence.
    task, tasks, kind, within, names, metric, degenerate, p_examples: as in `Comparison`.
    tests: how many it will be corrected for; the seeds needed depend on it.
  """
  found = without.statistics(settings)
  p_permutation = least = None
  if found is not None:
    p_permutation = permutation.over_seeds(without.differences, random_seed=settings.random_seed)
    least = permutation.smallest(len(found.seeds))
  return Comparison(
      task, tuple(tasks), kind, within, names[0], names[1], metric, found,
      everything.statistics(settings), degenerate, None, p_permutation, least, None,
      p_examples, 'open', _needed(without, settings, tests), '')


def _needed(differences: Paired, settings: Settings, tests: int) -> int | None:
  if len(differences.seeds) < 2:
    return None
  found = estimate(differences.differences, differences.replicates, differences.step)
  return equivalence_test.seeds_for_difference(
      found.seeds_sd or 0.0, max(abs(found.mean), settings.margin),
      settings.alpha / max(1, tests), settings.power, found.examples_variance or 0.0)
