"""What do the examples of a data set say that tensorflow_datasets has prepared?

Its files are shuffled; `idx`, the row in the original file, brings the official order back. Its
label names are compared with ours: a peer reads the same ids with names in another order, which
costs nothing on the dev set and everything on the server.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.file_errors import explain_failures
from nlp_export.glue.examples import Examples
from nlp_export.glue.tasks import Split, Task

_METADATA = 'dataset_info.json'
_BATCH = 1024  # Read so; one by one, MNLI takes minutes.


def find(task: Task, data_dir: str) -> str:
  """The directory of a task's prepared data, `<data_dir>/glue/cola/2.0.0`: its newest version.

  Raises:
    RequestError: there is none.
  """
  place = files.join(data_dir, 'glue', task.name)
  prepared = _versions(task, data_dir)
  if not prepared:
    raise RequestError(
        f'TFDS_DATA_DIR={data_dir} has no prepared glue/{task.name} (looked for '
        f'{place}/<version>/{_METADATA}). Prepare it once, with a network: '
        f'tfds build glue/{task.name} --data_dir {data_dir}')
  return files.join(place, max(prepared, key=_version))


def is_there(task: Task, data_dir: str) -> bool:
  """Whether `find` finds it."""
  return bool(_versions(task, data_dir))


def _versions(task: Task, data_dir: str) -> list[str]:
  place = files.join(data_dir, 'glue', task.name)
  versions = files.list_dir(place) if files.is_dir(place) else []
  return [name for name in versions if files.exists(files.join(place, name, _METADATA))]


def _version(name: str) -> tuple[int, ...]:
  return tuple(int(part) for part in name.split('.') if part.isdigit())


def read(task: Task, split: Split, data_dir: str) -> Examples:
  """Reads one split of what `tfds build glue/<task>` wrote.

  Args:
    task: any but the builtin ones.
    split: which part of it.
    data_dir: the directory that tensorflow_datasets calls so.

  Returns:
    All examples, in the order of the original file.

  Raises:
    RequestError: it is not prepared, lacks the split or is empty, or its features are others.
  """
  place = find(task, data_dir)
  with _quiet():
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(place)
  _check_features(task, place, builder.info.features)
  if split.tfds not in builder.info.splits:
    raise RequestError(
        f'{place} has no split {split.tfds!r}, only {", ".join(sorted(builder.info.splits))}. '
        f'Prepare it again: tfds build glue/{task.name} --overwrite --data_dir {data_dir}')
  if not builder.info.splits[split.tfds].num_examples:
    raise RequestError(
        f'{place}: the split {split.tfds!r} holds no examples; the official one has {split.rows}. '
        f'Prepare it again: tfds build glue/{task.name} --overwrite --data_dir {data_dir}')
  columns = _columns(tfds, builder, split)
  texts = tuple(
      tuple(text.decode('utf-8') for text in columns[feature]) for feature in task.features)
  ids = columns['idx'].astype(np.int32)
  labels = None
  if not split.is_test:
    labels = _labels(task, f'{place}, split {split.tfds}', columns)
  name = f'glue/{task.name}/{files.basename(place)}'
  notes: tuple[str, ...] = ()
  if len(ids) != split.rows:
    notes = (f'{name} has {len(ids)} {split.name} examples; the official file has '
             f'{split.rows}.',)
  origin = {'kind': 'tfds', 'name': name, 'sha256': files.sha256(place)}
  return Examples(task, split.name, texts, labels, ids, origin, f'{place} ({split.tfds})',
                  notes=notes)


def _columns(tfds: Any, builder: Any, split: Split) -> dict[str, np.ndarray]:
  """The values of each feature [N], in the order of `idx`."""
  place = f'{builder.data_dir} ({split.tfds})'
  with explain_failures('read', place), _quiet():  # A damaged file, or one of another length.
    data = builder.as_dataset(split=split.tfds, shuffle_files=False, batch_size=_BATCH)
    batches = list(tfds.as_numpy(data))
  columns = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
  order = np.argsort(columns['idx'], kind='stable')
  return {name: column[order] for name, column in columns.items()}


def _check_features(task: Task, place: str, features: Any) -> None:
  wanted = {*task.features, 'label', 'idx'}
  missing = sorted(wanted - set(features))
  if missing:
    raise RequestError(
        f'{place}: the features are {", ".join(sorted(features))}; missing: {", ".join(missing)}. '
        f'It is not the glue/{task.name} of tensorflow_datasets. Name another TFDS_DATA_DIR.')
  names = tuple(getattr(features['label'], 'names', None) or ())
  if names != (task.labels or ()):
    raise RequestError(
        f'{place}: its labels are {names or "numbers"}, here {task.labels or "numbers"}. Ids would '
        'mean other labels. Prepare the data set with the tensorflow_datasets that is installed.')


def _labels(task: Task, place: str, columns: dict[str, np.ndarray]) -> np.ndarray:
  values = columns['label']
  low, high = task.value_range or (0, task.outputs - 1)
  wrong = np.flatnonzero(~((low <= values) & (values <= high)))  # NaN as well.
  if len(wrong):
    at = int(wrong[0])
    raise RequestError(
        f'{place}, example {columns["idx"][at]}: label {values[at]} is not from {low:g} to '
        f'{high:g}. Prepare it again: tfds build glue/{task.name} --overwrite')
  return values.astype(np.float32 if task.is_regression else np.int32)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Keeps the library's progress bars and its remarks on GCS off the screen; errors still raise."""
  logger = logging.getLogger('absl')
  level = logger.level
  logger.setLevel(logging.ERROR)
  try:
    with contextlib.redirect_stderr(io.StringIO()):
      yield
  finally:
    logger.setLevel(level)
