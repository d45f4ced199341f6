"""kill -9 and SIGTERM in a pooler ablation with real fine-tunings: what is finished stays so."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nlp_export.glue import cell_files, prediction_files
from tests import run_lab
from tests.glue import official_layout
from tests.in_process import settings

STEPS, SEEDS, POOLERS = 6, range(13), ('keep', 'random')
CELLS = len(SEEDS) * len(POOLERS)

# After the first step of a round: kill everything at the nth line of that kind.
MOMENTS = [
    ('step', 1), ('save<', 1), ('save>', 1), ('step', 3), ('predicted', 1), ('stored', 1),
    ('begin', 1), ('replace<', 1), ('replace>', 1), ('save<', 2), ('replace<', 2), ('replace>', 3),
    ('remove<', 1), ('remove>', 2), ('unlink<', 1), ('unlink>', 2), ('rmdir<', 1), ('rmdir>', 1),
    ('link<', 1), ('link>', 1), ('step', 9), ('stored', 1), ('save>', 5),
]  # fmt: skip


class Study:
  """Runs of one command, one after the other; the next one loads TensorFlow meanwhile."""

  def __init__(self, place: Path, arguments: list[str]):
    self.out_dir, self.log, self.screen = place / 'out', place / 'log', place / 'screen'
    self.log.touch()
    self.arguments = [*arguments, '--out_dir', str(self.out_dir)]
    self.next = self._prepared()

  def _prepared(self, interrupt_at: int = 0) -> subprocess.Popen:
    with self.screen.open('a') as screen:
      return subprocess.Popen(
          [sys.executable, '-m', 'tests.glue.study_lab', str(self.log), str(interrupt_at),
           *self.arguments], cwd=run_lab.REPO, env=run_lab.environment(), text=True,
          stdin=subprocess.PIPE, stdout=screen, stderr=screen, start_new_session=True)

  def start(self, interrupt_at: int = 0) -> subprocess.Popen:
    """The prepared run begins, and one that may be interrupted is prepared."""
    process, self.next = self.next, self._prepared(interrupt_at)
    process.stdin.write('go\n')
    process.stdin.flush()
    return process

  def lines(self, start: int) -> list[list[str]]:
    """[pid, what, name] of each line of the log from a byte on."""
    with self.log.open('rb') as f:
      f.seek(start)
      return [line.split(' ', 2) for line in f.read().decode().splitlines()]

  def wait_for(self, process: subprocess.Popen, what: str, count: int, start: int) -> bool:
    """Until the nth line of a kind after the first step; False if the run ended before."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
      ended = process.poll() is not None
      kinds = [kind for _, kind, _ in self.lines(start)]
      if 'step' in kinds and kinds[kinds.index('step') + 1:].count(what) >= count:
        return True
      if ended:
        return False
      time.sleep(0.002)
    raise AssertionError(f'no {what}: {self.screen.read_text()[-2000:]}')

  def whole(self) -> dict[str, str]:
    """Finished cells and the hash of their files; a torn one raises."""
    return {r.name: hashlib.sha256((self.out_dir / 'glue/cells' / f'{r.name}.json').read_bytes())
            .hexdigest() for r in cell_files.collect(str(self.out_dir))}

  def outcomes(self) -> dict[str, tuple]:
    """All of each cell that has to repeat to the last bit."""
    return {r.name: (r.metrics, r.history, r.pooler_seed, {
        split: part.outputs.tobytes() for split, part in prediction_files.read(
            str(self.out_dir / r.predictions_file)).items()})
            for r in cell_files.collect(str(self.out_dir))}

  def run(self) -> str:
    """run.py itself, to its end; what the screen showed."""
    done = subprocess.run(run_lab.command(*self.arguments), cwd=run_lab.REPO, text=True,
                          env=run_lab.environment(), capture_output=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def kill(process: subprocess.Popen) -> None:
  """Ends a run with all its processes."""
  with contextlib.suppress(ProcessLookupError):
    os.killpg(process.pid, signal.SIGKILL)
  process.wait()
  process.stdin.close()


def alive(session: int) -> list[int]:
  """Processes that a run has left."""
  found = []
  for path in Path('/proc').glob('[0-9]*/stat'):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
      state, _, _, its_session = path.read_text().rpartition(')')[2].split()[:4]
      if int(its_session) == session and state not in 'ZX':
        found.append(int(path.parent.name))
  return found


@pytest.fixture
def study(tiny_uncased, tmp_path):
  glue = official_layout.write(tmp_path / 'glue', 24)
  made = Study(tmp_path, ['gin/runs/pooler_ablation.gin', *settings(
      **tiny_uncased, GLUE_DIR=glue, POOLERS='(@poolers.keep, @poolers.random)',
      TASKS="('stsb',)", EPOCHS='None', BATCH_SIZE=8, MAX_SEQ_LENGTH=8, SEEDS=tuple(SEEDS),
      **{'recipe.steps': STEPS})])
  try:
    yield made
  finally:
    kill(made.next)


@pytest.mark.extra  # TensorFlow is loaded 25 times.
def test_an_ablation_that_is_killed_20_times_and_interrupted_is_that_of_one_run(study):
  kills, resumed = 0, 0
  for number, (what, count) in enumerate(MOMENTS):
    start, before = study.log.stat().st_size, study.whole()
    last = number == len(MOMENTS) - 1
    process = study.start(interrupt_at=3 if last else 0)
    if not study.wait_for(process, what, count, start):
      break
    kill(process)
    assert not alive(process.pid)
    kills += 1
    lines = study.lines(start)
    names = [name for _, kind, name in lines if kind in ('begin', 'resume')]
    assert not set(names) & set(before), 'a finished cell was made again'
    assert len(names) == len(set(names))
    after = study.whole()
    assert before.items() <= after.items(), 'a finished cell was lost or changed'
    resumed += any(kind == 'resume' for _, kind, _ in lines)
  assert kills >= 20, study.screen.read_text()[-2000:]
  assert resumed >= 10  # Trainings went on inside.

  # SIGTERM: the step is done, its state is kept, and the status comes soon.
  start = study.log.stat().st_size
  process = study.start()
  assert study.wait_for(process, 'step', 2, start)
  sent = time.monotonic()
  assert process.wait(60) == 3
  assert time.monotonic() - sent < 20
  process.stdin.close()
  assert 'Interrupted. Repeat the command to go on.' in study.screen.read_text().splitlines()
  pending = [name for _, kind, name in study.lines(start) if kind in ('begin', 'resume')][-1]
  assert [kind for _, kind, name in study.lines(start) if kind == 'save>']
  (progress,) = (study.out_dir / 'glue/work' / pending).rglob('progress.json')
  assert 0 < json.loads(progress.read_text())['step'] <= STEPS

  finished = study.whole()
  assert len(finished) < CELLS  # Control: all that happened while there was work.
  screen = study.run()
  assert f'cells: {CELLS} in all: {len(finished)} done, 1 resuming, ' in screen
  assert f'{pending}: resuming' in screen.splitlines()
  assert sum(line.endswith((': starting', ': resuming')) for line in screen.splitlines()) == (
      CELLS - len(finished))
  assert finished.items() <= study.whole().items()
  assert sorted(path.name for path in (study.out_dir / 'glue').iterdir()) == [
      'cells', 'curves', 'predictions', 'results.csv', 'results.json']
  assert not list((study.out_dir / 'glue').rglob('.*'))

  found = study.outcomes()
  assert len(found) == CELLS
  for part in ('cells', 'predictions'):
    shutil.rmtree(study.out_dir / 'glue' / part)
  (study.out_dir / 'glue/results.json').unlink()
  assert f'cells: {CELLS} in all: {CELLS} to do' in study.run()  # By one run that nobody disturbs.
  assert study.outcomes() == found
  assert len({str(outcome) for outcome in found.values()}) == CELLS  # Control: they all differ.
