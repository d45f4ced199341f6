"""Which table goes into a paper: poolers and arms down, tasks across, mean and spread in a cell?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from nlp_export.errors import RequestError
from nlp_export.glue.statistics.results import Group
from nlp_export.reports import groups, markdown, tables, words
from nlp_export.reports.content import Report
from nlp_export.reports.groups import Labels
from nlp_export.reports.results_json import Results
from nlp_export.reports.tables import Table

STANDARD_DEVIATION, INTERVAL = SPREADS = ('standard_deviation', 'interval')

_Key = tuple[str, str, str]  # Task, pooler, arm.

_LATEX = {
    '\\': r'\textbackslash{}', '{': r'\{', '}': r'\}', '$': r'\$', '&': r'\&', '%': r'\%',
    '#': r'\#', '_': r'\_', '~': r'\textasciitilde{}', '^': r'\textasciicircum{}',
    '±': r'$\pm$', '·': r'$\cdot$', '–': '--', '−': '$-$', '<': '$<$', '>': '$>$'}


def make(results: Results, spread: str = STANDARD_DEVIATION, digits: int = 1) -> Table:
  """The scores of a matrix, in points (hundredths of the metric).

  Degenerate runs are in no mean; the caption counts them. The average is over the tasks that GLUE
  averages (WNLI stands apart) and only of rows that have all of them.

  Args:
    results: of `read_results`.
    spread: 'standard_deviation' over seeds (n - 1), '61.2 ± 1.3'; or 'interval', the one of the
      analysis, over seeds and examples, '61.2 [59.8, 62.6]'.
    digits: behind the point, 0 to 4.

  Returns:
    A table whose caption names metrics, seeds and what was left out; `latex` and
    `markdown.table` make text of it.

  Raises:
    RequestError: another spread or number of digits; intervals of results that were not analysed.
  """
  if spread not in SPREADS:
    raise RequestError(f'A spread {spread!r} is not known. Known are {", ".join(SPREADS)}')
  if not 0 <= digits <= 4:
    raise RequestError(f'{digits} digits behind the point are none that a score can have. '
                       'Write --set DIGITS=1')
  labels = Labels.of(results.cells)
  shown, apart, _ = groups.scored(Report(results.title, results.question, results.cells))
  intervals = _intervals(results) if spread == INTERVAL else {}
  cells = {(g.task, g.pooler, g.arm): g for g in [*shown, *apart]}
  tasks = list(dict.fromkeys(group.task for group in [*shown, *apart]))
  averaged = list(dict.fromkeys(group.task for group in shown))
  rows = []
  for pooler, arm in dict.fromkeys((g.pooler, g.arm) for g in [*shown, *apart]):
    row = [labels(pooler, arm)]
    row += [_cell(cells.get((task, pooler, arm)), intervals, digits) for task in tasks]
    if len(averaged) > 1:
      means = [_mean(cells.get((task, pooler, arm))) for task in averaged]
      known = [mean for mean in means if mean is not None]
      whole = len(known) == len(means)
      row.append(words.score(sum(known) / len(known) if whole else None, digits))
    rows.append(row)
  columns = ['pooler', *tasks, *(['average'] if len(averaged) > 1 else [])]
  return tables.make(_caption([*shown, *apart], spread, intervals), columns, rows)


def latex(table: Table) -> str:
  """A `tabular` with the rules of the package booktabs, the caption as a comment above it."""
  alignment = ''.join('l' if place in table.text_columns else 'r'
                      for place in range(len(table.columns)))
  lines = [f'% {" ".join(table.caption.split())}', r'% Needs \usepackage{booktabs}.',
           rf'\begin{{tabular}}{{{alignment}}}', r'\toprule', _row(table.columns), r'\midrule',
           *map(_row, table.rows), r'\bottomrule', r'\end{tabular}']
  return '\n'.join(lines) + '\n'


def as_markdown(table: Table) -> str:
  """GitHub's Markdown, the caption above it."""
  return markdown.table(table) + '\n'


def _row(cells: Sequence[str]) -> str:
  return ' & '.join(map(_escaped, cells)) + r' \\'


def _escaped(text: str) -> str:
  return re.sub('.', lambda found: _LATEX.get(found[0], found[0]), text)


def _mean(group: Group | None) -> float | None:
  found = group.without_degenerate if group else None
  return found.mean if found else None


def _cell(group: Group | None, intervals: Mapping[_Key, Any], digits: int) -> str:
  found = group.without_degenerate if group else None
  if group is None or found is None:
    return words.NONE
  mean = words.score(found.mean, digits)
  interval = intervals.get((group.task, group.pooler, group.arm))
  if interval:
    low, high = (words.score(interval[end], digits) for end in ('low', 'high'))
    return f'{mean} [{low}, {high}]'
  return mean if found.sd is None or intervals else f'{mean} ± {words.score(found.sd, digits)}'


def _intervals(results: Results) -> dict[_Key, Any]:
  analysed = results.analysis or {}
  found = {(group['task'], group['pooler'], group['arm']): group['without_degenerate']['interval']
           for group in [*analysed.get('groups', ()), *analysed.get('apart', ())]
           if group['without_degenerate'] and group['without_degenerate']['interval']}
  if not found:
    raise RequestError('These results have no intervals: the runs were not analysed, or have one '
                       f'seed and no predictions. Use --set SPREAD={STANDARD_DEVIATION}')
  return found


def _caption(found: Sequence[Group], spread: str, intervals: Mapping[_Key, Any]) -> str:
  metrics = {group.task: words.metric(group.metric) for group in found if group.metric}
  seeds = [len(group.without_degenerate.seeds) for group in found if group.without_degenerate]
  level = next((f'{100 * interval["confidence"]:.3g} %' for interval in intervals.values()), '')
  told = 'standard deviation' if spread == STANDARD_DEVIATION else f'{level} interval of the mean'
  few, many = min(seeds, default=0), max(seeds, default=0)
  over = f'{many} seeds' if few == many else f'{few} to {many} seeds'
  what = f'mean and {told} over {over}' if many > 1 else f'{many} seed'
  sentences = [f'Dev scores in points: {what}',
               '; '.join(f'{task}: {metric}' for task, metric in metrics.items())]
  every = sum(sum(group.counts.values()) for group in found)
  for status, what in (('degenerate', 'learned nothing and are in no mean'), ('failed', 'failed')):
    count = sum(group.counts[status] for group in found)
    if count:
      sentences.append(f'{count} of {every} runs {what}')
  return '. '.join(sentence for sentence in sentences if sentence) + '.'
