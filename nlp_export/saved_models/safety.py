"""May a SavedModel of anybody be loaded: does its graph do nothing but compute?

A graph is a program. It can write files, call back into Python and read what lies on this disk;
loading alone runs its initialisers. Everything in the file is looked at, called or not: the call
functions with all that they call, signatures, initialisers. What only the saver runs may read and
write checkpoints under the name that the saver is given.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.saved_models import op_effects

if TYPE_CHECKING:
  from nlp_export.saved_models.graph_walk import Graph, Walk

GRAPH_FILE = 'saved_model.pb'
# Other readers take these instead, so that what was looked at is not what they load.
_OTHER_GRAPH_FILES = ('saved_model.pbtxt', 'saved_model.cpb')
_MOST_LINES = 5


@dataclasses.dataclass(frozen=True)
class Danger:
  """One operation that does more than compute.

  Attributes:
    op: its type.
    place: node and function.
    effect: what it does, as in 'writes files'.
  """

  op: str
  place: str
  effect: str


def refuse_dangerous(path: str, allowed_ops: Sequence[str] = ()) -> None:
  """Raises unless a SavedModel can be loaded and called without harm. Nothing of it is run.

  Args:
    path: a directory with saved_model.pb, local or remote.
    allowed_ops: types of operations that may be there whatever they do, such as ('ReadFile',).

  Raises:
    RequestError: it is no SavedModel, or it holds operations that write files, run Python, read
      outside its assets, reach other machines or are unknown, and are not allowed by name.
  """
  if isinstance(allowed_ops, str):
    raise RequestError(
        f'ALLOWED_OPS is {allowed_ops!r}, a string. It is a tuple of names of operations: write '
        f'--set ALLOWED_OPS="(\'{allowed_ops}\',)"')
  require_saved_model(path)
  for name in _OTHER_GRAPH_FILES:
    if files.exists(files.join(path, name)):
      raise RequestError(
          f'{path} was not loaded: it holds {GRAPH_FILE} and {name}, and which of the two is read '
          f'depends on the reader. Remove {name} if it is not needed.')
  found, outside = _findings(_parsed_key(path))
  if outside:
    raise RequestError(
        f'{path} was not loaded: it names {outside[0]!r} as an asset, which lies outside its '
        'directory assets/. No tool writes that. Ask its maker for another one.')
  found = tuple(danger for danger in found if danger.op not in allowed_ops)
  if found:
    raise RequestError(_message(path, found, allowed_ops))


def require_saved_model(path: str) -> None:
  """Raises RequestError unless a directory holds saved_model.pb."""
  if not files.is_dir(path):
    raise RequestError(f'There is no SavedModel at {path}: no such directory. Name the directory '
                       f'that holds {GRAPH_FILE}.')
  if not files.exists(files.join(path, GRAPH_FILE)):
    raise RequestError(f'{path} is no SavedModel: it holds no {GRAPH_FILE}. Name the directory '
                       f'that holds {GRAPH_FILE}.')


def dangers(saved_model: Any) -> Iterator[Danger]:
  """The operations of a SavedModel proto that do more than compute."""
  from nlp_export.saved_models.graph_walk import Walk

  for meta_graph in saved_model.meta_graphs:
    walk = Walk(meta_graph)
    yield from (Danger(op, place, 'stands there under a name that is taken, so that readers may '
                       'differ in what they run') for op, place in walk.repeated())
    for graph in walk.graphs():
      for node in graph.nodes.values():
        effect = _effect(walk, graph, node)
        if effect:
          yield Danger(node.op, f'node {node.name} of {graph.title}', effect)


def _effect(walk: Walk, graph: Graph, node: Any) -> str:
  from nlp_export.saved_models.graph_walk import data_inputs

  if node.op in walk.functions and not op_effects.is_known(node.op):
    return ''  # A call; the function is looked into by itself.
  inputs = data_inputs(node)
  if node.op in op_effects.SAVER_PATHS and walk.belongs_to_saver(graph, node):
    positions = op_effects.SAVER_PATHS[node.op]
    given = all(walk.extends_saver_name(graph, inputs[i]) for i in positions)
    return '' if given else 'saves or restores under another name than the saver is given'
  if node.op in op_effects.READ_PATHS:
    positions = op_effects.READ_PATHS[node.op]
    origins = set().union(*(walk.origins(graph, inputs[i]) for i in positions))
    return _reading(origins)
  if node.op in op_effects.CACHE_PATHS:
    origins = walk.origins(graph, inputs[op_effects.CACHE_PATHS[node.op]])
    return '' if origins == {"the constant ''"} else 'writes files'
  return op_effects.effect(node)


def _reading(origins: Iterable[str]) -> str:
  from nlp_export.saved_models.graph_walk import ASSET

  others = sorted(set(origins) - {ASSET})
  if not others:
    return ''
  return f'reads a file that is none of its assets: its name comes from {others[0]}'


def _message(path: str, found: Sequence[Danger], allowed_ops: Sequence[str]) -> str:
  lines = [f'  {danger.op} {danger.effect} ({danger.place})'
           for danger in found[:_MOST_LINES]]
  if len(found) > _MOST_LINES:
    lines.append(f'  and {len(found) - _MOST_LINES} more')
  needed = tuple(dict.fromkeys([*allowed_ops, *(danger.op for danger in found)]))
  shown = repr(needed)
  return '\n'.join([
      f'{path} was not loaded: its graph does more than compute.', *lines,
      'A SavedModel runs with the rights of whoever loads it. If you know what it does and trust '
      f'its maker, allow that by name: --set ALLOWED_OPS="{shown}", or from Python '
      f'allowed_ops={shown}.'])


@dataclasses.dataclass(frozen=True)
class _Key:
  """A directory, and what tells whether its graph is still the one that was looked at."""

  path: str
  sha256: str


def _parsed_key(path: str) -> _Key:
  return _Key(path, files.sha256(files.join(path, GRAPH_FILE)))


@functools.lru_cache(maxsize=64)
def _findings(key: _Key) -> tuple[tuple[Danger, ...], tuple[str, ...]]:
  """Dangers, and names of assets that lie outside. Kept: one export is resolved many times."""
  from google.protobuf.message import DecodeError
  from tensorflow.core.protobuf import saved_model_pb2

  from nlp_export.saved_models.graph_walk import asset_files

  try:
    saved_model = saved_model_pb2.SavedModel.FromString(
        files.read_bytes(files.join(key.path, GRAPH_FILE)))
  except DecodeError as error:
    raise RequestError(
        f'{key.path} is no SavedModel: its {GRAPH_FILE} cannot be read ({error}). Copy it again '
        'from where it came from.') from error
  if not saved_model.meta_graphs:
    raise RequestError(f'{key.path} is no SavedModel: its {GRAPH_FILE} holds no graph. Copy it '
                       'again from where it came from.')
  outside = [asset.filename for meta_graph in saved_model.meta_graphs
             for asset in asset_files(meta_graph) if _leaves(asset.filename)]
  return tuple(dangers(saved_model)), tuple(outside)


def _leaves(name: str) -> bool:
  """Whether a relative name leads out of the directory that it is relative to."""
  normal = os.path.normpath(name)
  return (not name or '://' in name or os.path.isabs(normal)
          or normal.split(os.sep)[0] == os.pardir)
