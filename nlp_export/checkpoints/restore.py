"""Does a checkpoint fit the objects, wholly, and how do its values get into their variables?

Strict in both directions: every variable is restored, and the checkpoint holds nothing inside the
requested items that no variable takes. The objects' own edges are followed side by side with the
stored ones, attribute edges (`_transformer_layers/3`) before edges by position
(`layer_with_weights-7`), which mean another layer where the number of layers differs. So
`bert` restores into `bert_v2` and back.
"""

from __future__ import annotations

import difflib
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlp_export import names
from nlp_export.checkpoints import checkpoint as stored_as
from nlp_export.checkpoints import readable
from nlp_export.checkpoints.checkpoint import Checkpoint, Node, StoredTensor
from nlp_export.checkpoints.report import (
  NEAREST_FOR,
  Match,
  Missing,
  RestoreReport,
  ShapeDifference,
)
from nlp_export.checkpoints.tf2_items import POSITIONAL_EDGE
from nlp_export.checkpoints.values import read_finite
from nlp_export.errors import RequestError

if TYPE_CHECKING:
  import tensorflow as tf

# A part that `restore` can do `without`: the dense layer that makes pooled_output.
ENCODER_POOLER = 'encoder pooler'


class RestoreError(RequestError):
  """A checkpoint does not fit. `report` says how."""

  def __init__(self, message: str, report: RestoreReport):
    super().__init__(message)
    self.report = report


@dataclass(eq=False)
class _Variable:
  """A variable of the objects, and the tensor it takes (None if there is none)."""

  variable: tf.Variable
  item: str
  path: str
  tensor: StoredTensor | None = None

  @property
  def role(self) -> readable.Role | None:
    return readable.role(self.path, self.variable.name)

  @property
  def shape(self) -> tuple[int, ...]:
    return tuple(self.variable.shape.as_list())


def restore(
    checkpoint: Checkpoint, items: Mapping[str, Any], without: Collection[str] = ()
) -> RestoreReport:
  """Restores every variable of some objects, or none.

  Values are read, checked and assigned one at a time. Only if a value turns out to be unreadable
  or not finite are some variables already assigned when the error is raised.

  Args:
    checkpoint: from `open_checkpoint`.
    items: canonical item name -> trackable object with its variables made
      ({'encoder': encoder, 'masked_lm': pretrainer.masked_lm}).
    without: parts that may be absent from the checkpoint; of `ENCODER_POOLER`. They are restored
      where it has them and else keep their values, which the report says under `left_out`.

  Returns:
    The report; its `missing`, `shape_differences` and `unused.unexplained` are empty.

  Raises:
    RestoreError: the checkpoint does not fit; its message says all the differences.
    RequestError: an item is not in the checkpoint; a value is damaged, NaN or infinite.
  """
  variables, report = _compare(checkpoint, items, without)
  if not report.complete:
    raise RestoreError(_message(checkpoint, report), report)
  for item in items:
    checkpoint.check_item(item)
  for found in variables:
    if found.tensor is not None:
      dtype = found.variable.dtype.as_numpy_dtype
      value = read_finite(checkpoint, found.tensor, _numpy_dtype(dtype))
      found.variable.assign(value.reshape(found.shape))  # Splits heads; else it is the same.
  return report


def compare(
    checkpoint: Checkpoint, items: Mapping[str, Any], without: Collection[str] = ()
) -> RestoreReport:
  """What `restore` would do, without reading values or changing a variable."""
  return _compare(checkpoint, items, without)[1]


def _numpy_dtype(dtype: Any) -> Any:
  import numpy as np

  return np.dtype(dtype)


def _compare(
    checkpoint: Checkpoint, items: Mapping[str, Any], without: Collection[str]
) -> tuple[list[_Variable], RestoreReport]:
  for item in items:
    if item not in checkpoint.nodes:
      raise RequestError(_no_item_message(checkpoint, item))
  variables: dict[int, _Variable] = {}
  for item, obj in items.items():
    own = _walk(obj, checkpoint.nodes[item], item)
    if not own:
      raise ValueError(f'{item} has no variables yet: call it once before it is restored.')
    for found in own:
      known = variables.setdefault(id(found.variable), found)
      keys = [one.tensor.key for one in (known, found) if one.tensor]
      if len(set(keys)) > 1:
        raise RequestError(
            f'The items {known.item} and {item} share {known.variable.name.removesuffix(":0")}, '
            f'but {checkpoint.name} holds two of it ({", ".join(keys)}): they were not trained '
            f'together. Correct checkpoint_items.{item}, or leave {item} out.'
        )
      known.tensor = known.tensor or found.tensor
  report = RestoreReport(checkpoint.name, checkpoint.format, notes=checkpoint.notes)
  all_found = list(variables.values())
  used = {found.tensor.key for found in all_found if found.tensor}
  _sort_unused(checkpoint, items, used, report)
  spare = {str(tensor): None for tensor in checkpoint.tensors if tensor.key in
           report.unused.unexplained}
  for found in all_found:
    _classify(found, without, spare, report)
  stored = [tensor.role for tensor in checkpoint.tensors_of(names.ENCODER)]
  built = [found.role for found in all_found if found.item == names.ENCODER]
  report.layers = (_layers(stored), _layers(built))
  if stored and built:
    report.shares_layers = (_shares_layers(stored), _shares_layers(built))
  return all_found, report


