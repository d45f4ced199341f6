"""How does a plot go into a repository or a paper: SVG files of their own, light and dark?"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from markupsafe import Markup, escape

from nlp_export import files
from nlp_export.reports import page
from nlp_export.reports.content import Report
from nlp_export.reports.plots import svg
from nlp_export.reports.plots.panels import Figure, Panel
from nlp_export.reports.sections import sections

_PANEL, _GAP, _MARGIN, _HEADING = 300, 40, 24, 24
_COLUMNS = 3
_LETTER, _LINE = 6.2, 16  # Of the caption: a letter's width, about, and a line's height.


def write_plots(directory: str, report: Report) -> list[str]:
  """Writes scores.svg and differences.svg, as in report.html.

  Args:
    directory: where; made if missing.
    report: what to show.

  Returns:
    The paths; of those two that there is something to show of.
  """
  found = sections(report)
  paths = []
  for name, figure in (('scores', found.scores), ('differences', found.differences)):
    if figure:
      path = files.join(directory, f'{name}.svg')
      files.write_text(path, _render(f'{report.title}: {name}', _caption(figure), figure.panels))
      paths.append(path)
  return paths


def _caption(figure: Figure) -> str:
  """How to read it, with the marks that the page explains below each plot."""
  notes = ' '.join(panel.note for panel in figure.panels)
  return (figure.caption + (' ×: degenerate, in no mean.' if '(×)' in notes else '') +
          (' Shaded: published scores, named in the report.' if 'Shaded: ' in notes else ''))


def _render(title: str, caption: str, panels: Sequence[Panel]) -> str:
  columns = min(_COLUMNS, len(panels))
  width = 2 * _MARGIN + columns * _PANEL + (columns - 1) * _GAP
  body, y = [], float(_MARGIN)
  for start in range(0, len(panels), columns):
    row = panels[start:start + columns]
    for place, panel in enumerate(row):
      x, top = _MARGIN + place * (_PANEL + _GAP), y
      body.append(svg.element('text', panel.heading, class_='heading', x=x, y=top + 12))
      top += _HEADING
      for drawing in panel.svgs:
        body.append(svg.element('svg', drawing.markup, x=x, y=top, width=_PANEL,
                                height=drawing.height, overflow='visible'))
        top += drawing.height
    y += _HEADING + max(sum(d.height for d in panel.svgs) for panel in row) + _GAP
  y -= _GAP
  for line in textwrap.wrap(caption, int((width - 2 * _MARGIN) / _LETTER)):
    y += _LINE
    body.append(svg.element('text', line, class_='tick', x=_MARGIN, y=y))
  height = y + _MARGIN
  own = '.heading{font-weight:600;font-size:14px}.paper{fill:var(--paper)}'
  head = Markup('<title>{}</title><desc>{}</desc><style>{}</style>').format(
      title, caption, Markup(page.style() + own))  # noqa: S704 - our own file.
  inner = Markup('').join(body)
  return Markup(
      '<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1:.0f}" '
      'viewBox="0 0 {0} {1:.0f}" role="img" aria-label="{2}">{3}'
      '<rect class="paper" width="100%" height="100%"/>{4}</svg>\n').format(
          width, height, escape(title), head, inner)
