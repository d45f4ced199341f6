"""How are numbers written in a report? Scores in points (hundredths), tables with two digits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nlp_export.glue.statistics.results import Interval

NONE = '–'  # An en dash: there is no such number.


def score(value: float | None, digits: int = 2) -> str:
  """0.61234 -> '61.23'."""
  return NONE if value is None else f'{round(100 * value, digits) + 0.0:.{digits}f}'


def signed(value: float | None, digits: int = 2) -> str:
  """0.012 -> '+1.20'; what rounds to nothing has no sign."""
  if value is None:
    return NONE
  rounded = round(100 * value, digits) + 0.0
  return f'{rounded:+.{digits}f}' if rounded else f'{rounded:.{digits}f}'


def interval(found: Interval | None, digits: int = 2, sign: bool = False) -> str:
  """'59.80 to 62.60'."""
  write = signed if sign else score
  return NONE if found is None else f'{write(found.low, digits)} to {write(found.high, digits)}'


def share(value: float | None) -> str:
  """0.123 -> '12.3 %'."""
  return NONE if value is None else f'{100 * value:.1f} %'


def probability(p: float | None) -> str:
  """Two significant digits, not below 0.001."""
  if p is None:
    return NONE
  return '< 0.001' if p < 0.001 else f'{p:.2g}'


def small(value: float | None) -> str:
  """A difference before training: 2.4e-07; 0 is exact."""
  if value is None or not math.isfinite(value):
    return 'not finite'
  return '0' if value == 0 else f'{value:.1e}'


def measured(value: float | None) -> str:
  """Four significant digits: losses, rates."""
  return NONE if value is None or not math.isfinite(value) else f'{value:.4g}'


def duration(seconds: float) -> str:
  """'42 s', '3 min 5 s', '2 h 4 min'."""
  whole = round(seconds)
  if whole < 60:
    return f'{seconds:.1f} s' if seconds < 10 else f'{whole} s'
  if whole < 3600:
    return f'{whole // 60} min {whole % 60} s'
  minutes = round(seconds / 60)
  return f'{minutes // 60} h {minutes % 60} min'


def metric(name: str) -> str:
  """'matthews_correlation' -> "Matthews correlation"."""
  known = {'f1': 'F1', 'matthews_correlation': 'Matthews correlation', 'pearson': 'Pearson',
           'spearman': 'Spearman'}
  return known.get(name, name.replace('_', ' '))


def leaves(value: Any, name: str = '') -> list[tuple[str, str]]:
  """Nested JSON as ('exports.keep.sha256', '12ab') pairs, in order."""
  if isinstance(value, Mapping) and value:
    return [pair for key, inner in value.items()
            for pair in leaves(inner, f'{name}.{key}' if name else str(key))]
  if isinstance(value, (list, tuple)) and any(isinstance(v, (Mapping, list, tuple)) for v in value):
    return [pair for place, inner in enumerate(value) for pair in leaves(inner, f'{name}.{place}')]
  if isinstance(value, (list, tuple)):
    return [(name, ', '.join(map(str, value)) or NONE)]
  return [(name, NONE if value is None or value == {} else str(value))]
