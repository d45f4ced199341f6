"""What did it cost: time, tokens per second and padding, a bar a group and a dot a cell?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from nlp_export.glue.cells import CellResult
from nlp_export.reports import run_tables, words
from nlp_export.reports.groups import Labels
from nlp_export.reports.plots import svg
from nlp_export.reports.plots.panels import Figure, Panel

_ROW = 38
_TOP = 6
_KINDS: tuple[tuple[str, Callable[[CellResult], float], Callable[[float], str]], ...] = (
    ('Training time, minutes', lambda cell: cell.train_seconds / 60,
     lambda value: words.duration(60 * value)),
    ('Real tokens per second', lambda cell: cell.tokens_per_second,
     lambda value: f'{value:,.0f}'),
    ('Padding, % of training tokens', lambda cell: 100 * cell.padding_share,
     lambda value: f'{value:.1f} %'),
)


def figure(cells: Sequence[CellResult], labels: Labels, table_id: str) -> Figure | None:
  """Time, throughput and padding, with one table of all cells; None if nothing trained."""
  named: dict[tuple[str, str, str], list[CellResult]] = {}
  for cell in cells:
    if cell.train_seconds > 0:
      named.setdefault((cell.task, cell.pooler, cell.arm), []).append(cell)
  if not named:
    return None
  panels = []
  for heading, value_of, write in _KINDS:
    values = {key: [value_of(cell) for cell in part] for key, part in named.items()}
    highest = max(value for part in values.values() for value in part)
    scale = svg.Scale(0.0, (highest or 1.0) * 1.05)
    bottom = _TOP + _ROW * len(values)
    body = svg.gridlines(scale, _TOP, bottom, most=4)
    spoken = []
    for place, ((task, pooler, arm), part) in enumerate(values.items()):
      top, mean = _TOP + _ROW * place, fmean(part)
      name, style = f'{task} · {labels(pooler, arm)}', labels.style(pooler, arm)
      spoken.append(f'{name}: {write(mean)}')
      body += [
          *svg.head(name, write(mean), top, False),
          svg.element('rect', class_=f'bar {style}', x=scale(0.0), y=top + 21, rx=2,
                      width=scale.width(0.0, mean), height=9)]
      body += [svg.mark('circle', scale(value), top + 25.5, 2.2, 'dot ink', f'seed {cell.seed}: '
                        f'{write(value)}')
               for cell, value in zip(named[task, pooler, arm], part, strict=True)]
    panels.append(Panel(heading, (svg.drawing(
        body, bottom + 22, f'{heading}, mean of the cells; ' + '; '.join(spoken), table_id),),
                        None, table_id))
  return Figure('Bars: mean of the cells of a group. Dots: one cell each.', tuple(panels),
                table=run_tables.costs(cells), table_id=table_id,
                table_name='Numbers of every cell')
