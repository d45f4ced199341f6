"""Which versions of what produced a run: packages, this repository's state, the machine?"""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping
from typing import Any

from nlp_export.binding import gin_index

# What the results depend on; others follow from these.
_PACKAGES = (
    'nlp-export', 'tensorflow', 'tf-keras', 'tf-models-official', 'tensorflow-text',
    'tensorflow-hub', 'gin-config', 'orbax-checkpoint', 'safetensors', 'sentencepiece', 'numpy')
_GIT_SECONDS = 5.0


def versions() -> dict[str, str]:
  """Version of Python and of each main package that is installed."""
  found = {'python': platform.python_version()}
  for package in _PACKAGES:
    try:
      found[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      continue  # Run from a checkout, or an optional one.
  return found


def machine() -> str:
  """System and processor type."""
  return platform.platform()


@functools.cache
def git_state() -> Mapping[str, Any] | None:
  """`{'commit': hash, 'changed': whether files differ from it}` of this repository.

  Looked at once, when a run begins: the process goes on with the code of that moment, whatever
  is committed until its report is written hours later. None if it is not a git checkout, has no
  commit yet, or git is not installed.
  """
  root = _git('rev-parse', '--show-toplevel')
  commit = _git('rev-parse', 'HEAD')
  # Installed below someone else's checkout, its commit would say nothing.
  if not commit or root != gin_index.REPO_ROOT:
    return None
  return {'commit': commit, 'changed': bool(_git('status', '--porcelain'))}


def _git(*arguments: str) -> str | None:
  try:
    done = subprocess.run(['git', '-C', gin_index.REPO_ROOT, *arguments], capture_output=True,
                          text=True, timeout=_GIT_SECONDS, check=False)
  except (OSError, subprocess.TimeoutExpired):
    return None
  return done.stdout.strip() if done.returncode == 0 else None
