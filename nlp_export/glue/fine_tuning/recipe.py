"""How is an encoder fine-tuned? Every number of it that is not the data or the encoder."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import gin

from nlp_export import field_rules, poolings
from nlp_export.errors import RequestError
from nlp_export.field_rules import is_count, is_number

FLOAT32 = 'float32'
MIXED_BFLOAT16 = 'mixed_bfloat16'
LAST = 'last'
BEST = 'best'

_JOINED = '+'


@gin.register('recipe', module='fine_tuning')
@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
  """AdamW with bias correction, linear warm-up and linear decay to zero.

  Attributes:
    learning_rate: at the end of the warm-up.
    batch_size: examples in a step.
    epochs: passes over the training examples; may be a fraction. None where `steps` is given.
    steps: training steps instead of epochs.
    warmup_share: share of all steps in which the learning rate rises from 0.
    weight_decay: AdamW's, decoupled; not on biases and layer norms.
    beta_1, beta_2, epsilon: Adam's.
    clip_norm: gradients are scaled so that their global norm is at most this; 0 for no clipping.
    max_seq_length: tokens; longer texts are cut.
    grouping_window: batches among which examples of like length are put together; 1 for none.
    pooling: what the head reads: one of nlp_export/poolings.py or a tuple of several, which are
      concatenated: ('cls', 'mean'). Kept, and recorded with every cell, as 'cls+mean'.
    head_dropout: of the pooled vector, in training.
    head_stddev: of the head's initial kernel, truncated normal; its bias starts at 0.
    trainable_layers: only the last n Transformer layers, pooler and head are trained; None for all.
    reinit_top_layers: the last n Transformer layers start anew, with kernels as the head's (Zhang
      et al. 2021). The pooler starts as its strategy says: theirs is `poolers.random`.
    evaluations_per_epoch: dev evaluations in each epoch, the last one at its end.
    checkpoint: 'last', or 'best' on dev by the main metric. Reporting dev then is biased, unless
      `held_out_share` is set.
    held_out_share: share of the training examples that is kept out of training, to choose the
      best checkpoint on instead of dev.
    precision: 'float32', or 'mixed_bfloat16': matrix products in bfloat16, weights in float32.

  Source: Devlin et al. 2018, section A.3; bias correction, epsilon and decay as in Mosbach et al.
    2021; pooling modes after Antyukhov 2019 ("Fine-tuning BERT with Keras and tf.Module").
  """

  learning_rate: float = 5e-5
  batch_size: int = 32
  epochs: float | None = 3.0
  steps: int | None = None
  warmup_share: float = 0.1
  weight_decay: float = 0.01
  beta_1: float = 0.9
  beta_2: float = 0.999
  epsilon: float = 1e-6
  clip_norm: float = 1.0
  max_seq_length: int = 128
  grouping_window: int = 16
  pooling: str | Sequence[str] = poolings.POOLED
  head_dropout: float = 0.1
  head_stddev: float = 0.02
  trainable_layers: int | None = None
  reinit_top_layers: int = 0
  evaluations_per_epoch: int = 1
  checkpoint: str = LAST
  held_out_share: float = 0.0
  precision: str = FLOAT32

  def __post_init__(self) -> None:
    field_rules.check(self, _RULES, "The recipe's ")
    if (self.epochs is None) == (self.steps is None):
      raise RequestError(
          f'The recipe has epochs {self.epochs!r} and steps {self.steps!r}; exactly one of them '
          'says how long training takes. Set the other to None')
    pooling = self.pooling
    if isinstance(pooling, str) and _JOINED in pooling:  # As a record has it.
      pooling = tuple(pooling.split(_JOINED))
    poolings.check(pooling)
    object.__setattr__(self, 'pooling', _JOINED.join(poolings.parts(pooling)))
    if self.held_out_share and self.checkpoint != BEST:
      raise RequestError(
          f'The recipe keeps {self.held_out_share:.0%} of the training examples out to choose the '
          "best checkpoint on, but takes the last one. Set checkpoint to 'best', or "
          'held_out_share to 0')

  @property
  def pooling_parts(self) -> tuple[str, ...]:
    """('pooled', 'mean'); of a single one ('mean',)."""
    return tuple(str(self.pooling).split(_JOINED))

  def steps_per_epoch(self, examples: int) -> int:
    """Training steps in a pass over so many examples; the last batch may be smaller."""
    return math.ceil(examples / self.batch_size)

  def total_steps(self, examples: int) -> int:
    """All training steps for so many training examples; at least 1."""
    if self.steps is not None:
      return self.steps
    return max(1, round((self.epochs or 0) * self.steps_per_epoch(examples)))

  def learning_rate_at(self, step: int, total_steps: int) -> float:
    """Of the step with that number, from 0."""
    warmup = round(self.warmup_share * total_steps)
    if step < warmup:
      return self.learning_rate * (step + 1) / warmup
    return self.learning_rate * (total_steps - step) / max(1, total_steps - warmup)

  def is_evaluated_after(self, step: int, examples: int) -> bool:
    """Whether a dev evaluation follows the step with that number, from 0."""
    total, epoch = self.total_steps(examples), self.steps_per_epoch(examples)
    done = step + 1
    if done == total:
      return True
    of_epoch = done % epoch or epoch
    marks = {math.ceil(epoch * part / self.evaluations_per_epoch)
             for part in range(1, self.evaluations_per_epoch + 1)}
    return of_epoch in marks

  def to_json(self) -> dict[str, Any]:
    """Every field, as JSON values."""
    return dataclasses.asdict(self)

  @classmethod
  def from_json(cls, values: Mapping[str, Any]) -> Recipe:
    """Reads what `to_json` made; other keys are ignored: a cell's recipe may hold more."""
    known = {field.name for field in dataclasses.fields(cls)}
    return cls(**{name: value for name, value in values.items() if name in known})


