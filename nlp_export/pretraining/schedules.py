"""How does the learning rate change with the step? TF-NLP's schedules as gin parts.

Each part takes learning_rate, train_steps and warmup_steps from the recipe, has its own parameters
besides, and returns a `Schedule`. Steps count from 0, as in TF-NLP: a decay counts the steps of the
warm-up too, which replaces its first part.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gin

from nlp_export.errors import RequestError
from nlp_export.own_parts import explain_part


@dataclasses.dataclass(frozen=True)
class Schedule:
  """A function of the step that is one of TF-NLP's.

  Attributes:
    kind: name of it in official.modeling.optimization's LrConfig.
    fields: of that configuration.
    warmup: fields of its polynomial warm-up; None for none.
  """

  kind: str
  fields: Mapping[str, Any]
  warmup: Mapping[str, Any] | None = None

  def build(self) -> Callable[[Any], Any]:
    """TF-NLP's schedule: integer scalar tensor -> float32 scalar tensor."""
    import tensorflow as tf
    from official.modeling.optimization import OptimizationConfig, OptimizerFactory

    config = {'optimizer': {'type': 'sgd'},
              'learning_rate': {'type': self.kind, self.kind: dict(self.fields)}}
    if self.warmup is not None:
      config['warmup'] = {'type': 'polynomial', 'polynomial': dict(self.warmup)}
    made = OptimizerFactory(OptimizationConfig(config)).build_learning_rate()
    return made if callable(made) else lambda step: tf.constant(made, tf.float32)

  def __call__(self, step: Any) -> Any:
    """The learning rate of a step: `build` and call. In a loop, build once."""
    return self.build()(step)

  def to_json(self) -> dict[str, Any]:
    """JSON values."""
    return {'name': self.kind, **self.fields, 'warmup': self.warmup and dict(self.warmup)}


@gin.register(module='schedules')
def polynomial_decay(
    learning_rate: float, train_steps: int, warmup_steps: int,
    end_learning_rate: float = 0.0, power: float = 1.0, warmup_power: float = 1.0,
) -> Schedule:
  """BERT's: linear warm-up, then down to `end_learning_rate` at the last step, linearly.

  Args:
    end_learning_rate: after the last step.
    power: of the decay; 1.0 is linear, 0.5 falls late.
    warmup_power: of the warm-up; 1.0 is linear.

  Source: Devlin et al. 2018, section A.2; tf_keras' PolynomialDecay.
  """
  return Schedule(
      'polynomial', {'initial_learning_rate': learning_rate, 'decay_steps': train_steps,
                     'end_learning_rate': end_learning_rate, 'power': power},
      _warmup(warmup_steps, warmup_power))


@gin.register(module='schedules')
def cosine_decay(
    learning_rate: float, train_steps: int, warmup_steps: int, alpha: float = 0.0,
    warmup_power: float = 1.0,
) -> Schedule:
  """Half a cosine from the learning rate down to `alpha` times that.

  Source: Loshchilov and Hutter 2017; tf_keras' CosineDecay.
  """
  return Schedule(
      'cosine', {'initial_learning_rate': learning_rate, 'decay_steps': train_steps,
                 'alpha': alpha}, _warmup(warmup_steps, warmup_power))


@gin.register(module='schedules')
def constant(learning_rate: float, warmup_steps: int, warmup_power: float = 1.0) -> Schedule:
  """The same learning rate after the warm-up."""
  return Schedule('constant', {'learning_rate': learning_rate},
                  _warmup(warmup_steps, warmup_power))


@gin.register(module='schedules')
def exponential_decay(
    learning_rate: float, warmup_steps: int, decay_steps: int, decay_rate: float,
    staircase: bool = False, warmup_power: float = 1.0,
) -> Schedule:
  """learning_rate * decay_rate ^ (step / decay_steps).

  Args:
    decay_steps: in which the rate falls by `decay_rate` once.
    decay_rate: a factor.
    staircase: whether it falls at once after each decay_steps.

  Source: tf_keras' ExponentialDecay.
  """
  return Schedule(
      'exponential', {'initial_learning_rate': learning_rate, 'decay_steps': decay_steps,
                      'decay_rate': decay_rate, 'staircase': staircase},
      _warmup(warmup_steps, warmup_power))


@gin.register(module='schedules')
def stepwise(
    warmup_steps: int, boundaries: Sequence[int], values: Sequence[float],
    warmup_power: float = 1.0,
) -> Schedule:
  """values[0] up to step boundaries[0], and so on: one value more than boundaries.

  Source: tf_keras' PiecewiseConstantDecay.
  """
  if len(values) != len(boundaries) + 1:
    raise RequestError(
        f'Schedule stepwise got {len(boundaries)} boundaries and {len(values)} values; between and '
        'around the boundaries lie one more. Write stepwise.boundaries = (1000,) and '
        'stepwise.values = (1e-4, 1e-5)')
  return Schedule('stepwise', {'boundaries': list(boundaries), 'values': list(values)},
                  _warmup(warmup_steps, warmup_power))


@gin.register(module='schedules')
def power_decay(
    learning_rate: float, warmup_steps: int, power: float = -0.5, warmup_power: float = 1.0,
) -> Schedule:
  """learning_rate * step ^ power: the inverse square root by default.

  The rate at the end of the warm-up is learning_rate * warmup_steps ^ power.

  Source: Vaswani et al. 2017, section 5.3; TF-NLP's DirectPowerDecay.
  """
  return Schedule('power', {'initial_learning_rate': learning_rate, 'power': power},
                  _warmup(warmup_steps, warmup_power))


@gin.register(module='schedules')
def power_and_linear_decay(
    learning_rate: float, train_steps: int, warmup_steps: int, power: float = -0.5,
    linear_decay_fraction: float = 0.1, warmup_power: float = 1.0,
) -> Schedule:
  """As `power_decay`, and linearly to zero in the last `linear_decay_fraction` of all steps.

  Source: TF-NLP's PowerAndLinearDecay.
  """
  return Schedule(
      'power_linear', {'initial_learning_rate': learning_rate, 'total_decay_steps': train_steps,
                       'power': power, 'linear_decay_fraction': linear_decay_fraction},
      _warmup(warmup_steps, warmup_power))


def called(part: Callable[..., Any], name: str, offered: Mapping[str, Any]) -> Any:
  """Calls a schedule part with what it asks for, and checks what it returns.

  Args:
    part: one of this file, or a user's.
    name: as written in gin, for messages.
    offered: learning_rate, train_steps and warmup_steps.

  Returns:
    A `Schedule`, or another function of the step.

  Raises:
    RequestError: the part refuses, or returns something else.
  """
  if isinstance(part, Schedule):
    return part
  parameters = inspect.signature(part).parameters
  with explain_part(part, f'The schedule {name}'):
    made = part(**{key: value for key, value in offered.items() if key in parameters})
  if not callable(made):
    raise RequestError(
        f'The schedule {name} returned {type(made).__name__}, where a function of the step is '
        'needed. Let it return one of nlp_export/pretraining/schedules.py, or a function that '
        'takes an integer scalar tensor and returns a float32 one')
  return made


def _warmup(steps: int, power: float) -> dict[str, Any] | None:
  return {'warmup_steps': steps, 'power': power} if steps else None
