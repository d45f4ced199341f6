"""Which runs belong together, what is each group called, and which runs are no good?"""

from __future__ import annotations

import dataclasses
import math
import statistics as stdlib_statistics
from collections.abc import Mapping, Sequence

from nlp_export.glue.cells import FAILED, CellResult
from nlp_export.glue.statistics.analysis import APART
from nlp_export.glue.statistics.results import Group, RunScore, Statistics
from nlp_export.reports.content import Report


@dataclasses.dataclass(frozen=True)
class Labels:
  """Names of groups: the arm is said only where there are several.

  Attributes:
    poolers, arms: all, in the order of the cells.
  """

  poolers: tuple[str, ...]
  arms: tuple[str, ...]

  @classmethod
  def of(cls, cells: Sequence[CellResult]) -> Labels:
    """The names that occur in the cells."""
    return cls(tuple(dict.fromkeys(cell.pooler for cell in cells)),
               tuple(dict.fromkeys(cell.arm for cell in cells)))

  def __call__(self, pooler: str, arm: str) -> str:
    """'keep', or 'keep · export'."""
    return f'{pooler} · {arm}' if len(self.arms) > 1 else pooler

  def style(self, pooler: str, arm: str = '') -> str:
    """Classes of the marks: a colour for the pooler, hollow marks for every arm but the first."""
    hollow = ' hollow' if arm in self.arms[1:] else ''
    colour = self.poolers.index(pooler) % COLOURS if pooler in self.poolers else 0
    return f's{colour}{hollow}'

  def shape(self, pooler: str) -> str:
    """A shape for the pooler, so that colour is not all that tells."""
    return SHAPES[self.poolers.index(pooler) % len(SHAPES)] if pooler in self.poolers else SHAPES[0]


COLOURS = 6
SHAPES = ('circle', 'square', 'triangle', 'diamond')


@dataclasses.dataclass(frozen=True)
class Trouble:
  """A run that failed or whose numbers say nothing."""

  name: str
  status: str
  reasons: tuple[str, ...]
  value: float | None


def scored(report: Report) -> tuple[list[Group], list[Group], Mapping[str, str]]:
  """The groups to show, those of tasks that stand apart, and why these do."""
  if report.analysis is not None:
    found = report.analysis
    return list(found.groups), list(found.apart), found.apart_because
  groups = _bare(report.cells)
  tasks = {group.task for group in groups}
  return ([group for group in groups if group.task not in APART],
          [group for group in groups if group.task in APART],
          {task: why for task, why in APART.items() if task in tasks})


def _bare(cells: Sequence[CellResult]) -> list[Group]:
  """Groups without an analysis: scores and their mean, and nothing about how sure they are."""
  named: dict[tuple[str, str, str], list[CellResult]] = {}
  for cell in cells:
    named.setdefault((cell.task, cell.pooler, cell.arm), []).append(cell)
  order = {task: place for place, task in enumerate(dict.fromkeys(c.task for c in cells))}
  found = []
  for (task, pooler, arm), part in named.items():
    runs = tuple(RunScore(cell.seed, _value(cell), cell.status, _reasons(cell), cell.pooler_seed)
                 for cell in sorted(part, key=lambda cell: cell.seed))
    counts = {status: sum(run.status == status for run in runs)
              for status in ('ok', 'degenerate', 'failed')}
    metric = next((cell.main_metric for cell in part if cell.main_metric), '')
    found.append(Group(
        task, pooler, arm, metric, runs, counts,
        _statistics([run for run in runs if run.status == 'ok']),
        _statistics([run for run in runs if run.value is not None]), None, '', None))
  return sorted(found, key=lambda group: order[group.task])


def _value(cell: CellResult) -> float | None:
  value = cell.metrics.get(cell.main_metric)
  return None if value is None or not math.isfinite(value) else value


def _reasons(cell: CellResult) -> tuple[str, ...]:
  return (cell.cause,) if cell.status == FAILED else tuple(cell.degenerate)


def _statistics(runs: Sequence[RunScore]) -> Statistics | None:
  values = [run.value for run in runs if run.value is not None]
  if not values:
    return None
  return Statistics(
      tuple(run.seed for run in runs), tuple(values), stdlib_statistics.fmean(values),
      stdlib_statistics.median(values),
      stdlib_statistics.stdev(values) if len(values) > 1 else None, min(values), max(values),
      None, None)


def counts(report: Report) -> dict[str, int]:
  """{'ok': n, 'degenerate': n, 'failed': n} over all cells, as the analysis sees them."""
  shown, apart, _ = scored(report)
  found = {'ok': 0, 'degenerate': 0, 'failed': 0}
  for group in [*shown, *apart]:
    for status, count in group.counts.items():
      found[status] += count
  return found


def troubles(report: Report) -> list[Trouble]:
  """Runs that failed, with the whole cause, then those that are degenerate."""
  shown, apart, _ = scored(report)
  causes = {cell.name: cell.cause for cell in report.cells if cell.status == FAILED}
  found = []
  for group in [*shown, *apart]:
    for run in group.runs:
      name = f'{group.task}/{group.pooler}/{group.arm}/seed_{run.seed}'
      if run.status != 'ok':
        reasons = (causes[name],) if name in causes else run.reasons
        found.append(Trouble(name, run.status, reasons, run.value))
  return sorted(found, key=lambda trouble: trouble.status != FAILED)


def by_task(groups: Sequence[Group]) -> dict[str, list[Group]]:
  """Task -> its groups, in order."""
  found: dict[str, list[Group]] = {}
  for group in groups:
    found.setdefault(group.task, []).append(group)
  return found
