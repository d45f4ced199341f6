"""Does a name stand for a SavedModel on a disk, or does tensorflow_hub have to fetch it?"""

from __future__ import annotations


def is_handle(path: str) -> bool:
  """Whether tensorflow_hub has to fetch it: http(s) URLs; gs:// is a file system."""
  return path.startswith(('http://', 'https://'))


def resolved(path: str) -> str:
  """A directory: the path itself, or where tensorflow_hub has put what the handle names."""
  if not is_handle(path):
    return path
  import tensorflow_hub

  return str(tensorflow_hub.resolve(path))
