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
from nlp_export.glue.examples import Examples
from nlp_export.glue.tasks import Split, Task

_METADATA = 'dataset_info.json'


def find(task: Task, data_dir: str) -> str:
  """The directory of a task's prepared data, `<data_dir>/glue/cola/2.0.0`: its newest version.

  Raises:
    RequestError: there is none.
  """
  place = files.join(data_dir, 'glue', task.name)
  versions = files.list_dir(place) if files.is_dir(place) else []
  prepared = [name for name in versions if files.exists(files.join(place, name, _METADATA))]
  if not prepared:
    raise RequestError(
        f'TFDS_DATA_DIR={data_dir} has no prepared glue/{task.name} (looked for '
        f'{place}/<version>/{_METADATA}). Prepare it once, with a network: '
        f'tfds build glue/{task.name} --data_dir {data_dir}')
  return files.join(place, max(prepared, key=_version))


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
  rows = _rows(tfds, builder, split)
  if not rows:
    raise RequestError(
        f'{place}: the split {split.tfds!r} holds no examples; the official one has {split.rows}. '
        f'Prepare it again: tfds build glue/{task.name} --overwrite --data_dir {data_dir}')
  texts = tuple(
      tuple(row[feature].decode('utf-8') for row in rows) for feature in task.features)
  ids = np.array([row['idx'] for row in rows], np.int32)
  labels = None
  if not split.is_test:
    labels = _labels(task, f'{place}, split {split.tfds}', rows)
  name = f'glue/{task.name}/{files.basename(place)}'
  notes = ()
  if len(rows) != split.rows:
    notes = (f'{name} has {len(rows)} {split.name} examples; the official file has '
             f'{split.rows}.',)
  origin = {'kind': 'tfds', 'name': name, 'sha256': files.sha256(place)}
  return Examples(task, split.name, texts, labels, ids, origin, f'{place} ({split.tfds})',
                  notes=notes)


def _rows(tfds: Any, builder: Any, split: Split) -> list[dict[str, Any]]:
  """The examples as NumPy values, in the order of `idx`."""
  with _quiet():
    rows = list(tfds.as_numpy(builder.as_dataset(split=split.tfds, shuffle_files=False)))
  return sorted(rows, key=lambda row: int(row['idx']))


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


def _labels(task: Task, place: str, rows: list[dict[str, Any]]) -> np.ndarray:
  values = np.array([row['label'] for row in rows])
  low, high = task.value_range or (0, task.outputs - 1)
  wrong = np.flatnonzero(~((low <= values) & (values <= high)))  # NaN as well.
  if len(wrong):
    at = int(wrong[0])
    raise RequestError(
        f'{place}, example {rows[at]["idx"]}: label {values[at]} is not from {low:g} to {high:g}. '
        f'Prepare it again: tfds build glue/{task.name} --overwrite')
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
