"""How are the arrays of one item read that Orbax wrote? With tensorstore and JSON alone.

Orbax keeps a tree of arrays as zarr arrays in an OCDBT database, both documented formats of
TensorStore (google.github.io/tensorstore), and lists the leaves in `_METADATA`. Read like this an
array comes back as numpy whatever devices it was sharded over, and neither Orbax nor JAX is
imported. What cannot be read is a `DamagedCheckpoint`.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from nlp_export import files
from nlp_export.checkpoints import orbax_layout as layout
from nlp_export.errors import RequestError

if TYPE_CHECKING:
  import numpy as np

_ARRAYS = ('np.ndarray', 'jax.Array', 'scalar')  # Orbax's words for leaves that are arrays.
_READS_AT_ONCE = 4  # Files; more do not read faster from one disk.
# What tensorstore raises for the kinds of damage that were tried, and a JSON file with another
# content than is expected of it.
_ERRORS = (
    ValueError, OSError, KeyError, IndexError, NotImplementedError, TypeError, AttributeError)


class DamagedCheckpoint(RequestError):
  """A step whose files are incomplete, cut short or changed.

  Attributes:
    found: what was found of it, a sentence: what stands between the path and the way on.
  """

  def __init__(self, step: str, found: str, way_on: str):
    self.found = found
    super().__init__(f'Cannot read checkpoint {step}: {found} {way_on}')


@dataclass(frozen=True, eq=False)
class StoredArray:
  """One array of an item, not read yet.

  Attributes:
    path: keys of the nested dict, joined with '/'.
    shape: of the whole array.
    dtype: name: 'float32', 'bfloat16', 'int64' ...
    variable: name of the variable it was, '' if the item does not tell.
    read: returns the value as numpy; raises DamagedCheckpoint.
  """

  path: str
  shape: tuple[int, ...]
  dtype: str
  variable: str
  read: Callable[[], np.ndarray]


def open_arrays(
    item: str, checksums: Mapping[str, int] | None = None
) -> dict[str, StoredArray]:
  """The arrays of an item by path. No values are read.

  Args:
    item: directory such as 'checkpoints/1000/encoder'.
    checksums: path -> CRC-32 (`orbax_layout.checksum`), compared whenever a value is read.

  Raises:
    DamagedCheckpoint: the item is incomplete or damaged.
    RequestError: it lies where its arrays cannot be read.
  """
  import tensorstore as ts

  tree = _read_tree_file(item)
  with _explained(item):
    leaves = _leaves(tree)
    variables = (tree.get('custom_metadata') or {}).get(layout.NAMES_KEY, {})
  context = ts.Context({'file_io_concurrency': {'limit': _READS_AT_ONCE}})
  opening = {
      '/'.join(keys): ts.open(_spec(item, tree, keys), open=True, read=True, context=context)
      for keys in leaves}
  arrays = {}
  for path, future in opening.items():
    with _explained(item, path):
      array = future.result()
    read = partial(_read, array, item, path, (checksums or {}).get(path))
    arrays[path] = StoredArray(
        path, tuple(array.shape), array.dtype.name, variables.get(path, ''), read)
  return arrays


def read_arrays(item: str, checksums: Mapping[str, int] | None = None) -> dict[str, np.ndarray]:
  """All values of an item by path, each of them checked; see `open_arrays`."""
  arrays = open_arrays(item, checksums)
  with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
    values = pool.map(lambda array: array.read(), arrays.values())
    return dict(zip(arrays, values, strict=True))


def read_checksums(step: str) -> dict[str, dict[str, int]]:
  """Item -> path -> CRC-32 as the step's metadata records them, {} if it has none.

  Raises:
    DamagedCheckpoint: the record cannot be read.
  """
  path = files.join(step, layout.METADATA_ITEM, layout.CHECKSUMS_FILE)
  if not files.exists(path):
    return {}
  with _explained(files.dirname(path)):
    return {item: dict(by_path) for item, by_path in _table(path).items()}


def read_json_item(item: str) -> dict[str, Any]:
  """The content of an item that JsonSave wrote ('progress', 'metadata'), {} if it is not there.

  Raises:
    DamagedCheckpoint: it cannot be read.
  """
  path = files.join(item, layout.JSON_FILE)
  if not files.exists(path):
    return {}
  with _explained(item):
    return _table(path)


def check_metadata_files(step: str, metadata: Mapping[str, Any]) -> None:
  """Looks whether vocabulary and configuration of a step are what was saved with it.

  Args:
    step: its directory.
    metadata: JSON of the item of that name.

  Raises:
    DamagedCheckpoint: one of them is not there, or was changed.
  """
  directory = files.join(step, layout.METADATA_ITEM)
  for name, sha256 in (metadata.get(layout.FILES_KEY) or {}).items():
    path = files.join(directory, files.basename(name))
    if not files.exists(path):
      raise refuse_incomplete(step, f'{layout.METADATA_ITEM}/{files.basename(name)}')
    if files.sha256(path) != sha256:
      raise refuse_damaged(directory, f'{files.basename(name)} is not what was saved')


def refuse_damaged(item: str, found: str) -> DamagedCheckpoint:
  """The error for an item whose files were cut short or changed, with the way on."""
  step = files.dirname(item)
  return DamagedCheckpoint(
      step, f'its item {files.basename(item)} was cut short or damaged ({found}).',
      f'Copy its files again, or name {_another(step)}.')


def refuse_incomplete(step: str, missing: str) -> DamagedCheckpoint:
  """The error for a step some of whose files are not there, with the way on."""
  return DamagedCheckpoint(
      step, f'it is incomplete, {missing} is missing.',
      f'Copy it again with all of its files, or name {_another(step)}.')


def _another(step: str) -> str:
  """The finished step before a damaged one, else the one after."""
  root, number = files.dirname(step), layout.step_number(files.basename(step))
  if number is None or not files.is_dir(root):
    return 'another checkpoint'
  others = layout.steps(root)
  others.pop(number, None)
  if not others:
    return 'another checkpoint'
  before = [n for n in others if n < number]
  return files.basename(others[max(before) if before else min(others)])


def _read_tree_file(item: str) -> Mapping[str, Any]:
  path = files.join(item, layout.TREE_FILE)
  if not files.exists(path):
    raise refuse_incomplete(files.dirname(item), f'{files.basename(item)}/{layout.TREE_FILE}')
  with _explained(item):
    tree = _table(path)
  database = files.join(item, layout.DATABASE_FILE)
  if tree.get('use_ocdbt', True) and not files.exists(database):
    raise refuse_incomplete(
        files.dirname(item), f'{files.basename(item)}/{layout.DATABASE_FILE}')
  return tree


def _table(path: str) -> dict[str, Any]:
  values = json.loads(files.read_bytes(path))
  if not isinstance(values, dict):
    raise ValueError(f'{files.basename(path)} holds no table')
  return values


def _leaves(tree: Mapping[str, Any]) -> list[tuple[str, ...]]:
  """The keys of each array; empty branches and strings are no arrays."""
  return [tuple(key['key'] for key in entry['key_metadata'])
          for entry in tree['tree_metadata'].values()
          if entry['value_metadata']['value_type'] in _ARRAYS]


def _spec(item: str, tree: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
  """What tensorstore is told to open."""
  name, place = '.'.join(keys), _place(item)
  if tree.get('use_ocdbt', True):
    store: dict[str, Any] = {'driver': 'ocdbt', 'base': place, 'path': f'{name}/'}
  else:
    store = place | {'path': f'{place["path"]}{name}/'}
  return {
      'driver': 'zarr3' if tree.get('use_zarr3') else 'zarr',
      'kvstore': store,
      # A part of an array that is not there is an error, not zeros, unless zeros were left out.
      'fill_missing_data_reads': not tree.get('store_array_data_equal_to_fill_value', False),
  }


def _place(item: str) -> dict[str, str]:
  """An item's directory in tensorstore's words."""
  if not files.is_remote(item):
    return {'driver': 'file', 'path': os.path.abspath(item) + '/'}
  scheme, _, rest = item.partition('://')
  if scheme != 'gs':
    raise RequestError(
        f'Cannot read the arrays of {item}: what Orbax wrote is read from local disks and from '
        f'gs://, not from {scheme}://. Copy the step to a local directory and name that.')
  bucket, _, path = rest.partition('/')
  return {'driver': 'gcs', 'bucket': bucket, 'path': path.rstrip('/') + '/'}


def _read(array: Any, item: str, path: str, expected: int | None) -> np.ndarray:
  import numpy as np

  with _explained(item, path):
    value = np.asarray(array.read().result())
  if expected is not None and layout.checksum(value) != expected:
    raise refuse_damaged(item, f'{path} does not have the checksum that was saved with it')
  return value


@contextlib.contextmanager
def _explained(item: str, path: str = '') -> Iterator[None]:
  """Turns what tensorstore and json say about damage into a DamagedCheckpoint."""
  try:
    yield
  except DamagedCheckpoint:
    raise
  except _ERRORS as error:
    words = f'{type(error).__name__}: {error}'.partition('\n')[0][:200]
    raise refuse_damaged(item, f'{words}, at {path}' if path else words) from error