def _walk(obj: Any, node: Node, item: str) -> list[_Variable]:
  """The variables below an object, each with the tensor at the same edges if there is one."""
  import tensorflow as tf

  children = tf.train.TrackableView.children
  seen: dict[int, Any] = {}
  found: list[_Variable] = []
  bound: dict[int, _Variable] = {}
  near: deque[tuple[Any, Node | None, str]] = deque([(obj, node, item)])
  far: deque[tuple[Any, Node | None, str]] = deque()
  unbound: deque[tuple[Any, Node | None, str]] = deque()
  # Three rounds: edges by name, then by position, then objects that the checkpoint does not have.
  while near or far or unbound:
    current, at, path = (near or far or unbound).popleft()
    if id(current) in seen:
      continue
    seen[id(current)] = current  # Keeps it alive: ids stay unique.
    if isinstance(current, tf.Variable):
      bound[id(current)] = _Variable(current, item, path, at.tensor if at else None)
      found.append(bound[id(current)])
      continue
    for edge, child in children(current).items():
      child_node = at.children.get(edge) if at else None
      queue = unbound if child_node is None else far if POSITIONAL_EDGE.match(edge) else near
      queue.append((child, child_node, f'{path}/{edge}'))
  return found


def _sort_unused(
    checkpoint: Checkpoint, items: Mapping[str, Any], used: set[str], report: RestoreReport
) -> None:
  unused = report.unused
  layers: dict[str, None] = {}
  for tensor in checkpoint.tensors:
    if tensor.key in used:
      continue
    if tensor.group == stored_as.OPTIMIZER:
      unused.optimizer.append(tensor.key)
    elif tensor.group == stored_as.COUNTER:
      unused.counters.append(tensor.key)
    elif tensor.group == stored_as.UNREACHABLE or (
        tensor.group != stored_as.OTHER and tensor.item in items):
      unused.unexplained.append(tensor.key)
      role = tensor.role
      layers['layer ' + str(role.layer) if role and role.layer is not None else
             f'{tensor} ({tensor.key})'] = None
    elif tensor.group == stored_as.HEAD or tensor.item == names.MASKED_LM:
      unused.heads.append(tensor.key)
    else:
      unused.items.append(tensor.key)
  for keys in (unused.optimizer, unused.counters, unused.heads, unused.items, unused.unexplained):
    keys.sort()
  report.unexplained = list(layers)


def _classify(
    found: _Variable, without: Collection[str], spare: Mapping[str, None], report: RestoreReport
) -> None:
  variable, tensor = found.variable, found.tensor
  name = variable.name.removesuffix(':0')
  if not variable.dtype.is_floating:
    report.states.append(name)
    found.tensor = None
  elif tensor is None:
    is_pooler = bool(found.role and found.role.part == readable.POOLER)
    if is_pooler and ENCODER_POOLER in without:
      report.left_out += [] if ENCODER_POOLER in report.left_out else [ENCODER_POOLER]
    else:
      near: list[str] = []
      if len(report.missing) < NEAREST_FOR:
        near = difflib.get_close_matches(readable.readable(found.path, name), spare, n=2)
      report.missing.append(Missing(found.item, name, found.path, found.shape, tuple(near)))
  elif not tensor.fits(found.shape):
    report.shape_differences.append(ShapeDifference(
        found.item, name, found.path, tensor.key, tensor.shape,
        tensor.with_heads_merged(found.shape), tensor.heads_axis))
  else:
    cast = tensor.dtype if tensor.dtype != variable.dtype.name else None
    report.matched.append(Match(found.item, name, tensor.key, found.shape, cast))


def _layers(roles: list[readable.Role | None]) -> int | None:
  return max((r.layer + 1 for r in roles if r and r.layer is not None), default=None)


def _shares_layers(roles: list[readable.Role | None]) -> bool:
  return any(role is not None and role.shared for role in roles)


def _message(checkpoint: Checkpoint, report: RestoreReport) -> str:
  lines = '\n'.join(f'  {line}' for line in report.differences())
  keep = ''
  if 'missing: pooler' in lines:
    keep = (
        ' A checkpoint without the encoder\'s pooler does with @poolers.identity, @poolers.random '
        'or @poolers.none.'
    )
  return (
      f'{checkpoint.name} does not fit the model that the configuration describes:\n{lines}\n'
      f'Nothing was restored.{keep} Set ENCODER_CONFIG to the configuration that the checkpoint '
      'was trained with.'
  )


def _no_item_message(checkpoint: Checkpoint, item: str) -> str:
  message = f"'{item}' is not in {checkpoint.name} ({checkpoint.items_line()}). "
  if item == names.MASKED_LM:
    return message + (
        'It was saved without its masked LM head, which only a model_with_mlm export needs: take '
        "EXPORT_TYPES = ('model', 'preprocessing'), or say what it is called: "
        "checkpoint_items.masked_lm = '...'."
    )
  others = ', '.join(dict.fromkeys(t.item for t in checkpoint.tensors if t.item)) or 'none'
  return message + (
      f"Its objects are: {others}. If one of them is meant, bind checkpoint_items.{item} = '...'."
  )
