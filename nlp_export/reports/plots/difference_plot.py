"""Which differences are real: means with intervals against zero, and the margin as a band?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from markupsafe import Markup

from nlp_export.glue.statistics import Analysis
from nlp_export.glue.statistics.results import Average, Comparison, Interval
from nlp_export.reports import tables, words
from nlp_export.reports.groups import Labels
from nlp_export.reports.plots import svg
from nlp_export.reports.plots.panels import Panel

_ROW = 48
_HEAD = 18  # Of a row: its name and numbers.
_TOP = 6
_JITTER = (0, -3, 3, -1.5, 1.5)


@dataclasses.dataclass(frozen=True)
class Row:
  """A difference as it is drawn, 0 to 1.

  Attributes:
    name: on the left.
    mean, interval: None where not known.
    values: seed -> difference.
    decided: whether the mark is full.
    value: text on the right instead of mean and interval.
    digits: of the text on the right.
  """

  name: str
  mean: float | None
  interval: Interval | None
  values: dict[int, float]
  decided: bool
  value: str = ''
  digits: int = 1

  @property
  def told(self) -> str:
    """Mean and interval."""
    if self.value or self.mean is None:
      return self.value or 'no pair'
    told = words.signed(self.mean, self.digits)
    if self.interval is None:
      return told
    return f'{told} ({words.interval(self.interval, self.digits, sign=True)})'


def scale_for(rows: Sequence[Row], margin: float) -> svg.Scale:
  """One scale for several panels, with the margin in sight."""
  values = [margin * 1.3, -margin * 1.3]
  for row in rows:
    values += [*row.values.values(), *([] if row.mean is None else [row.mean])]
    if row.interval:
      values += [row.interval.low, row.interval.high]
  return svg.scale_of([100 * value for value in values])


def draw(
    rows: Sequence[Row], scale: svg.Scale, margin: float, name: str, table_id: str,
    sides: tuple[str, str] = ('', ''), stacked: bool | None = None,
) -> svg.Drawing:
  """The rows over a zero line and the margin's band.

  Args:
    rows: from top to bottom.
    scale: in points.
    margin: half width of the band, 0 to 1.
    name: what is read aloud before the rows.
    table_id: of the table with the same numbers.
    sides: what lies left and right of zero.
    stacked: whether numbers stand below the names; by default where they do not fit beside them.
  """
  if stacked is None:
    stacked = svg.two_lines((row.name, row.told) for row in rows)
  step = _ROW + svg.SECOND_LINE * stacked
  bottom = _TOP + step * len(rows)
  body: list[Markup] = []
  for place, row in enumerate(rows):
    top = _TOP + step * place
    body += _ground(scale, margin, top + _HEAD + svg.SECOND_LINE * stacked, top + step,
                    place == len(rows) - 1)
    body += _row(row, scale, top, stacked)
  height = bottom + 22
  if any(sides):
    if sides[0]:
      body.append(svg.element('text', f'← {svg.label(sides[0])}', class_='tick', x=0,
                              y=bottom + 33))
    if sides[1]:
      body.append(svg.element('text', f'{svg.label(sides[1])} →', class_='tick', x='100%',
                              y=bottom + 33, text_anchor='end'))
    height += 18
  spoken = '; '.join(f'{row.name}: {row.told}' for row in rows)
  return svg.drawing(body, height, f'{name}; {spoken}', table_id)


def _ground(
    scale: svg.Scale, margin: float, top: float, bottom: float, last: bool
) -> list[Markup]:
  """What a row is read against, below its text: on a phone a line would run through the numbers."""
  zero = scale(0.0)
  return [
      svg.element(
          'rect', svg.element('title', f'differences below {100 * margin:g} points do not matter'),
          class_='margin', x=scale(-100 * margin), width=scale.width(-100 * margin, 100 * margin),
          y=top, height=bottom - top),
      *svg.gridlines(scale, top, bottom, names=last),
      svg.element('line', class_='zero', x1=zero, x2=zero, y1=top, y2=bottom + 2 * last)]


def _row(row: Row, scale: svg.Scale, top: float, stacked: bool) -> list[Markup]:
  found = svg.head(row.name, row.told, top, stacked)
  top += svg.SECOND_LINE * stacked
  if row.interval:
    found.append(svg.whisker(scale, 100 * row.interval.low, 100 * row.interval.high, top + 25,
                             'ink'))
  for place, (seed, value) in enumerate(row.values.items()):
    found.append(svg.mark('circle', scale(100 * value), top + 37 + _JITTER[place % 5], 2.8,
                          'dot ink faint', f'seed {seed}: {words.signed(value)}'))
  if row.mean is not None:
    found.append(svg.mark('diamond', scale(100 * row.mean), top + 25, 4.6,
                          'point ink' + ('' if row.decided else ' hollow'),
                          f'mean {words.signed(row.mean)}'))
  return found


def row_of(comparison: Comparison) -> Row:
  """A comparison as a row, with its verdict in words."""
  found = comparison.without_degenerate
  name = f'{comparison.task} · {tables.answer(comparison)}'
  if found is None:
    return Row(name, None, None, {}, False)
  return Row(name, found.mean, found.interval, dict(zip(found.seeds, found.values, strict=True)),
             comparison.verdict != 'open')


def pairs(analysis: Analysis, prefix: str) -> list[Panel]:
  """A panel for every two poolers (arms): their average, then each task."""
  families: dict[tuple[str, str, str, str], list[Comparison]] = {}
  for c in (*analysis.average_comparisons, *analysis.comparisons):
    if c.task != 'average' or len(c.tasks) > 1:
      families.setdefault((c.kind, c.within, c.first, c.second), []).append(c)
  rows = {key: [row_of(c) for c in found] for key, found in families.items()}
  scale = scale_for([row for part in rows.values() for row in part], analysis.settings.margin)
  stacked = svg.two_lines((row.name, row.told) for part in rows.values() for row in part)
  several = len({key[:2] for key in families}) > 1
  panels = []
  for place, ((kind, within, first, second), found) in enumerate(families.items()):
    heading = f'{first} − {second}' + (f' ({within})' if several else '')
    table_id = f'{prefix}-{place}'
    panels.append(Panel(
        heading,
        (draw(rows[kind, within, first, second], scale, analysis.settings.margin,
              f'{heading}, paired differences in points', table_id,
              (f'{second} better', f'{first} better'), stacked),),
        tables.comparisons(f'{heading}: paired differences, in points', found), table_id))
  return panels


def equivalence(analysis: Analysis, table_id: str) -> Panel | None:
  """Export against baseline after training; None if that was not run."""
  if not analysis.equivalence:
    return None
  rows = []
  for test in analysis.equivalence:
    found = test.differences
    rows.append(Row(
        f'{test.task} · {test.pooler} · {test.verdict}', found.mean if found else None,
        test.tost_interval,
        dict(zip(found.seeds, found.values, strict=True)) if found else {},
        test.verdict != 'not enough seeds', digits=2))
  first = analysis.equivalence[0]
  margin = analysis.settings.margin
  heading = f'{first.arm} − {first.reference}'
  return Panel(heading, (draw(rows, scale_for(rows, margin), margin,
                              f'{heading}, paired differences in points', table_id,
                              (f'{first.reference} better', f'{first.arm} better')),),
               tables.equivalences(analysis.equivalence), table_id)


def at_a_glance(analysis: Analysis, arm: str, labels: Labels, table_id: str) -> Panel | None:
  """Each pooler's average less the highest one; None if there are not two."""
  found = [a for a in analysis.averages if a.arm == arm]
  known = [a for a in found if a.without_degenerate is not None]
  if len(found) < 2 or not known:
    return None
  known.sort(key=_height, reverse=True)
  best, rows = known[0], []
  rows.append(Row(f'{best.pooler} {words.score(best.without_degenerate)}', 0.0, None, {}, True,
                  'highest'))
  used = []
  for average in [*known[1:], *(a for a in found if a.without_degenerate is None)]:
    name = f'{average.pooler} {words.score(average.without_degenerate)}'
    comparison = next(
        (c for c in analysis.average_comparisons if c.kind == 'pooler' and c.within == arm
         and {c.first, c.second} == {average.pooler, best.pooler}), None)
    clean = comparison.without_degenerate if comparison else None
    if comparison is None or clean is None:
      rows.append(Row(name, None, None, {}, False))
      continue
    used.append(comparison)
    turn = 1.0 if comparison.first == average.pooler else -1.0
    ends = clean.interval and sorted((turn * clean.interval.low, turn * clean.interval.high))
    rows.append(Row(
        name, turn * clean.mean,
        Interval(ends[0], ends[1], clean.interval.confidence, clean.interval.covers)
        if ends and clean.interval else None,
        {seed: turn * value for seed, value in zip(clean.seeds, clean.values, strict=True)},
        comparison.verdict != 'open'))
  margin = analysis.settings.margin
  several = len({a.arm for a in analysis.averages}) > 1
  heading = 'Average over ' + ', '.join(best.tasks) + (f' ({arm})' if several else '')
  table = tables.comparisons(f'{heading}: paired differences, in points', used)
  return Panel(heading, (draw(rows, scale_for(rows, margin), margin,
                              f'{heading}: difference from the highest average, in points',
                              table_id, ('lower average', '')),), table, table_id)


def _height(average: Average) -> float:
  value = average.without_degenerate
  return -math.inf if value is None else value
