"""How often is a training saved and measured, and what is kept? The gin part `pretraining.saving`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import gin

from nlp_export.errors import RequestError


@gin.register('saving', module='pretraining')
@dataclasses.dataclass(frozen=True, kw_only=True)
class Saving:
  """Checkpoints are written in the background while training goes on; the last step always is.

  Attributes:
    every_steps: SAVE_EVERY_STEPS: a checkpoint after each so many steps; longer than a save takes,
      since a second one waits for the first.
    every_seconds: and whenever the last one is older, between two loops of steps; None for never.
    evaluate_every_steps: EVALUATE_EVERY_STEPS: the held-out text is measured; None for
      `every_steps`. The best checkpoint is chosen among those that are measured and saved at once.
    keep_last: of the newest checkpoints so many are kept.
    keep_best: whether the one with the lowest held-out masked-LM loss is kept as well.
    tf_checkpoint: whether `tf.train.Checkpoint(**checkpoint_items)` is written at the end too, to
      tf_checkpoint/, for TF-NLP's own tools.
    tensorboard: whether curves are written to tensorboard/.
  """

  every_steps: int
  every_seconds: float | None = None
  evaluate_every_steps: int | None = None
  keep_last: int = 3
  keep_best: bool = True
  tf_checkpoint: bool = False
  tensorboard: bool = True

  def __post_init__(self) -> None:
    for name, holds, says in _RULES:
      value = getattr(self, name)
      if not holds(value):
        raise RequestError(f'saving.{name} is {value!r}, but it has to be {says}')

  @property
  def evaluation_steps(self) -> int:
    """Steps between two evaluations."""
    return self.evaluate_every_steps or self.every_steps


def _is_count(value: Any) -> bool:
  return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_time(value: Any) -> bool:
  return (isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
          and value > 0)


def _is_bool(value: Any) -> bool:
  return isinstance(value, bool)


_RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ('every_steps', _is_count, 'a whole number from 1. Write --set SAVE_EVERY_STEPS=1000'),
    ('every_seconds', lambda v: v is None or _is_time(v), 'None, or seconds such as 600'),
    ('evaluate_every_steps', lambda v: v is None or _is_count(v), 'None, or a whole number from 1'),
    ('keep_last', _is_count, 'a whole number from 1, and better 2: the newest may get damaged'),
    ('keep_best', _is_bool, 'True or False'),
    ('tf_checkpoint', _is_bool, 'True or False'),
    ('tensorboard', _is_bool, 'True or False'),
)  # fmt: skip
