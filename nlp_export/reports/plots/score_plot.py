"""How good is each pooler on a task: mean, interval and every seed as a dot, one row for each?"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from nlp_export.glue.published import COMPARABLE, Beside
from nlp_export.glue.statistics.results import Group
from nlp_export.reports import tables, words
from nlp_export.reports.groups import Labels
from nlp_export.reports.plots import svg
from nlp_export.reports.plots.panels import Panel

_ROW = 54
_TOP = 6
# So that dots of equal scores do not hide each other [px].
_JITTER = (0, -4, 4, -2, 2)


def panel(task: str, groups: Sequence[Group], labels: Labels, table_id: str) -> Panel:
  """The scores of one task.

  Args:
    task: whose.
    groups: one row each.
    labels: names and shapes.
    table_id: unique on the page.
  """
  beside = next((group.beside for group in groups if group.beside), None)
  band = beside if beside and beside.low is not None and beside.high is not None else None
  shown = [100 * value for value in _values(groups)]
  if band:
    shown += [100 * (band.low or 0.0), 100 * (band.high or 0.0)]
  scale = svg.scale_of(shown, least=2.0)
  stacked = svg.two_lines((labels(g.pooler, g.arm), _told(g)) for g in groups)
  row = _ROW + svg.SECOND_LINE * stacked
  bottom = _TOP + row * len(groups)
  metric = words.metric(next((group.metric for group in groups if group.metric), ''))
  body: list[Markup] = []
  if band:
    low, high = 100 * (band.low or 0.0), 100 * (band.high or 0.0)
    body.append(svg.element(
        'rect', svg.element('title', f'published: {low:.1f} to {high:.1f}'), class_='band',
        x=scale(low), width=scale.width(low, high), y=_TOP, height=bottom - _TOP))
  body += svg.gridlines(scale, _TOP, bottom)
  for place, group in enumerate(groups):
    body += _row(group, labels, scale, _TOP + row * place, stacked)
  return Panel(
      f'{task}, {metric}',
      (svg.drawing(body, bottom + 22, f'{task}: {_spoken(groups, labels)}', table_id),),
      tables.scores(task, groups, labels), table_id, _note(groups, band))


def _values(groups: Sequence[Group]) -> list[float]:
  found = [run.value for group in groups for run in group.runs if run.value is not None]
  for group in groups:
    if group.without_degenerate and group.without_degenerate.interval:
      ends = group.without_degenerate.interval
      found += [ends.low, ends.high]
  return found


def _told(group: Group) -> str:
  found = group.without_degenerate
  if not found:
    return 'no score'
  told = words.score(found.mean, 1)
  return f'{told} ({words.interval(found.interval, 1)})' if found.interval else told


def _row(
    group: Group, labels: Labels, scale: svg.Scale, top: float, stacked: bool
) -> list[Markup]:
  style, found = labels.style(group.pooler, group.arm), group.without_degenerate
  row = svg.head(labels(group.pooler, group.arm), _told(group), top, stacked)
  top += svg.SECOND_LINE * stacked
  if found and found.interval:
    row.append(svg.whisker(scale, 100 * found.interval.low, 100 * found.interval.high, top + 27,
                           style))
  for place, run in enumerate(group.runs):
    if run.value is not None:
      dead = run.status != 'ok'
      row.append(svg.mark(
          'cross' if dead else labels.shape(group.pooler), scale(100 * run.value),
          top + 41 + _JITTER[place % len(_JITTER)], 3.4, 'dead' if dead else f'dot {style}',
          f'seed {run.seed}: {words.score(run.value)}' + (f' ({run.status})' if dead else '')))
  if found:
    x = scale(100 * found.mean)
    row.append(svg.element('line', class_=f'mean {style}', x1=x, x2=x, y1=top + 20, y2=top + 34))
  return row


def _spoken(groups: Sequence[Group], labels: Labels) -> str:
  """The picture in words, for those who hear it."""
  parts = []
  for group in groups:
    found = group.without_degenerate
    told = f'mean {words.score(found.mean, 1)}' if found else 'no score'
    if found and found.interval:
      told += f', interval {words.interval(found.interval, 1)}'
    parts.append(f'{labels(group.pooler, group.arm)}: {told}')
  return 'scores in points; ' + '; '.join(parts)


def _published(band: Beside) -> str:
  comparable = [score for score in band.scores if score.relation == COMPARABLE]
  encoders = ', '.join(sorted({score.encoder for score in comparable}))
  sources = sorted({score.source for score in comparable})
  more = f' and {len(sources) - 1} more, listed below' if len(sources) > 1 else ''
  low, high = words.score(band.low, 1), words.score(band.high, 1)
  ends = low if low == high else f'{low} to {high}'
  return f'Shaded: published for {encoders}, {ends} ({sources[0]}{more}).'


def _note(groups: Sequence[Group], band: Beside | None) -> str:
  told = []
  floors = [group.noise_floor for group in groups if group.noise_floor is not None]
  if floors:
    told.append(f'Noise floor ±{words.score(max(floors), 1)}: one standard error of one run, from '
                'the choice of dev examples alone.')
  lost = sum(group.counts['failed'] for group in groups)
  dead = sum(group.counts['degenerate'] for group in groups)
  if dead:
    told.append(f'{dead} degenerate (×), not in mean and interval.')
  if lost:
    told.append(f'{lost} failed, without a score.')
  if band:
    told.append(_published(band))
  return ' '.join(told)
