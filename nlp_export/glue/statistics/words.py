"""How are numbers said in a sentence? Scores in points, p-values with two digits."""

from __future__ import annotations

from nlp_export.glue.statistics.results import Interval


def points(value: float, *, sign: bool = False) -> str:
  """0.0123 -> '1.23 points'; differences get their sign."""
  rounded = round(100 * value, 2) + 0.0  # No '-0.00'.
  text = f'{rounded:+.2f}' if sign and rounded else f'{rounded:.2f}'
  return f'{text} points'


def span(interval: Interval) -> str:
  """'95 % interval -0.10 to +0.20'."""
  low, high = (round(100 * end, 2) + 0.0 for end in (interval.low, interval.high))
  return f'{percent(interval.confidence)} interval {low:+.2f} to {high:+.2f}'


def probability(p: float | None) -> str:
  """Two significant digits; '< 0.001' is as far as a sentence goes."""
  if p is None:
    return 'unknown'
  return '< 0.001' if p < 0.001 else f'{p:.2g}'


def p_is(p: float | None) -> str:
  """'p = 0.013', 'p < 0.001'."""
  told = probability(p)
  return f'p {told}' if told.startswith('<') else f'p = {told}'


def percent(share: float) -> str:
  """0.824 -> '82.4 %', 0.95 -> '95 %'."""
  return f'{100 * share:.3g} %'


def seeds_word(count: int) -> str:
  """'1 seed', '3 seeds'."""
  return '1 seed' if count == 1 else f'{count} seeds'


def margin_word(margin_points: float) -> str:
  """'1 point', '0.5 points'."""
  return f'{margin_points:g} point' + ('' if margin_points == 1 else 's')


def listed(names: tuple[str, ...] | list[str]) -> str:
  """'a', 'a and b', 'a, b and c'."""
  names = list(names)
  return ' and '.join([', '.join(names[:-1]), names[-1]] if len(names) > 1 else names)
