"""Several processes on one out_dir: the first keeps the record, others join, any may die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.running import out_dir, sharing
from nlp_export.running.once import each_once, once
from nlp_export.running.out_dir import Status
from nlp_export.running.run_record import RunRecord
from tests import run_lab

CONFIG = 'A = 1\n'

# An experiment of 10 slow cells; ACT 'plain' is the same without leave to share.
LAB = '''
from __future__ import annotations

import os
import time

import gin

from nlp_export import files, names
from nlp_export.errors import RequestError
from nlp_export.experiment import Outcome, Plan, Run, experiment
from nlp_export.glue.cells import OK, CellResult
from nlp_export.glue.grid import Variant, grid
from nlp_export.glue.matrix import run_matrix
from nlp_export.running.once import once


@experiment
def matrix(act: str = gin.REQUIRED) -> Plan:
  """Do several processes share a matrix?"""

  def run_cell(cell, work):
    time.sleep(0.12)
    with open(os.path.join(work.out_dir, 'ran.txt'), 'a') as f:
      f.write(f'{os.getpid()} {cell.name}\\n')
    return CellResult.of(cell, status=OK, metrics={'accuracy': 0.5}, main_metric='accuracy')

  def execute(run: Run) -> Outcome:
    exports = files.join(run.out_dir, 'exports.txt')

    def export():
      if act == 'refuse':
        raise RequestError('The shard is truncated. Copy it again.')
      time.sleep(0.3)
      files.write_text(exports, files.read_text(exports) + 'x' if files.exists(exports) else 'x')

    once(files.join(run.out_dir, names.CLAIMS_DIR), 'exports', lambda: files.exists(exports),
         export, say=run.say, poll_seconds=0.05)
    cells = grid(('cola', 'rte'), [Variant('export', 'keep')], range(5))
    done = run_matrix(cells, run_cell, run.out_dir, say=run.say, poll_seconds=0.05)
    return Outcome(lines=done.lines(), passed=done.passed)

  return Plan(['10 cells'], inputs=(), execute=execute, shared=act != 'plain')
'''


@pytest.fixture
def lab(tmp_path):
  (tmp_path / 'my_lab').mkdir()
  (tmp_path / 'my_lab' / '__init__.py').write_text('')
  (tmp_path / 'my_lab' / 'matrix.py').write_text(LAB)
  (tmp_path / 'matrix.gin').write_text(
      "# Shared?\nimport my_lab.matrix\nACT = 'share'\nmatrix.act = %ACT\n")
  return tmp_path


def start(lab: Path, *arguments: str) -> subprocess.Popen:
  return subprocess.Popen(run_lab.command('matrix.gin', *arguments), cwd=lab,
                          env=run_lab.environment(), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, start_new_session=True)


def wait_until(condition, seconds: float = 20.0) -> None:
  deadline = time.monotonic() + seconds
  while not condition():
    assert time.monotonic() < deadline
    time.sleep(0.02)


def ran(lab: Path) -> list[list[str]]:
  path = lab / 'out' / 'matrix' / 'ran.txt'
  return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def record(lab: Path) -> dict:
  return json.loads((lab / 'out' / 'matrix' / 'run.json').read_text())


def two_at_work(lab: Path) -> tuple[subprocess.Popen, subprocess.Popen]:
  """The process that began the run and one that joined it, each with a cell begun."""
  first = start(lab)
  wait_until(lambda: len(ran(lab)) >= 1)
  second = start(lab)
  wait_until(lambda: len({pid for pid, _ in ran(lab)}) == 2)
  return first, second


def test_three_processes_share_one_run(lab):
  processes = [start(lab) for _ in range(3)]
  screens = [process.communicate(timeout=60)[0] for process in processes]
  assert [process.returncode for process in processes] == [0, 0, 0], screens
  names = [name for _, name in ran(lab)]
  assert len(names) == len(set(names)) == 10
  assert len({pid for pid, _ in ran(lab)}) > 1
  assert (lab / 'out/matrix/exports.txt').read_text() == 'x'  # Made once.
  joined = [screen for screen in screens if 'matrix joins the run in out/matrix' in screen]
  assert len(joined) == 2 and len([s for s in screens if 'matrix starts in out/matrix' in s]) == 1
  logs = sorted(path.name for path in (lab / 'out/matrix').glob('log*.txt'))
  assert len(logs) == 3 and 'log.txt' in logs
  assert (record(lab)['status'], record(lab)['attempt']) == ('done', 1)
  again = run_lab.run_py(lab, 'matrix.gin')
  assert again.stdout.splitlines()[-1] == 'done: out/matrix holds this run already'


def test_the_first_is_killed_and_a_joined_one_ends_the_run(lab):
  first, second = two_at_work(lab)
  os.killpg(first.pid, signal.SIGKILL)
  first.communicate()
  screen, _ = second.communicate(timeout=60)
  assert second.returncode == 0, screen
  names = [name for _, name in ran(lab)]
  assert len(set(names)) == 10
  found = record(lab)
  assert (found['status'], found['attempt'], found['exit_status']) == ('done', 2, 0)
  assert found['lines'] == ['10 of 10 cells have results']


def test_a_joined_one_is_killed_and_the_first_ends_the_run(lab):
  first, second = two_at_work(lab)
  os.killpg(second.pid, signal.SIGKILL)
  second.communicate()
  screen, _ = first.communicate(timeout=60)
  assert first.returncode == 0, screen
  assert (record(lab)['status'], record(lab)['attempt']) == ('done', 1)


def test_another_configuration_may_not_join(lab):
  first = start(lab)
  wait_until(lambda: (lab / 'out/matrix/run.json').exists())
  other = run_lab.run_py(lab, 'matrix.gin', '--set', 'ACT=more')
  assert other.returncode == 2
  assert other.stderr.endswith('--out_dir out/matrix-2\n')
  assert "+ACT = 'more'" in other.stderr
  first.communicate(timeout=60)
  assert first.returncode == 0 and record(lab)['status'] == 'done'
  assert [path.name for path in (lab / 'out/matrix').glob('log*')] == ['log.txt']


def test_without_leave_to_share_a_second_run_is_kept_out(lab):  # Control.
  first = start(lab, '--set', 'ACT=plain')
  wait_until(lambda: len(ran(lab)) >= 1)
  other = run_lab.run_py(lab, 'matrix.gin', '--set', 'ACT=plain')
  assert other.returncode == 2
  assert other.stderr.endswith('Wait for it, end it, or give another --out_dir.\n')
  first.communicate(timeout=60)


def test_a_wrong_request_leaves_nothing_though_it_had_a_claim(lab):
  done = run_lab.run_py(lab, 'matrix.gin', '--set', 'ACT=refuse')
  assert (done.returncode, done.stderr) == (2, 'The shard is truncated. Copy it again.\n')
  assert not (lab / 'out').exists()


# run.py whose first decision is followed by a whole run of another process in the same out_dir.
OVERTAKEN = '''
import subprocess, sys
sys.path.insert(0, {repo!r})
import run
from nlp_export.running import out_dir

decide, arguments = out_dir.decide, {arguments!r}

def overtaken(*given):
  action, out_dir.decide = decide(*given), decide
  subprocess.run({command!r}, check=True, capture_output=True)
  return action

out_dir.decide = overtaken
sys.exit(run.main(arguments))
'''


@pytest.mark.parametrize('act', ['share', 'plain'])
@pytest.mark.parametrize('begun', [False, True])
def test_who_decided_before_another_ended_the_run_decides_again(lab, act, begun):
  arguments = ['matrix.gin', '--set', f"ACT='{act}'"]
  if begun:
    first = start(lab, *arguments)
    wait_until(lambda: len(ran(lab)) >= 1)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
  (lab / 'overtaken.py').write_text(OVERTAKEN.format(
      repo=str(run_lab.REPO), arguments=arguments, command=run_lab.command(*arguments)))
  done = subprocess.run([sys.executable, 'overtaken.py'], cwd=lab, env=run_lab.environment(),
                        capture_output=True, text=True, timeout=60, check=False)
  assert (done.returncode, done.stdout.splitlines()[-1]) == (
      0, 'done: out/matrix holds this run already'), done.stderr
  assert (record(lab)['status'], record(lab)['attempt']) == ('done', 1 + begun)
  assert [path.name for path in (lab / 'out/matrix').glob('log*')] == ['log.txt']


# The record alone.


def make(place: Path, **others) -> RunRecord:
  given = {'experiment': 'study', 'command': ['run.py'], 'config_text': CONFIG,
           'input_hashes': {'a': '1' * 64}, 'shared': True}
  return RunRecord(str(place), **{**given, **others})


def test_a_joined_process_leaves_the_record_to_the_living_first_one(tmp_path):
  first, second = make(tmp_path / 'a'), make(tmp_path / 'a')
  first.begin()
  before = (tmp_path / 'a/run.json').read_bytes()
  second.begin()
  assert (first.joined, second.joined) == (False, True)
  second.end(Status.DONE, 0)
  assert (tmp_path / 'a/run.json').read_bytes() == before
  first.end(Status.DONE, 0)
  assert json.loads((tmp_path / 'a/run.json').read_text())['status'] == 'done'


def test_the_end_is_written_before_others_can_find_the_run_unfinished(tmp_path, monkeypatch):
  first = make(tmp_path / 'a')
  first.begin()
  found, save = [], first._save

  def look_and_save():
    found.append(sharing.record_to_end(str(tmp_path / 'a')))
    save()

  monkeypatch.setattr(first, '_save', look_and_save)
  first.end(Status.DONE, 0)
  assert found == [None]
  assert sharing.record_to_end(str(tmp_path / 'a')) is None
  begun = make(tmp_path / 'b')  # Control: killed, the lock gone and its record not at its end.
  begun.begin()
  begun._log.close()
  log, unfinished = sharing.record_to_end(str(tmp_path / 'b'))
  log.close()
  assert unfinished['status'] == 'running'


@pytest.mark.parametrize(('status', 'ends'), [
    (Status.DONE, True), (Status.CHECKS_FAILED, True), (Status.INTERRUPTED, False),
    (Status.FAILED, False)])
def test_only_who_finished_the_run_writes_the_end_for_another(tmp_path, status, ends):
  first, second = make(tmp_path / 'a'), make(tmp_path / 'a')
  first.begin()
  second.begin()
  first.end(Status.INTERRUPTED, 3)
  second.end(status, 0)
  found = json.loads((tmp_path / 'a/run.json').read_text())
  assert found['status'] == (status.value if ends else 'interrupted')


def test_other_inputs_may_not_join(tmp_path):
  first, second = make(tmp_path / 'a'), make(tmp_path / 'a', input_hashes={'a': '2' * 64})
  first.begin()
  with pytest.raises(RequestError, match=r'--out_dir .*a-2$'):
    second.begin()
  first.end(Status.DONE, 0)


def test_a_record_is_not_discarded_under_a_process_that_has_joined(tmp_path):
  first, second = make(tmp_path / 'a'), make(tmp_path / 'a')
  first.begin()
  second.begin()
  assert not first.discard()
  first.end(Status.FAILED, 2)
  assert second.discard()
  assert not list((tmp_path / 'a').glob(sharing.own_log()))
  third = make(tmp_path / 'b')  # Control: alone it is.
  third.begin()
  assert third.discard()
  assert not (tmp_path / 'b').exists()


def test_logs_of_joined_processes_and_claims_are_no_results(tmp_path):
  for name in ('log.txt', 'log.my_host.123.txt', 'glue/claims/exports/0.json',
               'shards/claims/plan/0.json'):
    files.write_text(str(tmp_path / name), 'x')
  assert out_dir.results(str(tmp_path)) == []
  for name in ('log.notes.txt', 'shards/plan.json'):  # Control.
    files.write_text(str(tmp_path / name), 'x')
  assert out_dir.results(str(tmp_path)) == ['log.notes.txt', 'shards/plan.json']


def test_what_fails_once_is_tried_by_the_next(tmp_path):
  path, claims = tmp_path / 'done', str(tmp_path / 'claims')

  def fail() -> None:
    raise ValueError('no')

  with pytest.raises(ValueError, match='no'):
    once(claims, 'x', path.exists, fail)
  once(claims, 'x', path.exists, path.touch, poll_seconds=0.01)
  assert path.exists()
  once(claims, 'x', path.exists, fail)  # Not called again.
  assert [p.name for p in tmp_path.rglob('*')] == ['done']


def test_several_divide_the_pieces_and_each_is_done_once(tmp_path):
  claims, done, said = str(tmp_path / 'claims'), [], []
  pieces = [f'piece {n}' for n in range(12)]

  def work(name: str) -> None:
    time.sleep(0.01)
    done.append((threading.get_ident(), name))
    (tmp_path / name).touch()

  def share() -> None:
    each_once(claims, pieces, lambda name: (tmp_path / name).exists(), work, say=said.append,
              poll_seconds=0.005)
    finished.append(sorted(path.name for path in tmp_path.glob('piece*')))

  finished: list[list[str]] = []
  threads = [threading.Thread(target=share) for _ in range(3)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert sorted(name for _, name in done) == sorted(pieces)
  assert len({thread for thread, _ in done}) == 3
  assert finished == [sorted(pieces)] * 3  # Nobody returns before all is done.
  assert not os.path.exists(claims)


def test_a_piece_that_cannot_be_told_to_be_done_is_not_done_for_ever(tmp_path):
  done = []
  each_once(str(tmp_path / 'claims'), ['a', 'b'], lambda name: False, done.append)
  assert done == ['a', 'b']
