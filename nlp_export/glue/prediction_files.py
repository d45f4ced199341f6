"""What did a fine-tuned model say about each example, and how do the statistics get at it?

One `.npz` for each cell: for each split the head's outputs, the rows' ids in the official file and
the gold labels, so that a prediction can be judged without the data set at hand; and a hash,
because a zip whose list of contents is damaged just seems to hold less. Equal predictions give
equal bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.glue import tasks
from nlp_export.glue.tasks import Task

_PARTS = ('outputs', 'ids', 'labels')
_CONTENT = 'content_sha256'

# What NumPy and zipfile raise for bytes that are not what they should be.
_UNREADABLE = (ValueError, OSError, EOFError, AttributeError, TypeError, RuntimeError, KeyError,
               zipfile.BadZipFile, zlib.error)


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
  """What a model says about one split.

  Attributes:
    outputs: float32 [N, task.outputs]: logits, or the value of a regression.
    ids: int32 [N], see `Examples.ids`.
    labels: gold ones, int32 [N] or float32 [N] for a regression; None for a test set.
  """

  outputs: np.ndarray
  ids: np.ndarray
  labels: np.ndarray | None = None

  def __post_init__(self) -> None:
    problem = self._problem()
    if problem:
      raise ValueError(problem)

  def _problem(self) -> str:
    if self.outputs.dtype != np.float32 or self.outputs.ndim != 2:
      return (f'outputs are {self.outputs.dtype} {list(self.outputs.shape)}, not float32 '
              '[N, outputs]')
    expected = self.outputs.shape[:1]
    if self.ids.dtype != np.int32 or self.ids.shape != expected:
      return f'ids are {self.ids.dtype} {list(self.ids.shape)}, not int32 {list(expected)}'
    if self.labels is not None and (
        self.labels.dtype not in (np.int32, np.float32) or self.labels.shape != expected):
      return (f'labels are {self.labels.dtype} {list(self.labels.shape)}, not int32 or float32 '
              f'{list(expected)}')
    return ''

  def __len__(self) -> int:
    return len(self.ids)

  def values(self, task: Task) -> np.ndarray:
    """Answers [N]: int32 positions in `task.labels` (the first of equal logits), or float32."""
    if self.outputs.shape[1] != task.outputs:
      raise ValueError(f'{task.name} has {task.outputs} outputs, not {self.outputs.shape[1]}')
    if task.is_regression:
      return self.outputs[:, 0]
    return self.outputs.argmax(axis=1).astype(np.int32)

  def gold_sha256(self) -> str:
    """SHA-256 of the labels, computed like `Examples.gold_sha256`; ValueError without labels."""
    if self.labels is None:
      raise ValueError('there are no labels')
    kind = '<f4' if self.labels.dtype == np.float32 else '<i4'
    return hashlib.sha256(np.ascontiguousarray(self.labels, kind).tobytes()).hexdigest()


def write(path: str, splits: Mapping[str, Predictions]) -> None:
  """Writes the predictions of a cell, readers see all or nothing.

  Args:
    path: ends in '.npz'; may be remote. For a cell's, see `cell_files.predictions_file`.
    splits: by the split's name, 'dev_matched'.
  """
  arrays: dict[str, Any] = {}
  for split, predictions in sorted(splits.items()):
    for part in _PARTS:
      values = getattr(predictions, part)
      if values is not None:
        arrays[f'{split}.{part}'] = values
  data = io.BytesIO()
  arrays[_CONTENT] = np.array(_sha256(arrays))
  np.savez_compressed(data, **arrays)
  files.write_bytes(path, data.getvalue())


def read(path: str) -> dict[str, Predictions]:
  """Reads what `write` wrote: predictions by the split's name.

  Raises:
    RequestError: the file is missing, damaged or something else.
  """
  data = files.read_bytes(path)
  try:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
      parts = {name: arrays[name] for name in arrays.files}
  except _UNREADABLE as error:
    raise _damaged(path, f'it is no whole .npz file ({len(data)} bytes; {error})') from error
  digest = parts.pop(_CONTENT, None)
  if digest is None or str(digest) != _sha256(parts):
    raise _damaged(path, f'its content does not fit its {_CONTENT}')
  by_split: dict[str, dict[str, np.ndarray]] = {}
  for name, values in parts.items():
    split, _, part = name.rpartition('.')
    if not split or part not in _PARTS:
      raise _damaged(path, f'it has an array {name!r}')
    by_split.setdefault(split, {})[part] = values
  found = {}
  for split, given in by_split.items():
    try:
      found[split] = Predictions(**given)
    except (TypeError, ValueError) as error:
      raise _damaged(path, f'{split}: {error}') from error
  return found


def for_statistics(
    out_dir: str, cells: Iterable[Mapping[str, Any]]
) -> tuple[Callable[[Mapping[str, Any]], np.ndarray | None], dict[str, np.ndarray]]:
  """What `statistics.analyse` takes as `predictions` and `labels`.

  Args:
    out_dir: of the matrix.
    cells: as in results.json; those without predictions (failed ones) have none here either.

  Returns:
    A function from a cell to its answers on the split that its main metric is of, [N], read anew
    at each call, or None; and the gold labels of that split by task.

  Raises:
    RequestError: a file is missing or damaged, or its labels are not those that the cell was
      scored on. For the first cell of each task here, for the others when they are asked for.
  """

  def predictions(cell: Mapping[str, Any]) -> np.ndarray | None:
    if not _has_predictions(cell):
      return None
    return _of_main_metric(out_dir, cell)[0]

  labels: dict[str, np.ndarray] = {}
  for cell in cells:
    if cell['task'] not in labels and _has_predictions(cell):
      labels[cell['task']] = _of_main_metric(out_dir, cell)[1]
  return predictions, labels


def _sha256(arrays: Mapping[str, np.ndarray]) -> str:
  digest = hashlib.sha256()
  for name, values in sorted(arrays.items()):
    digest.update(f'{name} {values.dtype.str} {values.shape}\n'.encode())
    digest.update(np.ascontiguousarray(values).tobytes())
  return digest.hexdigest()


def _has_predictions(cell: Mapping[str, Any]) -> bool:
  return cell['status'] != 'failed' and bool(cell.get('predictions_file'))


def _of_main_metric(
    out_dir: str, cell: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
  """A cell's answers [N] on the split of its main metric, and the gold labels, checked."""
  task = tasks.get(cell['task'])
  path = files.join(out_dir, cell['predictions_file'])
  splits = read(path)
  split = next((name for name in task.dev_splits
                if cell['main_metric'] in task.metric_names(name)), None)
  if split is None:
    raise RequestError(
        f'{_name(cell)} has the main metric {cell["main_metric"]!r}, which task {task.name} does '
        f'not have. Its main metric is {task.main_metric}')
  found = splits.get(split)
  if found is None or found.labels is None:
    raise _damaged(path, f'it has no {split} with labels, only {", ".join(splits) or "nothing"}')
  if found.outputs.shape[1] != task.outputs:
    raise _damaged(path, f'its model has {found.outputs.shape[1]} outputs, {task.name} has '
                         f'{task.outputs}')
  gold, stored = cell.get('gold_sha256'), found.gold_sha256()
  if gold and gold != stored:
    raise RequestError(
        f'{_name(cell)} was scored on gold labels with SHA-256 {gold[:12]}, but the {split} labels '
        f'in {path} have {stored[:12]}: the predictions are of another run or dev set. '
        f'Remove the file, and the same command runs the cell again: rm {path}')
  return found.values(task), found.labels


def _name(cell: Mapping[str, Any]) -> str:
  return f'Cell {cell["task"]}/{cell["pooler"]}/{cell["arm"]}/seed_{cell["seed"]}'


def _damaged(path: str, why: str) -> RequestError:
  return RequestError(
      f'{path} is damaged: {why}. nlp_export writes such files whole, so the disk, a power cut or '
      'another program has changed it. Remove it and the .json of its cell, which has the same '
      'name below glue/cells, and the same command runs the cell again')
