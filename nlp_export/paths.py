"""What does a path's text say: has it a scheme, what is its last component?

Pure string functions; nothing here touches a file system. `nlp_export.files` offers them too.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable


def is_remote(path: str) -> bool:
  """True for a path with a scheme (gs://, ram://), which only tf.io.gfile understands."""
  return '://' in path


def join(path: str, *parts: str) -> str:
  """Joins path components; a scheme is kept and its separator is always '/'."""
  return posixpath.join(path, *parts) if is_remote(path) else os.path.join(path, *parts)


def basename(path: str) -> str:
  """The last component; that of 'a/b/' is 'b'."""
  return posixpath.basename(path.rstrip('/'))


def dirname(path: str) -> str:
  """Everything before the last component; '.' for a bare local name."""
  return posixpath.dirname(path.rstrip('/')) or ('/' if path.startswith('/') else '.')


def names_apart(paths: Iterable[str]) -> dict[str, str]:
  """What to call files where no whole path need stand: 'train/data.csv' beside 'dev/data.csv'.

  Args:
    paths: of files.

  Returns:
    Path -> its base name, with as many of its directories as tell it from the others.
  """
  parts = {path: path.split('/') for path in paths}

  def end(path: str, count: int) -> str:
    return '/'.join(parts[path][-count:])

  found = {}
  for path, components in parts.items():
    count = 1
    while count < len(components) and any(
        other != path and end(other, count) == end(path, count) for other in parts):
      count += 1
    found[path] = end(path, count)
  return found
