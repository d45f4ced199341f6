"""Is this the Python that the project was installed for? Imported by run.py before all else.

Without gin-config the folder gin/ of this repository is found in its place, and the error would
speak of a name that it lacks. Needs the standard library alone.
"""

from __future__ import annotations

import importlib.util
import pathlib
import sys

_ROOT = pathlib.Path(__file__).resolve().parent.parent
_OLDEST = (3, 11)


def explained() -> str:
  """What is missing and the line to write; '' if nothing is."""
  version = '.'.join(str(number) for number in sys.version_info[:3])
  if sys.version_info[:2] < _OLDEST:
    return f'{sys.executable} is Python {version}; nlp_export needs 3.11 to 3.13. {_remedy()}'
  if importlib.util.find_spec('gin.config') is None:
    return f'{sys.executable} has no gin-config, nlp_export was not installed for it. {_remedy()}'
  return ''


def _remedy() -> str:
  made = _ROOT / '.venv' / 'bin' / 'activate'
  if made.exists():
    return f'Activate the one that has it: source {made}'
  return f'Make an environment that has all it needs, then activate it: make -C {_ROOT} run'


if found := explained():
  print(found, file=sys.stderr)
  sys.exit(2)
