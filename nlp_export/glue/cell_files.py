"""Where does a matrix keep its cells, and how is one read back with nothing taken on trust?

    out_dir/glue/cells/<task>/<pooler>/<arm>/seed_<n>.json         finished cells
    out_dir/glue/predictions/<task>/<pooler>/<arm>/seed_<n>.npz    what they predicted
    out_dir/glue/work/<task>/<pooler>/<arm>/seed_<n>/              unfinished ones: to go on from
    out_dir/glue/claims/<task>/<pooler>/<arm>/seed_<n>/            who works on which

A cell's file is `CellResult.to_json` and three things besides: the complete description that its
config_hash belongs to, how it came about, and a hash of the content. The file appears at once and
whole; the hash is there for what a power cut, a full quota or an editor do to it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from nlp_export import files, names
from nlp_export.errors import RequestError
from nlp_export.file_errors import explain_failures
from nlp_export.glue.cells import Cell, CellResult, belongs_to, canonical_json

GLUE_DIR = 'glue'
CELLS_DIR = f'{GLUE_DIR}/cells'
PREDICTIONS_DIR = f'{GLUE_DIR}/predictions'
WORK_DIR = f'{GLUE_DIR}/work'
CLAIMS_DIR = names.CLAIMS_DIR

_PLACE = re.compile(r'([^/]+)/([^/]+)/([^/]+)/seed_(\d+)\.json')
_MAX_DIFFERENCES = 30


@dataclasses.dataclass(frozen=True)
class StoredCell:
  """The content of a cell's file.

  Attributes:
    result: what came out.
    description: `Cell.description` of the cell that it came from.
    attempt: how many times the cell was tried, failures included.
    wall_seconds: of the last attempt, loading and evaluation included [s].
    content_sha256: of the rest; two attempts differ in it.
  """

  result: CellResult
  description: Mapping[str, Any]
  attempt: int
  wall_seconds: float
  content_sha256: str = ''


def cell_path(out_dir: str, cell: Cell) -> str:
  """Path of a cell's file."""
  return files.join(out_dir, CELLS_DIR, f'{cell.name}.json')


def predictions_file(cell: Cell) -> str:
  """Where a cell's predictions belong, relative to out_dir."""
  return f'{PREDICTIONS_DIR}/{cell.name}.npz'


def work_path(out_dir: str, cell: Cell) -> str:
  """Directory of what an unfinished cell has so far."""
  return files.join(out_dir, WORK_DIR, cell.name)


def write(out_dir: str, cell: Cell, stored: StoredCell) -> None:
  """Stores a cell: readers see the old file, or none, or the whole new one."""
  value = {
      **stored.result.to_json(),
      'description': dict(stored.description),
      'attempt': stored.attempt,
      'wall_seconds': round(stored.wall_seconds, 3),
  }
  files.write_json(cell_path(out_dir, cell), {**value, 'content_sha256': _sha256(value)})


def read(out_dir: str, cell: Cell) -> StoredCell | None:
  """The stored cell, None if there is none yet.

  Raises:
    RequestError: the file is damaged, or comes from another description: with the difference.
  """
  path = cell_path(out_dir, cell)
  if not files.exists(path):
    return None
  stored = _read(out_dir, path)
  check_description(path, stored.description, cell)
  if not belongs_to(stored.result, cell):
    raise _damaged(path, 'its names, seeds or config_hash are not those of its description')
  return stored


def collect(out_dir: str) -> list[CellResult]:
  """Every stored cell below an out_dir, sorted by task, pooler, arm and seed.

  Raises:
    RequestError: a file is damaged or in the wrong place.
  """
  results = []
  for path, place in _cell_files(out_dir):
    result = _read(out_dir, path).result
    if result.name != place:
      raise _damaged(path, f'it holds the cell {result.name}')
    results.append(result)
  return sorted(results, key=lambda r: (r.task, r.pooler, r.arm, r.seed))


