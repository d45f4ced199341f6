"""How are results kept for a spreadsheet or a notebook: one row for each cell?"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from nlp_export.glue.cells import CellResult

_BEFORE = ('task', 'pooler', 'arm', 'seed', 'init_seed', 'data_seed', 'pooler_seed', 'status',
           'main_metric')
_AFTER = ('train_seconds', 'examples_per_second', 'tokens_per_second', 'padding_share',
          'predictions_file', 'gold_sha256', 'config_hash', 'cause')
_LISTS = ('degenerate', 'notes')


def render(cells: Sequence[CellResult]) -> str:
  """The text of results.csv.

  Args:
    cells: failed ones too.

  Returns:
    A header and a row for each cell. Every metric that any cell has is a column, scores 0 to 1;
    empty where a cell has no such metric, or one that is not a number. Line ends are '\\n'.
  """
  metrics = sorted({name for cell in cells for name in cell.metrics})
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow([*_BEFORE, *metrics, *_AFTER, *_LISTS])
  for cell in cells:
    writer.writerow([
        *(getattr(cell, name) for name in _BEFORE),
        *(_number(cell.metrics.get(name)) for name in metrics),
        *(getattr(cell, name) for name in _AFTER),
        *('; '.join(getattr(cell, name)) for name in _LISTS)])
  return text.getvalue()


def _number(value: float | None) -> float | str:
  return '' if value is None or not math.isfinite(value) else float(value)
