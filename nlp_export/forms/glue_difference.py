"""By how much does a form change the score on a task of GLUE?

A classifier predicts the dev set itself. An encoder or a text embedding gets a linear probe: ridge
regression on its vectors, fitted once on those of the SavedModel and applied to those of each
form. The probe's score is no fine-tuned model's; what counts is the difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nlp_export import names
from nlp_export.errors import RequestError
from nlp_export.forms import form as forms
from nlp_export.forms import texts
from nlp_export.forms.reading import Reader
from nlp_export.forms.source import Source
from nlp_export.glue import data, metrics
from nlp_export.glue.examples import Examples
from nlp_export.glue.tasks import TRAIN, Task

if TYPE_CHECKING:
  from nlp_export.forms.request import FormsRequest

MOST_TRAINING_ROWS = 2_000
CHANGED = 'predictions_changed'
_PENALTY = 1.0


def check(source: Source, tokeniser: texts.Tokeniser, task: Task) -> None:
  """Refuses a task that does not fit the export.

  Raises:
    RequestError: other classes, another number of texts, no vector among OUTPUTS.
  """
  if names.LOGITS not in source.outputs:
    _vector(source)
    if not task.has_train:
      raise RequestError(f'TASK is {task.name!r}, which has nothing to fit a probe on. Write '
                         f'--set TASK={task.model_task}')
    return
  least, most = tokeniser.segments
  if not least <= task.segments <= most:
    raise RequestError(
        f'TASK is {task.name!r}, whose examples have {task.segments} texts, but {source.path} '
        f'takes {most}. Name the task that it was fine-tuned on')
  _order(source, task)


def _vector(source: Source) -> str:
  for name in (names.EMBEDDING, names.POOLED_OUTPUT, names.DEFAULT):
    if name in source.outputs:
      return name
  raise RequestError(
      f'TASK needs a vector for each text, and OUTPUTS has {", ".join(source.outputs)} only. Add '
      f'{names.DEFAULT!r} to OUTPUTS, or leave TASK out')


def _order(source: Source, task: Task) -> list[int]:
  """For each output of a classifier the position of its label in the task's."""
  function = getattr(source.obj, 'label_names', None)
  if task.labels is None or function is None:
    if (task.labels is None) != (function is None):
      raise RequestError(
          f'TASK is {task.name!r}, and {source.path} predicts '
          f'{"a number" if function is None else "classes"}: they do not belong together. Name the '
          'task that it was fine-tuned on')
    return []
  found = [label.decode() for label in function().numpy().tolist()]
  if sorted(found) != sorted(task.labels):
    raise RequestError(
        f'TASK is {task.name!r} with labels {", ".join(task.labels)}, but the classifier has '
        f'{", ".join(found)}. Name the task that it was fine-tuned on')
  return [task.labels.index(label) for label in found]


class Comparison:
  """Scores of forms on one task. The SavedModel comes first."""

  def __init__(self, request: FormsRequest, source: Source, tokeniser: texts.Tokeniser):
    if request.task is None or request.glue is None:
      raise ValueError('there is no task to compare scores on')
    self._task, self._glue = request.task, request.glue
    self._request, self._source = request, source
    self._tokeniser = tokeniser
    self._dev = {split: data.load(self._task, split, self._glue)
                 for split in self._task.dev_splits}
    self._probe: np.ndarray | None = None
    self._own: dict[str, np.ndarray] = {}

  def of(self, reader: Reader, name: str, seq_length: int | None = None) -> dict[str, float]:
    """The metrics of the task, and the share of predictions that are not the SavedModel's."""
    length = seq_length or self._source.fixed_length
    if name in self._request.forms and self._request.forms[name].kind == forms.XLA:
      length = length or self._request.max_seq_length  # It would compile for every other length.
    found: dict[str, float] = {}
    changed, count = 0, 0
    for split, examples in self._dev.items():
      predictions = self._predictions(reader, name, examples, length)
      found |= metrics.compute(self._task, predictions, _labels(examples), split)
      own = self._own.setdefault(split, predictions)
      changed += int((own != predictions).sum())
      count += len(predictions)
    if not self._task.is_regression:
      found[CHANGED] = changed / count
    return found

  def _predictions(self, reader: Reader, name: str, examples: Examples, length: int | None
                   ) -> np.ndarray:
    if names.LOGITS in self._source.outputs:
      logits = np.concatenate(list(self._outputs(
          reader, name, examples.texts, names.LOGITS, length)))
      if self._task.is_regression:
        return logits[:, 0].astype(np.float32)
      order = np.array(_order(self._source, self._task))
      return order[logits.argmax(axis=1)].astype(np.int32)
    vectors = self._vectors(reader, name, examples.texts, length)
    if self._probe is None:
      self._probe = self._fit(reader, name, length)
    found = vectors @ self._probe
    return (found[:, 0].astype(np.float32) if self._task.is_regression
            else found.argmax(axis=1).astype(np.int32))

  def _fit(self, reader: Reader, name: str, length: int | None) -> np.ndarray:
    train = data.load(self._task, TRAIN, self._glue)
    # Files may be sorted by label: rows are drawn, always the same.
    chosen = np.random.default_rng(0).permutation(len(train))[:MOST_TRAINING_ROWS]
    vectors = self._vectors(
        reader, name, [[segment[i] for i in chosen] for segment in train.texts], length)
    labels = _labels(train)[chosen]
    wanted = (labels[:, np.newaxis].astype(np.float64) if self._task.is_regression
              else np.eye(self._task.outputs)[labels])
    gram = vectors.T @ vectors + _PENALTY * np.eye(vectors.shape[1])
    return np.linalg.solve(gram, vectors.T @ wanted)

  def _vectors(self, reader: Reader, name: str, segments: Sequence[Sequence[str]],
               length: int | None) -> np.ndarray:
    """float64 [rows, features]; the last feature is 1."""
    output = _vector(self._source)
    if len(segments) == 1 or self._tokeniser.segments[1] > 1:
      found = np.concatenate(list(self._outputs(reader, name, segments, output, length)))
    else:
      first, second = (np.concatenate(list(self._outputs(reader, name, [s], output, length)))
                       for s in segments)
      found = np.concatenate([first, second, np.abs(first - second), first * second], axis=1)
    return np.concatenate([found, np.ones((len(found), 1))], axis=1).astype(np.float64)

  def _outputs(self, reader: Reader, name: str, segments: Sequence[Sequence[str]], output: str,
               length: int | None) -> Iterator[Any]:
    for start in range(0, len(segments[0]), texts.ROWS):
      rows = self._tokeniser.rows(
          [segment[start:start + texts.ROWS] for segment in segments],
          length or self._request.max_seq_length)
      if length:
        rows = texts.padded(rows, length)
      found, _ = reader.call(name, rows)
      yield found[output]


def _labels(examples: Examples) -> np.ndarray:
  if examples.labels is None:
    raise ValueError(f'{examples.split} has no labels')
  return examples.labels
