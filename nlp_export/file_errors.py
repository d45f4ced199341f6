"""Which cause and which cure does a failed file operation name?

An OSError or a tf.errors.OpError becomes a RequestError, whose message a reader can act on.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import tempfile
from collections.abc import Iterator

from nlp_export.errors import RequestError

_CAUSES = {
    errno.ENOSPC: ('the disk is full', 'Free some space or write elsewhere: --out_dir DIR'),
    errno.EDQUOT: ('the quota is used up', 'Free some space or write elsewhere: --out_dir DIR'),
    errno.EACCES: ('permission is denied', 'Change the permissions or name another path'),
    errno.EPERM: ('the operation is not permitted', 'Name another path'),
    errno.EROFS: ('the file system is read-only', 'Write elsewhere: --out_dir DIR'),
    errno.ENOENT: ('there is no such file or directory', 'Check the path'),
    errno.EEXIST: ('something of that name exists', 'Remove it or name another path'),
    errno.ENOTEMPTY: ('the directory is not empty', 'Remove it or name another path'),
    errno.ENOTDIR: ('a part of the path is a file, not a directory', 'Name another path'),
    errno.EISDIR: ('it is a directory, not a file', 'Name a file in it'),
}

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)

# The same for tf.errors, by class name, so that they need no import here.
_REMOTE_ERRNO = {
    'NotFoundError': errno.ENOENT,
    'PermissionDeniedError': errno.EACCES,
    'UnauthenticatedError': errno.EACCES,
    'ResourceExhaustedError': errno.ENOSPC,
    'AlreadyExistsError': errno.EEXIST,
}


@contextlib.contextmanager
def explain_failures(verb: str, path: str) -> Iterator[None]:
  """Turns a file system's error inside the block into a RequestError naming path, cause and cure.

  Use it also around a library's own reading or writing: `with explain_failures('write', p):
  tf.saved_model.save(obj, p)`. Other exceptions pass through.
  """
  try:
    yield
  except OSError as error:
    raise explained(verb, path, error.errno, error.strerror or str(error)) from error
  except Exception as error:
    tensorflow = sys.modules.get('tensorflow')
    if tensorflow is None or not isinstance(error, tensorflow.errors.OpError):
      raise
    code = _REMOTE_ERRNO.get(type(error).__name__)
    if 'No space left on device' in str(error):
      code = errno.ENOSPC
    raise explained(verb, path, code, str(error) or type(error).__name__) from error


def explained(verb: str, path: str, code: int | None, text: str = '') -> RequestError:
  """The RequestError for an errno; `text` stands for the cause where the errno is not known."""
  cause, cure = _CAUSES.get(code or 0, (text, 'Check the path'))
  if code in _NO_SPACE and path.startswith(os.path.join(tempfile.gettempdir(), 'nlp_export_')):
    cure = 'Free some space or have temporary files elsewhere: TMPDIR=DIR'
  return RequestError(f'Cannot {verb} {path}: {cause}. {cure}.')
