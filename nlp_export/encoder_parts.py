"""Which of an encoder's variables belong to which of its parts, by their names?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from nlp_export import names
from nlp_export.errors import RequestError

if TYPE_CHECKING:
  import tensorflow as tf

_LAYER = re.compile(r'(?:^|/)layer_(\d+)/')


def layer_of(name: str) -> int | None:
  """The Transformer layer, from 0, that a variable of that name belongs to; None for none."""
  found = _LAYER.search(name)
  return int(found[1]) if found else None


def is_pooler(name: str) -> bool:
  """Whether a variable of that name belongs to the layer that makes `pooled_output`."""
  return any(f'/{layer}/' in f'/{name}' for layer in names.POOLER_LAYER_NAMES)


def last_layers(variables: Iterable[str], count: int, settings: str) -> list[str]:
  """Names of the variables of the last `count` Transformer layers.

  Args:
    variables: names, in the encoder's order.
    count: of layers.
    settings: what asked for them, for the message: 'trainable_layers'.

  Raises:
    RequestError: fewer layers have variables of their own.
  """
  found = list(variables)
  layers = sorted({layer for layer in map(layer_of, found) if layer is not None})
  if count > len(layers):
    why = f'it has {len(layers)}. Lower {settings}'
    if not layers:
      first = f' (the first one is {found[0]})' if found else ''
      why = (f'none of its variables is named .../layer_0/...{first}: its layers share them, as in '
             f'ALBERT, or another tool has named them. Leave out '
             f'{settings.replace(" or ", " and ")}')
    raise RequestError(f'The last {count} layers of the encoder were asked for, but {why}')
  chosen = set(layers[len(layers) - count:])
  return [name for name in found if layer_of(name) in chosen]


def by_name(variables: Sequence[tf.Variable]) -> dict[str, tf.Variable]:
  """Variables by name without ':0'; a repeated name gets its place in the list."""
  found: dict[str, tf.Variable] = {}
  for index, variable in enumerate(variables):
    name = variable.name.partition(':')[0]
    found[name if name not in found else f'{name}#{index}'] = variable
  return found
