"""docs/tutorial.md from top to bottom: its commands and its Python run, and give what it says."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from nlp_export.reports import markdown
from tests import in_process, tiny
from tests.glue import official_layout

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / 'docs' / 'tutorial.md').read_text()
STEP = re.compile(r'^```python\n((?s:.*?))^```|^    (python run\.py (?:[^\\\n]|\\\n)*)', re.M)

# In one process for all, on a tiny model: 13 cells of 20 steps are no matter of weights.
pytestmark = [pytest.mark.extra, pytest.mark.timeout(1200)]


def steps(text: str) -> list[tuple[str, str]]:
  """('python', code) and ('command', line) in the order of the page."""
  found = []
  for python, command in STEP.findall(text):
    command = re.sub(r'\\\n\s*', '', command)
    found.append(('python', python) if python else ('command', command))
  return found


class Followed:
  """The page, followed in a directory of its own.

  Attributes:
    directory: where a reader would have the checkout.
    shown: out_dir as the page writes it, or a command without one -> what was on the screen.
    printed: by each block of Python.
  """

  def __init__(self, directory: Path):
    self.directory = directory
    self.shown: dict[str, str] = {}
    self.printed: list[str] = []

  def follow(self, kind: str, text: str) -> None:
    if kind == 'python':
      printed = io.StringIO()
      with contextlib.redirect_stdout(printed):
        exec(compile(text, 'docs/tutorial.md', 'exec'), {})  # noqa: S102 - our own page.
      self.printed.append(printed.getvalue())
      return
    words = shlex.split(text)
    run = in_process.run_main(*words[2:])
    assert run.status == 0, f'{text}\n{run.output}'
    self.shown[words[words.index('--out_dir') + 1] if '--out_dir' in words else text] = run.stdout


@pytest.fixture(scope='module')
def followed(tmp_path_factory, tiny_pretrainer, tiny_size):
  """A tiny checkpoint in bert/, GLUE's layout in glue/, and every step done in order."""
  import tensorflow as tf

  directory = tmp_path_factory.mktemp('tutorial')
  (directory / 'bert').mkdir()
  tiny.write_vocab(directory / 'bert' / 'vocab.txt')
  tiny.write_encoder_config(directory / 'bert' / 'encoder.yaml', tiny_size)
  checkpoint = tf.train.Checkpoint(**tiny_pretrainer.checkpoint_items)
  checkpoint.save_counter.assign(999)
  checkpoint.save(str(directory / 'bert' / 'ckpt'))
  official_layout.write(directory / 'glue')
  page = Followed(directory)
  with pytest.MonkeyPatch.context() as patch:
    patch.chdir(directory)
    for step in steps(TEXT):
      page.follow(*step)
  return page


def test_each_command_has_made_what_the_page_says(followed):
  named = set(re.findall(r'`(out/[\w/.-]+\.\w+)`', TEXT))
  assert {'out/check/report.html', 'out/ablation/glue/results.json',
          'out/table/table.tex'} <= named
  named |= set(re.findall(r'^    (out/\S+)$', TEXT, re.M))
  assert not [path for path in named if not (followed.directory / path).exists()]
  for beside in ('report.md', 'plots', 'glue/results.csv', 'config.gin'):
    assert (followed.directory / 'out' / 'ablation' / beside).exists()
  assert not (followed.directory / 'out' / 'glue_check').exists()  # It was a dry run.


def test_the_checkpoint_has_the_head_that_the_page_counts_on(followed):
  copied = next(line for line in followed.shown['out/inspected'].splitlines() if 'copy_nsp' in line)
  assert 'no' not in copied.split()


def test_the_python_prints_shapes_cells_and_verdicts(followed):
  shapes, numbers = followed.printed
  assert re.fullmatch(r'\(2, 16\) \(2, \d+, 16\)\n', shapes)
  lines = numbers.splitlines()
  assert sum(line.startswith('builtin_') for line in lines) == 9
  assert len(lines) > 9


def test_the_table_has_a_row_for_each_pooler(followed):
  table = (followed.directory / 'out' / 'table' / 'table.md').read_text()
  for pooler in ('keep', 'copy_nsp', 'identity'):
    assert f'| {markdown.plain(pooler)} | ' in table
  assert 'builtin_word_order: accuracy' in table.replace('\\', '')


def test_the_reader_finds_every_step():  # Control of the tests above.
  page = 'a\n```python\nx = 1\n```\n    python run.py a \\\n      --b\n\n    python run.py c\n'
  assert steps(page) == [
      ('python', 'x = 1\n'), ('command', 'python run.py a --b'), ('command', 'python run.py c')]
  assert TEXT.count('python run.py') == sum(kind == 'command' for kind, _ in steps(TEXT))
