"""Which exit status and which words belong to an exception that ends a run?"""

from __future__ import annotations

import errno
import os
import sys
import traceback

from nlp_export.config import explain_missing_values
from nlp_export.errors import NlpExportError
from nlp_export.file_errors import explained

INTERRUPTED = 3
DEFECT = 70

_OF_THE_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)


def explain(error: BaseException, out_dir: str = '') -> tuple[int, str]:
  """The exit status, and the message for the screen.

  Args:
    error: what was raised.
    out_dir: where the run writes, for an error that names no path.
  """
  if isinstance(error, KeyboardInterrupt):
    return INTERRUPTED, 'Interrupted. Repeat the command to go on.'
  try:
    # Gin's own words for a part that lacks a value are a mistake in the request.
    with explain_missing_values():
      raise error
  except NlpExportError as known:
    return known.exit_status, known.message
  except OSError as place:
    if place.errno in _OF_THE_PLACE:
      found = explained('write', str(place.filename or out_dir or '.'), place.errno)
      return found.exit_status, found.message
    return DEFECT, _defect(place)
  except Exception as other:
    # TensorFlow's writers say it in words.
    if 'No space left on device' in str(other):
      found = explained('write', out_dir or '.', errno.ENOSPC)
      return found.exit_status, found.message
    return DEFECT, _defect(other)


def _defect(error: Exception) -> str:
  text = str(error).partition('\n')[0]
  return (f'This was not foreseen: {type(error).__name__}: {text}{_place(error)}.')


def _place(error: Exception) -> str:
  """The last line outside of installed packages and Python itself."""
  library = (os.path.dirname(os.__file__), sys.prefix, '<')
  frames = [f for f in traceback.extract_tb(error.__traceback__)
            if not f.filename.startswith(library)]
  return f' ({frames[-1].filename}, line {frames[-1].lineno})' if frames else ''
