"""Do the arms agree before training: every quantity's difference against the tolerance?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from nlp_export.reports import run_tables, words
from nlp_export.reports.plots import svg
from nlp_export.reports.plots.panels import Panel

_TOP, _BOTTOM = 8.0, 52.0
_JITTER = (0, -8, 8, -4, 4, -12, 12)


def panels(checks: Sequence[Mapping[str, Any]], prefix: str) -> list[Panel]:
  """A panel for each pooler; a logarithmic scale, exact zeros at its left end."""
  known = [abs(row['difference']) for check in checks for row in check['rows']
           if _positive(row['difference'])]
  tolerances = [check['tolerance'] for check in checks if _positive(check['tolerance'])]
  ends = [math.log10(value) for value in [*known, *tolerances]] or [-8.0, -4.0]
  low, high = math.floor(min(ends)) - 1, math.ceil(max(ends)) + 1
  scale = svg.Scale(low, high)
  return [_panel(check, scale, f'{prefix}-{place}') for place, check in enumerate(checks)]


def _positive(value: float | None) -> bool:
  return value is not None and math.isfinite(value) and value != 0


def _panel(check: Mapping[str, Any], scale: svg.Scale, table_id: str) -> Panel:
  body = []
  powers = range(round(scale.low), round(scale.high) + 1)
  for power in powers[::1 if len(powers) <= 7 else 2]:
    x, exact = scale(power), power == scale.low
    body.append(svg.element('line', class_='grid', x1=x, x2=x, y1=_TOP, y2=_BOTTOM))
    body.append(svg.element('text', '0' if exact else f'1e{power}'.replace('-', '−'),
                            class_='tick', x=x, y=_BOTTOM + 15, text_anchor='middle'))
  if _positive(check['tolerance']):
    x = scale(math.log10(check['tolerance']))
    body.append(svg.element('line', svg.element('title', 'tolerance'), class_='limit', x1=x, x2=x,
                            y1=_TOP - 4, y2=_BOTTOM + 2))
    body.append(svg.element('text', 'tolerance', class_='tick', x=x, y=_BOTTOM + 30,
                            text_anchor='middle'))
  for place, row in enumerate(check['rows']):
    difference = row['difference']
    if difference == 0:
      at = scale.low
    else:
      at = math.log10(abs(difference)) if _positive(difference) else scale.high
    body.append(svg.mark(
        'circle' if row['passed'] else 'cross', scale(at),
        (_TOP + _BOTTOM) / 2 + _JITTER[place % len(_JITTER)], 2.6 if row['passed'] else 4.0,
        'dot ink faint' if row['passed'] else 'dead',
        f'{row["name"]}: {words.small(difference)}'))
  failed = [str(row['name']) for row in check['rows'] if not row['passed']]
  count = len(check['rows'])
  told = (f'{count} quantities agree to {words.small(check["tolerance"])}.' if check['passed'] else
          f'{len(failed)} of {count} quantities differ; the first is '
          f'{run_tables.first_difference(check)}.')
  said = [str(check.get('suggestion') or ''), *map(str, check.get('notes') or ())]
  note = ' '.join([told, *(text for text in said if text)])
  return Panel(
      f'{check["pooler"]} · {"agree" if check["passed"] else "differ"}',
      (svg.drawing(body, _BOTTOM + 36, f'Pooler {check["pooler"]}, differences before training on '
                   f'a logarithmic scale. {told}', table_id),),
      run_tables.agreement(check), table_id, note)
