"""What does a figure of the page consist of: panels, each a plot with its table?"""

from __future__ import annotations

import dataclasses

from nlp_export.reports.plots.svg import Drawing
from nlp_export.reports.tables import Table


@dataclasses.dataclass(frozen=True)
class Panel:
  """One plot and its numbers.

  Attributes:
    heading: short.
    svgs: drawings that refer to the table by `table_id`.
    table: the same numbers; None where the figure has one for all its panels.
    table_id: unique on the page.
    note: a sentence below the drawing.
  """

  heading: str
  svgs: tuple[Drawing, ...]
  table: Table | None
  table_id: str
  note: str = ''


@dataclasses.dataclass(frozen=True)
class Figure:
  """Panels under one caption.

  Attributes:
    caption: how to read it.
    title: '' where the section's is enough.
    table, table_id, table_name: of all panels together.
  """

  caption: str
  panels: tuple[Panel, ...]
  title: str = ''
  table: Table | None = None
  table_id: str = ''
  table_name: str = ''
