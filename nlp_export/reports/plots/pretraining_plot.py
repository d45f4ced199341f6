"""How did pre-training go: losses and accuracies against step, beside what guessing gives?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from nlp_export.reports import tables, words
from nlp_export.reports.plots import svg
from nlp_export.reports.plots.panels import Figure, Panel

_POINTS = 60
_HEIGHT = 120
_GUTTER = 0.14  # Room on the left for numbers, as a share of the steps.
_TRAINING, _HELD_OUT = 's1', 's0'

Line = list[tuple[float, float]]


def figure(value: Mapping[str, Any], prefix: str) -> Figure | None:
  """Panels for the masked LM, for each head, and for the speed.

  Args:
    value: `Report.pretraining`.
    prefix: of the tables' ids.
  """
  summary, curves = value['summary'], value['curves']
  if not curves['training']:
    return None
  intervals = summary['intervals']
  asked: list[tuple[str, str, float, dict[str, float]]] = [
      ('masked_lm_loss', 'masked-LM loss, nats', 1.0,
       {'unigram': summary['unigram_cross_entropy']}),
      ('masked_lm_accuracy', 'masked-LM accuracy, %', 100.0, {})]
  for name in summary['held_out']:
    if name.endswith('_accuracy') and name != 'masked_lm_accuracy':
      chance = summary['majority_share']
      asked.append((name, f'{words.metric(name)}, %', 100.0,
                    {} if chance is None else {'more frequent answer': 100.0 * chance}))
  asked.append(('learning_rate', 'learning rate', 1.0, {}))
  panels = []
  for place, (name, title, factor, levels) in enumerate(asked):
    lines = {'training': _line(curves['training'], name, factor),
             'held out': _line(curves['evaluations'], name, factor)}
    lines = {kind: line for kind, line in lines.items() if line}
    ends = intervals.get(name)
    interval = None
    if ends and ends[0] is not None:
      interval = factor * ends[0], factor * ends[1]
    if lines:
      panels.append(_panel(title, lines, levels, interval, f'{prefix}-{place}'))
  return Figure(
      'Dots: held-out documents, of which nothing was trained on, without dropout; the bar at the '
      'end is the 95 % interval over these documents. Line: the training batches, with dropout, '
      'means over equal parts. Dashed: what needs no model.', tuple(panels))


def _line(entries: Sequence[Mapping[str, Any]], name: str, factor: float) -> Line:
  """At most _POINTS points, means over neighbours."""
  points = [(float(e['step']), factor * float(e[name])) for e in entries
            if name in e and math.isfinite(e[name])]
  size = max(1, math.ceil(len(points) / _POINTS))
  parts = [points[i:i + size] for i in range(0, len(points), size)]
  return [(part[-1][0], sum(v for _, v in part) / len(part)) for part in parts]


def _panel(
    title: str, lines: Mapping[str, Line], levels: Mapping[str, float],
    interval: tuple[float, float] | None, table_id: str,
) -> Panel:
  last = max(step for line in lines.values() for step, _ in line)
  across = svg.Scale(-_GUTTER * last, last)
  up = svg.scale_of([v for line in lines.values() for _, v in line] + [*levels.values()]
                    + list(interval or ()), margin=0.1)
  ends = '; '.join(f'{kind} ends at {words.measured(line[-1][1])}' for kind, line in lines.items())
  drawing = svg.drawing(
      _body(lines, levels, interval, across, up), _HEIGHT + 40,
      f'Pre-training: {title} against step; {ends}', table_id)
  note = '; '.join(f'dashed: {name}, {words.measured(value)}' for name, value in levels.items())
  return Panel(title, (drawing,), _table(title, lines), table_id, note)


def _body(
    lines: Mapping[str, Line], levels: Mapping[str, float],
    interval: tuple[float, float] | None, across: svg.Scale, up: svg.Scale,
) -> list[Any]:
  top = 12.0

  def y(value: float) -> float:
    return top + _HEIGHT * (1 - (value - up.low) / (up.high - up.low))

  body: list[Any] = []
  for value in svg.ticks(up.low, up.high, 4):
    body.append(svg.element('line', class_='grid', x1='0%', x2='100%', y1=y(value), y2=y(value)))
    body.append(svg.element('text', svg.plain(value), class_='tick', x=0, y=y(value) - 3))
  for step in svg.ticks(0.0, across.high, 4):
    anchor = 'end' if across.number(step) > 92 else 'middle'
    body.append(svg.element('text', svg.plain(step), class_='tick', x=across(step),
                            y=top + _HEIGHT + 16, text_anchor=anchor))
  body.append(svg.element('text', 'step', class_='tick', x=0, y=top + _HEIGHT + 16))
  drawn = [(_HELD_OUT if kind == 'held out' else _TRAINING, '', kind, line)
           for kind, line in lines.items()]
  drawn += [('s5', ' dashed', name, [(0.0, value), (across.high, value)])
            for name, value in levels.items()]
  for style, dashed, kind, line in drawn:
    points = ' '.join(f'{10 * across.number(s):.1f},{y(v) - top:.1f}' for s, v in line)
    body.append(svg.element(
        'svg', svg.element('polyline', svg.element('title', kind), points=points,
                           class_=f'line {style}{dashed}', vector_effect='non-scaling-stroke'),
        x=0, y=top, width='100%', height=_HEIGHT, viewBox=f'0 0 1000 {_HEIGHT}',
        preserveAspectRatio='none', overflow='visible'))
  if 'held out' in lines:
    body += [svg.mark('circle', across(s), y(v), 2.2, f'dot {_HELD_OUT}',
                      f'held out, step {s:g}: {words.measured(v)}') for s, v in lines['held out']]
    if interval is not None:
      place = across(lines['held out'][-1][0])
      body.append(svg.element(
          'g', svg.element('line', x1=place, x2=place, y1=y(interval[0]), y2=y(interval[1])),
          class_=f'whisker {_HELD_OUT}'))
  return body


def _table(title: str, lines: Mapping[str, Line]) -> tables.Table:
  values = [dict(line) for line in lines.values()]
  steps = sorted({step for column in values for step in column})
  return tables.make(
      f'Pre-training: {title}', ['step', *lines],
      [(f'{step:g}', *(words.measured(column.get(step)) for column in values)) for step in steps],
      ())
