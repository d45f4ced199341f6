"""What someone who waits sees."""

from __future__ import annotations

import io
import sys

import pytest

from nlp_export.glue.progress import Estimate, Progress
from nlp_export.running.durations import about, duration


@pytest.mark.parametrize(('seconds', 'text'), [
    (0.2, '0 s'), (45, '45 s'), (99, '99 s'), (100, '2 min'), (840, '14 min'), (5940, '99 min'),
    (6000, '1 h 40 min'), (11100, '3 h 05 min'), (172800, '2 d 0 h'), (187200, '2 d 4 h'),
])
def test_durations(seconds, text):
  assert duration(seconds) == text


def test_the_rest_is_estimated_by_task():
  estimate = Estimate()
  assert estimate.rest(['cola']) is None
  for seconds in (10, 12, 100):  # The first of a process compiles; the median does not mind.
    estimate.add('rte', seconds)
  assert estimate.rest(['rte', 'rte']) == 24
  assert estimate.rest(['rte', 'cola']) == 24  # As good a guess as there is.
  estimate.add('cola', 60)
  assert estimate.rest(['rte', 'cola']) == 72
  assert estimate.rest(['rte', 'rte', 'cola', 'cola'], workers=2) == 72
  assert estimate.rest(['cola'], workers=4) == 60  # One cell has one process.
  assert estimate.rest([]) == 0 and about(0.0) == '' and about(None) == ''
  assert about(840) == 'about 14 min left'


def test_without_a_terminal_there_are_lines_now_and_then():
  now, said = [0.0], []
  with Progress(4, 1, said.append, terminal=False, clock=lambda: now[0]) as progress:
    progress.begin('cola/keep/export/seed_0')
    for second in range(1, 151):
      now[0] = float(second)
      progress.within(second / 200, 'epoch 1 of 3')
    progress.end(2, 100.0)
  assert said == [
      'cola/keep/export/seed_0: 30%, epoch 1 of 3, about 2 min left in it',
      'cola/keep/export/seed_0: 60%, epoch 1 of 3, about 80 s left in it']


def test_on_a_terminal_there_is_a_bar_below_the_lines(monkeypatch):
  class Terminal(io.StringIO):
    def isatty(self):
      return True

  screen = Terminal()
  monkeypatch.setattr(sys, 'stdout', screen)
  monkeypatch.setenv('TERM', 'xterm')
  monkeypatch.setenv('COLUMNS', '100')
  import rich

  monkeypatch.setattr(rich, '_console', None)  # Made anew, on this stdout.
  with Progress(4, 1) as progress:
    progress.begin('cola/[x]')
    progress.say('a line')
    progress.within(0.5, 'epoch 2 of 3')
    progress.end(2, 840.0)
  text = screen.getvalue()
  assert 'a line\n' in text and '/4' in text and 'about 14 min left' in text
  assert '\x1b[' in text
