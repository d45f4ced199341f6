"""What is to be compared: which poolings, on which pairs, trained how? Without TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from nlp_export import field_rules, handles, poolings, text_inputs
from nlp_export.errors import RequestError
from nlp_export.field_rules import is_count, is_number
from nlp_export.glue import data, tasks
from nlp_export.glue.tasks import TRAIN, Task
from nlp_export.text_layers.settings import Settings

SEPARATOR = '|||'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
  """Everything that decides the results.

  Attributes:
    export, preprocessing: directories or handles.
    poolings: of nlp_export.poolings; one model is trained for each.
    trainable_layers: the last n Transformer layers; None for all, 0 for none.
    task: name of a GLUE task of pairs with two labels.
    glue_dir: its official files.
    train_examples, dev_examples: a random subset of so many; None for all.
    epochs: passes over the training pairs.
    batch_size: pairs in a step.
    learning_rate: of Adam, constant.
    max_seq_length: tokens of a pair.
    seed: of head, dropout, order and subsets.
    allowed_ops: see text_layers.settings.
  """

  export: str
  preprocessing: str
  poolings: tuple[Any, ...]
  trainable_layers: int | None
  task: str
  glue_dir: str | None
  train_examples: int | None
  dev_examples: int | None
  epochs: int
  batch_size: int
  learning_rate: float
  max_seq_length: int
  seed: int
  allowed_ops: Sequence[str] = ()

  def __post_init__(self) -> None:
    field_rules.check(self, _RULES, 'question_pairs: ')
    if isinstance(self.poolings, str):
      raise RequestError(f'POOLINGS is {self.poolings!r}, a string. Write '
                         f'--set POOLINGS="({self.poolings!r},)"')
    called = [label(pooling) for pooling in self.poolings]
    if not called or len(set(called)) != len(called):
      raise RequestError(f'POOLINGS is {self.poolings!r}: {"one is repeated" if called else "none"}'
                         '. Write --set POOLINGS="(\'cls\', \'mean\')"')
    text_inputs.check_max_seq_length(self.max_seq_length, 2)  # The layer would speak Python.
    for pooling in self.poolings:
      poolings.check(pooling)
      self.settings(pooling)
    found = self.glue_task
    if found.segments != 2 or found.outputs != 2 or len(found.dev_splits) != 1:
      fit = [name for name, task in tasks.TASKS.items()
             if task.segments == 2 and task.outputs == 2 and len(task.dev_splits) == 1]
      raise RequestError(f'TASK is {self.task}, which is not pairs of texts with two labels. '
                         f'Those are {", ".join(fit)}: write --set TASK=mrpc')

  @property
  def glue_task(self) -> Task:
    """The task itself."""
    return tasks.get(self.task)

  @property
  def source(self) -> data.Source:
    """Where its data come from."""
    return data.source_for(self.glue_task, self.glue_dir)

  def inputs(self) -> tuple[str, ...]:
    """Files and directories that the results depend on."""
    exports = [path for path in (self.export, self.preprocessing) if not handles.is_handle(path)]
    return (*exports, *self.source.inputs(self.glue_task, (TRAIN, *self.glue_task.dev_splits)))

  def settings(self, pooling: Any) -> Settings:
    """Of the text layer with that pooling."""
    return Settings(self.export, self.preprocessing, pooling, self.max_seq_length, SEPARATOR,
                    trainable_layers=self.trainable_layers, allowed_ops=self.allowed_ops)


def label(pooling: Any) -> str:
  """'cls', or 'cls+mean' for several: names of files and rows."""
  return '+'.join(poolings.parts(pooling)) if isinstance(pooling, (str, list, tuple)) else '?'


_COUNTS = 'a whole number from 1'
_RULES: field_rules.Rules = (
    ('epochs', is_count, _COUNTS),
    ('batch_size', is_count, _COUNTS),
    ('learning_rate', lambda v: is_number(v) and v > 0, 'a positive number such as 2e-5'),
    ('train_examples', lambda v: v is None or is_count(v), f'None for all, or {_COUNTS}'),
    ('dev_examples', lambda v: v is None or is_count(v), f'None for all, or {_COUNTS}'),
    ('seed', lambda v: is_count(v, 0), 'a whole number from 0'),
)
