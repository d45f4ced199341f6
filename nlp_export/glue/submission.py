"""Which zip does the GLUE server take, and is this one such?

Eleven TSV files at the top of the zip, one for each test set, AX from the MNLI model. Each has the
header `index<TAB>prediction` and counts from 0, MNLI's and AX's as well. Writer and checker share
nothing but the table of tasks; what is written is checked before it gets its name.
"""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Sequence

import numpy as np

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.glue.submission_check import HEADER, check_bytes, test_sets
from nlp_export.glue.tasks import Task

# The oldest time that zip knows: equal predictions give equal bytes.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


@dataclasses.dataclass(frozen=True, eq=False)
class TestPredictions:
  """What a fine-tuned model says about one test set.

  Attributes:
    task: of the test set, `ax` for the diagnostic set.
    split: 'test', 'test_matched', 'test_mismatched'.
    values: integers [N], positions in `labels`; floats [N] for a regression.
    ids: int32 [N], the rows' indices in the test file, from 0 in order (`Examples.ids`).
    model_task: the task that the model was fine-tuned on.
    labels: label names in the order of the model's outputs, as stored with it; None for a
      regression. By name, so that another order than ours cannot permute the answers.
  """

  __test__ = False  # No test class, whatever pytest makes of the name.

  task: Task
  split: str
  values: np.ndarray
  ids: np.ndarray
  model_task: str
  labels: tuple[str, ...] | None


def write(path: str, predictions: Sequence[TestPredictions]) -> None:
  """Writes the zip, once it has passed the check.

  Args:
    path: of the zip; may be remote.
    predictions: of every test set of GLUE, in any order.

  Raises:
    RequestError: a test set is missing or twice, comes from another task's model, has other label
      names, or has not the number of rows that the server expects.
  """
  by_file: dict[str, str] = {}
  for prediction in predictions:
    name = prediction.task.split(prediction.split).submission
    if not name:
      raise RequestError(
          f'{prediction.task.name} {prediction.split} is not a test set of the GLUE server. Those '
          f'are: {", ".join(test_sets())}.')
    if name in by_file:
      raise RequestError(f'{name} is given twice. Which predictions are meant? Give one of them.')
    by_file[name] = file_text(prediction)
  missing = [name for name in test_sets() if name not in by_file]
  if missing:
    raise RequestError(
        f'No predictions for {", ".join(missing)}. The server takes all of its '
        f'{len(test_sets())} files or none: fine-tune on the other tasks too, or use the '
        'majority label for those (WNLI: everybody does).')
  data = io.BytesIO()
  with zipfile.ZipFile(data, 'w', zipfile.ZIP_DEFLATED) as archive:
    for name in test_sets():
      info = zipfile.ZipInfo(name, _ZIP_TIME)
      info.compress_type = zipfile.ZIP_DEFLATED
      info.external_attr = 0o644 << 16
      archive.writestr(info, by_file[name])
  problems = check_bytes(data.getvalue())
  if problems:
    raise RequestError('\n'.join([
        f'{path} was not written, the server would refuse it:', *problems,
        'Predict every row of the official test files.']))
  files.write_bytes(path, data.getvalue())


def file_text(prediction: TestPredictions) -> str:
  """The content of one file of the zip.

  Label names become what the server reads (0/1, or names), scores are clipped to the task's range.

  Raises:
    RequestError: see `write`.
  """
  task = prediction.task
  if prediction.model_task != task.model_task:
    raise RequestError(
        f'{task.name} {prediction.split} was predicted by a model of {prediction.model_task}, but '
        f'the server expects one of {task.model_task}. Predict it with a model fine-tuned on '
        f'{task.model_task}.')
  values, ids = np.asarray(prediction.values), np.asarray(prediction.ids)
  if values.ndim != 1 or values.shape != ids.shape:
    raise ValueError(f'values {values.shape} and ids {ids.shape}, not both [N]')
  words = _scores(task, values) if task.is_regression else _labels(prediction, values)
  rows = (f'{index}\t{word}\n' for index, word in zip(ids.tolist(), words, strict=True))
  return '\t'.join(HEADER) + '\n' + ''.join(rows)


def _labels(prediction: TestPredictions, values: np.ndarray) -> list[str]:
  task, labels = prediction.task, prediction.labels
  if not task.labels or not task.values:
    raise ValueError(f'{task.name} has no labels')
  if labels is None or sorted(labels) != sorted(task.labels):
    raise RequestError(
        f'The model of {prediction.model_task} has the labels {labels}, the server knows '
        f'{task.labels} for {task.name}. Give the label names that are stored with the model, in '
        'the order of its outputs.')
  written = [task.values[task.labels.index(label)] for label in labels]
  return [written[value] for value in values.tolist()]


def _scores(task: Task, values: np.ndarray) -> list[str]:
  if not np.isfinite(values).all():
    at = int(np.flatnonzero(~np.isfinite(values))[0])
    raise RequestError(
        f'{task.name}: the prediction of row {at} is {values[at]}. The training diverged; '
        'fine-tune again with a lower LEARNING_RATE.')
  return [f'{value:.5f}' for value in np.clip(values, *(task.value_range or (None, None))).tolist()]
