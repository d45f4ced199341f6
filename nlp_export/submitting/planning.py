"""What would a submission do: which export, which fine-tunings, who answers each test set?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from nlp_export.ablation import planning, sources
from nlp_export.ablation.arms import EXPORT
from nlp_export.ablation.planning import Prepared
from nlp_export.ablation.sources import Given
from nlp_export.ablation.study import Study
from nlp_export.errors import RequestError
from nlp_export.experiment import Outcome, Plan, Run, open_values
from nlp_export.exporting import ExportPlan
from nlp_export.glue import data, submission_check, tasks
from nlp_export.glue.cells import Cell
from nlp_export.glue.examples import Examples
from nlp_export.submitting.answers import answered_by, model_tasks, one_label

ZIP = 'glue/submission.zip'
RECORD = 'glue/submission.json'


@dataclasses.dataclass(frozen=True)
class Submission(Prepared):
  """One arm with one pooler on the tasks that a model answers.

  Attributes:
    majority: the tasks that one label answers.
  """

  majority: tuple[str, ...] = ()

  def inputs(self) -> tuple[str, ...]:
    """Everything that is read, test sets included."""
    read = [*super().inputs()]
    for name in self.study.tasks:
      for task, split in answered_by(name).values():
        read += self.study.source(task.name).inputs(task, [split.name])
    return tuple(dict.fromkeys(read))

  def cells(self, out_dir: str, hash_of: Callable[[str], str]) -> list[Cell]:
    """The fine-tunings; what they predict depends on the test sets too."""
    found = []
    for cell in super().cells(out_dir, hash_of):
      hashes = dict(cell.content_hashes)
      for key, (task, split) in answered_by(cell.task).items():
        for path in self.study.source(task.name).inputs(task, [split.name]):
          hashes[f'test set {key}'] = hash_of(path)
      found.append(dataclasses.replace(cell, content_hashes=hashes))
    return found

  def examples(self, name: str) -> dict[str, Examples]:
    """Train, dev and test sets of a task, and the diagnostic set with the task that answers it.

    Not kept: those of all tasks are a gigabyte.
    """
    return {**data.load_for_training(tasks.get(name), self.study.source(name)),
            **self.test_sets(name)}

  def test_sets(self, name: str) -> dict[str, Examples]:
    """The test sets that a task's model answers, by their names in its cell.

    Raises:
      RequestError: one is malformed, or has not as many rows as the server wants answers.
    """
    found = {}
    for key, (task, split) in answered_by(name).items():
      examples = data.load(task, split.name, self.study.source(task.name))
      if len(examples) != split.rows:
        raise RequestError(
            f'{examples.place} has {len(examples)} rows, and the GLUE server wants {split.rows} '
            f'answers in {split.submission}. Take the file from the official download')
      found[key] = examples
    return found


def plan(
    study: Study, export: Callable[..., ExportPlan], majority: Sequence[str],
    given: Given | None = None,
) -> Plan:
  """The plan of a submission.

  Args:
    study: tasks, seeds, recipe and the one arm.
    export: plans the export.
    majority: tasks that one label answers, whether or not they are among the study's.
    given: SavedModels to take instead of exporting.

  Raises:
    RequestError: a test set would stay without answers, or more than one pooler would give them.
  """
  prepared = _prepared(study, export, _task_names('MAJORITY', majority), given)

  def execute(run: Run) -> Outcome:
    from nlp_export.submitting import executing

    return executing.execute(prepared, run)

  return Plan(
      lines=_lines(prepared), inputs=prepared.inputs(), execute=execute,
      outputs=[ZIP, RECORD, *(path for made in prepared.distinct_sources for path in made.outputs)],
      preview=lambda out_dir: planning.preview(prepared, out_dir), shared=True)


def check_plan(path: str) -> Plan:
  """The plan of looking at a zip that is there: nothing is exported or fine-tuned."""

  def execute(run: Run) -> Outcome:
    with run.step('check'):
      lines = submission_check.check(path)
    return Outcome([*lines, f'{path} is what the GLUE server takes'], result={'files': lines})

  return Plan(lines=[f'check whether {path} is what the GLUE server takes'], inputs=(path,),
              execute=execute)


def _prepared(
    study: Study, export: Callable[..., ExportPlan], majority: tuple[str, ...],
    given: Given | None,
) -> Submission:
  trained = tuple(name for name in _task_names('TASKS', study.tasks) if name not in majority)
  arms = study.named_arms
  if len(arms) != 1 or arms[0].built != EXPORT:
    raise RequestError(
        f'ARMS names {", ".join(arm.name for arm in arms)}, and a submission has the answers of '
        "one fine-tuned export. Write ARMS = {'export': {}}")
  _check_all_answered(trained, majority)
  study = dataclasses.replace(study, tasks=trained)
  _check_data(study, majority)
  prepared = Submission(study, arms, sources.sources(arms, export, given), 'GLUE submission', '',
                        majority=majority)
  poolers = prepared.poolers(arms[0])
  if len(poolers) != 1:
    raise RequestError(
        f'POOLERS names {", ".join(poolers)}, and a submission has the answers of one. Which is '
        "meant? Write --set POOLERS='(@poolers.keep,)' or another one")
  return prepared


def _task_names(setting: str, names: Sequence[str]) -> tuple[str, ...]:
  """Names of tasks to fine-tune on, in GLUE's order."""
  names = (names,) if isinstance(names, str) else tuple(names)
  for name in names:
    task = tasks.get(name)
    if task.is_builtin:
      raise RequestError(f'{setting} names {name!r}, which has no test set of the GLUE server. '
                         f'It has those of {", ".join(model_tasks())}')
    if task.model_task != name:
      raise RequestError(f'{setting} names {name!r}, which has no model of its own: that of '
                         f'{task.model_task} answers it. Name {task.model_task!r} alone')
  return tuple(name for name in model_tasks() if name in names)


