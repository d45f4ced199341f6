"""docs/: every page is in the index, every part on an API page, and Sphinx has no complaint."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nlp_export.binding import gin_index

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / 'docs'
TOCTREE = re.compile(r'```\{toctree\}\n(?::.*\n)*\n((?:[\w/-]+\n)+)```')


def listed(page: Path) -> list[str]:
  """What the toctrees of a page name."""
  return [name for block in TOCTREE.findall(page.read_text()) for name in block.split()]


@pytest.mark.parametrize('index', ['index.md', 'api/index.md'])
def test_the_index_lists_every_page_once(index):
  page = DOCS / index
  pages = {other.stem for other in page.parent.glob('*.md')} - {'index'}
  names = [name for name in listed(page) if name != 'api/index']
  assert len(names) == len(set(names))
  lost, dead = pages - set(names), set(names) - pages
  assert not lost and not dead, f'put {sorted(lost)} into a toctree of docs/{index}'


def documented() -> set[str]:
  return {module for page in (DOCS / 'api').glob('*.md')
          for module in re.findall(r'^\.\. automodule:: (\S+)$', page.read_text(), re.M)}


def test_the_api_pages_have_every_module_that_a_gin_file_can_name():
  registering = {part.module for part in gin_index.parts()}
  assert len(registering) > 20
  missing = sorted(registering - documented())
  assert not missing, 'add an automodule to a page of docs/api/'
  homeless = [name for name in documented() if not importlib.util.find_spec(name)]
  assert not homeless


@pytest.fixture(scope='module')
def conf():
  spec = importlib.util.spec_from_file_location('docs_conf', DOCS / 'conf.py')
  module = importlib.util.module_from_spec(spec)
  before = list(sys.path)
  spec.loader.exec_module(module)
  sys.path[:] = before
  return module


@pytest.mark.parametrize('docstring, made', [
    ('a * b, c|d, e_ and `f_*`', r'a \* b, c\|d, e\_ and `f_*`'),
    ('Like this:\n\n    x = y_ * 2\n\nand so_.', 'Like this::\n\n    x = y_ * 2\n\nand so\\_.'),
    ('A layer.\n\n    f(*x)\n\nMore.', 'A layer.\n\n::\n\n    f(*x)\n\nMore.'),
    ('Args:\n  x: a\n    b\n  y: c', 'Args:\n  x: a\n    b\n\n  y: c'),
])
def test_a_docstring_is_text(conf, docstring, made):
  lines = docstring.split('\n')
  conf._as_text(None, 'module', 'm', None, None, lines)
  assert lines == made.split('\n')


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
  """What `make docs` does."""
  return subprocess.run(
      [sys.executable, '-m', 'sphinx', '-q', '-W', '--keep-going', '-b', 'html', source, target],
      cwd=ROOT, capture_output=True, text=True)


@pytest.mark.extra
def test_the_pages_are_built_without_a_warning(tmp_path):
  done = build(DOCS, tmp_path / 'html')
  assert done.returncode == 0, done.stderr
  exporting = (tmp_path / 'html' / 'api' / 'experiments.html').read_text()
  assert 'id="experiments.export.export"' in exporting
  assert 'object at 0x' not in exporting  # The default gin.REQUIRED has a name.
  for page in DOCS.rglob('*.md'):
    assert (tmp_path / 'html' / page.relative_to(DOCS).with_suffix('.html')).is_file()


@pytest.mark.extra
def test_a_dead_link_is_a_warning(tmp_path):  # Control of the test above.
  source = tmp_path / 'docs'
  source.mkdir()
  (source / 'conf.py').write_text((DOCS / 'conf.py').read_text())
  (source / 'index.md').write_text('# A\n\n[dead](gone.md)\n')
  done = build(source, tmp_path / 'html')
  assert done.returncode == 1 and 'gone.md' in done.stderr


def test_make_docs_is_the_build_that_is_tested():
  assert '-m sphinx -q -W --keep-going -b html docs out/docs' in (ROOT / 'Makefile').read_text()
