"""How is an encoder pre-trained? Every number of it that is not the data, model or hardware."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import gin

from nlp_export import field_rules
from nlp_export.errors import RequestError
from nlp_export.field_rules import is_count, is_number
from nlp_export.own_parts import explain_part
from nlp_export.pretraining import optimizers, schedules

FLOAT32 = 'float32'
MIXED_BFLOAT16 = 'mixed_bfloat16'


@gin.register('train_recipe', module='pretraining')
@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainRecipe:
  """Steps, batch, optimizer and seeds of a pre-training. The same on all hardware.

  Attributes:
    train_steps: updates of the weights in the whole training.
    global_batch_size: rows of an update, over all replicas and micro-batches.
    learning_rate: the schedule's highest.
    warmup_steps: in which the learning rate rises from 0.
    schedule: a part such as @schedules.polynomial_decay, or an own function that takes what it
      needs of learning_rate, train_steps and warmup_steps and returns a function of the step.
    optimizer: a part such as @optimizers.adamw or @optimizers.lamb.
    weight_decay: decoupled; not on biases and layer norms.
    clip_norm: gradients of the global batch are scaled so that their global norm is at most this;
      0 for no clipping.
    accumulation_steps: micro-batches that a replica's rows are computed in, one after the other:
      less memory, the same update.
    precision: 'float32', or 'mixed_bfloat16': computed in bfloat16, weights and updates in float32.
    steps_per_loop: steps that run without coming back to Python. What is shown of the training,
      and saved, lies between loops.
    init_seed: of the initial weights.
    dropout_seed: of the dropout masks; travels in the checkpoint.

  Source: Devlin et al. 2018, section A.2 (AdamW with linear decay, batch 256, 1e-4, 10,000 steps of
    warm-up of 1,000,000); You et al. 2020 for LAMB and large batches.
  """

  train_steps: int
  global_batch_size: int = 256
  learning_rate: float = 1e-4
  warmup_steps: int = 0
  schedule: Callable[..., Any] = schedules.polynomial_decay
  optimizer: Callable[..., optimizers.OptimizerSpec] = optimizers.adamw
  weight_decay: float = 0.01
  clip_norm: float = 1.0
  accumulation_steps: int = 1
  precision: str = FLOAT32
  steps_per_loop: int = 100
  init_seed: int = 0
  dropout_seed: int = 0

  def __post_init__(self) -> None:
    field_rules.check(self, _RULES, 'train_recipe.')
    if self.warmup_steps >= self.train_steps:
      raise RequestError(
          f'train_recipe.warmup_steps is {self.warmup_steps} of {self.train_steps} train_steps: '
          'the learning rate would never come down from its warm-up. Write '
          f'train_recipe.warmup_steps = {self.train_steps // 10}')

  def optimizer_spec(self) -> optimizers.OptimizerSpec:
    """What `optimizer` makes.

    Raises:
      RequestError: it makes something else.
    """
    if isinstance(self.optimizer, optimizers.OptimizerSpec):
      return self.optimizer
    with explain_part(self.optimizer, f'The optimizer {_name(self.optimizer)}'):
      made = self.optimizer()
    if isinstance(made, optimizers.OptimizerSpec):
      return made
    raise RequestError(
        f'The optimizer {_name(self.optimizer)} returned {type(made).__name__}. It returns an '
        'nlp_export.pretraining.optimizers.OptimizerSpec, as @optimizers.adamw does')

  def learning_rate_schedule(self) -> Callable[[Any], Any]:
    """What `schedule` makes: a function of the number of the step, from 0.

    Raises:
      RequestError: it makes something else.
    """
    return schedules.called(self.schedule, _name(self.schedule), {
        'learning_rate': self.learning_rate, 'train_steps': self.train_steps,
        'warmup_steps': self.warmup_steps})

  def rows_per_micro_batch(self, replicas: int) -> int:
    """Rows that one replica computes at a time.

    Raises:
      RequestError: the global batch cannot be divided so.
    """
    parts = replicas * self.accumulation_steps
    if self.global_batch_size % parts:
      nearest = max(1, round(self.global_batch_size / parts)) * parts
      raise RequestError(
          f'A global batch of {self.global_batch_size} rows cannot be divided among {replicas} '
          f'replicas with {self.accumulation_steps} micro-batches each: every one needs the same '
          f'number of rows. Write GLOBAL_BATCH_SIZE = {nearest}')
    return self.global_batch_size // parts

  def to_json(self) -> dict[str, Any]:
    """Every field as JSON values; parts by what they make."""
    found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
    made = self.learning_rate_schedule()
    found['schedule'] = made.to_json() if isinstance(
        made, schedules.Schedule) else {'name': _name(self.schedule)}
    found['optimizer'] = self.optimizer_spec().to_json()
    return found


def _name(part: Any) -> str:
  return str(getattr(part, '__name__', type(part).__name__))


_RULES: field_rules.Rules = (
    ('train_steps', is_count, 'a whole number from 1, such as 1000000'),
    ('global_batch_size', is_count, 'a whole number of rows from 1, such as 256'),
    ('learning_rate', lambda v: is_number(v) and v > 0, 'a positive number such as 1e-4'),
    ('warmup_steps', lambda v: is_count(v, 0), 'a whole number from 0, such as 10000'),
    ('schedule', callable, 'a part such as @schedules.polynomial_decay'),
    ('optimizer', lambda v: callable(v) or isinstance(v, optimizers.OptimizerSpec),
     'a part such as @optimizers.adamw'),
    ('weight_decay', lambda v: is_number(v) and v >= 0, '0 or more, such as 0.01'),
    ('clip_norm', lambda v: is_number(v) and v >= 0, '0 for none, or a norm such as 1.0'),
    ('accumulation_steps', is_count, 'a whole number from 1'),
    ('precision', lambda v: v in (FLOAT32, MIXED_BFLOAT16), f"'{FLOAT32}' or '{MIXED_BFLOAT16}'"),
    ('steps_per_loop', is_count, 'a whole number from 1, such as 100'),
    ('init_seed', lambda v: is_count(v, 0), 'a whole number from 0'),
    ('dropout_seed', lambda v: is_count(v, 0), 'a whole number from 0'),
)  # fmt: skip

# Fields that may change when a training goes on: they are not part of what is trained.
NOT_OF_THE_RESULT: Mapping[str, str] = {'steps_per_loop': 'how often Python is asked'}