def _check_all_answered(trained: tuple[str, ...], majority: tuple[str, ...]) -> None:
  if not trained:
    raise RequestError('MAJORITY names all of TASKS, so no answer would be of the export. Leave '
                       'out of MAJORITY what it is to answer')
  left = tuple(name for name in model_tasks() if name not in (*trained, *majority))
  if left:
    raise RequestError(
        f'TASKS leaves out {", ".join(left)}, but the GLUE server takes the answers to all of its '
        f'{len(submission_check.test_sets())} test sets or none. Add to TASKS; or let one label '
        f'answer, to try out the rest: {_majority_setting((*majority, *left))}')


def _majority_setting(names: Sequence[str]) -> str:
  return f'--set "MAJORITY={tuple(name for name in model_tasks() if name in names)!r}"'


def _check_data(study: Study, majority: tuple[str, ...]) -> None:
  """All that is missing, in one message."""
  if not (study.glue_dir or study.tfds_data_dir):
    raise open_values(['--set GLUE_DIR=... or --set TFDS_DATA_DIR=...'])
  lacking = {}
  for name in study.tasks:
    task = tasks.get(name)
    wanted = [(task, data.training_splits(task))]
    wanted += [(other, (split.name,)) for other, split in answered_by(name).values()]
    missing = [part for other, splits in wanted
               for part in study.source(other.name).missing(other, splits)]
    if missing:
      lacking[name] = dict.fromkeys(missing)
  if lacking:
    place = (f'TFDS_DATA_DIR={study.tfds_data_dir}' if study.tfds_data_dir
             else f'GLUE_DIR={study.glue_dir}')
    raise RequestError('\n'.join([
        f'The GLUE server takes the answers to all of its test sets or none, and {place} lacks',
        *(f'  {name}: {", ".join(missing)}' for name, missing in lacking.items()),
        'Add these; or let one label answer for these tasks, to try out the rest: '
        + _majority_setting((*majority, *lacking))]))


def _lines(prepared: Submission) -> list[str]:
  found = planning.work_lines(prepared)
  if len(prepared.study.seeds) > 1:
    found.append('take for each task the seed with the best dev score')
  found += [f'answer {majority_line(name)}' for name in prepared.majority]
  return [*found, f'write and check {ZIP}']


def majority_line(name: str) -> str:
  """'wnli with not_entailment throughout (MAJORITY)'."""
  others = [task.name for task, _ in answered_by(name).values() if task.name != name]
  return f'{" and ".join([name, *others])} with {one_label(name)} throughout (MAJORITY)'
