"""How are files read and written, whether the path is local or has a scheme (gs://, ram://)?

All file access of the project goes through here. Local paths use the standard library, so that
`run.py --dry_run` needs no TensorFlow; paths with '://' use tf.io.gfile, imported when first met.
A file is written beside its destination and renamed, so a reader never sees half of one; a
directory likewise, with `staging_dir`. An OSError becomes a RequestError that names path and cure.
"""

from __future__ import annotations

import contextlib
import errno
import glob as glob_lib
import hashlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO

from nlp_export.errors import RequestError
from nlp_export.file_errors import explain_failures, explained
from nlp_export.paths import basename, dirname, is_remote, join

_CHUNK_BYTES = 1 << 20


def _gfile() -> Any:
  import tensorflow as tf  # Seconds to import: only for paths that need it.

  return tf.io.gfile


# Looking.


def exists(path: str) -> bool:
  """True if there is a file or directory of that name."""
  return _gfile().exists(path) if is_remote(path) else os.path.exists(path)


def is_dir(path: str) -> bool:
  """True if there is a directory of that name."""
  return _gfile().isdir(path) if is_remote(path) else os.path.isdir(path)


def list_dir(path: str) -> list[str]:
  """Names in a directory, sorted, without path and without a trailing '/'."""
  with explain_failures('list', path):
    names = _gfile().listdir(path) if is_remote(path) else os.listdir(path)
  return sorted(name.rstrip('/') for name in names)


def list_tree(path: str) -> list[str]:
  """Files below a directory as sorted paths relative to it, with '/' between components."""
  found: list[str] = []
  for name in list_dir(path):
    child = join(path, name)
    if is_dir(child):
      found.extend(f'{name}/{inner}' for inner in list_tree(child))
    else:
      found.append(name)
  return sorted(found)


def glob(pattern: str) -> list[str]:
  """Paths that match a shell pattern, sorted."""
  return sorted(_gfile().glob(pattern) if is_remote(pattern) else glob_lib.glob(pattern))


def size(path: str) -> int:
  """Size of a file in bytes."""
  with explain_failures('read', path):
    return _gfile().stat(path).length if is_remote(path) else os.stat(path).st_size


def sha256(path: str) -> str:
  """SHA-256 of a file's bytes, or of a directory's list of relative names and file hashes.

  A directory's hash changes with the name or content of any file in it, and with nothing else.
  """
  digest = hashlib.sha256()
  if is_dir(path):
    for name in list_tree(path):
      digest.update(f'{name}\0{sha256(join(path, name))}\n'.encode())
    return digest.hexdigest()
  with explain_failures('read', path), _open(path, 'rb') as f:
    while chunk := f.read(_CHUNK_BYTES):
      digest.update(chunk)
  return digest.hexdigest()


# Reading.


def _open(path: str, mode: str) -> Any:
  return _gfile().GFile(path, mode) if is_remote(path) else open(path, mode)


def read_bytes(path: str) -> bytes:
  """The whole content of a file."""
  with explain_failures('read', path), _open(path, 'rb') as f:
    return f.read()


def read_head(path: str, count: int) -> bytes:
  """The first `count` bytes of a file, fewer if it is shorter."""
  with explain_failures('read', path), _open(path, 'rb') as f:
    return f.read(count)


@contextlib.contextmanager
def open_binary(path: str) -> Iterator[BinaryIO]:
  """Yields a file's bytes as a stream (read, seek, lines), for what does not fit into memory."""
  with explain_failures('read', path), _open(path, 'rb') as f:
    yield f


def read_text(path: str) -> str:
  """The whole content of a UTF-8 file, line ends as they are. A byte-order mark is kept."""
  data = read_bytes(path)
  try:
    return data.decode('utf-8')
  except UnicodeDecodeError as error:
    raise RequestError(
        f'Cannot read {path} as text: byte {error.start} ({data[error.start]:#04x}) is not UTF-8. '
        'Convert the file to UTF-8 or name another one.'
    ) from error


def read_json(path: str) -> Any:
  """The value in a JSON file."""
  text = read_text(path)
  try:
    return json.loads(text)
  except json.JSONDecodeError as error:
    raise RequestError(
        f'Cannot read {path} as JSON: {error}. Correct that place or name another file.'
    ) from error


@contextlib.contextmanager
def local_copy(path: str) -> Iterator[str]:
  """Yields a local path with the same content and base name, for libraries that need one.

  A local file is yielded as it is; a copy of a remote one is removed when the block ends.
  """
  if not is_remote(path):
    yield path
    return
  with tempfile.TemporaryDirectory(prefix='nlp_export_') as directory:
    local = os.path.join(directory, basename(path))
    copy(path, local)
    yield local


# Writing.


def make_dirs(path: str) -> None:
  """Makes a directory with its parents; does nothing if it exists."""
  with explain_failures('make', path):
    _gfile().makedirs(path) if is_remote(path) else os.makedirs(path, exist_ok=True)


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
  """Yields a path beside `path`; the file that the block writes there becomes `path` at its end.

  For libraries that write. Readers see the old file or the whole new one, after a power cut too:
  some file systems (ext4, XFS) store the name before the bytes if not told. Parents are made.
  """
  with explain_failures('write', path):
    make_dirs(dirname(path))
    temporary = _beside(path)
    try:
      yield temporary
      if not is_remote(path):
        with open(temporary, 'rb') as f:
          os.fsync(f.fileno())
      rename(temporary, path, overwrite=True)
    except BaseException:  # Ctrl-C too: nothing half-written stays.
      remove(temporary, missing_ok=True)
      raise


