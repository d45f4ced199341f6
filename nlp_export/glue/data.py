"""Where does a task's data come from?

    GlueDirectory   the official TSV files: GLUE_DIR/CoLA/train.tsv ...
    TfdsDirectory   what tensorflow_datasets prepared
    Builtin         made at run time from the texts of the Python installation

    source = source_for(task, glue_dir='glue')
    splits = load_for_training(task, source)          # {'train': Examples, 'dev': Examples}
    test = load(task, 'test', source)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.glue.examples import Examples
from nlp_export.glue.tasks import TASKS, TRAIN, Task


@dataclasses.dataclass(frozen=True)
class GlueDirectory:
  """The official layout.

  Attributes:
    path: the directory with CoLA/, RTE/ ...; may be remote.
    leave_out_malformed: train and score without rows of a wrong number of fields; each becomes a
      note. Otherwise the first one is an error.
  """

  path: str
  leave_out_malformed: bool = False

  def inputs(self, task: Task, splits: Sequence[str]) -> tuple[str, ...]:
    """The files of these splits, for a plan; RequestError if one is missing."""
    missing = self.missing(task, splits)
    if missing:
      raise RequestError(
          f'GLUE_DIR={self.path} has no {", no ".join(missing)} ({self._found(task)}). Task '
          f'{task.name} needs it: unpack its official download there, give another GLUE_DIR, '
          f'or leave {task.name!r} out of TASKS.')
    return tuple(self._path(task, name) for name in splits)

  def missing(self, task: Task, splits: Sequence[str]) -> list[str]:
    """What of it is not there, as 'RTE/test.tsv'."""
    return [f'{task.directory}/{task.split(name).file}' for name in splits
            if not files.exists(self._path(task, name))]

  def _path(self, task: Task, split: str) -> str:
    return files.join(self.path, task.directory, task.split(split).file)

  def load(self, task: Task, split: str) -> Examples:
    """Reads one split."""
    from nlp_export.glue import tsv

    (path,) = self.inputs(task, [split])
    return tsv.read(task, task.split(split), path, self.leave_out_malformed)

  def _found(self, task: Task) -> str:
    for name, place in ((f'{task.directory} holds', files.join(self.path, task.directory)),
                        ('it holds', self.path)):
      if files.is_dir(place):
        return f'{name} {", ".join(files.list_dir(place)[:12]) or "nothing"}'
    return 'there is no such directory'


@dataclasses.dataclass(frozen=True)
class TfdsDirectory:
  """A data_dir in which `tfds build glue/<task>` has prepared data.

  Attributes:
    path: the data_dir, which has glue/cola/2.0.0 in it; may be remote.
  """

  path: str

  def inputs(self, task: Task, splits: Sequence[str]) -> tuple[str, ...]:
    """The directory of the prepared data, for a plan; RequestError if there is none."""
    from nlp_export.glue import prepared_tfds

    for name in splits:
      task.split(name)
    return (prepared_tfds.find(task, self.path),)

  def missing(self, task: Task, splits: Sequence[str]) -> list[str]:
    """What of it is not there, as 'glue/rte'; all splits of a task are prepared at once."""
    from nlp_export.glue import prepared_tfds

    return [] if prepared_tfds.is_there(task, self.path) else [f'glue/{task.name}']

  def load(self, task: Task, split: str) -> Examples:
    """Reads one split. Imports TensorFlow."""
    from nlp_export.glue import prepared_tfds

    return prepared_tfds.read(task, task.split(split), self.path)


@dataclasses.dataclass(frozen=True)
class Builtin:
  """Nothing to read: the builtin tasks."""

  def inputs(self, task: Task, splits: Sequence[str]) -> tuple[str, ...]:
    """No files."""
    for name in splits:
      task.split(name)
    return ()

  def missing(self, task: Task, splits: Sequence[str]) -> list[str]:
    """Nothing ever is."""
    return []

  def load(self, task: Task, split: str) -> Examples:
    """Makes one split."""
    from nlp_export.glue import builtin

    return builtin.read(task, task.split(split))


Source = GlueDirectory | TfdsDirectory | Builtin


def source_for(
    task: Task, glue_dir: str | None = None, tfds_data_dir: str | None = None,
    leave_out_malformed: bool = False,
) -> Source:
  """The source of a task's data, of what a run file gives.

  Args:
    task: a builtin one needs neither of the directories.
    glue_dir: of the official TSV files.
    tfds_data_dir: of prepared tensorflow_datasets. Not both.
    leave_out_malformed: see GlueDirectory.

  Raises:
    RequestError: a task of GLUE without a directory, or with two.
  """
  if task.is_builtin:
    return Builtin()
  if glue_dir and tfds_data_dir:
    raise RequestError(
        f'GLUE_DIR={glue_dir} and TFDS_DATA_DIR={tfds_data_dir} are both set. Which one has the '
        'data? Leave out the other.')
  if tfds_data_dir:
    return TfdsDirectory(tfds_data_dir)
  if glue_dir:
    return GlueDirectory(glue_dir, leave_out_malformed)
  builtin = ', '.join(repr(name) for name, other in TASKS.items() if other.is_builtin)
  raise RequestError(
      f'Task {task.name} needs its data: --set GLUE_DIR=... (the official TSV files) or '
      f'--set TFDS_DATA_DIR=... (prepared by tensorflow_datasets). '
      f'Without data there are the builtin tasks: --set "TASKS=({builtin})"')


def load(task: Task, split: str, source: Source) -> Examples:
  """One split of a task.

  Args:
    task: from `tasks.get`.
    split: 'train', 'dev', 'test', MNLI's 'dev_matched' ...
    source: see `source_for`.

  Returns:
    Every row of it, in the order of the official file.

  Raises:
    RequestError: the data is missing or malformed: file, line, what to do.
  """
  if task.is_builtin != isinstance(source, Builtin):
    raise ValueError(f'{task.name} does not come from {source}')
  return source.load(task, split)


def training_splits(task: Task) -> tuple[str, ...]:
  """'train' and the dev splits; RequestError for the diagnostic set, which has none."""
  if not task.has_train:
    raise RequestError(
        f'Task {task.name} has nothing to train on: it is predicted by a model that was fine-tuned '
        f'on {task.model_task}. Put {task.model_task!r} into TASKS.')
  return (TRAIN, *task.dev_splits)


def load_for_training(task: Task, source: Source) -> dict[str, Examples]:
  """The train and dev splits of a task, checked against each other.

  Returns:
    Examples by the name of the split: 'train', then each dev split.

  Raises:
    RequestError: see `load`; or a label that one of them has and another lacks, or that none has;
      or a regression's dev scores that are all equal, for which a correlation is undefined.
  """
  splits = {name: load(task, name, source) for name in training_splits(task)}
  if task.is_regression:
    _check_scores(task, splits)
  else:
    _check_labels(task, splits)
  return splits


def _check_labels(task: Task, splits: Mapping[str, Examples]) -> None:
  for label_id, label in enumerate(task.labels or ()):
    rows = {name: np.flatnonzero(examples.labels == label_id)
            for name, examples in splits.items()}
    lacking = [name for name, found in rows.items() if not len(found)]
    if not lacking:
      continue
    having = next((name for name, found in rows.items() if len(found)), None)
    seen = 'no split has it'
    if having is not None:
      seen = f'{having} has it {len(rows[having])} times, first in '
      seen += splits[having].where(int(rows[having][0]))
    raise RequestError(
        f'{splits[lacking[0]].place}: none of its {len(splits[lacking[0]])} examples has the label '
        f'{label!r}; {seen}. Scores would say nothing about that label. Are the files of one '
        'download, and whole? Take both from it again.')


def _check_scores(task: Task, splits: Mapping[str, Examples]) -> None:
  for name, examples in splits.items():
    labels = examples.labels
    if labels is not None and np.ptp(labels) == 0:
      raise RequestError(
          f'{examples.place}: all {len(examples)} scores are {labels[0]:g}, so the '
          f'correlations of {task.name} {name} are undefined. Take the file from the download '
          'again.')
