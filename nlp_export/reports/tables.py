"""What is a table of a report, and which tables say how good, how different and how sure?

HTML and Markdown show the same tables, so a plot's table and report.md cannot disagree.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from nlp_export.glue.statistics.results import (
    Average,
    Comparison,
    Equivalence,
    Group,
    PoolerDraw,
    RunScore,
)
from nlp_export.reports import words
from nlp_export.reports.groups import Labels


@dataclasses.dataclass(frozen=True)
class Table:
  """Text in rows.

  Attributes:
    caption: what it shows, with the units.
    columns: headings.
    rows: each as long as columns; the first cell names the row.
    text_columns: positions of the columns that hold text; the others hold numbers.
  """

  caption: str
  columns: tuple[str, ...]
  rows: tuple[tuple[str, ...], ...]
  text_columns: tuple[int, ...] = (0,)


def make(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]],
    text_columns: Sequence[int] = (0,),
) -> Table:
  """A table from any sequences of texts."""
  return Table(caption, tuple(columns), tuple(tuple(row) for row in rows), tuple(text_columns))


def averages(found: Sequence[Average], labels: Labels) -> Table:
  """Mean over tasks of each pooler and arm."""
  return make(
      'Average over tasks, in points. Averages over other tasks do not compare.',
      ('pooler', 'over', 'average', 'with degenerate runs'),
      [(labels(a.pooler, a.arm), ', '.join(a.tasks), words.score(a.without_degenerate),
        words.score(a.with_degenerate)) for a in found], (0, 1))


def scores(task: str, groups: Sequence[Group], labels: Labels) -> Table:
  """Scores of one task: statistics and one column for each seed."""
  seeds = sorted({run.seed for group in groups for run in group.runs})
  rows = []
  for group in groups:
    found, every = group.without_degenerate, group.with_degenerate
    runs = {run.seed: run for run in group.runs}
    rows.append((
        labels(group.pooler, group.arm), words.score(found.mean if found else None),
        words.interval(found.interval if found else None),
        words.score(found.median if found else None), words.score(found.sd if found else None),
        words.score(found.min if found else None), words.score(found.max if found else None),
        words.interval(found.bootstrap if found else None),
        words.score(every.mean if every else None), words.score(group.noise_floor),
        f'{group.counts["ok"]} / {group.counts["degenerate"]} / {group.counts["failed"]}',
        *(_run(runs.get(seed)) for seed in seeds)))
  known = next((g.without_degenerate.interval for g in groups
                if g.without_degenerate and g.without_degenerate.interval), None)
  level = f'{100 * known.confidence:.3g} % interval' if known else 'interval'
  metric = next((group.metric for group in groups if group.metric), '')
  return make(
      f'{task}: {words.metric(metric)}, in points', (
          'pooler', 'mean', level, 'median', 'standard deviation', 'lowest', 'highest',
          'bootstrap interval', 'mean with degenerate runs', 'noise floor',
          'runs ok / degenerate / failed', *(f'seed {seed}' for seed in seeds)), rows)


def _run(run: RunScore | None) -> str:
  if run is None:
    return words.NONE
  if run.value is None:
    return run.status
  return words.score(run.value) + ('' if run.status == 'ok' else f' ({run.status})')


def published(groups: Sequence[Group]) -> Table:
  """What was published, and whether it compares."""
  rows = []
  for task, beside in {g.task: g.beside for g in groups if g.beside}.items():
    rows += [(task, words.metric(beside.metric), s.encoder,
              words.score(s.low) if s.low == s.high else
              f'{words.score(s.low)} to {words.score(s.high)}',
              s.relation, s.why, s.chosen, s.source) for s in beside.scores]
  return make(
      'Published dev scores, in points. Only comparable ones make a band in the plots.',
      ('task', 'metric', 'encoder', 'score', 'relation', 'what is the same and what differs',
       'how it was chosen', 'source'), rows, (0, 1, 2, 4, 5, 6, 7))


ANSWERS = {'equivalent': 'no difference that matters', 'open': 'open'}


def answer(comparison: Comparison) -> str:
  """The verdict of a comparison in a few words."""
  if comparison.verdict in ('first', 'second'):
    return f'{getattr(comparison, comparison.verdict)} better'
  return ANSWERS[comparison.verdict]


def comparisons(caption: str, found: Sequence[Comparison]) -> Table:
  """Paired differences with all their tests; a column for each seed."""
  seeds = sorted({s for c in found if c.without_degenerate for s in c.without_degenerate.seeds})
  rows = []
  for c in found:
    clean, every = c.without_degenerate, c.with_degenerate
    of_seed = dict(zip(clean.seeds, clean.values, strict=True)) if clean else {}
    rows.append((
        c.task, f'{c.first} − {c.second}', c.within,
        words.signed(clean.mean if clean else None),
        words.interval(clean.interval if clean else None, sign=True), answer(c),
        words.probability(c.p_holm), words.probability(c.p_permutation_holm),
        words.probability(c.p_examples), words.signed(every.mean if every else None),
        words.NONE if c.seeds_needed is None else str(c.seeds_needed),
        *(words.signed(of_seed.get(seed)) for seed in seeds)))
  return make(caption, (
      'task', 'difference', 'within', 'mean', 'interval', 'verdict', 'p (Holm)',
      'p of permutations (Holm)', 'p over examples', 'mean with degenerate runs', 'seeds needed',
      *(f'seed {seed}' for seed in seeds)), rows, (0, 1, 2, 5))


def equivalences(found: Sequence[Equivalence]) -> Table:
  """The tests after training, arm minus reference."""
  rows = []
  for test in found:
    clean = test.differences
    rows.append((
        test.task, test.pooler, f'{test.arm} − {test.reference}',
        words.signed(clean.mean if clean else None),
        words.interval(test.tost_interval, sign=True), f'± {test.margin_points:g}', test.verdict,
        words.probability(test.p_equivalence), words.probability(test.p_difference_holm),
        str(len(clean.seeds)) if clean else '0',
        words.NONE if test.identical_predictions is None else str(test.identical_predictions),
        words.NONE if test.seeds_needed is None else str(test.seeds_needed)))
  known = next((test.tost_interval for test in found if test.tost_interval), None)
  level = f'{100 * known.confidence:.3g} % interval' if known else 'interval'
  return make('Paired differences after training, in points', (
      'task', 'pooler', 'difference', 'mean', level, 'margin', 'verdict', 'p of equivalence',
      'p of a difference (Holm)', 'seeds', 'seeds with all predictions the same', 'seeds needed',
      ), rows, (0, 1, 2, 6))


def pooler_draws(found: Sequence[PoolerDraw], labels: Labels) -> Table:
  """How much of the variance the pooler's draw makes."""
  return make(
      "The random pooler's draw: standard deviations in points, share of the variance",
      ('task', 'pooler', 'design', 'all', 'from the draw', 'from the rest', "draw's share",
       'interval of the share', 'p of no variance from the draw'),
      [(d.task, labels(d.pooler, d.arm), d.design, words.score(d.total_sd),
        words.score(d.draw_sd), words.score(d.rest_sd), words.share(d.share),
        f'{words.share(d.share_interval.low)} to {words.share(d.share_interval.high)}'
        if d.share_interval else words.NONE, words.probability(d.p_value)) for d in found],
      (0, 1, 2))
