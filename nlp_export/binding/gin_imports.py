"""How is a module that a gin file imports found, and what is said when that fails?

A researcher's own module is found where Python finds it: installed, on PYTHONPATH, or below the
directory that run.py was started in (looked at last, so that it hides nothing installed).
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
import traceback
from collections.abc import Iterable

import gin

from nlp_export.binding import gin_index, gin_names
from nlp_export.errors import NlpExportError, RequestError


def add_working_directory_to_path() -> None:
  """Lets gin files import modules of the working directory, after all installed ones."""
  directory = os.getcwd()
  if directory not in sys.path:
    sys.path.append(directory)


def own_modules(modules: Iterable[str]) -> dict[str, str]:
  """The source file of each imported module that is not of this repository, where it has one."""
  found = {}
  for name in modules:
    path = getattr(sys.modules.get(name), '__file__', None)
    if path and not _is_ours(name):
      found[name] = path
  return found


def import_module(module: str, where: str) -> None:
  """Imports what a gin file names.

  Args:
    module: dotted name.
    where: place of the statement.

  Raises:
    RequestError: there is no such module, or a module of someone else's fails while it loads. A
      failure of our own modules is a defect and passes through.
  """
  try:
    importlib.import_module(module)
  except NlpExportError:
    raise
  except ModuleNotFoundError as error:
    if not _is_prefix(error.name or '', module):
      if _is_ours(module):
        raise
      raise _fails(module, where, error) from error
    suggestion = gin_names.did_you_mean(module, {*gin_index.modules(), *_siblings(module)})
    raise RequestError(
        f'{where}: there is no module {error.name}.{suggestion}' + ('' if suggestion else (
            f' Install its package, or start run.py in the directory that holds '
            f'{module.partition(".")[0]}/'))) from error
  except Exception as error:
    if _is_ours(module):
      raise
    raise _fails(module, where, error) from error


def _siblings(module: str) -> list[str]:
  """The modules beside one that is missing, if its package is there."""
  package = sys.modules.get(module.rpartition('.')[0])
  return [f'{package.__name__}.{found.name}'
          for found in pkgutil.iter_modules(getattr(package, '__path__', ()))] if package else []


def _is_prefix(name: str, module: str) -> bool:
  return bool(name) and (module + '.').startswith(name + '.')


def _is_ours(module: str) -> bool:
  return module.partition('.')[0] in ('nlp_export', 'experiments')


def _fails(module: str, where: str, error: Exception) -> RequestError:
  # The last place outside of the import machinery and of gin: a line that its author can change.
  library = (os.path.dirname(gin.__file__), os.path.dirname(importlib.__file__))
  frames = [f for f in traceback.extract_tb(error.__traceback__)
            if not f.filename.startswith(('<', *library)) and f.filename != __file__]
  place = f' at {frames[-1].filename}:{frames[-1].lineno}' if frames else ''
  return RequestError(f'{where}: importing {module} failed{place}: '
                      f'{type(error).__name__}: {error}. Correct {module}.')
