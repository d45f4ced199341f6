"""Under which names do the variables of a training run lie in a checkpoint?

Each object of `checkpoint_items` is an item of its own: a nested dict whose keys are the edges
that lead to a variable (`_transformer_layers/0/_attention_layer/_query_dense/kernel`), the walk
that `checkpoints.restore` follows. A shared variable belongs to the first item that has it. The
optimizer's slots repeat the names of the variables that they belong to. Values are numpy: JAX
would make int32 of int64.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlp_export import names
from nlp_export.checkpoints import orbax_layout as layout
from nlp_export.checkpoints import readable
from nlp_export.checkpoints.tf2_items import POSITIONAL_EDGE
from nlp_export.errors import RequestError

if TYPE_CHECKING:
  import numpy as np

SLOTS = 'slots'
_SHOWN = 8  # Differences in a message.

# Item -> path of an array ('dense/kernel') -> value.
Values = Mapping[str, Mapping[str, 'np.ndarray']]


@dataclass(frozen=True, eq=False)
class Trees:
  """What one checkpoint holds: values of a moment, which later training steps do not change.

  Attributes:
    items: item -> nested dict of arrays.
    names: item -> path -> name of the variable there, for messages; weights only.
  """

  items: Mapping[str, Mapping[str, Any]]
  names: Mapping[str, Mapping[str, str]]

  def values(self) -> Values:
    """The same by path."""
    return {item: dict(_flat(tree)) for item, tree in self.items.items()}


class RunVariables:
  """Every variable of a run, by item and path."""

  def __init__(
      self,
      items: Mapping[str, Any],
      optimizer: Mapping[str, Any] | None = None,
      state: Mapping[str, Any] | None = None,
      variables: Iterable[Any] = (),
  ):
    """Finds the variables.

    Args:
      items: item -> trackable object with its variables made: 'encoder', 'masked_lm', each part of
        a head ('next_sentence.pooler_dense', 'next_sentence.out_proj').
      optimizer: name -> variable or number ('iterations'), or a slot's name -> {key: slot variable}
        ('m', 'v'), the keys being `variable.ref()` or `id(variable)` of the weights.
      state: name -> variable or number; what is neither weight nor optimizer ('dropout_state').
      variables: all that must have found a place: `pretrainer.variables`.

    Raises:
      ValueError: a variable has no place: it would be lost in the checkpoint.
    """
    taken = {id(value): layout.STATE_ITEM for value in (state or {}).values()}
    self._found: dict[str, dict[str, Any]] = {}
    for item in _owners_first(items):
      if found := _variables_by_path(items[item], item, taken):
        self._found[item] = found
    self._weights = tuple(self._found)
    lost = [v.name for v in variables if id(v) not in taken]
    if lost:
      raise ValueError(f'These variables belong to no item of the checkpoint: {", ".join(lost)}')
    places = {id(v): (item, path) for item in self._weights
              for path, v in self._found[item].items()}
    for item, values in ((layout.OPTIMIZER_ITEM, _optimizer(optimizer or {}, places)),
                         (layout.STATE_ITEM, dict(state or {}))):
      if values:
        self._found[item] = values

  @property
  def items(self) -> tuple[str, ...]:
    """All items; no value is read."""
    return tuple(self._found)

  @property
  def weights(self) -> tuple[str, ...]:
    """The items that hold weights of the model."""
    return self._weights

  def trees(self) -> Trees:
    """The values of now. Not copied where that can be avoided: TensorFlow copies on writing."""
    return Trees(
        {item: _nested({path: _value(v) for path, v in found.items()})
         for item, found in self._found.items()},
        {item: {path: v.name.removesuffix(':0') for path, v in self._found[item].items()}
         for item in self._weights})

  def assign(
      self, values: Values, items: Iterable[str] | None = None, source: str = 'The checkpoint'
  ) -> dict[str, Any]:
    """Gives every variable its stored value, or none any.

    Args:
      values: item -> path -> array.
      items: which of them; None: all, and `values` may hold no others.
      source: what to call the checkpoint in messages.

    Returns:
      'item/path' -> stored value, for what was given as a number instead of a variable.

    Raises:
      RequestError: names, shapes or dtypes differ; nothing was assigned.
    """
    found = {item: self._found[item] for item in items or self._found}
    if items is not None:
      values = {item: values[item] for item in items if item in values}
    differences = list(_differences(found, values))
    if differences:
      more = len(differences) - _SHOWN
      lines = differences[:_SHOWN] + ([f'... and {more} more'] if more > 0 else [])
      raise RequestError(
          f'{source} does not hold what this run trains:\n  ' + '\n  '.join(lines)
          + '\nNothing was restored. Train with the configuration that it was written with, or name'
          ' another --out_dir.')
    numbers = {}
    for item, variables in found.items():
      for path, variable in variables.items():
        if _is_variable(variable):
          variable.assign(values[item][path])
        else:
          numbers[f'{item}/{path}'] = values[item][path]
    return numbers


def _owners_first(items: Iterable[str]) -> list[str]:
  """The order in which items claim what they share: the encoder has the word embeddings."""
  first = [item for item in (names.ENCODER, names.MASKED_LM) if item in items]
  return first + [item for item in items if item not in first]


def _variables_by_path(obj: Any, item: str, taken: dict[int, str]) -> dict[str, Any]:
  """Path -> variable below an object, without those that are `taken`, to which it adds.

  An edge by name comes before one by position ('layer_with_weights-7'), which is another layer
  where the number of layers differs, and before a name with '/', which is two edges.
  """
  import tensorflow as tf

  queues: tuple[deque[tuple[Any, str]], ...] = (deque([(obj, '')]), deque(), deque())
  seen: dict[int, Any] = {}
  found: dict[str, Any] = {}
  while queue := next((q for q in queues if q), None):
    current, path = queue.popleft()
    if id(current) in seen:
      continue
    seen[id(current)] = current  # Keeps it alive: ids stay unique.
    if isinstance(current, tf.Variable):
      if id(current) not in taken:
        taken[id(current)] = item
        found[path] = current
      continue
    for edge, child in tf.train.TrackableView.children(current).items():
      kind = 1 if POSITIONAL_EDGE.match(edge) else 2 if '/' in edge else 0
      queues[kind].append((child, f'{path}/{edge}'.lstrip('/')))
  return dict(sorted(found.items()))


def _optimizer(
    optimizer: Mapping[str, Any], places: Mapping[int, tuple[str, str]]
) -> dict[str, Any]:
  """Path -> variable or number of an optimizer."""
  found: dict[str, Any] = {}
  for name, value in optimizer.items():
    if not isinstance(value, Mapping):
      found[name] = value
      continue
    for key, slot in value.items():
      weight = key if isinstance(key, int) else id(key.deref())
      if weight not in places:
        raise ValueError(f'The optimizer keeps {name} of a variable that belongs to no item')
      item, path = places[weight]
      found[f'{SLOTS}/{name}/{item}/{path}'] = slot
  return found


def _is_variable(value: Any) -> bool:
  return hasattr(value, 'read_value')


def _value(variable: Any) -> np.ndarray:
  import numpy as np

  return np.asarray(variable.read_value() if _is_variable(variable) else variable)


def _nested(flat: Mapping[str, np.ndarray]) -> dict[str, Any]:
  tree: dict[str, Any] = {}
  for path, value in flat.items():
    at = tree
    *edges, last = path.split('/')
    for edge in edges:
      at = at.setdefault(edge, {})
    at[last] = value
  return tree


def _flat(tree: Mapping[str, Any], path: str = '') -> Iterator[tuple[str, np.ndarray]]:
  for key, value in tree.items():
    place = f'{path}/{key}'.lstrip('/')
    if isinstance(value, Mapping):
      yield from _flat(value, place)
    else:
      yield place, value


def _differences(found: Mapping[str, Mapping[str, Any]], values: Values) -> Iterator[str]:
  """What stands against assigning, one line each; whole items first."""
  for item in found:
    if item not in values:
      yield f'{item}: not in the checkpoint'
  for item in values:
    if item not in found:
      yield f'{item}: only in the checkpoint'
  for item, variables in found.items():
    if item not in values:
      continue
    stored = values[item]
    for path, variable in variables.items():
      place = _place(item, path)
      if path not in stored:
        yield f'{place}: not in the checkpoint'
        continue
      for word, there, here in zip(
          ('shape', 'dtype'), _form(stored[path]), _form(variable), strict=True):
        if there != here:
          yield f'{place}: {word} {there} in the checkpoint, {here} now'
    for path in stored:
      if path not in variables:
        yield f'{_place(item, path)}: only in the checkpoint'


def _form(value: Any) -> tuple[list[int], str]:
  import numpy as np

  if not _is_variable(value):
    value = np.asarray(value)
  return list(value.shape), np.dtype(getattr(value.dtype, 'as_numpy_dtype', value.dtype)).name


def _place(item: str, path: str) -> str:
  """'layer 3, attention key kernel (encoder/...)' or the path alone."""
  whole = f'{item}/{path}'
  words = readable.readable(whole) if item in (names.ENCODER, names.MASKED_LM) else whole
  return whole if words == whole else f'{words} ({whole})'
