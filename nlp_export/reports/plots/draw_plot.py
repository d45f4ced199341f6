"""How much of the spread over seeds is the random pooler's draw, and how much is the rest?"""

from __future__ import annotations

from collections.abc import Sequence

from nlp_export.glue.statistics.results import PoolerDraw
from nlp_export.reports import tables, words
from nlp_export.reports.groups import Labels
from nlp_export.reports.plots import svg
from nlp_export.reports.plots.panels import Panel

# What an estimate rests on.
_DESIGNS = {
    'against other poolers': (
        'Each run has its own draw, so the draw is told from the rest by the spread of other '
        'poolers, which draw nothing: on the assumption that training alone varies as much with '
        'them.'),
    'against a fixed draw': 'Beside runs of the same pooler with one fixed draw.',
    'crossed': 'Every draw was trained with the same seeds.',
    'repeated': 'Draws were repeated with other training seeds.',
}
_ROW = 52
_TOP = 6


def panel(draws: Sequence[PoolerDraw], labels: Labels, table_id: str) -> Panel | None:
  """One bar for each task whose design tells the two apart; None without any draw.

  The drawing is left out where no design does: the table and its sentences still say so.
  """
  if not draws:
    return None
  known = [draw for draw in draws if draw.share is not None]
  table = tables.pooler_draws(draws, labels)
  if not known:
    return Panel('Share of the variance', (), table, table_id)
  scale = svg.Scale(0.0, 100.0)
  heads = [(f'{draw.task} · {labels(draw.pooler, draw.arm)}',
            f'draw {words.score(draw.draw_sd, 1)}, rest {words.score(draw.rest_sd, 1)} points')
           for draw in known]
  stacked = svg.two_lines(heads)
  row = _ROW + svg.SECOND_LINE * stacked
  bottom = _TOP + row * len(known)
  body, spoken = svg.gridlines(scale, _TOP, bottom), []
  for place, draw in enumerate(known):
    top, share, (name, told) = _TOP + row * place, 100 * (draw.share or 0.0), heads[place]
    spoken.append(f'{name}: draw {share:.0f} % of the variance')
    body += [
        *svg.head(name, told, top, stacked)]
    top += svg.SECOND_LINE * stacked
    body += [
        svg.element('rect', class_='bar rest', x=scale(0.0), width=scale.width(0.0, 100.0),
                    y=top + 22, height=12, rx=2),
        svg.element('rect', svg.element('title', f'draw: {share:.1f} %'),
                    class_=f'bar full {labels.style(draw.pooler)}', x=scale(0.0),
                    width=scale.width(0.0, share), y=top + 22, height=12, rx=2)]
    if draw.share_interval:
      body.append(svg.whisker(scale, 100 * draw.share_interval.low, 100 * draw.share_interval.high,
                              top + 42, 'ink'))
  return Panel(
      'Share of the variance from the draw, %',
      (svg.drawing(body, bottom + 22, "The draw's share of the variance; " + '; '.join(spoken),
                   table_id),), table, table_id, ' '.join(dict.fromkeys(
                       _DESIGNS[draw.design] for draw in known if draw.design in _DESIGNS)))
