"""Which exit status and which words belong to an exception that ends a run?"""

from __future__ import annotations

import errno
import os
import sys
import traceback

from nlp_export.config import missing_value
from nlp_export.errors import NlpExportError
from nlp_export.file_errors import explained
from nlp_export.running import interrupts

INTERRUPTED = 3
_INTERRUPTED = 'Interrupted. Repeat the command to go on.'
DEFECT = 70

_OF_THE_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)


def explain(error: BaseException, out_dir: str = '') -> tuple[int, str]:
  """The exit status, and the message for the screen.

  Args:
    error: what was raised.
    out_dir: where the run writes, for an error that names no path.
  """
  if isinstance(error, KeyboardInterrupt):
    return INTERRUPTED, _INTERRUPTED
  known = error if isinstance(error, NlpExportError) else missing_value(error)
  if known is None and isinstance(error, OSError) and error.errno in _OF_THE_PLACE:
    known = explained('write', str(error.filename or out_dir or '.'), error.errno)
  # TensorFlow's writers say it in words.
  if known is None and 'No space left on device' in str(error):
    known = explained('write', out_dir or '.', errno.ENOSPC)
  if known is not None:
    return known.exit_status, known.message
  # What a library makes of a KeyboardInterrupt in its midst is nobody's defect.
  if interrupts.received():
    return INTERRUPTED, _INTERRUPTED
  text = str(error).partition('\n')[0].rstrip('.')
  return DEFECT, f'This was not foreseen: {type(error).__name__}: {text}{_place(error)}.'


def _place(error: BaseException) -> str:
  """The last line outside of installed packages and Python itself."""
  library = (os.path.dirname(os.__file__), sys.prefix, '<')
  frames = [f for f in traceback.extract_tb(error.__traceback__)
            if not f.filename.startswith(library)]
  return f' ({frames[-1].filename}, line {frames[-1].lineno})' if frames else ''
