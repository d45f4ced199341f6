"""Which directory does a user mean by EXPORT or PREPROCESSING, and may it be loaded?

A directory, a tar.gz of one, or a handle that tensorflow_hub fetches. Every SavedModel that a user
names passes here, so that a dangerous one is refused before anything loads it.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Sequence

from nlp_export import archives
from nlp_export.errors import RequestError
from nlp_export.saved_models import safety


def is_handle(path: str) -> bool:
  """Whether tensorflow_hub has to fetch it: http(s) URLs; gs:// is a file system."""
  return path.startswith(('http://', 'https://'))


def resolved(path: str, allowed_ops: Sequence[str] = ()) -> str:
  """The directory of a SavedModel that is safe to load.

  Args:
    path: a directory, local or remote; a .tar.gz, which is unpacked; or a handle, which
      tensorflow_hub fetches.
    allowed_ops: operations that its graph may hold whatever they do, see safety.refuse_dangerous.

  Returns:
    the path itself, or where its content has been put on this machine.

  Raises:
    RequestError: there is none, it cannot be fetched, or it does more than compute.
  """
  if is_handle(path):
    found = _fetched(path)
  elif archives.is_archive(path):
    found = archives.unpacked(path)
  else:
    found = path
  safety.refuse_dangerous(found, allowed_ops)
  return found


def _fetched(handle: str) -> str:
  """Where tensorflow_hub has put what a handle names, or had put it before."""
  import tensorflow_hub

  try:
    return str(tensorflow_hub.resolve(handle))
  except (OSError, EOFError, ValueError, tarfile.TarError, zlib.error) as error:
    raise RequestError(
        f'{handle} cannot be fetched: {error}. tensorflow_hub asks its server for a tar.gz. Look '
        'whether the address is right, set TFHUB_CACHE_DIR to a directory that has it, or give the '
        'directory of a copy') from error
