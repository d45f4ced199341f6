"""kill -9 at logged moments: no finished cell is lost, made twice or torn."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nlp_export.glue import cell_files
from tests.glue import matrix_lab

ROOT = Path(__file__).resolve().parent.parent.parent

# After the first progress of a round: kill everything at the nth line of that kind.
MOMENTS = [
    ('begin', 1), ('begin', 2), ('step', 1), ('step', 2), ('step', 5), ('end', 1), ('end', 2),
    ('link<', 1), ('link>', 1), ('link<', 2), ('link>', 2), ('link>', 3), ('replace<', 1),
    ('replace<', 3), ('replace>', 2), ('replace<', 6), ('replace>', 6), ('replace<', 7),
    ('remove<', 1), ('remove>', 2), ('unlink>', 1), ('unlink<', 2), ('rmdir<', 1), ('rmdir>', 2),
]  # fmt: skip


class Workers:
  """Processes on one matrix, each in a group of its own."""

  def __init__(self, place: Path):
    self.out_dir, self.log = place / 'out', place / 'log'
    self.log.touch()
    self.output = (place / 'output').open('a')
    self.alive: list[subprocess.Popen] = []

  def start(self, count: int) -> None:
    for _ in range(count):
      self.alive.append(subprocess.Popen(
          [sys.executable, '-m', 'tests.glue.matrix_lab', str(self.out_dir), str(self.log)],
          cwd=ROOT, stdout=self.output, stderr=self.output, start_new_session=True))

  def kill(self, worker: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
      os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    self.alive.remove(worker)

  def kill_all(self) -> None:
    for worker in self.alive:  # All stand still before the first dies: nobody may take over.
      with contextlib.suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGSTOP)
    for worker in list(self.alive):
      self.kill(worker)

  def join(self) -> list[int]:
    return [worker.wait(timeout=60) for worker in self.alive]

  def lines(self, start: int = 0) -> list[list[str]]:
    """[pid, what, name] of each whole line of the log from a byte on.

    One write appends a line, but a reader may see the half of it that lies on an earlier page.
    """
    with self.log.open('rb') as f:
      f.seek(start)
      text = f.read().decode()
    return [line.split(' ', 2) for line in text.split('\n')[:-1]]

  def wait_for(self, what: str, count: int, start: int, after: str = '') -> bool:
    """Until the nth line of a kind, after the first of another; False if all ended before."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
      kinds = [kind for _, kind, _ in self.lines(start)]
      begun = not after or after in kinds
      if begun and kinds[kinds.index(after) + 1 if after else 0:].count(what) >= count:
        return True
      if all(worker.poll() is not None for worker in self.alive):
        return False
      time.sleep(0.001)
    raise AssertionError(f'no {what} in 30 s')

  def whole(self) -> dict[str, str]:
    """Finished cells and the hash of their files; a torn one raises."""
    return {
        r.name: hashlib.sha256((self.out_dir / 'glue/cells' / f'{r.name}.json').read_bytes())
        .hexdigest() for r in cell_files.collect(str(self.out_dir))}


@pytest.fixture
def workers(tmp_path):
  made = Workers(tmp_path)
  try:
    yield made
  finally:
    made.kill_all()
    made.output.close()


def check_end(workers: Workers) -> None:
  """Every cell is there, with the numbers of an undisturbed run, and nothing else is."""
  results = cell_files.collect(str(workers.out_dir))
  assert {r.name: r.metrics['accuracy'] for r in results} == {
      cell.name: matrix_lab.expected(cell) for cell in matrix_lab.cells()}
  assert sorted(p.name for p in (workers.out_dir / 'glue').iterdir()) == ['cells', 'predictions']
  assert not list((workers.out_dir / 'glue' / 'cells').rglob('.*'))


def begun(lines) -> list[tuple[str, str]]:
  return [(pid, name) for pid, what, name in lines if what in ('begin', 'resume')]


def test_killed_with_all_its_processes_at_logged_moments_a_matrix_goes_on(workers):
  kills, resumed = 0, 0
  for what, count in MOMENTS:
    start = workers.log.stat().st_size
    before = workers.whole()
    workers.start(2)
    if not workers.wait_for(what, count, start, after='step'):
      break
    workers.kill_all()
    kills += 1
    lines = workers.lines(start)
    names = [name for _, name in begun(lines)]
    assert not set(names) & set(before), 'a finished cell was made again'
    assert len(names) == len(set(names)), 'two processes made one cell'
    after = workers.whole()
    assert before.items() <= after.items(), 'a finished cell was lost or changed'
    resumed += any(what == 'resume' for _, what, _ in lines)
  assert kills >= 20
  assert resumed >= 5  # Cells went on inside.
  start, before = workers.log.stat().st_size, workers.whole()
  assert len(before) < len(matrix_lab.cells())  # Control: the kills came while there was work.
  workers.start(2)
  assert workers.join() == [0, 0]
  names = [name for _, name in begun(workers.lines(start))]
  assert sorted(names) == sorted({cell.name for cell in matrix_lab.cells()} - set(before))
  check_end(workers)


def test_the_cell_of_a_killed_process_is_taken_over_while_others_work(workers):
  workers.start(3)
  killed = set()
  for _ in range(6):
    start = workers.log.stat().st_size
    victim = str(workers.alive[0].pid)
    deadline = time.monotonic() + 30
    while not any(pid == victim and what == 'step' for pid, what, _ in workers.lines(start)):
      assert time.monotonic() < deadline and workers.alive[0].poll() is None
      time.sleep(0.001)
    workers.kill(workers.alive[0])
    killed.add(victim)
    workers.start(1)
  assert set(workers.join()) == {0}
  check_end(workers)
  lines = workers.lines()
  for cell in matrix_lab.cells():
    pids = [pid for pid, name in begun(lines) if name == cell.name]
    assert len(pids) == len(set(pids))
    assert set(pids[:-1]) <= killed, 'the cell of a living process was made by another'
  assert any(what == 'resume' for _, what, _ in lines)
  assert len({pid for pid, _ in begun(lines)} - killed) >= 2  # Several worked at once.


def test_killed_at_each_change_of_the_file_system_a_matrix_goes_on(tmp_path):
  done = subprocess.run(
      [sys.executable, '-m', 'tests.glue.crash_everywhere', str(tmp_path)], cwd=ROOT,
      capture_output=True, text=True, timeout=120)
  assert done.returncode == 0, done.stderr
  found = json.loads(done.stdout)
  assert found['problems'] == []
  assert found['kills'] >= 100


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_interrupted_a_worker_gives_its_cell_back(workers, number):
  workers.start(1)
  assert workers.wait_for('step', 6, 0)
  worker = workers.alive[0]
  os.kill(worker.pid, number)
  assert worker.wait(20) == -signal.SIGINT  # Python's way to end by KeyboardInterrupt.
  claims = list((workers.out_dir / 'glue' / 'claims').rglob('*.json'))
  assert all(claim.with_suffix('.released').exists() for claim in claims)
  assert len(claims) <= 1
  workers.whole()
