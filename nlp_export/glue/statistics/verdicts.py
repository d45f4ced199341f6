"""Which pooler to choose, and how sure is that? Is the export as good as the baseline?"""

from __future__ import annotations

from collections.abc import Sequence

from nlp_export.glue.statistics import permutation
from nlp_export.glue.statistics.comparing import (
    EQUIVALENT,
    FIRST,
    OPEN,
    SECOND,
    rests_on_omission,
)
from nlp_export.glue.statistics.results import (
  Average,
  Comparison,
  Equivalence,
  Group,
  Settings,
  Verdict,
)
from nlp_export.glue.statistics.words import (
    listed,
    margin_word,
    p_is,
    percent,
    points,
    seeds_word,
    span,
)

SHOWN, SUGGESTED, UNSURE = 'shown', 'suggested', 'open'


def which_pooler(
    arm: str,
    averages: Sequence[Average],
    comparisons: Sequence[Comparison],
    groups: Sequence[Group],
    settings: Settings,
) -> Verdict | None:
  """The answer for one arm.

  Args:
    arm: whose.
    averages: of its poolers.
    comparisons: of its poolers' averages, all pairs, corrected.
    groups: of its poolers, for degenerate runs.
    settings: margin and confidence.

  Returns:
    None if there is nothing to choose between.
  """
  if len(averages) < 2:
    return None
  question = f'Which pooler should be chosen ({arm})?'
  known = [average for average in averages if average.without_degenerate is not None]
  if not known:
    return Verdict(question, OPEN, UNSURE, 'No pooler has a run that finished and is not '
                   'degenerate on every task, so nothing can be said.')
  best = max(known, key=lambda average: average.without_degenerate or 0.0)
  rivals = [c for c in comparisons if best.pooler in (c.first, c.second)]
  seeds = min((len(c.without_degenerate.seeds) if c.without_degenerate else 0 for c in rivals),
              default=0)
  lead = (f'{best.pooler} has the highest average over {listed(best.tasks)} '
          f'({points(best.without_degenerate or 0.0)})')
  suffix = _degenerate(groups, averages, best)
  wins = [_wins(c, best.pooler) for c in rivals]
  if all(wins) and not suffix.turned:
    sure = SHOWN if all((c.p_permutation_holm or 1.0) <= settings.alpha for c in rivals) else (
        SUGGESTED)
    told = '; '.join(_against(c, best.pooler) for c in rivals)
    caution = '' if sure == SHOWN else (
        f' This rests on {seeds_word(seeds)} and on normal differences: a permutation test ' +
        ('cannot confirm it with so few' if
         permutation.smallest(seeds) * len(comparisons) > settings.alpha else
         'does not confirm it') + ', so run more before it is published.')
    return Verdict(question, best.pooler, sure, f'Choose {best.pooler}: {lead}, better than '
                   f'{told}.{caution}{suffix.text}')
  if all(c.verdict == EQUIVALENT for c in rivals):
    return Verdict(
        question, 'any', SHOWN,
        f'The choice does not matter: {lead}, and no other pooler is more than '
        f'{margin_word(settings.margin_points)} from it ({percent(settings.confidence)} intervals, '
        f'{seeds_word(seeds)}).{suffix.text}')
  unsure = [c for c in rivals if not _wins(c, best.pooler)]
  if seeds < 2:
    return Verdict(question, OPEN, UNSURE, f'This does not decide it: {lead}, but with '
                   f'{seeds_word(seeds)} in common nothing is known of the spread. Run at least '
                   f'3, better 5 or more.{suffix.text}')
  told = '; '.join(_against(c, best.pooler) for c in unsure)
  needed = [c.seeds_needed for c in unsure]
  counts = [count for count in needed if count is not None]
  if any(rests_on_omission(c, settings) for c in unsure):
    would = ('Part of its lead is there only if degenerate runs are left out, which a user '
             'cannot do: find out first why they learn nothing.')
  elif None in needed:
    would = ('For some pairs no number of seeds would show a difference of this size on dev sets '
             'this small: add tasks.')
  elif counts and max(counts) > seeds:
    would = f'About {max(counts)} seeds would show a difference of this size, if it is real.'
  else:
    would = 'A few more seeds should show a difference of this size, if it is real.'
  reason = (f'not by enough to be sure: it leads {told}' if unsure else
            'its lead rests on leaving degenerate runs out')
  doubtful = suffix.turned or any(rests_on_omission(c, settings) for c in unsure)
  meanwhile = '' if doubtful else _meanwhile(best, rivals, settings)
  return Verdict(question, OPEN, UNSURE, f'This does not decide it: {lead}, but {reason} '
                 f'({seeds_word(seeds)}). {would}{meanwhile}{suffix.text}')