def _cell_files(out_dir: str) -> Iterator[tuple[str, str]]:
  root = files.join(out_dir, CELLS_DIR)
  if not files.exists(root):
    return
  for name in files.list_tree(root):
    if any(part.startswith('.') for part in name.split('/')):
      continue  # Half-written by a process that was killed.
    path = files.join(root, name)
    if not _PLACE.fullmatch(name):
      raise RequestError(f'{path} is not the place of a cell, which is <task>/<pooler>/<arm>/'
                         'seed_<n>.json. Remove it')
    yield path, name.removesuffix('.json')


def _read(out_dir: str, path: str) -> StoredCell:
  data = files.read_bytes(path)
  try:
    value = json.loads(data.decode('utf-8'))
  except ValueError as error:
    raise _damaged(path, f'it is not JSON ({len(data)} bytes; {error})') from error
  if not isinstance(value, dict) or 'content_sha256' not in value:
    raise _damaged(path, 'it has no content_sha256')
  digest = value.pop('content_sha256')
  if digest != _sha256(value):
    raise _damaged(path, 'its content does not fit its content_sha256')
  own = {name: value.pop(name, None) for name in ('description', 'attempt', 'wall_seconds')}
  if None in own.values():
    raise _damaged(path, f'it lacks {", ".join(n for n, v in own.items() if v is None)}')
  result = CellResult.from_json(value, path)
  if _sha256(own['description']) != result.config_hash:
    raise _damaged(path, 'its description does not fit its config_hash')
  if result.predictions_file and not files.exists(files.join(out_dir, result.predictions_file)):
    raise _damaged(path, f'its predictions, {result.predictions_file}, are missing')
  return StoredCell(result, content_sha256=digest, **own)


def _damaged(path: str, why: str) -> RequestError:
  return RequestError(f'{path} is damaged: {why}. nlp_export writes such files whole, so the disk, '
                      'a power cut or an editor has changed it. Remove it, and the same command '
                      f'runs the cell again: rm {path}')


def _sha256(value: Any) -> str:
  return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def check_description(path: str, before: Mapping[str, Any], cell: Cell) -> None:
  """Refuses what an earlier run of another configuration left.

  Args:
    path: file or directory, for the message.
    before: the description it belongs to.
    cell: the cell that is asked for now.

  Raises:
    RequestError: with each value that differs.
  """
  if _sha256(before) == cell.config_hash:
    return
  lines = differences(before, cell.description)
  if len(lines) > _MAX_DIFFERENCES:
    lines = [*lines[:_MAX_DIFFERENCES], f'... and {len(lines) - _MAX_DIFFERENCES} more']
  raise RequestError('\n'.join([
      f'{path} comes from another configuration of cell {cell.name}:',
      *(f'  {line}' for line in lines),
      'Give another --out_dir, or another name to the arm; remove the file if it is not needed']))


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
  """'recipe.learning_rate: was 3e-05, is 5e-05' for every value that differs."""
  old, new = dict(_leaves(before)), dict(_leaves(now))
  lines = []
  for name in sorted({*old, *new}):
    if name not in new:
      lines.append(f'{name}: was {old[name]!r}, is not there now')
    elif name not in old:
      lines.append(f'{name}: was not there, is {new[name]!r}')
    elif canonical_json(old[name]) != canonical_json(new[name]):
      lines.append(f'{name}: was {old[name]!r}, is {new[name]!r}')
  return lines


def _leaves(value: Any, name: str = '') -> Iterator[tuple[str, Any]]:
  if isinstance(value, Mapping) and value:
    for key, inner in value.items():
      yield from _leaves(inner, f'{name}.{key}' if name else str(key))
  else:
    yield name, value


def look_again(path: str) -> None:
  """Makes what other machines have done to a file visible here.

  NFS remembers for up to a minute that a file was missing. A change by this machine in the same
  directory ends that, so the question that follows is answered by the server.
  """
  if files.is_remote(path):
    return
  files.make_dirs(files.dirname(path))
  # Named as what `files.remove_stale_staging(path)` removes, should this process be killed here.
  name = f'.{files.basename(path)}.partial-{os.getpid()}-{secrets.token_hex(4)}'
  probe = files.join(files.dirname(path), name)
  with explain_failures('write', probe):
    os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    os.remove(probe)
