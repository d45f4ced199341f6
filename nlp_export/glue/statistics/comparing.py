"""Which of two poolers (or arms) is better, on each task and on their average?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from nlp_export.glue.statistics import permutation
from nlp_export.glue.statistics.paired import Paired, Replicates, average, compare, paired, pairs
from nlp_export.glue.statistics.results import Comparison, Settings, Statistics
from nlp_export.glue.statistics.runs import Run
from nlp_export.glue.statistics.words import (
    listed,
    margin_word,
    p_is,
    points,
    probability,
    seeds_word,
    span,
)

FIRST, SECOND, EQUIVALENT, OPEN = 'first', 'second', 'equivalent', 'open'
AVERAGE = 'average'

# task -> the runs of a name.
ByTask = Mapping[str, Sequence[Run]]


def compare_names(
    first: tuple[str, ByTask],
    second: tuple[str, ByTask],
    replicates: Mapping[str, Replicates],
    settings: Settings,
    *,
    kind: str,
    within: str,
    names_compared: int = 2,
) -> tuple[list[Comparison], Comparison | None]:
  """Two names on every task that both have, Holm-corrected over these, and on their average.

  Args:
    first, second: a pooler's (arm's) name and its runs by task.
    replicates: by task.
    settings: margin and confidence.
    kind: 'pooler' or 'arm'.
    within: the arm (pooler) that they share.
    names_compared: how many poolers (arms) there are; the pairs of their averages are corrected
      for their number.

  Returns:
    One comparison a task, and that of the average (not yet corrected over pairs of names); None
    if there is no task.
  """
  names = (first[0], second[0])
  tasks = [task for task in first[1] if task in second[1]]
  found, parts, dead = [], [], []
  for task in tasks:
    here = replicates[task]
    clean = pairs(first[1][task], second[1][task], degenerate=False)
    every = pairs(first[1][task], second[1][task], degenerate=True)
    part = paired(clean, here), paired(every, here)
    parts.append(part)
    dead.append((_dead(a for a, _ in every), _dead(b for _, b in every)))
    found.append(compare(
        *part, settings, task=task, tasks=(task,), kind=kind, within=within, names=names,
        metric=here.metric, degenerate=dead[-1], tests=len(tasks),
        p_examples=_over_examples(clean, here, settings)))
  found = correct(found, settings, f'Holm over {len(tasks)} tasks' if len(tasks) > 1 else '')
  if not tasks:
    return found, None
  usable = [part for part in parts if part[0].seeds]
  kept = [task for task, part in zip(tasks, parts, strict=True) if part[0].seeds]
  overall: list[Paired] = ([average([part[i] for part in usable]) for i in (0, 1)] if usable
                           else [parts[0][0], parts[0][1]])
  metrics = {replicates[task].metric for task in kept or tasks}
  return found, compare(
      overall[0], overall[1], settings, task=AVERAGE, tasks=tuple(kept or tasks), kind=kind,
      within=within, names=names,
      degenerate=(sum(a for a, _ in dead), sum(b for _, b in dead)),
      tests=math.comb(names_compared, 2),
      metric=metrics.pop() if len(metrics) == 1 else 'mean of metrics')


def correct(
    comparisons: Sequence[Comparison], settings: Settings, family: str
) -> list[Comparison]:
  """Holm over the given comparisons; then verdicts and sentences.

  Args:
    comparisons: one family.
    settings: confidence.
    family: what it is, 'Holm over 3 tasks'; '' for a single one.
  """
  ps = permutation.holm([c.without_degenerate.p_value if c.without_degenerate else None
                         for c in comparisons])
  permuted = permutation.holm([c.p_permutation for c in comparisons])
  found = []
  for comparison, p, q in zip(comparisons, ps, permuted, strict=True):
    comparison = dataclasses.replace(comparison, p_holm=p, p_permutation_holm=q)
    comparison = dataclasses.replace(comparison, verdict=_verdict(comparison, settings))
    found.append(dataclasses.replace(
        comparison, sentence=_sentence(comparison, settings, family)))
  return found


def rests_on_omission(comparison: Comparison, settings: Settings) -> bool:
  """Whether a difference is clear among the ok runs and was not believed for the others."""
  return (comparison.verdict == OPEN and comparison.p_holm is not None
          and comparison.p_holm <= settings.alpha)


def _over_examples(
    matched: Sequence[tuple[Run, Run]], replicates: Replicates, settings: Settings
) -> float | None:
  one = [a.predictions for a, _ in matched if a.predictions is not None]
  other = [b.predictions for _, b in matched if b.predictions is not None]
  if replicates.labels is None or not matched or not len(one) == len(other) == len(matched):
    return None
  return permutation.over_examples(
      replicates.metric, one, other, replicates.labels, settings.replicates,
      settings.random_seed)


def _verdict(comparison: Comparison, settings: Settings) -> str:
  clean, every = comparison.without_degenerate, comparison.with_degenerate
  if clean is None or every is None or len(clean.seeds) < 2:
    return OPEN
  # Leaving degenerate runs out must not decide who wins: not against the order of all runs, and
  # not for the one that has more of them, unless all runs show it as well.
  winner = 0 if clean.mean > 0 else 1
  agree = np.sign(clean.mean) == np.sign(every.mean)
  if comparison.degenerate[winner] > comparison.degenerate[1 - winner]:
    agree = agree and every.p_value is not None and every.p_value <= settings.alpha
  if comparison.p_holm is not None and comparison.p_holm <= settings.alpha and agree:
    return (FIRST, SECOND)[winner]
  if _within(clean, settings) and _within(every, settings):
    return EQUIVALENT
  return OPEN


def _dead(runs: Iterable[Run]) -> int:
  return sum(run.status == 'degenerate' for run in runs)


def _within(found: Statistics, settings: Settings) -> bool:
  return (found.interval is not None and found.interval.covers != 'examples'
          and -settings.margin < found.interval.low
          and found.interval.high < settings.margin)


def _sentence(comparison: Comparison, settings: Settings, family: str) -> str:
  where = (f'the average of {listed(comparison.tasks)}' if comparison.task == AVERAGE
           else comparison.task)
  name = f'{comparison.first} against {comparison.second} on {where} ({comparison.within})'
  found = comparison.without_degenerate
  if found is None:
    return f'{name}: no seed has two runs that finished and are not degenerate.'
  mean, seeds = points(found.mean, sign=True), seeds_word(len(found.seeds))
  if len(found.seeds) < 2 or found.interval is None:
    return f'{name}: {mean} in {seeds}, which says nothing of the spread. Run at least 3 seeds.'
  shown = (f'{mean}, {span(found.interval)}, over {seeds}; '
           f'{p_is(comparison.p_holm)}{f" ({family})" if family else ""}')
  every, degenerate = comparison.with_degenerate, ''
  if every is not None and every != found:
    degenerate = f' With degenerate runs: {points(every.mean, sign=True)}.'
  if comparison.verdict in (FIRST, SECOND):
    winner = comparison.first if comparison.verdict == FIRST else comparison.second
    least, q = comparison.p_permutation_smallest, comparison.p_permutation_holm
    weak = ''
    if q is not None and q > settings.alpha:
      weak = (f' The permutation test, which does not assume normal differences, cannot confirm '
              f'it: {seeds} give {probability(least)} at best.' if least and
              least > settings.alpha else
              f' The permutation test does not confirm it ({p_is(q)}).')
    return f'{name}: {winner} is better, {shown}.{weak}{degenerate}'
  if comparison.verdict == EQUIVALENT:
    return (f'{name}: no difference that matters, {shown}; all of the interval is below '
            f'{margin_word(settings.margin_points)}.{degenerate}')
  if rests_on_omission(comparison, settings):
    return (f'{name}: open, {shown}, but only among the runs that are not degenerate.{degenerate}')
  size = max(abs(found.mean), settings.margin)
  needed = comparison.seeds_needed
  would = ('no number of seeds up to 1,000 would show one of ' + points(size) +
           ' on so few dev examples' if needed is None else
           f'about {needed} seeds would show one of {points(size)}'
           if needed > len(found.seeds) else
           f'a difference of {points(size)} would probably have been seen'
           if size > abs(found.mean) else 'a few more seeds should decide it')
  return f'{name}: open, {shown}; {would}.{degenerate}'
