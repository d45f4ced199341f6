"""How did training go: loss and metric against step, one small plot for each group of seeds?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from nlp_export.glue.cells import CellResult
from nlp_export.reports import tables, words
from nlp_export.reports.groups import Labels
from nlp_export.reports.plots import svg
from nlp_export.reports.plots.panels import Panel

# Points of a line that are drawn and told; longer histories are averaged over equal parts.
_POINTS = 40
_HEIGHT = 92
_FEW = 12
# Room on the left for the numbers of the vertical axis, as a share of the steps.
_GUTTER = 0.14

Line = list[tuple[float, float]]  # (step, value), NaN where there is a gap.


def panels(cells: Sequence[CellResult], labels: Labels, prefix: str) -> dict[str, list[Panel]]:
  """Task -> a panel for each pooler and arm, all on the task's scales.

  Args:
    cells: with histories; those without are left out.
    labels: names and colours.
    prefix: of the tables' ids.
  """
  found: dict[str, list[Panel]] = {}
  for number, task in enumerate(dict.fromkeys(cell.task for cell in cells)):
    mine = [cell for cell in cells if cell.task == task and len(cell.history)]
    if not mine:
      continue
    metric = next((cell.main_metric for cell in mine if cell.main_metric), '')
    lines = {name: {id(cell): _line(cell.history, name, factor) for cell in mine}
             for name, factor in (('loss', 1.0), (metric, 100.0)) if name}
    lines = {name: of for name, of in lines.items() if any(of.values())}
    last = max((s for of in lines.values() for line in of.values() for s, _ in line),
               default=1.0) or 1.0
    scale = svg.Scale(-_GUTTER * last, last)
    heights = {name: _heights(line for line in of.values()) for name, of in lines.items()}
    named: dict[tuple[str, str], list[CellResult]] = {}
    for cell in mine:
      named.setdefault((cell.pooler, cell.arm), []).append(cell)
    for place, ((pooler, arm), part) in enumerate(named.items()):
      told, table_id = labels(pooler, arm), f'{prefix}-{number}-{place}'
      part = sorted(part, key=lambda cell: cell.seed)
      svgs = tuple(
          _draw([(cell, of[id(cell)]) for cell in part], scale, heights[name],
                labels.style(pooler, arm), f'{task}, {told}', _title(name), table_id)
          for name, of in lines.items())
      found.setdefault(task, []).append(Panel(
          told, svgs, _table(f'{task}, {told}', part, lines), table_id))
  return found


def _title(name: str) -> str:
  return 'training loss' if name == 'loss' else f'{words.metric(name)} on dev'


def _line(history: Sequence[Mapping[str, float]], name: str, factor: float) -> Line:
  """The values of one name that a history has, at most _POINTS of them."""
  points = [(float(entry['step']), factor * entry[name]) for entry in history
            if name in entry and 'step' in entry]
  if len(points) <= _POINTS:
    return points
  size = math.ceil(len(points) / _POINTS)
  parts = [points[i:i + size] for i in range(0, len(points), size)]
  return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]


def _heights(lines: Iterable[Line]) -> svg.Scale:
  return svg.scale_of([value for line in lines for _, value in line], margin=0.1)


def _y(scale: svg.Scale, value: float) -> float:
  return _HEIGHT * (1 - (value - scale.low) / (scale.high - scale.low))


def _draw(
    part: Sequence[tuple[CellResult, Line]], scale: svg.Scale, heights: svg.Scale, style: str,
    of: str, title: str, table_id: str,
) -> svg.Drawing:
  top = 28.0
  body = [svg.element('text', title, class_='kind', x=0, y=12)]
  for value in svg.ticks(heights.low, heights.high, 3):
    y = top + _y(heights, value)
    body.append(svg.element('line', class_='grid', x1='0%', x2='100%', y1=y, y2=y))
    body.append(svg.element('text', svg.plain(value), class_='tick', x=0, y=y - 3))
  for step in svg.ticks(0.0, scale.high, 4):
    anchor = 'end' if scale.number(step) > 92 else 'middle'
    body.append(svg.element('text', svg.plain(step), class_='tick', x=scale(step),
                            y=top + _HEIGHT + 16, text_anchor=anchor))
  body.append(svg.element('text', 'step', class_='tick', x=0, y=top + _HEIGHT + 16))
  for cell, line in part:
    dead = '' if cell.status == 'ok' else ' dashed'
    shape = f'line {style}{dead}'
    for piece in _pieces(line):
      points = ' '.join(f'{10 * scale.number(s):.1f},{_y(heights, v):.1f}' for s, v in piece)
      body.append(svg.element(
          'svg', svg.element('polyline', svg.element('title', f'seed {cell.seed}'), points=points,
                             class_=shape, vector_effect='non-scaling-stroke'),
          x=0, y=top, width='100%', height=_HEIGHT, viewBox=f'0 0 1000 {_HEIGHT}',
          preserveAspectRatio='none', overflow='visible'))
      if len(line) <= _FEW:
        body += [svg.mark('circle', scale(s), top + _y(heights, v), 2.2, f'dot {style}',
                          f'seed {cell.seed}, step {s:g}: {v:.4g}') for s, v in piece]
    if dead and any(math.isfinite(v) for _, v in line):
      s, v = [(s, v) for s, v in line if math.isfinite(v)][-1]
      body.append(svg.mark('cross', scale(s), top + _y(heights, v), 3.4, 'dead',
                           f'seed {cell.seed}: {cell.status}'))
  ends = '; '.join(f'seed {cell.seed} ends at {words.measured(line[-1][1])}'
                   for cell, line in part if line)
  return svg.drawing(body, top + _HEIGHT + 30, f'{of}: {title} against step; {ends}', table_id)


def _pieces(line: Line) -> list[Line]:
  """The line without its gaps."""
  found: list[Line] = [[]]
  for point in line:
    if math.isfinite(point[1]):
      found[-1].append(point)
    elif found[-1]:
      found.append([])
  return [piece for piece in found if piece]


def _table(
    name: str, part: Sequence[CellResult], lines: Mapping[str, Mapping[int, Line]]
) -> tables.Table:
  columns = ['step']
  values: list[dict[float, float]] = []
  for kind, of in lines.items():
    for cell in part:
      columns.append(f'{"loss" if kind == "loss" else words.metric(kind)}, seed {cell.seed}')
      values.append(dict(of[id(cell)]))
  steps = sorted({step for column in values for step in column})
  return tables.make(
      f'{name}: what is drawn; loss, and the metric on dev in points', columns,
      [(f'{step:g}', *(words.measured(column.get(step)) for column in values)) for step in steps],
      ())
