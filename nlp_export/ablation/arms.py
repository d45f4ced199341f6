"""What is an arm? A name, and what differs in it from the common recipe and the common export.

    ARMS = {
        'export': {},
        'baseline': {'built': 'baseline', 'poolers': ('keep',)},
        'slow': {'learning_rate': 2e-5},
        'step_500': {'checkpoint': 'bert/ckpt-500'},
    }

'export' and 'baseline' are the names by which an equivalence is judged.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from nlp_export.errors import RequestError
from nlp_export.glue.cells import Cell
from nlp_export.glue.fine_tuning import recipe as recipes
from nlp_export.glue.fine_tuning.recipe import Recipe

EXPORT = 'export'
BASELINE = 'baseline'

_BUILT, _POOLERS = 'built', 'poolers'
# Parameters of `export` that make other encoders or other tokens. A recipe has its own
# `checkpoint` ('last' or 'best'), so an arm calls that one `best_or_last`.
EXPORT_KEYS = (
    'checkpoint', 'encoder', 'encoder_config', 'tokenizer', 'vocab_file', 'sp_model_file',
    'do_lower_case', 'checkpoint_items', 'truncator',
)
_CHOICE = 'best_or_last'
_RECIPE_KEYS = {_CHOICE if name == 'checkpoint' else name: name for name in recipes.fields()}


@dataclasses.dataclass(frozen=True)
class NamedArm:
  """One arm.

  Attributes:
    name: of the arm, in paths and reports.
    built: 'export' (SavedModels loaded by path) or 'baseline' (TF-NLP's own encoder).
    recipe: complete.
    export: parameters of `export` that differ from the common ones.
    poolers: names of those of POOLERS that the arm takes; None for all.
  """

  name: str
  built: str
  recipe: Recipe
  export: Mapping[str, Any]
  poolers: tuple[str, ...] | None = None


def read_arms(arms: Mapping[str, Mapping[str, Any]], recipe: Recipe) -> tuple[NamedArm, ...]:
  """The arms of ARMS.

  Args:
    arms: name -> key -> value.
    recipe: the common one.

  Raises:
    RequestError: there is none; or a key or a value is not known.
  """
  if not arms:
    raise RequestError('ARMS names no arm, so there is nothing to fine-tune. Write '
                       'ARMS = {\'export\': {}}')
  return tuple(_read(name, dict(values), recipe) for name, values in arms.items())


def _read(name: str, values: dict[str, Any], recipe: Recipe) -> NamedArm:
  Cell('any', name, 'any', 0)  # Refuses what cannot name a directory.
  built = values.pop(_BUILT, EXPORT)
  if built not in (EXPORT, BASELINE):
    raise RequestError(f"Arm {name!r} is built {built!r}. Write 'built': 'export' (the default) or "
                       "'built': 'baseline'")
  poolers = values.pop(_POOLERS, None)
  if isinstance(poolers, str):
    poolers = (poolers,)
  own_recipe: dict[str, Any] = {}
  export: dict[str, Any] = {}
  for key, value in values.items():
    if key in EXPORT_KEYS:
      export[key] = value
    elif key in _RECIPE_KEYS:
      own_recipe[_RECIPE_KEYS[key]] = value
    else:
      raise _unknown(name, key)
  try:
    whole = dataclasses.replace(recipe, **own_recipe)
  except RequestError as error:
    raise RequestError(f'Arm {name!r}: {error.message}') from error
  return NamedArm(name, built, whole, export, None if poolers is None else tuple(poolers))


def _unknown(name: str, key: str) -> RequestError:
  known = (_BUILT, _POOLERS, *EXPORT_KEYS, *_RECIPE_KEYS)
  near = difflib.get_close_matches(key, known, 1)
  hint = f' Did you mean {near[0]!r}?' if near else ''
  return RequestError(
      f'Arm {name!r} has the key {key!r}, which nothing reads.{hint} Keys are {_BUILT}, '
      f'{_POOLERS}; of the export: {", ".join(EXPORT_KEYS)}; of the recipe: '
      f'{", ".join(_RECIPE_KEYS)}')


def poolers_of(arm: NamedArm, names: Sequence[str]) -> tuple[str, ...]:
  """The poolers that an arm takes, in the order of POOLERS.

  Raises:
    RequestError: it names one that is not among them.
  """
  if arm.poolers is None:
    return tuple(names)
  for pooler in arm.poolers:
    if pooler not in names:
      raise RequestError(f'Arm {arm.name!r} takes the pooler {pooler!r}, which POOLERS has not. '
                         f'It has {", ".join(names)}')
  return tuple(name for name in names if name in arm.poolers)