def write_bytes(path: str, data: bytes) -> None:
  """Writes a whole file, see `replacing`."""
  with replacing(path) as temporary, _open(temporary, 'wb') as f:
    f.write(data)


def write_text(path: str, text: str) -> None:
  """Writes a UTF-8 file, see `write_bytes`."""
  write_bytes(path, text.encode('utf-8'))


def write_json(path: str, value: Any) -> None:
  """Writes a value as JSON with sorted keys: equal values give equal bytes.

  NaN and infinities, which are not JSON, are a ValueError.
  """
  text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
  write_text(path, text + '\n')


def rename(source: str, destination: str, overwrite: bool = False) -> None:
  """Renames a file or directory. An existing destination is refused unless `overwrite`.

  Atomic on a local file system. A remote directory is copied and removed: object stores have no
  directories to rename, and ram:// leaves the files of a renamed one behind (TF 2.20).
  """
  if not overwrite and exists(destination):
    raise explained('write', destination, errno.EEXIST)
  with explain_failures('write', destination):
    if not (is_remote(source) or is_remote(destination)):
      os.replace(source, destination)
    elif is_dir(source):
      copy_tree(source, destination)
      remove_tree(source)
    elif is_remote(source) and is_remote(destination):
      _gfile().rename(source, destination, overwrite=True)
    else:
      copy(source, destination)
      remove(source)


def remove(path: str, missing_ok: bool = False) -> None:
  """Removes a file."""
  if missing_ok and not exists(path):
    return
  with explain_failures('remove', path):
    _gfile().remove(path) if is_remote(path) else os.remove(path)


def remove_tree(path: str) -> None:
  """Removes a directory with all that is in it; does nothing if there is none."""
  if not exists(path):
    return
  if is_remote(path):
    # Last names first: ram:// lists `a.b` in `a` too, where it cannot be removed (TF 2.20).
    for name in reversed(list_dir(path)):
      child = join(path, name)
      if is_dir(child):
        remove_tree(child)
  with explain_failures('remove', path):
    _gfile().rmtree(path) if is_remote(path) else shutil.rmtree(path)


def copy(source: str, destination: str) -> None:
  """Copies a file's bytes over whatever is at the destination."""
  with explain_failures('copy', f'{source} to {destination}'):
    if is_remote(source) or is_remote(destination):
      remove(destination, missing_ok=True)  # ram:// keeps the tail of a longer old file (TF 2.20).
      _gfile().copy(source, destination)
    else:
      shutil.copyfile(source, destination)


def copy_tree(source: str, destination: str, last: str | None = None) -> None:
  """Copies the files below `source`; the one with relative path `last`, a marker, comes last."""
  for name in sorted(list_tree(source), key=lambda name: name == last):
    target = join(destination, name)
    make_dirs(dirname(target))
    copy(join(source, name), target)


# Directories that appear complete or not at all.

# This process's own: in a container a killed run may have had the same process number.
_STAGING: set[str] = set()


def _beside(path: str) -> str:
  name = f'.{basename(path)}.partial-{os.getpid()}-{secrets.token_hex(4)}'
  return join(dirname(path), name)


@contextlib.contextmanager
def staging_dir(destination: str, marker: str | None = None) -> Iterator[str]:
  """Yields an empty directory that becomes `destination` if the block ends well.

  If the block raises, it is removed and nothing is left. Locally the change is one rename; on a
  remote file system the files are copied and the one with relative path `marker` comes last, so a
  reader that waits for the marker never takes half a directory for a whole one.

  Args:
    destination: directory to make; refused if it exists and is not an empty directory.
    marker: relative path of the file whose presence means 'complete'.

  Raises:
    RequestError: the destination exists or cannot be written.
  """
  if exists(destination) and not (is_dir(destination) and not list_dir(destination)):
    raise explained('write', destination, errno.EEXIST)
  make_dirs(dirname(destination))
  remove_stale_staging(destination)
  staging = _beside(destination)
  _STAGING.add(staging)
  try:
    make_dirs(staging)
    yield staging
    if is_remote(destination):
      _publish_remote(staging, destination, marker)
    else:
      rename(staging, destination, overwrite=True)  # Over nothing, or over an empty directory.
  except BaseException:
    remove_tree(staging)
    raise
  finally:
    _STAGING.discard(staging)


def _publish_remote(staging: str, destination: str, marker: str | None) -> None:
  try:
    copy_tree(staging, destination, last=marker)
  except BaseException:
    remove_tree(destination)
    raise
  remove_tree(staging)


def remove_stale_staging(destination: str) -> None:
  """Removes what a killed process left beside a destination; that of a living one stays."""
  prefix = f'.{basename(destination)}.partial-'
  parent = dirname(destination)
  for name in list_dir(parent) if exists(parent) else ():
    path = join(parent, name)
    if name.startswith(prefix) and path.removesuffix('.moved') not in _STAGING and not (
        _is_running(name[len(prefix) :].partition('-')[0])):
      remove_tree(path) if is_dir(path) else remove(path)


def _is_running(pid: str) -> bool:
  if not pid.isdigit() or int(pid) == os.getpid():
    return False
  try:
    os.kill(int(pid), 0)
  except ProcessLookupError:
    return False
  except PermissionError:
    return True  # Another user's process.
  return True
