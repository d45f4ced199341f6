"""Which run files and which parts are there (--list)?"""

from __future__ import annotations

import os

from nlp_export import files
from nlp_export.binding import gin_index


def lines() -> list[str]:
  """Run files with the question they open with, then experiments and parts, a line each."""
  found = ['Run files:']
  runs = sorted(files.glob(os.path.join(gin_index.REPO_ROOT, 'gin', 'runs', '*.gin')))
  found += _table([(os.path.relpath(path, gin_index.REPO_ROOT), question(files.read_text(path)))
                   for path in runs])
  found += ['', 'Experiments (import one in a gin file):']
  found += _table([(part.module, part.summary) for part in gin_index.parts()
                   if part.is_experiment])
  found += ['', 'Parts:']
  for module in sorted({part.module for part in gin_index.parts() if not part.is_experiment}):
    found.append(f'  import {module}')
    found += _table([(f'  @{part.selector}', part.summary) for part in gin_index.parts()
                     if part.module == module and not part.is_experiment])
  return found


def question(text: str) -> str:
  """What a run file opens with: its first comment, up to an empty line, as one line."""
  words: list[str] = []
  for line in text.splitlines():
    comment = line.removeprefix('#').strip()
    if not line.startswith('#') or (words and not comment):
      break
    words += comment.split()
  return ' '.join(words)


def _table(rows: list[tuple[str, str]]) -> list[str]:
  width = max((len(name) for name, _ in rows), default=0)
  return [f'  {name:{width}}  {text}'.rstrip() for name, text in rows]
