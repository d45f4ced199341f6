"""Is an arm as good as its reference (the export as the baseline in Python) on one task?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from nlp_export.glue.statistics import equivalence_test, permutation
from nlp_export.glue.statistics.paired import Paired, Replicates, paired, pairs
from nlp_export.glue.statistics.results import Equivalence, Interval, Settings, Statistics
from nlp_export.glue.statistics.runs import Run
from nlp_export.glue.statistics.words import margin_word, p_is, points, seeds_word, span

EQUIVALENT, DIFFERENT, TOO_FEW = 'equivalent', 'different', 'not enough seeds'


@dataclasses.dataclass(frozen=True)
class _Tested:
  statistics: Statistics
  tost: equivalence_test.Tost | None


def equivalence(
    arm_runs: Sequence[Run],
    reference_runs: Sequence[Run],
    replicates: Replicates,
    settings: Settings,
) -> Equivalence | None:
  """Tests one pair of arms; None if they have no seed in common.

  The differences are those on this dev set: with equal seeds the two arms see the same data and
  the same dropout, so what differs is rounding, or a defect. p-values are not yet corrected over
  tasks, see `corrected`.
  """
  both = pairs(arm_runs, reference_runs, degenerate=True)
  if not both:
    return None
  silent = tuple(a.seed for a, b in both if a.status == b.status == 'degenerate')
  telling = [pair for pair in both if pair[0].seed not in silent]
  clean = [pair for pair in telling if pair[0].status == pair[1].status == 'ok']
  without, everything = (_tested(part, replicates, settings) for part in (clean, telling))
  first = both[0]
  tested = without.tost if without else None
  return Equivalence(
      first[0].task, first[0].pooler, first[0].arm, first[1].arm, first[0].metric,
      settings.margin_points, without.statistics if without else None,
      everything.statistics if everything else None, silent,
      None if tested is None else Interval(
          tested.low, tested.high, 1 - 2 * settings.alpha, 'seeds'),
      tested.p_equivalence if tested else None, _worst(without, everything), None,
      _identical(clean), _equivalent(without, everything, settings),
      _needed(tested, settings), '')


def corrected(tests: Sequence[Equivalence], settings: Settings) -> list[Equivalence]:
  """Holm over tasks (and poolers) for 'different', and the sentences.

  Equivalence needs no correction: all of them have to be shown.
  """
  ps = permutation.holm([test.p_difference for test in tests])
  found = []
  for test, p in zip(tests, ps, strict=True):
    verdict = test.verdict
    if verdict != EQUIVALENT and p is not None and p <= settings.alpha:
      verdict = DIFFERENT
    test = dataclasses.replace(test, p_difference_holm=p, verdict=verdict)
    found.append(dataclasses.replace(test, sentence=_sentence(test, settings)))
  return found


def _tested(
    matched: Sequence[tuple[Run, Run]], replicates: Replicates, settings: Settings
) -> _Tested | None:
  if not matched:
    return None
  found = paired(matched, replicates)
  # On this dev set: the examples are not resampled.
  there = Paired(found.seeds, found.differences, None, found.step).statistics(settings)
  if there is None or len(matched) < 2:
    return None if there is None else _Tested(there, None)
  # Runs that agree in every prediction agree; that is more than a difference of 0 can show.
  step = 0.0 if _identical(matched) == len(matched) else found.step
  tested = equivalence_test.tost(found.differences, settings.margin, settings.alpha, step)
  return _Tested(there, tested)


def _identical(matched: Sequence[tuple[Run, Run]]) -> int | None:
  known = [(a.predictions, b.predictions) for a, b in matched]
  if any(a is None or b is None for a, b in known):
    return None
  return sum(bool(np.array_equal(a, b)) for a, b in known if a is not None and b is not None)


def _equivalent(without: _Tested | None, everything: _Tested | None, settings: Settings) -> str:
  shown = [part is not None and part.tost is not None
           and part.tost.p_equivalence <= settings.alpha for part in (without, everything)]
  return EQUIVALENT if all(shown) else TOO_FEW


def _worst(without: _Tested | None, everything: _Tested | None) -> float | None:
  found = [part.tost.p_difference for part in (without, everything) if part and part.tost]
  if len(found) == 2 and found[0] != found[1]:
    return min(1.0, 2 * min(found))  # Two looks at one question.
  return min(found) if found else None


def _needed(tested: equivalence_test.Tost | None, settings: Settings) -> int | None:
  if tested is None:
    return None
  told = [
      equivalence_test.seeds_for_equivalence(
          tested.sd, tested.mean, settings.margin, settings.alpha, settings.power),
      equivalence_test.seeds_for_difference(
          tested.sd, tested.mean, settings.alpha, settings.power)]
  known = [count for count in told if count is not None]
  return min(known) if known else None


def _sentence(test: Equivalence, settings: Settings) -> str:
  name = f'{test.arm} and {test.reference} on {test.task} with pooler {test.pooler}'
  margin = margin_word(settings.margin_points)
  left_out = ''
  if test.both_degenerate:
    left_out = (f' In {seeds_word(len(test.both_degenerate))} both arms were degenerate, which '
                'says nothing, and those were left out.')
  found = test.differences
  if found is None:
    return f'{name}: not enough seeds, no pair of runs says anything yet.{left_out}'
  seeds = seeds_word(len(found.seeds))
  if test.tost_interval is None:
    same = ('; its predictions are all the same' if test.identical_predictions else
            f'; it differs by {points(found.mean, sign=True)}')
    return (f'{name}: not enough seeds, one seed says nothing of the spread{same}. Run at least 3.'
            f'{left_out}')
  ends = span(test.tost_interval)
  mean = points(found.mean, sign=True)
  unequal = '' if test.with_degenerate == found else (
      ' Pairs of which one run is degenerate were tested too and are part of this answer.')
  if test.verdict == EQUIVALENT:
    how = ('every prediction is the same' if test.identical_predictions == len(found.seeds) else
           f'mean difference {mean}, {ends}, {p_is(test.p_equivalence)}')
    return f'{name} are equivalent within {margin} over {seeds}: {how}.{unequal}{left_out}'
  if test.verdict == DIFFERENT:
    return (f'{name} are different over {seeds}: mean difference {mean}, {ends}, '
            f'{p_is(test.p_difference_holm)} after Holm.{unequal}{left_out}')
  would = (f'about {test.seeds_needed} would do' if test.seeds_needed and
           test.seeds_needed > len(found.seeds) else
           'how many would do cannot be told' if test.seeds_needed is None else
           'a few more should do')
  return (f'{name}: not enough seeds to say equivalent within {margin} or different; mean '
          f'difference {mean}, {ends}, over {seeds}; {would}.{unequal}{left_out}')
