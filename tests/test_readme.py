"""README.md and docs/: every command in them runs, every file they name exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md')), ROOT / 'benchmarks/README.md']
PAGES = [page for page in PAGES if page.exists()]
BLOCK = re.compile(r'^```[^\n]*\n(.*?)^```', re.M | re.S)

# Files a page may name that are not in the checkout: they are a run's, or the reader's own.
NOT_OURS = re.compile(r'(^|/)(config|operative_config)\.gin$|(^|/)my_\w+|^out/|^exports/')


def commands(text: str) -> list[str]:
  """The lines of code blocks that call run.py, continuation lines joined."""
  lines = '\n'.join(BLOCK.findall(text)).replace('\\\n', ' ').splitlines()
  return [line.strip().removeprefix('$ ') for line in lines if 'python run.py ' in line]


def named_paths(text: str) -> set[str]:
  """Paths below a folder of the checkout, or gin files, that a page names."""
  folders = 'gin|nlp_export|experiments|tests|docs|benchmarks|examples'
  paths = re.findall(rf'(?<![\w./])((?:{folders})/[\w./-]*\w/?)', text)
  return {path for path in paths if not NOT_OURS.search(path)}


COMMANDS = sorted({command for page in PAGES for command in commands(page.read_text())})


@pytest.fixture(scope='module')
def stand_ins(tiny_uncased, tiny_dir) -> dict[str, str]:
  """A value for each macro that the pages set to some path of their own."""
  directory = str(tiny_dir)
  return {**tiny_uncased, 'EXPORT': directory, 'PREPROCESSING': directory}


@pytest.mark.parametrize('command', COMMANDS)
def test_a_command_passes_a_dry_run(command, run_py, stand_ins, tmp_path):
  words = shlex.split(command, comments=True)
  arguments = words[words.index('run.py') + 1 :]
  for i, word in enumerate(arguments):
    name, is_setting, _ = word.removeprefix('--set=').partition('=')
    if is_setting and name in stand_ins:
      arguments[i] = f'{name}={stand_ins[name]}'
      if word.startswith('--set='):
        arguments[i] = '--set=' + arguments[i]
  if '--list' not in arguments:
    arguments += ['--dry_run', '--out_dir', str(tmp_path / 'out')]
  done = run_py(*arguments)
  assert done.status == 0, done.output


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_every_named_file_exists(page):
  assert not [path for path in named_paths(page.read_text()) if not (ROOT / path).exists()]


def test_the_readers_work():  # Control: the tests above have something to find.
  page = '```\npython run.py gin/runs/x.gin \\\n  --set A=1\n```\nSee `gin/runs/no.gin`, out/a.gin.'
  assert commands(page) == ['python run.py gin/runs/x.gin    --set A=1']
  assert named_paths(page) == {'gin/runs/x.gin', 'gin/runs/no.gin'}


def test_the_readme_shows_the_two_commands_that_set_everything_up():
  text = (ROOT / 'README.md').read_text()
  for command in ('make run', 'make test', 'make test-extra'):
    assert command in text


def test_make_knows_every_target_that_a_page_names():
  targets = set(re.findall(r'^([\w-]+):', (ROOT / 'Makefile').read_text(), re.M))
  for page in PAGES:
    named = set(re.findall(r'`make ([\w-]+)', page.read_text()))
    named |= {w for b in BLOCK.findall(page.read_text()) for w in re.findall(r'^make ([\w-]+)', b)}
    assert named <= targets, page.name
