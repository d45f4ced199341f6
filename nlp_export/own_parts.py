"""What is said when a part that a researcher wrote fails, and when one of ours does?

A failure in someone's own pooler, encoder or tokenizer is theirs to correct (RequestError, with
the line); the same in a part of this repository is a defect, and passes through.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
import traceback
from collections.abc import Iterator
from typing import Any

from nlp_export import config
from nlp_export.errors import NlpExportError, RequestError
from nlp_export.paths import dirname

_OURS = ('nlp_export', 'experiments')


@contextlib.contextmanager
def explain_part(part: Any, what: str) -> Iterator[None]:
  """Turns an exception of someone's own part into a RequestError that names part and line.

  Args:
    part: the function or object whose code runs in the block.
    what: what it is called in the message: 'Pooler mean'.
  """
  try:
    yield
  except NlpExportError:
    raise
  except Exception as error:
    module = _module(part)
    if module.partition('.')[0] in _OURS or config.missing_value(error) is not None:
      raise
    # Gin adds 'In call to configurable ...' behind the text.
    text = str(error).strip().partition('\n')[0].rstrip('.')
    raise RequestError(
        f'{what} raised {type(error).__name__}: {text}{_place(error, module)}. '
        'Correct it there; --debug shows the traceback.') from error


def _module(part: Any) -> str:
  """Dotted name of the module that defines a function, or the class of an object."""
  while isinstance(part, functools.partial):
    part = part.func
  if not inspect.isroutine(part):
    part = type(part)
  return str(getattr(inspect.unwrap(part), '__module__', ''))


def _place(error: Exception, module: str) -> str:
  """The last line in the package of the part, of what its code went through."""
  package, _, inner = module.partition('.')
  file = str(getattr(sys.modules.get(package), '__file__', None) or '')
  own = f'{dirname(file)}/' if inner or file.endswith('/__init__.py') else file
  frames = traceback.extract_tb(error.__traceback__)
  mine = [f for f in frames if file and f.filename.startswith(own)] or frames
  return f' ({mine[-1].filename}, line {mine[-1].lineno})'
