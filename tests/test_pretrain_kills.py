"""Whatever ends a pre-training, the same command goes on, and the weights at the end are the same.
"""

from __future__ import annotations

import json
import random
import signal
import socket
import time
from pathlib import Path

import pytest

from tests import pretrain_lab
from tests.in_process import run_main
from tests.pretrain_lab import LONG, SHORT, Process, arguments, assert_same, weights

# From SIGTERM to the end of the process: the step that runs, a save, and the record.
# docs/pretraining.md says so.
STOPS_WITHIN_SECONDS = 20.0
KILLS = 20


@pytest.fixture(scope='module')
def lab(tmp_path_factory, tiny_vocab) -> dict[str, object]:
  """Macros of a training of some seconds."""
  directory = tmp_path_factory.mktemp('kills')
  return {'TEXT_FILES': pretrain_lab.write_text(directory / 'text.txt'), 'VOCAB_FILE': tiny_vocab,
          **LONG}


@pytest.fixture(scope='module')
def whole(tmp_path_factory, lab) -> Path:
  """out_dir of an uninterrupted run."""
  out = tmp_path_factory.mktemp('whole') / 'out'
  done = run_main(*arguments(out, **lab))
  assert done.status == 0, done.output
  return out


@pytest.fixture(autouse=True)
def no_survivors():
  yield
  pretrain_lab.kill_survivors()


def steps(out: Path) -> list[int]:
  return sorted(int(path.name) for path in (out / 'checkpoints').iterdir()
                if path.name.isdecimal())


def test_a_kill_in_a_save_loses_nothing(lab, tmp_path):
  macros = {**lab, **SHORT}
  command = arguments(tmp_path / 'out', **macros)
  first = Process(*command)
  assert first.wait_for('checkpoint 50: saving'), first.screen
  first.kill()
  assert 200 not in steps(tmp_path / 'out'), 'it was finished before it was killed'
  for line in (command, arguments(tmp_path / 'whole', **macros)):
    done = run_main(*line)
    assert done.status == 0, done.output
  assert_same(weights(tmp_path / 'out', 200), weights(tmp_path / 'whole', 200))
  assert sorted(path.name for path in (tmp_path / 'out/checkpoints').iterdir()) == [
      '100', '150', '200']


@pytest.mark.extra
@pytest.mark.timeout(1200)
def test_sigterm_saves_and_a_kill_in_a_save_loses_nothing(lab, whole, tmp_path):
  out = tmp_path / 'out'
  first = Process(*arguments(out, **lab))
  assert first.wait_for('step 1 of 600'), first.screen
  start = time.monotonic()
  first.process.send_signal(signal.SIGTERM)
  assert first.end() == 3, first.screen
  assert time.monotonic() - start < STOPS_WITHIN_SECONDS
  assert first.screen.splitlines()[-1] == 'Interrupted. Repeat the command to go on.'
  assert steps(out) and max(steps(out)) < 600
  assert json.loads((out / 'run.json').read_text())['status'] == 'interrupted'

  second = Process(*arguments(out, **lab))
  assert second.wait_for('going on from checkpoint')
  assert second.wait_for('checkpoint 240: saving', 'checkpoint 600: saving'), second.screen
  second.kill()

  done = run_main(*arguments(out, **lab))
  assert done.status == 0, done.output
  assert 'going on from checkpoint' in done.stdout
  assert_same(weights(out, 600), weights(whole, 600))
  assert all(path.name.isdecimal() for path in (out / 'checkpoints').iterdir())


@pytest.mark.extra
@pytest.mark.timeout(1200)
def test_twenty_kills_lose_nothing(lab, tmp_path):
  """A third of them as soon as a save has begun, the others at any moment after a first step."""
  draw = random.Random(7)
  macros = {**lab, 'TRAIN_STEPS': 6000, 'SAVE_EVERY_STEPS': 40, 'EVALUATE_EVERY_STEPS': 3000}
  command = arguments(tmp_path / 'out', **macros)
  moments: list[tuple[str, int, float]] = []
  while len(moments) < KILLS:
    run = Process(*command)
    assert run.wait_for(' of 6000, '), run.screen
    kind = 'save' if len(moments) % 3 == 0 else 'any'
    if kind == 'save':
      run.screen = ''
      assert run.wait_for(': saving'), run.screen
    delay = draw.uniform(0.0, 0.05 if kind == 'save' else 1.0)
    time.sleep(delay)
    assert run.process.poll() is None, 'it was finished before it was killed enough'
    run.kill()
    moments.append((kind, max(steps(tmp_path / 'out'), default=0), delay))
  unfinished = [path.name for path in (tmp_path / 'out/checkpoints').iterdir()
                if not path.name.isdecimal()]
  done = run_main(*command)
  assert done.status == 0, done.output
  uninterrupted = run_main(*arguments(tmp_path / 'whole', **macros))
  assert uninterrupted.status == 0, uninterrupted.output
  print(f'{KILLS} kills (moment, newest checkpoint, seconds after it): {moments}; left: '
        f'{unfinished}')
  assert_same(weights(tmp_path / 'out', 6000), weights(tmp_path / 'whole', 6000))


@pytest.mark.extra
def test_two_logical_devices_train_and_go_on(lab, whole, tmp_path, run_py):
  out = tmp_path / 'out'
  command = arguments(out, 'gin/runtime/mirrored.gin', **lab, **{'mirrored.logical_cpus': 2})
  first = Process(*command)
  assert first.wait_for('step 1 of 600'), first.screen
  first.process.send_signal(signal.SIGTERM)
  assert first.end() == 3, first.screen
  done = run_py(*command)
  assert done.status == 0, done.output
  summary = json.loads((out / 'pretraining/summary.json').read_text())
  alone = json.loads((whole / 'pretraining/summary.json').read_text())
  assert summary['facts']['environment']['replicas'] == 2
  assert abs(summary['held_out']['masked_lm_loss'] - alone['held_out']['masked_lm_loss']) < 0.02


def free_ports(count: int) -> list[int]:
  sockets = [socket.socket() for _ in range(count)]
  for one in sockets:
    one.bind(('127.0.0.1', 0))
  ports = [one.getsockname()[1] for one in sockets]
  for one in sockets:
    one.close()
  return ports


def workers(out: Path, lab: dict[str, object]) -> list[Process]:
  addresses = [f'127.0.0.1:{port}' for port in free_ports(2)]
  command = arguments(out, 'gin/runtime/multi_worker.gin', **lab, **{
      'multi_worker.communication': "'ring'", 'multi_worker.start_timeout_seconds': 60.0})
  return [Process(*command, env={'TF_CONFIG': json.dumps({
      'cluster': {'worker': addresses}, 'task': {'type': 'worker', 'index': index}})})
          for index in range(2)]


@pytest.mark.extra
@pytest.mark.timeout(600)
def test_two_processes_train_one_is_killed_and_both_go_on(lab, tmp_path):
  out = tmp_path / 'out'
  chief, other = workers(out, lab)
  assert chief.wait_for('checkpoint 60: saved'), chief.screen + other.screen
  other.kill()
  assert chief.end() == 1, chief.screen
  assert 'lost worker 1' in chief.screen.splitlines()[-1]
  before = max(steps(out))
  chief, other = workers(out, lab)
  ends = chief.end(), other.end()
  assert ends == (0, 0), chief.screen + other.screen
  assert f'going on from checkpoint {before}' in chief.screen
  assert steps(out)[-1] == 600
  summary = json.loads((out / 'pretraining/summary.json').read_text())
  assert summary['facts']['environment']['workers'] == 2
