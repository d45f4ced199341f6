"""Claims: one owner at a time, whoever dies, sleeps, or has another clock."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nlp_export.running import claim_files, processes
from nlp_export.running.claims import ClaimLost, Claims

NAME = 'cola/keep/export/seed_0'


@pytest.fixture
def root(tmp_path):
  return str(tmp_path / 'claims')


def quick(root, machine='elsewhere', stale=0.3, beat=0.05):
  return Claims(root, machine=machine, stale_seconds=stale, heartbeat_seconds=beat)


def wait_until(condition, seconds=5.0):
  deadline = time.monotonic() + seconds
  while not condition():
    assert time.monotonic() < deadline
    time.sleep(0.02)


def test_one_has_it_until_it_is_released(root):
  first = Claims(root).acquire(NAME)
  assert first is not None and not first.lost
  assert Claims(root).acquire(NAME) is None
  assert str(Claims(root).holder(NAME)).startswith(f'process {os.getpid()} on ')
  first.release()
  assert Claims(root).holder(NAME) is None
  second = Claims(root).acquire(NAME)
  assert second is not None
  second.finish()
  second.release()  # Harmless.
  assert not os.path.exists(root)


def test_of_many_that_want_it_one_gets_it(root):
  dead = dead_claim(root)
  got, start = [], threading.Barrier(16)

  def want():
    start.wait()
    got.append(Claims(root).acquire(NAME))

  threads = [threading.Thread(target=want) for _ in range(16)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  winners = [claim for claim in got if claim is not None]
  assert len(winners) == 1 and not winners[0].lost
  assert dead.endswith('0.json') and os.path.exists(dead.replace('0.json', '1.json'))
  winners[0].release()


def dead_claim(root, name=NAME):
  """The claim of a process that was killed; its path."""
  code = ('import os, signal, sys\nfrom nlp_export.running.claims import Claims\n'
          f'assert Claims({root!r}).acquire({name!r})\nos.kill(os.getpid(), signal.SIGKILL)')
  done = subprocess.run([sys.executable, '-c', code], cwd=Path(__file__).parents[1], check=False)
  assert done.returncode == -9
  return os.path.join(root, name, '0.json')


def test_that_of_a_killed_process_is_taken_over_at_once(root):
  path = dead_claim(root)
  assert Claims(root).holder(NAME) is None
  claim = Claims(root, stale_seconds=1e9).acquire(NAME)
  assert claim is not None
  assert os.path.exists(path)  # Never renamed or removed by who is not sure to be the only one.
  claim.finish()


def test_a_zombie_is_dead(root):
  process = subprocess.Popen([sys.executable, '-c', ''])
  wait_until(lambda: processes.start_time(process.pid) is None)  # Ended, not yet waited for.
  os.kill(process.pid, 0)  # Its number is still there.
  assert processes.start_time(process.pid) is None
  process.wait()


def test_a_process_number_that_is_used_again_is_another_process(root):
  path = dead_claim(root)
  owner = json.loads(Path(path).read_text())
  owner['pid'] = os.getpid()  # Alive, but it started at another time.
  Path(path).write_text(json.dumps(owner))
  claim = Claims(root).acquire(NAME)
  assert claim is not None
  claim.release()


def test_a_claim_that_this_process_gave_up_half_way_is_nobodys(root):
  claim = Claims(root).acquire(NAME)
  claim._end()  # As after Ctrl-C between making the file and returning it.
  again = Claims(root).acquire(NAME)
  assert again is not None
  again.release()


def test_another_machine_is_alive_as_long_as_its_heart_beats(root):
  far = quick(root).acquire(NAME)
  here = quick(root, machine=None)
  end = time.monotonic() + 1.0
  while time.monotonic() < end:
    assert here.acquire(NAME) is None
    time.sleep(0.02)
  far._ended.set()  # Control: without its heartbeat it is taken.
  far._thread.join()
  taken = []
  wait_until(lambda: taken.append(here.acquire(NAME)) or taken[-1] is not None)
  assert far.lost
  with pytest.raises(ClaimLost):
    far.check()
  far._ended.clear()
  far.release()  # Of a lost claim: nothing happens to the new owner's.
  assert not taken[-1].lost
  assert quick(root, machine='third').acquire(NAME) is None
  taken[-1].finish()


@pytest.mark.parametrize('seconds', [-86400, 86400])
def test_clocks_that_differ_do_not_matter(root, seconds):
  """The heartbeat is compared with itself, by the observer's own clock."""
  far = quick(root, beat=1e6).acquire(NAME)
  here = quick(root, machine=None, stale=0.4)
  assert here.acquire(NAME) is None
  path = os.path.join(root, NAME, '0.json')
  for beat in range(8):
    os.utime(path, (time.time() + seconds + beat,) * 2)
    assert here.acquire(NAME) is None
    time.sleep(0.1)
  time.sleep(0.5)
  claim = here.acquire(NAME)
  assert claim is not None  # No sign of life for longer than the limit.
  claim.release()
  far.release()


def test_a_slow_process_cannot_take_what_a_quick_one_has_taken_over(root, monkeypatch):
  """Both saw the same dead owner; the slow one acts on it after the quick one."""
  dead_claim(root)
  slow, quick_one = Claims(root), []
  look = slow._is_free

  def look_and_sleep(directory, number):
    free = look(directory, number)
    if not quick_one:
      quick_one.append(Claims(root).acquire(NAME))
    return free

  monkeypatch.setattr(slow, '_is_free', look_and_sleep)
  assert slow.acquire(NAME) is None
  assert quick_one[0] is not None and not quick_one[0].lost
  quick_one[0].release()


def test_without_hard_links_there_is_still_one_owner(root, monkeypatch):
  def link(source, target):
    raise OSError(errno.EOPNOTSUPP, 'no links')

  monkeypatch.setattr(os, 'link', link)
  claim = Claims(root).acquire(NAME)
  assert claim is not None and Claims(root).acquire(NAME) is None
  claim.release()
  second = Claims(root).acquire(NAME)
  assert second is not None
  second.finish()
  # Killed before its text was written: nobody known, so its heartbeat decides.
  os.makedirs(os.path.join(root, NAME))
  Path(root, NAME, '0.json').write_text('')
  here = quick(root, machine=None)
  assert here.acquire(NAME) is None
  assert str(here.holder(NAME)) == 'process 0 on an unknown host'
  time.sleep(0.4)
  claim = here.acquire(NAME)
  assert claim is not None
  claim.finish()


def test_a_repeated_request_of_nfs_is_recognised_as_its_own_success(root, monkeypatch):
  true_link = os.link

  def link(source, target):
    true_link(source, target)
    raise FileExistsError(errno.EEXIST, 'exists')

  monkeypatch.setattr(os, 'link', link)
  claim = Claims(root).acquire(NAME)
  assert claim is not None and not claim.lost
  claim.finish()


def test_an_object_store_has_no_claims():
  with pytest.raises(ValueError, match='gs://bucket/x is an object store'):
    Claims('gs://bucket/x')


def test_processes_are_told_apart(monkeypatch):
  assert processes.start_time(os.getpid()) == processes.start_time(os.getpid()) != ''
  assert processes.start_time(2**22 + 7) is None
  child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)
  try:
    assert processes.start_time(child.pid) != processes.start_time(os.getpid())
  finally:
    child.communicate()
  assert processes.machine() == processes.machine() and len(processes.machine().split()) == 3


def test_numbers_of_claims_are_not_confused():
  names = ['0.json', '10.json', '9.released', '.partial-ab']
  assert sorted(names, key=claim_files.number_of) == [
      '.partial-ab', '0.json', '9.released', '10.json']
