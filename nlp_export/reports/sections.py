"""Which figures and tables does a report have? Sections that have nothing to show are empty."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from nlp_export.glue.statistics import Analysis
from nlp_export.glue.statistics.results import Group
from nlp_export.glue.statistics.words import margin_word
from nlp_export.reports import groups, run_tables, tables
from nlp_export.reports.content import Report
from nlp_export.reports.groups import Labels
from nlp_export.reports.plots import (
    agreement_plot,
    cost_plot,
    curve_plot,
    difference_plot,
    draw_plot,
    pretraining_plot,
    score_plot,
)
from nlp_export.reports.plots.panels import Figure, Panel
from nlp_export.reports.tables import Table


@dataclasses.dataclass(frozen=True)
class Sections:
  """What the page shows; None or empty where there is nothing.

  Attributes:
    glance: each pooler's average beside the highest, one figure for all arms.
    scores, differences, equivalence, agreement, draws, costs, apart: a figure each.
    curves: a figure for each task.
    averages, published, troubles, changed, provenance: tables without a plot.
    apart_because: task -> why it stands apart.
    pretraining: curves of the pre-training; pretraining_facts: its numbers.
  """

  glance: Figure | None
  scores: Figure | None
  averages: Table | None
  published: Table | None
  differences: Figure | None
  equivalence: Figure | None
  agreement: Figure | None
  curves: tuple[Figure, ...]
  draws: Figure | None
  troubles: Table | None
  costs: Figure | None
  apart: Figure | None
  apart_because: dict[str, str]
  changed: Table | None
  provenance: Table | None
  pretraining: Figure | None = None
  pretraining_facts: Table | None = None


def sections(report: Report) -> Sections:
  """All sections of a report."""
  labels = Labels.of(report.cells)
  analysis = report.analysis
  shown, apart, because = groups.scored(report)
  published = tables.published([*shown, *apart])
  troubles = groups.troubles(report)
  averages = [a for a in analysis.averages if a.tasks] if analysis else []
  margin = margin_word(analysis.settings.margin_points) if analysis else ''
  checks = list(report.agreement)
  return Sections(
      glance=_figure(_glances(analysis, labels), (
          'Each pooler’s average, and how far it lies below the highest one. Diamond and line: '
          'mean difference and its interval, dots: the seeds. In the grey band (less than '
          f'{margin}) a difference does not matter; if the line crosses zero, it may be '
          'chance. Full diamonds are decided, corrected for the number of pairs; hollow ones are '
          'open.')),
      scores=_figure(_scores(shown, labels, 'scores'), (
          'Scores on the dev set, in points (hundredths). Bar: the mean over seeds; line: its '
          f'{_covers(shown)}; below it a mark for every seed. Each plot has its own scale.')),
      averages=tables.averages(averages, labels) if averages else None,
      published=published if published.rows else None,
      differences=_figure(
          difference_plot.pairs(analysis, 'differences') if analysis else [], (
              'First minus second, paired by seed and by example, in points. Diamond and line: '
              'mean and its interval, full where decided, hollow where open; dots: the seeds. In '
              f'the grey band, less than {margin}, a difference does not matter.')),
      equivalence=_figure(_equivalence(analysis), (
          'Paired by seed, in points. The line is the interval of the equivalence test: inside of '
          'the grey band, the two are equivalent.')),
      agreement=_figure(agreement_plot.panels(checks, 'agreement'), (
          'One batch, dropout off: token ids, embeddings, every layer, pooled output, logits, loss '
          'and the gradient of every variable. One dot for each, on a logarithmic scale.'),
          run_tables.agreement_summary(checks), 'agreement-all', 'Summary of all poolers'),
      curves=tuple(Figure('', tuple(panels), title=task) for task, panels in curve_plot.panels(
          report.cells, labels, 'curves').items()),
      draws=_figure(_draws(analysis, labels), (
          'Filled: the part of the variance over seeds that comes from drawing the pooler; the '
          'line below is its interval. The rest comes from head, dropout and order of the data.')),
      troubles=run_tables.troubles(troubles) if troubles else None,
      costs=cost_plot.figure(report.cells, labels, 'costs-0'),
      apart=_figure(_scores(apart, labels, 'apart'), (
          'In no average, no comparison and no verdict above.')),
      apart_because=dict(because),
      changed=(run_tables.changed(report.changed_from_defaults)
               if report.changed_from_defaults else None),
      provenance=run_tables.provenance(report.provenance) if report.provenance else None,
      pretraining=(pretraining_plot.figure(report.pretraining, 'pretraining')
                   if report.pretraining else None),
      pretraining_facts=(run_tables.pretraining(report.pretraining['summary'])
                         if report.pretraining else None))


def _figure(
    panels: list[Panel], caption: str, table: Table | None = None, table_id: str = '',
    table_name: str = '',
) -> Figure | None:
  return Figure(caption, tuple(panels), '', table, table_id, table_name) if panels else None


def _scores(shown: Sequence[Group], labels: Labels, prefix: str) -> list[Panel]:
  return [score_plot.panel(task, part, labels, f'{prefix}-{place}')
          for place, (task, part) in enumerate(groups.by_task(shown).items())]


def _covers(shown: Sequence[Group]) -> str:
  known = [group.without_degenerate.interval for group in shown
           if group.without_degenerate and group.without_degenerate.interval]
  if not known:
    return 'interval, where one is known'
  what = sorted({interval.covers for interval in known})
  return f'{100 * known[0].confidence:.3g} % interval (over {" or over ".join(what)})'


def _glances(analysis: Analysis | None, labels: Labels) -> list[Panel]:
  if analysis is None:
    return []
  arms = dict.fromkeys(average.arm for average in analysis.averages)
  found = [difference_plot.at_a_glance(analysis, arm, labels, f'glance-{place}')
           for place, arm in enumerate(arms)]
  return [panel for panel in found if panel]


def _equivalence(analysis: Analysis | None) -> list[Panel]:
  panel = difference_plot.equivalence(analysis, 'equivalence-0') if analysis else None
  return [panel] if panel else []


def _draws(analysis: Analysis | None, labels: Labels) -> list[Panel]:
  panel = draw_plot.panel(analysis.pooler_draws, labels, 'draws-0') if analysis else None
  return [panel] if panel else []
