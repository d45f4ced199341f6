"""Which variable of one encoder is which of the other?

By name where the names are equal, as they are in our arms and in TF-NLP's own exports. What is left
may be called differently in a stranger's export: it is paired by shape, and among equal shapes by
equal values (both encoders hold the pre-trained ones), then in order.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping

import numpy as np


@dataclasses.dataclass(frozen=True)
class Pair:
  """A variable of both encoders.

  Attributes:
    name: in the second encoder, whose names are TF-NLP's.
    first, second: its names in the two.
  """

  first: str
  second: str

  @property
  def name(self) -> str:
    """What to call it."""
    return self.second


@dataclasses.dataclass(frozen=True)
class Pairing:
  """All variables of two encoders.

  Attributes:
    pairs: in the order of the second encoder.
    only_first, only_second: names that have no partner.
    by_shape: how many pairs have different names.
  """

  pairs: tuple[Pair, ...]
  only_first: tuple[str, ...]
  only_second: tuple[str, ...]

  @property
  def by_shape(self) -> tuple[Pair, ...]:
    """The pairs with different names."""
    return tuple(pair for pair in self.pairs if pair.first != pair.second)


def pair(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> Pairing:
  """Pairs the variables of two encoders; each is in one pair at most.

  Args:
    first: values by name, in the encoder's order.
    second: likewise.
  """
  partner = {name: name for name in second
             if name in first and first[name].shape == second[name].shape}
  for same in (_content, np.shape):
    free: dict[object, list[str]] = {}
    taken = set(partner.values())
    for name, value in first.items():
      if name not in taken:
        free.setdefault(same(value), []).append(name)
    for name, value in second.items():
      if name not in partner and free.get(same(value)):
        partner[name] = free[same(value)].pop(0)
  taken = set(partner.values())
  return Pairing(
      tuple(Pair(partner[name], name) for name in second if name in partner),
      tuple(name for name in first if name not in taken),
      tuple(name for name in second if name not in partner))


def _content(value: np.ndarray) -> tuple[tuple[int, ...], bytes]:
  return value.shape, hashlib.sha256(value.tobytes()).digest()
