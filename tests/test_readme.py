"""README.md and docs/: every command in them runs, every file they name exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.in_process import run_main

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md')), ROOT / 'benchmarks/README.md']
PAGES = [page for page in PAGES if page.exists()]
BLOCK = re.compile(r'^```[^\n]*\n(.*?)^```', re.M | re.S)

# Files a page may name that are not in the checkout: they are a run's, or the reader's own.
NOT_OURS = re.compile(r'(^|/)(config|operative_config)\.gin$|(^|/)my_\w+|^out/|^exports/')

# Settings that show a form and are not for pasting.
FORMS = ('NAME=VALUE', 'NAME=VALUE]...')


def code(text: str) -> str:
  """Everything a page shows as code: fenced blocks, indented blocks, words in backticks."""
  indented = re.findall(r'^ {4,}\S.*$', BLOCK.sub('', text), re.M)
  inline = re.findall(r'`([^`\n]+)`', BLOCK.sub('', text))
  return '\n'.join([*BLOCK.findall(text), *indented, *inline])


def commands(text: str) -> list[str]:
  """The lines of code that call run.py, continuation lines joined.

  A line with `...` or a [choice] in it shows a form; it is not for pasting. One that runs the
  config.gin of an earlier run is for the tests that follow a page (test_tutorial.py).
  """
  lines = re.sub(r'\\\n\s*', '', code(text)).splitlines()
  calls = [line[line.index('python run.py ') :] for line in lines if 'python run.py ' in line]
  calls = [call for call in calls if '...' not in call and '[' not in call]
  return [call.strip() for call in calls if not call.startswith('python run.py out/')]


def named_paths(text: str) -> set[str]:
  """Paths below a folder of the checkout, or gin files, that a page names."""
  folders = 'gin|nlp_export|experiments|tests|docs|benchmarks|examples'
  paths = re.findall(rf'(?<![\w./])((?:{folders})/[\w./-]*\w/?)', text)
  return {path for path in paths if not NOT_OURS.search(path)}


def lone_settings(text: str) -> list[tuple[str, ...]]:
  """The NAME=VALUE of every `--set NAME=VALUE` that stands alone in backticks, or with others."""
  found = re.findall(r'`(--set [^`\n]+)`', text)
  settings = [tuple(word for word in shlex.split(words) if word != '--set') for words in found]
  return [these for these in settings if not set(these) & set(FORMS)]


TEXTS = [page.read_text() for page in PAGES]
COMMANDS = sorted({command for text in TEXTS for command in commands(text)})
# A page's settings are those of an export, unless it is about something else.
ABOUT = {'converting.md': 'gin/runs/convert_checkpoint.gin',
         'finetune.md': 'gin/runs/finetune.gin',
         'glue.md': 'gin/runs/pooler_ablation.gin',
         'glue_submission.md': 'gin/runs/glue_submission.gin'}
SETTINGS = sorted({
    (ABOUT.get(page.name, 'gin/runs/export.gin'), *settings)
    for page, text in zip(PAGES, TEXTS)
    for settings in lone_settings(text)
})


@pytest.mark.parametrize('command', COMMANDS)
def test_a_command_passes_a_dry_run(command, stand_in, tmp_path):
  words = shlex.split(command, comments=True)
  arguments = words[words.index('run.py') + 1 :]
  for i, word in enumerate(arguments):
    name, is_setting, value = word.removeprefix('--set=').partition('=')
    if is_setting and not name.startswith('-'):
      start = '--set=' if word.startswith('--set=') else ''
      arguments[i] = f'{start}{name}={stand_in(name) or value}'
  if '--list' not in arguments:
    arguments += ['--dry_run', '--out_dir', str(tmp_path / 'out')]
  done = run_main(*arguments)
  assert done.status == 0, done.output


@pytest.mark.parametrize('setting', SETTINGS, ids=' '.join)
def test_a_setting_passes_a_dry_run(setting, stand_in, tmp_path):
  run_file, *settings = setting
  needs = {'gin/runs/export.gin': (), 'gin/runs/convert_checkpoint.gin': ('TO',),
           'gin/runs/finetune.gin': ('EXPORT', 'PREPROCESSING', 'TRAIN_FILE')}
  macros = {name: stand_in(name) for name in needs.get(run_file, ('GLUE_DIR',))}
  if 'EXPORT' not in macros:
    macros |= {name: stand_in(name) for name in ('CHECKPOINT', 'ENCODER_CONFIG', 'VOCAB_FILE')}
  for name, _, value in (given.partition('=') for given in settings):
    if name == 'SP_MODEL_FILE':
      del macros['VOCAB_FILE']
    is_path = name != 'POOLING'  # What a page says of it is what is tried.
    macros[name] = (stand_in(name) if is_path else None) or value
  done = run_main(
      run_file,
      *(f'--set={name}={value}' for name, value in macros.items()),
      '--dry_run',
      f'--out_dir={tmp_path / "out"}',
  )
  assert done.status == 0, done.output


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_every_named_file_exists(page):
  assert not [path for path in named_paths(page.read_text()) if not (ROOT / path).exists()]


def test_the_readers_work():  # Control: the tests above have something to find.
  page = """
```
python run.py gin/runs/x.gin \\
  --set A=1
```
    python run.py gin/runs/y.gin \\
        --set B=2
See `gin/runs/no.gin`, out/a.gin, `python run.py gin/runs/z.gin`, `python run.py X... [-a]`.
"""
  assert commands(page) == [
      'python run.py gin/runs/x.gin --set A=1',
      'python run.py gin/runs/y.gin --set B=2',
      'python run.py gin/runs/z.gin',
  ]
  assert named_paths(page) == {f'gin/runs/{name}.gin' for name in ('x', 'y', 'z', 'no')}


def test_the_readme_shows_the_two_commands_that_set_everything_up():
  text = (ROOT / 'README.md').read_text()
  for command in ('make run', 'make test', 'make test-extra'):
    assert command in text


def test_make_knows_every_target_that_a_page_names():
  targets = set(re.findall(r'^([\w-]+):', (ROOT / 'Makefile').read_text(), re.M))
  for page in PAGES:
    named = set(re.findall(r'^\s*make ([\w-]+)', code(page.read_text()), re.M))
    assert named <= targets, page.name