def _meanwhile(best: Average, rivals: Sequence[Comparison], settings: Settings) -> str:
  """What an open verdict leaves to choose from: for those who cannot wait for more seeds."""
  behind = [_other(c, best.pooler) for c in rivals if _wins(c, best.pooler)]
  level = [_other(c, best.pooler) for c in rivals if not _wins(c, best.pooler)]
  found = (f' {listed(behind)} {"is" if len(behind) == 1 else "are"} behind it at '
           f'{percent(settings.confidence)}.' if behind else '')
  return (f'{found} Until more is known, {best.pooler} is the best guess, and nothing was shown '
          f'against {listed(level)}.')


def as_good_as_baseline(tests: Sequence[Equivalence], settings: Settings) -> Verdict | None:
  """One answer from the equivalence tests of all tasks and poolers; None without any."""
  if not tests:
    return None
  arm, reference = tests[0].arm, tests[0].reference
  question = f'Is {arm} as good as {reference}?'
  different = [test for test in tests if test.verdict == 'different']
  few = [test for test in tests if test.verdict == 'not enough seeds']
  if different:
    return Verdict(question, 'different', SHOWN, ' '.join(test.sentence for test in different))
  if few:
    return Verdict(question, 'not enough seeds', UNSURE, ' '.join(test.sentence for test in few))
  largest = max(abs(test.differences.mean) for test in tests if test.differences)
  where = listed(sorted({test.task for test in tests}))
  return Verdict(
      question, 'equivalent', SHOWN,
      f'{arm} and {reference} are equivalent within {margin_word(settings.margin_points)} on '
      f'{where}: the largest mean difference is {points(largest)}.')


class _Suffix:
  """Degenerate runs in words, and whether they turn the order round."""

  def __init__(self, text: str, turned: bool):
    self.text, self.turned = text, turned


def _degenerate(
    groups: Sequence[Group], averages: Sequence[Average], best: Average
) -> _Suffix:
  counts: dict[str, int] = {}
  for group in groups:
    counts[group.pooler] = counts.get(group.pooler, 0) + group.counts['degenerate']
  if not any(counts.values()):
    return _Suffix('', False)
  told = listed([f'{count} of {name}' for name, count in counts.items() if count])
  text = f' Degenerate runs, left out above: {told}.'
  ranked = [average for average in averages if average.with_degenerate is not None]
  top = max(ranked, key=lambda average: average.with_degenerate or 0.0)
  if top.pooler != best.pooler:
    text += f' With them, {top.pooler} has the highest average.'
  return _Suffix(text, top.pooler != best.pooler)


def _wins(comparison: Comparison, name: str) -> bool:
  return comparison.verdict == (FIRST if comparison.first == name else SECOND)


def _against(comparison: Comparison, name: str) -> str:
  """The comparison seen from one side: 'identity by 1.20 points (95 % interval ...)'."""
  found, other = comparison.without_degenerate, _other(comparison, name)
  if found is None or found.interval is None:
    return f'{other} in no seed that both have'
  turn = 1 if comparison.first == name else -1
  ends = sorted((turn * found.interval.low, turn * found.interval.high))
  interval = span(type(found.interval)(ends[0], ends[1], found.interval.confidence,
                                       found.interval.covers))
  by = 'by' if turn * found.mean > 0 else 'not at all in the seeds that both have, with'
  return (f'{other} {by} {points(turn * found.mean)} ({interval}, '
          f'{p_is(comparison.p_holm)} after Holm)')


def _other(comparison: Comparison, name: str) -> str:
  return comparison.second if comparison.first == name else comparison.first
