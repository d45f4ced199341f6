"""Which objects of a TF2 checkpoint are the encoder, its heads, the optimizer?

Forms that are understood (conformance.md 5.2): `encoder=`, `model=encoder`,
`**pretrainer.checkpoint_items`, a trainer's (`model=pretrainer, optimizer=, global_step=,
**items`), `model=pretrainer`, `pretrainer=pretrainer`, and `save_weights` of an encoder or a
pretrainer.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nlp_export import names
from nlp_export.checkpoints.checkpoint import COUNTER, HEAD, ITEM, OPTIMIZER, OTHER, UNREACHABLE
from nlp_export.errors import RequestError

_ROOT = 0
_CONTAINERS = ('model', 'pretrainer', names.ENCODER)
# How models call their encoder: BertPretrainerV2, and TF-NLP's task models.
_ENCODER_EDGES = ('encoder_network', names.ENCODER, '_network')
_OPTIMIZER_EDGE = re.compile(r'^_?(\w+_)?optimizer$')
# Edges by position ('layer_with_weights-4'): the same weight has another one in another network.
POSITIONAL_EDGE = re.compile(r'^layer(_with_weights)?-\d+$')
_COUNTER_NAMES = ('global_step', 'save_counter', 'iter', 'iterations', '_iterations')


class Objects:
  """The stored objects by number; 0 is the root."""

  def __init__(self, graph: Any):
    self._nodes = graph.nodes
    self._children = [{c.local_name: c.node_id for c in node.children} for node in graph.nodes]
    self.optimizers = self._find_optimizers()

  def children(self, index: int) -> dict[str, int]:
    return self._children[index]

  def full_name(self, index: int) -> str:
    """The name of a variable, '' for another object."""
    return next((a.full_name for a in self._nodes[index].attributes), '')

  def paths(self, root: int, prefix: str, avoid: Iterable[int] = ()) -> dict[int, str]:
    """Object -> a path to it from `root`; edges by position only where there is no other."""
    found = {root: prefix}
    near = deque([root])
    far: deque[tuple[int, str]] = deque()
    avoid = set(avoid)
    while near or far:
      if near:
        index = near.popleft()
      else:
        index, path = far.popleft()
        if index in found:
          continue
        found[index] = path
      for edge, child in self._children[index].items():
        if child in found or child in avoid:
          continue
        path = f'{found[index]}/{edge}'.lstrip('/')
        if POSITIONAL_EDGE.match(edge):
          far.append((child, path))
        else:
          found[child] = path
          near.append(child)
    return found

  def slots(self) -> set[int]:
    """Variables that an optimizer keeps for others (Adam's m and v)."""
    return {s.slot_variable_node_id for node in self._nodes for s in node.slot_variables}

  def _find_optimizers(self) -> set[int]:
    by_slots = {i for i, node in enumerate(self._nodes) if node.slot_variables}
    by_edge = {
        child
        for children in self._children
        for edge, child in children.items()
        if _OPTIMIZER_EDGE.match(edge)
    }
    return by_slots | by_edge


@dataclass(frozen=True)
class Owner:
  group: str
  item: str = ''
  path: str = ''


@dataclass
class Layout:
  """Where things lie: canonical item name -> object, and an owner for each object."""

  roots: dict[str, int]
  stored_names: dict[str, str]
  aliases: dict[str, str]
  owners: dict[int, Owner] = field(default_factory=dict)

  def owner(self, index: int, shape: Iterable[int], dtype: str, attribute: str) -> Owner:
    """The owner of one value; counters and states are told by what they are."""
    owner = self.owners.get(index, Owner(UNREACHABLE))
    if owner.group == OPTIMIZER:
      return owner
    name = owner.path.rpartition('/')[2]
    is_weight = dtype.startswith(('float', 'bfloat')) and attribute == 'VARIABLE_VALUE'
    if not is_weight or name in _COUNTER_NAMES or '/metrics/' in f'/{owner.path}/':
      return Owner(COUNTER, owner.item, owner.path)
    return owner


def find_items(objects: Objects, name: str, item_names: Mapping[str, str]) -> Layout:
  """Finds items and owners.

  Args:
    objects: of the checkpoint.
    name: of the checkpoint, for messages.
    item_names: canonical item ('encoder', 'next_sentence.pooler_dense') or head
      ('next_sentence') -> what the file calls it.

  Raises:
    RequestError: a name of `item_names` is not in the file.
  """
  root = objects.children(_ROOT)
  containers = [_ROOT] + [root[c] for c in _CONTAINERS if c in root]
  found: dict[str, int] = {}
  stored: dict[str, str] = {}

  encoder = _encoder(objects, root, containers)
  if encoder is not None:
    found[names.ENCODER], stored[names.ENCODER] = encoder
  masked_lm = _masked_lm(objects, root, containers, found.get(names.ENCODER))
  if masked_lm is not None:
    found[names.MASKED_LM], stored[names.MASKED_LM] = masked_lm
  for head, (index, path) in _heads(objects, root, containers).items():
    found[head], stored[head] = index, path
  aliases = _rename(objects, found, stored, name, item_names)

  layout = Layout(found, stored, aliases)
  layout.owners = _owners(objects, layout.roots, root)
  return layout


def _is_encoder(children: Mapping[str, int]) -> bool:
  return '_embedding_layer' in children or 'embedding_layer' in children


def _encoder(
    objects: Objects, root: Mapping[str, int], containers: list[int]
) -> tuple[int, str] | None:
  # A converter's `encoder=pretrainer` comes through the containers too.
  if names.ENCODER in root and 'encoder_network' not in objects.children(root[names.ENCODER]):
    return root[names.ENCODER], names.ENCODER
  for container in containers:
    children = objects.children(container)
    for edge in _ENCODER_EDGES:
      inner = children.get(edge)
      if inner is not None and (edge == 'encoder_network' or _is_encoder(objects.children(inner))):
        return inner, _container_path(root, container, edge)
  for container in containers:
    children = objects.children(container)
    if _is_encoder(children) or any(POSITIONAL_EDGE.match(edge) for edge in children):
      return container, _container_path(root, container, '')
  return None


def _masked_lm(
    objects: Objects, root: Mapping[str, int], containers: list[int], encoder: int | None
) -> tuple[int, str] | None:
  if names.MASKED_LM in root:
    return root[names.MASKED_LM], names.MASKED_LM
  for container in containers:
    children = objects.children(container)
    # Only the head of this very encoder: ELECTRA's model holds that of its generator.
    own = encoder is not None and encoder in [children.get(edge) for edge in _ENCODER_EDGES]
    if own and names.MASKED_LM in children:
      return children[names.MASKED_LM], _container_path(root, container, names.MASKED_LM)
  return None


def _heads(
    objects: Objects, root: Mapping[str, int], containers: list[int]
) -> dict[str, tuple[int, str]]:
  """Dense layers of classification heads: 'next_sentence.pooler_dense' -> object, stored name."""
  found = {
      edge: (child, edge)
      for edge, child in root.items()
      if '.' in edge and 'kernel' in objects.children(child)
  }
  taken = {child for child, _ in found.values()}
  for container in containers:
    heads = objects.children(container).get('classification_heads')
    for number, head in objects.children(heads).items() if heads is not None else ():
      dense = objects.children(head).get('dense')
      if dense is None or dense in taken or 'kernel' not in objects.children(dense):
        continue
      # Only the variables know what the head is called: bert/next_sentence/pooler_dense/kernel.
      parts = objects.full_name(objects.children(dense)['kernel']).split('/')
      path = _container_path(root, container, f'classification_heads/{number}/dense')
      found['.'.join(parts[-3:-1]) if len(parts) >= 3 else path] = (dense, path)
      taken.add(dense)
  return found


def _container_path(root: Mapping[str, int], container: int, edge: str) -> str:
  name = next((name for name, index in root.items() if index == container), '')
  return f'{name}/{edge}'.strip('/') or '(root)'


def _rename(
    objects: Objects,
    found: dict[str, int],
    stored: dict[str, str],
    name: str,
    item_names: Mapping[str, str],
) -> dict[str, str]:
  """Applies `item_names` to what was found, in place; returns name in the file -> canonical."""
  aliases: dict[str, str] = {}
  for canonical, wanted in item_names.items():
    heads = [item for item in found if item.startswith(wanted + '.')]
    index = _lookup(objects, wanted)
    if heads and '.' not in canonical:
      for item in heads:
        new = canonical + item[len(wanted) :]
        found[new], stored[new] = found.pop(item), stored.pop(item)
        aliases[item] = new
    elif wanted in found and index is None:
      found[canonical], stored[canonical] = found.pop(wanted), stored.pop(wanted)
      aliases[wanted] = canonical
    elif index is not None:
      for item in [item for item, at in found.items() if at == index]:
        del found[item], stored[item]
        aliases[item] = canonical
      found[canonical], stored[canonical] = index, wanted
    else:
      known = [*objects.children(_ROOT), *(item for item in found if '.' in item)]
      raise RequestError(
          f"checkpoint_items says that '{canonical}' is called '{wanted}', but {name} has nothing "
          f'of that name (it has: {", ".join(dict.fromkeys(known))}). Correct '
          f'checkpoint_items.{canonical}.'
      )
  return aliases


def _lookup(objects: Objects, wanted: str) -> int | None:
  """The object at a name of the root, or at a path such as 'model/encoder_network'."""
  if wanted in objects.children(_ROOT):
    return objects.children(_ROOT)[wanted]
  index: int | None = _ROOT
  for edge in wanted.split('/'):
    index = objects.children(index).get(edge) if index is not None else None
  return index


def _owners(
    objects: Objects, roots: Mapping[str, int], root: Mapping[str, int]
) -> dict[int, Owner]:
  owners: dict[int, Owner] = {}

  def claim(index: int, prefix: str, group: str, item: str, avoid: Iterable[int] = ()) -> None:
    for at, path in objects.paths(index, prefix, avoid).items():
      owners.setdefault(at, Owner(group, item, path))

  order = [i for i in (names.ENCODER, names.MASKED_LM) if i in roots]
  order += [i for i in roots if i not in order]
  for item in order:
    group = HEAD if '.' in item else ITEM
    claim(roots[item], item, group, item, objects.optimizers)
  for index in objects.slots():
    owners.setdefault(index, Owner(OPTIMIZER, 'optimizer', 'slot'))
  for edge, index in root.items():
    if index in objects.optimizers:
      continue
    is_model = edge in _CONTAINERS and index not in owners
    if is_model or 'encoder_network' in objects.children(index):
      for at, path in objects.paths(index, edge, objects.optimizers).items():
        part = '/'.join(path.split('/')[:2])  # 'model/classification_heads'
        owners.setdefault(at, Owner(HEAD, part, path))
    claim(index, edge, OTHER, edge, objects.optimizers)
  for index in objects.optimizers:
    claim(index, 'optimizer', OPTIMIZER, 'optimizer')
  return owners
