"""Why could a checkpoint not be written, and what helps?

TensorStore puts the system's error into words, without its number; what writes plain files raises
an OSError.
"""

from __future__ import annotations

import errno
import os

from nlp_export import file_errors, files
from nlp_export.errors import RequestError

# What TensorStore's and gRPC's messages say -> errno.
_WORDS = {
    'No space left on device': errno.ENOSPC,
    'Disk quota exceeded': errno.EDQUOT,
    'File too large': errno.EFBIG,
    'Permission denied': errno.EACCES,
    'Read-only file system': errno.EROFS,
    'RESOURCE_EXHAUSTED': errno.ENOSPC,
    'PERMISSION_DENIED': errno.EACCES,
}


def absolute(root: str) -> str:
  """A path as Orbax wants it."""
  return root if files.is_remote(root) else os.path.abspath(root)


def explain(error: BaseException, root: str, step: int, latest: int | None) -> RequestError:
  """The error to raise when a save has failed.

  Args:
    error: from Orbax.
    root: directory of the checkpoints.
    step: that was being saved.
    latest: the newest whole step.
  """
  cause = _cause(error, files.join(root, str(step))).message
  if latest is None:
    kept = 'No checkpoint was finished before it: the same command starts from the beginning'
  else:
    kept = f'The checkpoints before it are whole: the same command goes on from step {latest}'
  return RequestError(f'{cause} {kept}.')


def _cause(error: BaseException, path: str) -> RequestError:
  text, code = _texts(error), getattr(error, 'errno', None)
  code = code or next((code for words, code in _WORDS.items() if words in text), None)
  if code == errno.EFBIG:
    return RequestError(
        f'Cannot write {path}: a file would be larger than this process may write. Raise the limit '
        '(ulimit -f).')
  return file_errors.explained('write', path, code, text.partition('\n')[0].rstrip('.')[:300])


def _texts(error: BaseException | None) -> str:
  """The messages of an error and of what caused it."""
  texts = []
  while error is not None:
    texts.append(str(error) or type(error).__name__)
    error = error.__cause__ or error.__context__
  return '\n'.join(texts)
