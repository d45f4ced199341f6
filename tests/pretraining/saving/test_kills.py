"""kill -9 in the middle of a save: the checkpoint before it is whole, and the run goes on from it.

The whole run, training included, is killed elsewhere; here the process only saves, so that almost
every moment is in the middle of a save.
"""

from __future__ import annotations

import os
import random
import subprocess
import time

import pytest

from nlp_export.pretraining.saving import resume
from tests.pretraining.saving import saving_lab as lab


def kill_in_a_save(root: str, saves: int, delay: float) -> tuple[int, int]:
  """Runs the process until it has finished some saves and is in the next; kills it `delay` s later.

  Returns:
    The step it went on from, and the newest that it said it had saved.
  """
  process = subprocess.Popen(
      lab.command('train', root), cwd=lab.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
      text=True)
  try:
    first = saved = None
    done = 0
    for line in process.stdout:
      words = line.split()
      if words[0] == 'from':
        first = saved = int(words[1])
      elif words[2] == 'saved':
        saved = int(words[1].rstrip(':'))
        done += 1
      elif done == saves:
        break  # It says that it is saving again.
    assert done == saves, process.stderr.read()
    until = time.monotonic() + 20
    while not lab.unfinished(root) and time.monotonic() < until:
      time.sleep(0.001)
    time.sleep(delay)
  finally:
    process.kill()
    process.wait()
    process.stdout.close()
    process.stderr.close()
  return first, saved


def kill_often(root: str, count: int) -> int:
  """Kills and goes on `count` times; returns how often the middle of a save was met."""
  rng, at, met = random.Random(0), 0, 0
  for _ in range(count):
    # The process itself refuses to go on from wrong values.
    first, saved = kill_in_a_save(root, saves=rng.randint(0 if at else 1, 3),
                                  delay=rng.random() * 0.03)
    assert first == at
    met += bool(lab.unfinished(root))
    resumed = resume.newest_readable(root, lab.METADATA)
    assert resumed.notes == ()  # Nothing that was finished is damaged.
    lab.assert_is(resumed.stored, resumed.stored.step, megabytes=8)
    assert resumed.stored.step >= saved  # What was said to be saved is there.
    at = resumed.stored.step
  return met


def test_a_run_goes_on_after_kills_in_the_middle_of_saves(tmp_path):
  root = str(tmp_path / 'checkpoints')
  assert kill_often(root, 2) > 0
  last = resume.newest_readable(root).stored.step
  with lab.open_writer(root, keep_last=1) as writer:
    lab.save(writer, last + 1)
  assert lab.names_in(root) == [str(last + 1)]


@pytest.mark.extra
def test_twenty_kills(tmp_path):
  assert kill_often(str(tmp_path / 'checkpoints'), 20) >= 10


def test_a_kill_in_the_first_save_leaves_nothing_to_go_on_from(tmp_path):
  root = tmp_path / 'checkpoints'
  kill_in_a_save(str(root), saves=0, delay=0)
  names = os.listdir(root)
  resumed = resume.newest_readable(str(root))
  if resumed.stored is None:  # Else it was finished in the very last moment.
    assert 'starting from the beginning' in resumed.notes[0] and len(names) == 1
