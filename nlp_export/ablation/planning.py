"""What would a study do: which exports, which cells, on which data, and how long?

    return planning.plan(study, export, title='Pooler ablation', question='...')

is what an experiment of fine-tunings comes to; `executing` does the work.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nlp_export import files
from nlp_export.ablation import built_arms, sources
from nlp_export.ablation.arms import NamedArm, poolers_of
from nlp_export.ablation.built_arms import BuiltArm
from nlp_export.ablation.sources import Given, Source
from nlp_export.ablation.study import Study
from nlp_export.errors import RequestError
from nlp_export.experiment import Outcome, Plan, Run
from nlp_export.exporting import ExportPlan
from nlp_export.glue import cell_files, data, matrix, tasks
from nlp_export.glue.cells import Cell
from nlp_export.glue.examples import Examples
from nlp_export.glue.grid import grid

OUTPUTS = ('glue/results.json', 'glue/results.csv', 'report.md', 'report.html')

_HashOf = Callable[[str], str]


@dataclasses.dataclass(frozen=True)
class Prepared:
  """A study with its sources, before anything is done.

  Attributes:
    study: the options.
    arms: those that run.
    sources: of each arm, by name.
    title: of the report.
    question: that the report answers.
    compares_before: whether export and baseline are compared before they are trained.
    remarks: for the last lines: what could not be done, and why.
    pretraining: for the report, where the run has pre-trained the encoder; see reports.Report.
  """

  study: Study
  arms: tuple[NamedArm, ...]
  sources: Mapping[str, Source]
  title: str
  question: str
  compares_before: bool = False
  remarks: tuple[str, ...] = ()
  pretraining: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  def poolers(self, arm: NamedArm) -> tuple[str, ...]:
    """The poolers of an arm."""
    return poolers_of(arm, self.sources[arm.name].poolers)

  @property
  def distinct_sources(self) -> list[Source]:
    """Each once, in the order of the arms."""
    found: list[Source] = []
    for source in self.sources.values():
      if not any(source is other for other in found):
        found.append(source)
    return found

  def inputs(self) -> tuple[str, ...]:
    """Everything that is read."""
    read = [path for source in self.distinct_sources for path in source.inputs]
    return tuple(dict.fromkeys([*read, *self.study.inputs()]))

  @functools.cached_property
  def splits(self) -> Callable[[str], dict[str, Examples]]:
    """Train and dev examples of a task, by its name; loaded once."""
    return functools.cache(
        lambda name: data.load_for_training(tasks.get(name), self.study.source(name)))

  def cells(self, out_dir: str, hash_of: _HashOf) -> list[Cell]:
    """The matrix, once the SavedModels are there.

    Args:
      out_dir: of the run.
      hash_of: SHA-256 of an input, by its path.
    """
    variants = [built.variant(self.study.pooler_seed) for built in self.built(out_dir)]
    return grid({name: self._data_hashes(name, hash_of) for name in self.study.tasks},
                variants, self.study.seeds)

  def built(self, out_dir: str) -> list[BuiltArm]:
    """Every arm with each of its poolers, once the SavedModels are there."""
    return [built_arms.build(arm, self.sources[arm.name], pooler, out_dir)
            for arm in self.arms for pooler in self.poolers(arm)]

  def _data_hashes(self, name: str, hash_of: _HashOf) -> dict[str, str]:
    task, source = tasks.get(name), self.study.source(name)
    paths = source.inputs(task, data.training_splits(task))
    if paths:
      return {f'data {files.basename(path)}': hash_of(path) for path in paths}
    return {f'{what} of {split}': digest
            for split, examples in self.splits(name).items()
            for what, digest in (('texts', examples.text_sha256()),
                                 ('labels', examples.gold_sha256()))}


def plan(
    study: Study,
    export: Callable[..., ExportPlan],
    *,
    title: str,
    question: str,
    given: Given | None = None,
    compares_before: bool = False,
    pretraining: Mapping[str, Any] | None = None,
) -> Plan:
  """The plan of a study.

  Args:
    study: what is compared.
    export: plans an export; called with the parameters in which an arm differs.
    title: of the report.
    question: that the report answers.
    given: SavedModels to take instead of exporting. Without its `request` there is no baseline.
    compares_before: see `Prepared`.
    pretraining: see `Prepared`.

  Raises:
    RequestError: an arm, an export or a task's data is not to be had.
  """
  arms = study.named_arms
  remarks: tuple[str, ...] = ()
  if given is not None and given.request is None:
    rest = sources.without_baselines(arms)
    if len(rest) < len(arms):
      remarks = ('There is nothing to compare with: a baseline is built from the checkpoint of the '
                 'export. The scores are the export\'s alone; --set CHECKPOINT=... adds the rest',)
    arms = rest
  prepared = Prepared(study, arms, sources.sources(arms, export, given), title, question,
                      compares_before, remarks, pretraining or {})
  check_lengths(prepared)

  def execute(run: Run) -> Outcome:
    from nlp_export.ablation import executing

    return executing.execute(prepared, run)

  return Plan(
      lines=lines(prepared), inputs=prepared.inputs(), execute=execute,
      outputs=[*OUTPUTS, *(path for made in prepared.distinct_sources for path in made.outputs)],
      preview=lambda out_dir: preview(prepared, out_dir), shared=True)


def check_lengths(prepared: Prepared) -> None:
  """Refuses rows that an encoder has no positions for: it would fail at the first long text.

  Raises:
    RequestError: names the arm's length and the most that its encoder takes.
  """
  for arm in prepared.arms:
    most = prepared.sources[arm.name].positions
    length = arm.recipe.max_seq_length
    if most and length > most:
      raise RequestError(
          f'MAX_SEQ_LENGTH is {length} in arm {arm.name!r}, but its encoder has {most} position '
          f'embeddings and fails on longer rows. Write --set MAX_SEQ_LENGTH={most} or less')


def lines(prepared: Prepared) -> list[str]:
  """The plan for a human."""
  return [*work_lines(prepared), 'write report.html, report.md, glue/results.json',
          *prepared.remarks]


def work_lines(prepared: Prepared) -> list[str]:
  """The part of the plan that ends with the last fine-tuning."""
  study = prepared.study
  found = [line for source in prepared.distinct_sources for line in source.lines]
  if prepared.compares_before and len(prepared.arms) > 1:
    found.append('compare the arms before training, tolerance 1e-5')
  rows = [(arm, pooler) for arm in prepared.arms for pooler in prepared.poolers(arm)]
  count = len(rows) * len(study.tasks) * len(study.seeds)
  for arm in prepared.arms:
    found.append(f'fine-tune {arm.name} ({arm.built}; pooler {", ".join(prepared.poolers(arm))}): '
                 f'{recipe_line(arm)}')
  found.append(f'on {", ".join(study.tasks)} with {_seeds(study.seeds)}: '
               f'{count} fine-tuning{"" if count == 1 else "s"}')
  return found


def recipe_line(arm: NamedArm) -> str:
  """'3 epochs at 5e-05, batch 32, up to 128 tokens'."""
  recipe = arm.recipe
  length = (f'{recipe.steps} steps' if recipe.steps is not None else
            f'{recipe.epochs:g} epoch{"" if recipe.epochs == 1 else "s"}')
  return (f'{length} at {recipe.learning_rate:g}, batch {recipe.batch_size}, up to '
          f'{recipe.max_seq_length} tokens, {recipe.pooling}, {recipe.precision}')


def preview(prepared: Prepared, out_dir: str) -> list[str]:
  """Which cells would run, as far as it shows before the exports are there. Writes nothing."""
  place = functools.partial(files.join, out_dir)
  if all(source.is_made(out_dir) for source in prepared.distinct_sources):
    cells = prepared.cells(out_dir, functools.cache(files.sha256))
    found = matrix.preview(cells, out_dir)
    pending = [cell.name for cell in cells
               if not files.exists(cell_files.cell_path(out_dir, cell))]
  else:
    pending = [f'{task}/{pooler}/{arm.name}/seed_{seed}' for task in prepared.study.tasks
               for arm in prepared.arms for pooler in prepared.poolers(arm)
               for seed in prepared.study.seeds]
    found = [f'cells: {len(pending)} in all: {len(pending)} to do']
    if files.exists(place(cell_files.CELLS_DIR)):
      found.append('note: what is stored of them is looked at when the exports are there')
  rows: dict[str, list[int]] = {}
  for name in pending:
    row, _, seed = name.rpartition('/seed_')
    rows.setdefault(row, []).append(int(seed))
  return found + [f'to do: {row}, {_seeds(seeds)}' for row, seeds in rows.items()]


def _seeds(seeds: Sequence[int]) -> str:
  return ('seed ' if len(seeds) == 1 else 'seeds ') + ', '.join(map(str, seeds))
