"""What do all cells of a matrix say together? Everything that a report needs, in one value."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from nlp_export.glue import published
from nlp_export.glue.statistics import comparing, equivalence, verdicts
from nlp_export.glue.statistics.estimate import statistics
from nlp_export.glue.statistics.noise_floor import noise_floor
from nlp_export.glue.statistics.paired import Replicates
from nlp_export.glue.statistics.pooler_draw import pooler_draw
from nlp_export.glue.statistics.results import (
    Analysis,
    Average,
    Comparison,
    Equivalence,
    Group,
    PoolerDraw,
    RunScore,
    Settings,
    Statistics,
)
from nlp_export.glue.statistics.runs import Predictions, Run, read_runs
from nlp_export.glue.statistics.scores import limits
from nlp_export.glue.statistics.words import listed, seeds_word

# Task -> why its scores are in no average and no comparison.
APART = {
    'wnli': (
        'In 65 of the 71 dev examples of WNLI the first sentence also occurs in train; where its '
        'train examples all have one label (54 of them), the dev label is the opposite one every '
        'time. A model that learns scores below chance, so no score says anything of the encoder; '
        'the BERT paper leaves it out too.'),
}
TESTED, REFERENCE = 'export', 'baseline'
# Fewer than these, and a permutation test over seeds cannot find anything at 5 %.
_FEW_SEEDS = 6

Key = tuple[str, str]  # pooler, arm


def analyse(
    cells: Iterable[Mapping[str, Any]],
    *,
    predictions: Predictions | None = None,
    labels: Mapping[str, np.ndarray] | None = None,
    setting: published.Setting | None = None,
    settings: Settings | None = None,
) -> Analysis:
  """All statistics of a matrix.

  Args:
    cells: as in results.json, failed and degenerate ones too.
    predictions: gives a cell's dev predictions for the main metric, [examples] (class numbers, or
      values of a regression), or None where there are none. Without them intervals cover seeds
      only.
    labels: task -> [examples], gold labels of the same examples.
    setting: what the runs fine-tuned and how, for published scores; None shows none.
    settings: margin, confidence, resampling.

  Returns:
    The analysis; equal cells give an equal one.

  Raises:
    RequestError: cells that contradict each other, see `runs.read_runs`.
  """
  settings = settings or Settings()
  cells = list(cells)
  labels = labels or {}
  runs = read_runs(cells, predictions, labels)
  tasks = {task: list(part) for task, part in itertools.groupby(runs, lambda run: run.task)}
  replicates = {task: Replicates(part, labels.get(task), settings)
                for task, part in tasks.items()}
  table = {task: _by_name(part) for task, part in tasks.items()}
  groups = [_group(found, replicates[task], setting, settings)
            for task, named in table.items() for found in named.values()]
  counted = {task: named for task, named in table.items() if task not in APART}
  shown = [group for group in groups if group.task not in APART]
  pairwise, overall = _comparisons(counted, replicates, settings)
  tests = _equivalences(counted, replicates, settings)
  averages = _averages(shown)
  answers = [verdicts.as_good_as_baseline(tests, settings)]
  answers += [
      verdicts.which_pooler(
          arm, [average for average in averages if average.arm == arm],
          [c for c in overall if c.kind == 'pooler' and c.within == arm],
          [group for group in shown if group.arm == arm], settings)
      for arm in dict.fromkeys(group.arm for group in shown)
      if arm != REFERENCE or all(group.arm != TESTED for group in shown)]
  counts = _counts(run.status for run in runs)
  return Analysis(
      settings, tuple(answer for answer in answers if answer), tuple(shown), tuple(averages),
      tuple(pairwise), tuple(overall), tuple(tests), tuple(_draws(counted, settings)),
      tuple(group for group in groups if group.task in APART),
      {task: APART[task] for task in tasks if task in APART}, counts,
      tuple(_remarks(cells, runs, replicates, counts)),
      all(test.verdict != equivalence.DIFFERENT for test in tests))


def _by_name(runs: Sequence[Run]) -> dict[Key, list[Run]]:
  found: dict[Key, list[Run]] = {}
  for run in runs:
    found.setdefault((run.pooler, run.arm), []).append(run)
  return found


def _counts(statuses: Iterable[str]) -> dict[str, int]:
  counts = {'ok': 0, 'degenerate': 0, 'failed': 0}
  for status in statuses:
    counts[status] += 1
  return counts


def _group(
    runs: Sequence[Run], replicates: Replicates, setting: published.Setting | None,
    settings: Settings,
) -> Group:
  first = runs[0]
  scored = [run for run in runs if run.value is not None]
  clean = [run for run in scored if run.status == 'ok']

  def of(part: Sequence[Run]) -> Statistics | None:
    return statistics(
        tuple(run.seed for run in part), np.array([run.value for run in part], float),
        replicates.stacked(part), settings, limits=limits(first.metric))

  floor, origin = None, ''
  measured = clean or scored
  if measured:
    known = replicates.stacked(measured)
    floor, origin = noise_floor(
        first.metric, float(np.mean([run.value for run in measured])),
        None if replicates.labels is None else len(replicates.labels), known)
  return Group(
      first.task, first.pooler, first.arm, first.metric,
      tuple(RunScore(run.seed, run.value, run.status, run.reasons, run.pooler_seed)
            for run in runs),
      _counts(run.status for run in runs), of(clean), of(scored), floor, origin,
      published.beside(first.task, first.metric, setting) if setting else None)


def _comparisons(
    table: Mapping[str, Mapping[Key, list[Run]]],
    replicates: Mapping[str, Replicates],
    settings: Settings,
) -> tuple[list[Comparison], list[Comparison]]:
  """Every two poolers within an arm, every two arms within a pooler; but see `_equivalences`."""
  keys = list(dict.fromkeys(key for named in table.values() for key in named))
  pairwise, overall = [], []
  for kind, shared in (('pooler', 1), ('arm', 0)):
    for within in dict.fromkeys(key[shared] for key in keys):
      names = [key for key in keys if key[shared] == within]
      found = []
      for earlier, later in itertools.combinations(names, 2):
        if kind == 'arm' and {earlier[1], later[1]} == {TESTED, REFERENCE}:
          continue
        sides = [(key[1 - shared],
                  {task: named[key] for task, named in table.items() if key in named})
                 for key in (later, earlier)]
        of_tasks, mean = comparing.compare_names(
            sides[0], sides[1], replicates, settings, kind=kind, within=within,
            names_compared=len(names))
        pairwise += of_tasks
        found += [mean] if mean else []
      family = f'Holm over {len(found)} pairs' if len(found) > 1 else ''
      overall += comparing.correct(found, settings, family)
  return pairwise, overall


def _equivalences(
    table: Mapping[str, Mapping[Key, list[Run]]],
    replicates: Mapping[str, Replicates],
    settings: Settings,
) -> list[Equivalence]:
  found = []
  for task, named in table.items():
    for pooler, arm in named:
      if arm == TESTED and (pooler, REFERENCE) in named:
        found.append(equivalence.equivalence(
            named[pooler, TESTED], named[pooler, REFERENCE], replicates[task], settings))
  return equivalence.corrected([test for test in found if test], settings)


def _averages(groups: Sequence[Group]) -> list[Average]:
  """Over the tasks that every pooler of the arm has; another set would be another average."""
  found = []
  for arm in dict.fromkeys(group.arm for group in groups):
    own = [group for group in groups if group.arm == arm]
    poolers = list(dict.fromkeys(group.pooler for group in own))
    tasks = [task for task in dict.fromkeys(group.task for group in own)
             if len({group.pooler for group in own if group.task == task}) == len(poolers)]
    for pooler in poolers:
      mine = [group for group in own if group.pooler == pooler and group.task in tasks]
      means = [[s.mean for s in part if s is not None] for part in (
          [group.without_degenerate for group in mine],
          [group.with_degenerate for group in mine])]
      complete = [float(np.mean(part)) if part and len(part) == len(tasks) else None
                  for part in means]
      found.append(Average(pooler, arm, tuple(tasks), complete[0], complete[1]))
  return found


def _draws(
    table: Mapping[str, Mapping[Key, list[Run]]], settings: Settings
) -> Iterator[PoolerDraw]:
  for named in table.values():
    clean = {key: [run for run in runs if run.status == 'ok'] for key, runs in named.items()}
    for (pooler, arm), runs in clean.items():
      others = [other for (name, its_arm), other in clean.items()
                if its_arm == arm and name != pooler]
      found = pooler_draw(runs, others, settings)
      if found:
        yield found


def _remarks(
    cells: Sequence[Mapping[str, Any]], runs: Sequence[Run],
    replicates: Mapping[str, Replicates], counts: Mapping[str, int],
) -> Iterable[str]:
  """What limits the conclusions."""
  sizes: dict[tuple, int] = {}
  for run in runs:
    if run.task in APART:  # Nothing is concluded from their seeds.
      continue
    key = (run.task, run.pooler, run.arm)
    sizes[key] = sizes.get(key, 0) + (run.status == 'ok')
  least = min(sizes.values(), default=0)
  if sizes and least < _FEW_SEEDS:
    yield (f'With {seeds_word(least)} the intervals rest on the assumption that scores are about '
           f'normal over seeds; a permutation test needs at least {_FEW_SEEDS} to find anything.')
  bare = [task for task, found in replicates.items()
          if any(run.task == task and run.value is not None and run.key not in found.of
                 for run in runs)]
  if bare:
    yield (f'Predictions or gold labels are missing for {listed(bare)}: intervals there cover the '
           'choice of seeds, not the choice of dev examples.')
  if counts['failed']:
    yield f'{counts["failed"]} of {len(runs)} cells failed; their causes are listed.'
  if counts['degenerate']:
    yield (f'{counts["degenerate"]} of {len(runs)} runs are degenerate: they learned nothing. '
           'Means are given without and with them.')
  notes: dict[str, int] = {}
  for cell in cells:
    given = cell.get('notes') or ()
    for note in (given,) if isinstance(given, str) else given:
      notes[note] = notes.get(note, 0) + 1
  for note, count in notes.items():
    yield f'{note.rstrip(".")} ({count} of {len(cells)} cells).'
