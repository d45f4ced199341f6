"""What does a path's text say: has it a scheme, what is its last component?

Pure string functions; nothing here touches a file system. `nlp_export.files` offers them too.
"""

from __future__ import annotations

import os
import posixpath


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