def fields() -> Sequence[str]:
  """Names of everything that can be set."""
  return tuple(field.name for field in dataclasses.fields(Recipe))


_RULES: field_rules.Rules = (
    ('learning_rate', lambda v: is_number(v) and v > 0, 'a positive number such as 5e-5'),
    ('batch_size', is_count, 'a whole number from 1, such as 32'),
    ('epochs', lambda v: v is None or (is_number(v) and v > 0), 'a positive number such as 3'),
    ('steps', lambda v: v is None or is_count(v), 'a whole number from 1, or None'),
    ('warmup_share', lambda v: is_number(v) and 0 <= v < 1, 'from 0 to below 1, such as 0.1'),
    ('weight_decay', lambda v: is_number(v) and v >= 0, '0 or more, such as 0.01'),
    ('beta_1', lambda v: is_number(v) and 0 <= v < 1, 'from 0 to below 1, such as 0.9'),
    ('beta_2', lambda v: is_number(v) and 0 <= v < 1, 'from 0 to below 1, such as 0.999'),
    ('epsilon', lambda v: is_number(v) and v > 0, 'a positive number such as 1e-6'),
    ('clip_norm', lambda v: is_number(v) and v >= 0, '0 for none, or a norm such as 1.0'),
    ('max_seq_length', lambda v: is_count(v, 3), 'a number of tokens from 3, such as 128'),
    ('grouping_window', is_count, 'a number of batches from 1'),
    ('head_dropout', lambda v: is_number(v) and 0 <= v < 1, 'from 0 to below 1, such as 0.1'),
    ('head_stddev', lambda v: is_number(v) and v > 0, 'a positive number such as 0.02'),
    ('trainable_layers', lambda v: v is None or is_count(v, 0),
     'None for all, or a number of layers from 0'),
    ('reinit_top_layers', lambda v: is_count(v, 0), 'a number of layers from 0'),
    ('evaluations_per_epoch', is_count, 'a whole number from 1'),
    ('checkpoint', lambda v: v in (LAST, BEST), f"'{LAST}' or '{BEST}'"),
    ('held_out_share', lambda v: is_number(v) and 0 <= v < 1, 'from 0 to below 1, such as 0.1'),
    ('precision', lambda v: v in (FLOAT32, MIXED_BFLOAT16),
     f"'{FLOAT32}' or '{MIXED_BFLOAT16}'"),
)  # fmt: skip
