"""Where does an export lie until it counts?

Beside its destination, under another name, or in a local directory if the destination is remote.
What a failed, interrupted or killed run leaves is removed by itself or by the next one.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator

from nlp_export import files, names

# The file that is written last: a directory that has it is complete.
MARKER = files.join(names.EXTRA_DIR, names.VERIFICATION_FILE)
_BESIDE = re.compile(r'\.(?P<name>.+)\.partial-')


def is_complete(path: str) -> bool:
  """Whether a directory is an export that was written and verified to the end."""
  marker = files.join(path, MARKER)
  return files.exists(marker) and bool(files.read_json(marker)['passed'])


@contextlib.contextmanager
def whole_exports(exports: str) -> Iterator[None]:
  """Before the block, removes what a killed run left half-written; after a failure, empty places.

  Args:
    exports: the directory of a run's exports, which has one for each pooler.
  """
  for place in _places(exports):
    for name in _names_in(place):
      left = _BESIDE.match(name)
      if left:
        files.remove_stale_staging(files.join(place, left['name']))
  _remove_empty(exports)
  try:
    yield
  except BaseException:
    _remove_empty(exports)
    raise


def _places(exports: str) -> list[str]:
  """The directories that hold exports, inner ones first."""
  return [*(files.join(exports, name) for name in _names_in(exports)), exports]


def _remove_empty(exports: str) -> None:
  for place in _places(exports):
    # Object stores have no empty directories.
    if not files.is_remote(place) and files.is_dir(place) and not files.list_dir(place):
      files.remove_tree(place)


def _names_in(path: str) -> list[str]:
  return files.list_dir(path) if files.is_dir(path) else []


@contextlib.contextmanager
def staged(destination: str, work: str, marker: str = MARKER) -> Iterator[str]:
  """A local path to write to; it becomes `destination` if the block ends well.

  Args:
    destination: a SavedModel's directory, or another that is complete when its marker is there.
    work: a local directory that outlives the block, for what goes to a remote destination.
    marker: path in it of the file that is written last.
  """
  if not files.is_remote(destination):
    with files.staging_dir(destination, marker=marker) as beside:
      yield beside
    return
  local = tempfile.mkdtemp(dir=work)
  yield local
  # It lacks the marker, so what lies there is the beginning of a copy that was cut off.
  files.remove_tree(destination)
  try:
    files.copy_tree(local, destination, last=marker)
  except BaseException:
    files.remove_tree(destination)
    raise
