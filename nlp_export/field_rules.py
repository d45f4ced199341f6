"""Do the fields of a part that gin makes hold what they have to?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from nlp_export.errors import RequestError

# Name of a field, whether a value is fine, and what it has to be, in words.
Rules = Sequence[tuple[str, Callable[[Any], bool], str]]


def check(owner: Any, rules: Rules, before: str, between: str = ' is ') -> None:
  """Refuses the first field whose value its rule does not hold for.

  Args:
    owner: has the fields.
    rules: in the order in which they are looked at.
    before: what stands before the field's name: 'data_recipe.'.
    between: what stands between the name and its value.

  Raises:
    RequestError: 'data_recipe.seq_length is 0, but it has to be ...'.
  """
  for name, holds, says in rules:
    value = getattr(owner, name)
    if not holds(value):
      raise RequestError(f'{before}{name}{between}{value!r}, but it has to be {says}')


def is_number(value: Any) -> bool:
  """Whether it is finite and no bool."""
  return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_count(value: Any, least: int = 1) -> bool:
  """Whether it is a whole number, no bool, and not below `least`."""
  return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_bool(value: Any) -> bool:
  """Whether it is True or False."""
  return isinstance(value, bool)
