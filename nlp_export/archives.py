"""How is a SavedModel taken out of an archive that anybody may have made?

Nothing is written outside the directory that it is unpacked to, links and devices are refused, and
an archive that grows beyond reason while it is unpacked is given up. TF Hub's own client applies
the first two rules.
"""

from __future__ import annotations

import atexit
import gzip
import os
import shutil
import tarfile
import tempfile
import zlib
from typing import Any, BinaryIO

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.file_errors import explain_failures

_SUFFIXES = ('.tar.gz', '.tgz')

# Weights hardly compress; a vocabulary does by 3. What grows 100-fold was made to.
_MOST_GROWTH = 100
_ALWAYS_FINE_BYTES = 64 << 20
_MOST_MEMBERS = 10_000

# Archive and its hash -> where this process has unpacked it.
_UNPACKED: dict[tuple[str, str], str] = {}


def is_archive(path: str) -> bool:
  """Whether a path is that of a packed SavedModel, by its suffix."""
  return path.endswith(_SUFFIXES)


def unpacked(path: str) -> str:
  """The SavedModel's directory in a tar.gz, unpacked for as long as this process runs.

  Args:
    path: a .tar.gz with saved_model.pb at its root (as TF Hub serves them) or in its only
      directory; local or remote.

  Returns:
    a local directory.

  Raises:
    RequestError: the file is no such archive, or a member of it may not be unpacked.
  """
  key = (path, files.sha256(path))
  if key not in _UNPACKED:
    directory = tempfile.mkdtemp(prefix='nlp_export_unpacked_')
    atexit.register(_remove, directory, os.getpid())
    unpack(path, directory)
    _UNPACKED[key] = _root(directory)
  return _UNPACKED[key]


def unpack(path: str, directory: str) -> None:
  """Writes an archive's files below a local directory.

  Args:
    path: a .tar.gz, local or remote.
    directory: an empty directory.

  Raises:
    RequestError: see the module. The directory then holds a part of the files.
  """
  limit = _ALWAYS_FINE_BYTES + _MOST_GROWTH * files.size(path)
  with files.open_binary(path) as f, explain_failures('write', directory):
    _unpack_stream(f, path, directory, limit)


def _unpack_stream(f: BinaryIO, path: str, directory: str, limit: int) -> None:
  try:
    with gzip.open(f) as plain:
      stream = _Limited(plain, limit)
      with tarfile.open(fileobj=stream, mode='r|') as archive:  # type: ignore[call-overload]
        _extract_all(archive, path, directory)
      while stream.read(1 << 16):  # The checksum stands at the end.
        continue
  except _TooLarge as error:
    raise RequestError(
        f'{path} was not unpacked: its content is more than {limit >> 20} MiB, {_MOST_GROWTH} '
        'times its own size, which no SavedModel needs. If it is one all the same, unpack it '
        'yourself and name the directory.') from error
  except (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile) as error:
    raise RequestError(
        f'{path} cannot be unpacked: {error}. Copy it again from where it came from.') from error


def _extract_all(archive: tarfile.TarFile, path: str, directory: str) -> None:
  seen: set[str] = set()
  for member in archive:
    name = os.path.normpath(member.name)
    if not (member.isfile() or member.isdir()):
      raise _refused(path, member.name, 'is neither a file nor a directory')
    if os.path.isabs(member.name) or name.split(os.sep)[0] == os.pardir:
      raise _refused(path, member.name, 'lies outside the directory it is unpacked to')
    if member.isfile() and name in seen:
      raise _refused(path, member.name, 'is there twice')
    seen.add(name)
    if len(seen) > _MOST_MEMBERS:
      raise _refused(path, member.name, f'comes after {_MOST_MEMBERS} others')
    archive.extract(member, directory, set_attrs=False, filter='data')


def _refused(path: str, name: str, why: str) -> RequestError:
  return RequestError(f'{path} was not unpacked: its member {name!r} {why}. No tool writes that '
                      'for a SavedModel. Ask its maker for another one.')


class _TooLarge(Exception):
  """More came out of an archive than it may hold."""


class _Limited:
  """A stream that gives up after a number of bytes."""

  def __init__(self, stream: Any, limit: int):
    self._stream = stream
    self._left = limit

  def read(self, count: int) -> bytes:
    """At most `count` bytes."""
    data = self._stream.read(count)
    self._left -= len(data)
    if self._left < 0:
      raise _TooLarge
    return data


def _root(directory: str) -> str:
  """The directory itself, or the only one in it."""
  names = os.listdir(directory)
  inner = os.path.join(directory, names[0]) if len(names) == 1 else ''
  return inner if os.path.isdir(inner) else directory


def _remove(directory: str, owner: int) -> None:
  if os.getpid() == owner:  # Not in a process forked from it.
    shutil.rmtree(directory, ignore_errors=True)
