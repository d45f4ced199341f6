"""--list shows every run file and every part, each with its line."""

from __future__ import annotations

import importlib
import os

from nlp_export.binding import gin_index, gin_names
from nlp_export.running import listing


def test_the_question_is_the_first_paragraph_of_comments():
  assert listing.question('# Does it,\n# really?\n#\n# Cost: 3 s\nimport x\n') == 'Does it, really?'
  assert listing.question('#\n# Later?\n') == 'Later?'
  assert listing.question('import x\n# No.\n') == ''


def test_every_run_file_is_listed_with_a_question():
  runs = os.path.join(gin_index.REPO_ROOT, 'gin', 'runs')
  lines = listing.lines()
  for name in os.listdir(runs):
    line = next(line for line in lines if line.split()[:1] == [f'gin/runs/{name}'])
    assert '?' in line, f'{name} opens with no question'


def test_the_index_agrees_with_what_the_modules_register():
  parts = gin_index.parts()
  for module in {part.module for part in parts}:
    importlib.import_module(module)
  registered = {s for s in gin_names.selectors()
                if gin_names.function(s).__module__.startswith(('nlp_export.', 'experiments.'))}
  assert {part.selector for part in parts} == registered
  assert all(part.summary for part in parts)
