"""Which optimizers can a gin file name? AdamW and LAMB, by their numbers; no TensorFlow here.

TF-NLP's own (AdamWeightDecay, LAMB) compute the same on one device: tests compare 20 steps. They
are not used because AdamWeightDecay clips each replica's gradients before these are summed, so that
a global batch would not mean the same on one device and on eight; and because Keras' optimizers
change variables through calls that a loop inside of a replica's step cannot hold.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import gin

from nlp_export.errors import RequestError

ADAMW = 'adamw'
LAMB = 'lamb'


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerSpec:
  """An optimizer before it has variables.

  Attributes:
    name: 'adamw' or 'lamb'.
    beta_1, beta_2: decay of the first and second moment.
    epsilon: added to the square root of the second moment.
    not_decayed: last names of variables without weight decay (and, for LAMB, without the layer's
      ratio): `bias` of 'encoder/.../bias:0'.
  """

  name: str
  beta_1: float
  beta_2: float
  epsilon: float
  not_decayed: Sequence[str]

  def __post_init__(self) -> None:
    for key in ('beta_1', 'beta_2', 'epsilon'):
      value = getattr(self, key)
      fine = isinstance(value, int | float) and math.isfinite(value)
      if not (fine and (value > 0 if key == 'epsilon' else 0 <= value < 1)):
        says = 'a positive number such as 1e-6' if key == 'epsilon' else 'from 0 to below 1'
        raise RequestError(f'{self.name}.{key} is {value!r}, but it has to be {says}')
    if isinstance(self.not_decayed, str):
      raise RequestError(
          f'{self.name}.not_decayed is the text {self.not_decayed!r}, where several names are '
          f"needed. Write {self.name}.not_decayed = ('{self.not_decayed}',)")
    object.__setattr__(self, 'not_decayed', tuple(self.not_decayed))

  def is_decayed(self, variable_name: str) -> bool:
    """Whether weight decay applies to a variable of that name."""
    return variable_name.rpartition('/')[2].partition(':')[0] not in self.not_decayed

  def to_json(self) -> dict[str, Any]:
    """JSON values."""
    return {**dataclasses.asdict(self), 'not_decayed': list(self.not_decayed)}


# Biases, and the two weights of a layer norm, as in BERT's own optimizer.
_NOT_DECAYED = ('bias', 'gamma', 'beta')


@gin.register(module='optimizers')
def adamw(
    beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-6,
    not_decayed: Sequence[str] = _NOT_DECAYED,
) -> OptimizerSpec:
  """Adam with decoupled weight decay and bias correction.

  Source: Kingma and Ba 2015, section 2 (this form of epsilon); Loshchilov and Hutter 2019; the
    numbers of Devlin et al. 2018 (google-research/bert optimization.py).
  """
  return OptimizerSpec(
      name=ADAMW, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, not_decayed=not_decayed)


@gin.register(module='optimizers')
def lamb(
    beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-6,
    not_decayed: Sequence[str] = _NOT_DECAYED,
) -> OptimizerSpec:
  """Adam's update scaled layer by layer to the norm of the weights: for large batches.

  Source: You et al. 2020 ("Large Batch Optimization for Deep Learning: Training BERT in 76
    minutes"); official.modeling.optimization.lamb.
  """
  return OptimizerSpec(
      name=LAMB, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, not_decayed=not_decayed)
