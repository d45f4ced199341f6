"""How does a report read in a repository: report.md, GitHub's Markdown, the verdict first?"""

from __future__ import annotations

import re

import jinja2

from nlp_export.reports import answers, groups, run_tables, tables
from nlp_export.reports.content import Report
from nlp_export.reports.groups import Labels
from nlp_export.reports.sections import sections
from nlp_export.reports.tables import Table

# What Markdown or HTML could take for a sign of theirs.
_SPECIAL = re.compile(r'([\\`*_\[\]#|~])')
# What makes a list at the beginning of a line.
_LEADING = re.compile(r'^([-+]|\d+[.)])(?=\s)')
_HTML = str.maketrans({'&': '&amp;', '<': '&lt;', '>': '&gt;'})
_RUN_OF_BACKTICKS = re.compile(r'`+')


def plain(text: object) -> str:
  """Text that is shown as it is, on one line: Markdown's and HTML's signs are escaped."""
  one_line = ' '.join(str(text).split())
  escaped = _SPECIAL.sub(r'\\\1', one_line).translate(_HTML)
  return _LEADING.sub(lambda found: f'{found[0][:-1]}\\{found[0][-1]}', escaped)


def fenced(text: str, language: str = '') -> str:
  """A code block around any text: its fence is longer than every run of backticks inside."""
  longest = max(map(len, _RUN_OF_BACKTICKS.findall(text)), default=0)
  fence = '`' * max(3, longest + 1)
  return f'{fence}{language}\n{text.rstrip()}\n{fence}'


def table(found: Table) -> str:
  """A table with its caption above."""
  rule = ['---' if place in found.text_columns else '--:' for place in range(len(found.columns))]
  lines = [found.columns, *found.rows]
  told = ['| ' + ' | '.join(map(plain, line)) + ' |' for line in lines]
  told.insert(1, '|' + '|'.join(rule) + '|')
  return f'{plain(found.caption)}\n\n' + '\n'.join(told)


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader('nlp_export.reports', 'templates'),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,  # noqa: S701 - Markdown, not HTML; `plain` escapes.
    keep_trailing_newline=True,
)
_ENVIRONMENT.filters.update(plain=plain, fenced=fenced, table=table)


def render(report: Report) -> str:
  """The text of report.md, ending in a newline."""
  shown, apart, because = groups.scored(report)
  labels = Labels.of(report.cells)
  analysis = report.analysis
  several = [c for c in analysis.average_comparisons if len(c.tasks) > 1] if analysis else []
  compared = [*several, *analysis.comparisons] if analysis else []
  return _ENVIRONMENT.get_template('report.md.jinja').render(
      **answers.for_templates(report),
      found=sections(report),
      scores=[tables.scores(task, part, labels) for task, part in groups.by_task(shown).items()],
      apart=[tables.scores(task, part, labels) for task, part in groups.by_task(apart).items()],
      because=because,
      comparisons=(tables.comparisons('Paired differences, first minus second, in points', compared)
                   if compared else None),
      equivalence=(tables.equivalences(analysis.equivalence)
                   if analysis and analysis.equivalence else None),
      draws=(tables.pooler_draws(analysis.pooler_draws, labels)
             if analysis and analysis.pooler_draws else None),
      agreement=run_tables.agreement_summary(report.agreement) if report.agreement else None,
      costs=run_tables.costs(report.cells))
