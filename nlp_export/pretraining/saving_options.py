"""How often is a training saved and measured, and what is kept? The gin part `pretraining.saving`.
"""

from __future__ import annotations

import dataclasses

import gin

from nlp_export import field_rules
from nlp_export.field_rules import is_bool, is_count, is_number


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
    field_rules.check(self, _RULES, 'saving.')

  @property
  def evaluation_steps(self) -> int:
    """Steps between two evaluations."""
    return self.evaluate_every_steps or self.every_steps


_RULES: field_rules.Rules = (
    ('every_steps', is_count, 'a whole number from 1. Write --set SAVE_EVERY_STEPS=1000'),
    ('every_seconds', lambda v: v is None or (is_number(v) and v > 0),
     'None, or seconds such as 600'),
    ('evaluate_every_steps', lambda v: v is None or is_count(v), 'None, or a whole number from 1'),
    ('keep_last', is_count, 'a whole number from 1, and better 2: the newest may get damaged'),
    ('keep_best', is_bool, 'True or False'),
    ('tf_checkpoint', is_bool, 'True or False'),
    ('tensorboard', is_bool, 'True or False'),
)  # fmt: skip
