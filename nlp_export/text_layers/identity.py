"""Is a SavedModel still the one that a layer was saved with, and where is it now?

A layer is saved with the values of its variables, and with the name of the SavedModel that has the
function they go through. So the function must be the same when the layer comes back.
"""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.text_layers.settings import as_string

GRAPH = 'graph_sha256'
VALUES = 'values_sha256'

_MOVED: contextvars.ContextVar[Mapping[str, str] | None] = contextvars.ContextVar(
    'moved_exports', default=None)


@contextlib.contextmanager
def moved_exports(places: Mapping[Any, Any]) -> Iterator[None]:
  """Layers that are rebuilt inside find their SavedModels at other places.

  Args:
    places: the path or handle in a layer's config -> the path or handle of the same SavedModel now;
      strings or path objects.
  """
  told = {as_string(before): as_string(now) for before, now in places.items()}
  token = _MOVED.set({**(_MOVED.get() or {}), **told})
  try:
    yield
  finally:
    _MOVED.reset(token)


def present_place(handle: str) -> str:
  """Where a SavedModel is now, by `moved_exports`."""
  return (_MOVED.get() or {}).get(handle, handle)


def of_export(directory: str) -> dict[str, str]:
  """What tells one SavedModel from another.

  Args:
    directory: of the SavedModel; may be remote.

  Returns:
    GRAPH: SHA-256 over saved_model.pb and all of assets/: the function. VALUES: over the index of
    its variables, which has a checksum of each value.
  """
  graph = files.join(directory, 'saved_model.pb')
  digest = hashlib.sha256(files.read_bytes(graph))
  assets = files.join(directory, 'assets')
  if files.is_dir(assets):
    for name in files.list_tree(assets):
      digest.update(f'\0{name}\0{files.sha256(files.join(assets, name))}'.encode())
  index = files.join(directory, 'variables', 'variables.index')
  return {GRAPH: digest.hexdigest(), VALUES: files.sha256(index) if files.exists(index) else ''}


def check(handle: str, expected: Mapping[str, str], found: Mapping[str, str]) -> None:
  """Refuses another function than at the time of saving; warns of other values.

  Args:
    handle: the SavedModel's, for the messages.
    expected: of `of_export`, in the layer's config.
    found: of `of_export`, now.

  Raises:
    RequestError: it is another graph, or has other assets.
  """
  if expected[GRAPH] != found[GRAPH]:
    raise RequestError(
        f'{handle} has another graph or other assets than when this layer was saved (SHA-256 '
        f'{found[GRAPH][:12]} now, {expected[GRAPH][:12]} then), so the saved weights would go '
        'through another function. Put the SavedModel of that time back, or say where it is now: '
        f'with nlp_export.text_layers.identity.moved_exports({{{handle!r}: ...}})')
  if expected[VALUES] != found[VALUES]:
    warnings.warn(
        f'The values of the variables in {handle} are others than when this layer was saved. '
        'Loading the model or its weights brings the saved ones back; a model that is rebuilt from '
        'its JSON alone starts with the new ones.', stacklevel=2)
