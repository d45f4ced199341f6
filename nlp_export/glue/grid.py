"""Which cells make up a matrix of tasks, arms with poolers, and seeds?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nlp_export.errors import RequestError
from nlp_export.glue.cells import Cell


@dataclasses.dataclass(frozen=True)
class Variant:
  """What is compared: an arm with a pooler, for `grid`.

  Attributes:
    arm: see Cell.
    pooler: see Cell.
    recipe: see Cell; complete, the arm's own bindings included.
    content_hashes: see Cell.
    draws_pooler: whether the pooler is random, so that its draw changes with the seed.
    pooler_seed: a draw to keep for all seeds instead.
  """

  arm: str
  pooler: str
  recipe: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  content_hashes: Mapping[str, str] = dataclasses.field(default_factory=dict)
  draws_pooler: bool = False
  pooler_seed: int | None = None


def grid(
    tasks: Mapping[str, Mapping[str, str]] | Sequence[str],
    variants: Sequence[Variant],
    seeds: Sequence[int],
) -> list[Cell]:
  """The cells of a matrix. Neighbours share task and variant, hence data and compiled functions.

  Args:
    tasks: names, or name -> content hashes of its data by role.
    variants: what is compared.
    seeds: the same for each.
  """
  cells = []
  for task in tasks:
    data = tasks[task] if isinstance(tasks, Mapping) else {}
    for variant in variants:
      for seed in seeds:
        drawn = seed if variant.draws_pooler else None
        cells.append(Cell(
            task=task, arm=variant.arm, pooler=variant.pooler, seed=seed, recipe=variant.recipe,
            pooler_seed=drawn if variant.pooler_seed is None else variant.pooler_seed,
            content_hashes={**variant.content_hashes, **data}))
  check_places(cells)
  return cells


def check_places(cells: Iterable[Cell]) -> None:
  """Refuses two cells whose results would lie in one place.

  Raises:
    RequestError: two names are equal, or differ in case only, which some disks do not tell apart.
  """
  names: dict[str, str] = {}
  for cell in cells:
    name = cell.name
    other = names.get(name.casefold())
    if other is not None:
      raise RequestError(
          f'Two cells would be stored in one place, {other} and {name}. Tasks, seeds and pairs of '
          'arm and pooler have to differ: rename an arm or remove the repetition')
    names[name.casefold()] = name
