"""Two processes on loopback: they train as one, and say so when the other is killed or stops."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from nlp_export.pretraining import strategies
from tests.conftest import ROOT
from tests.pretraining import training_lab as lab
from tests.pretraining.ports import free_ports

pytestmark = pytest.mark.extra  # Half a minute each: two processes import and trace.


@contextlib.contextmanager
def two_workers(*arguments, started=(0, 1)):
  """Starts workers; yields them, None for one that was not started, and the addresses."""
  addresses = [f'127.0.0.1:{port}' for port in free_ports(2)]
  processes = [None, None]
  try:
    for index in started:
      config = {'cluster': {'worker': addresses}, 'task': {'type': 'worker', 'index': index}}
      processes[index] = subprocess.Popen(
          [sys.executable, '-m', 'tests.pretraining.multi_worker_process', *map(str, arguments)],
          cwd=ROOT, env={**os.environ, 'TF_CONFIG': json.dumps(config)}, text=True,
          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    yield processes, addresses
  finally:
    for process in filter(None, processes):
      process.kill()
      process.communicate()


def until(process, done):
  """The lines of a worker until it has done so many steps."""
  lines = []
  for line in process.stdout:
    lines.append(json.loads(line))
    if lines[-1].get('done', 0) >= done:
      return lines
  raise AssertionError(f'ended early: {lines}, {process.stderr.read()[-2000:]}')


def rest(process, timeout=280):
  out, err = process.communicate(timeout=timeout)
  return [json.loads(line) for line in out.splitlines()], err


def test_two_processes_train_as_one_device():
  with two_workers(20) as (processes, _):
    outputs = [rest(process)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
  losses = [np.concatenate([line['loss'] for line in lines if 'loss' in line])
            for lines in outputs]
  one = lab.build(strategies.one_device(device='CPU:0').begin())
  expected = one.run(0, 20).column('loss')
  for loss in losses:
    np.testing.assert_allclose(loss, expected, atol=1e-5, rtol=0)
  ends = [lines[-1] for lines in outputs]
  assert ends[0]['digest'] == ends[1]['digest']
  assert [end['chief'] for end in ends] == [True, False]
  metrics = one.evaluate([lab.SyntheticBatches(7, seed=9).batch(0)]).metrics
  for end in ends:
    assert end['metrics'] == pytest.approx(metrics, abs=1e-4)


@pytest.mark.parametrize('victim', [0, 1])
def test_the_other_ends_with_a_clear_error_when_one_is_killed(victim):
  with two_workers(10**6) as (processes, addresses):
    survivor = processes[1 - victim]
    until(survivor, 10)
    processes[victim].kill()
    start = time.monotonic()
    lines, _ = rest(survivor)
    assert time.monotonic() - start < 60
  assert survivor.returncode == 1
  message = lines[-1]['error']
  assert message.startswith(f'Worker {1 - victim} ({addresses[1 - victim]}) of 2 lost ')
  assert message.endswith('Start the same command on every worker: they go on from it')


def test_a_signal_at_one_worker_ends_both_after_the_same_step():
  with two_workers(10**6) as (processes, _):
    until(processes[0], 5)
    until(processes[1], 5)
    processes[1].send_signal(signal.SIGTERM)
    ends = [rest(process)[0] for process in processes]
  assert [process.returncode for process in processes] == [0, 0]
  assert ends[0][-1]['end'] == ends[1][-1]['end'] and ends[0][-2]['stopped']
  assert ends[0][-1]['digest'] == ends[1][-1]['digest']


def test_a_worker_that_answers_and_never_joins_is_given_up():
  with two_workers(5, 8, started=()) as (_, addresses):
    with socket.socket() as other:
      other.bind(('127.0.0.1', int(addresses[1].rpartition(':')[2])))
      other.listen()
      config = {'cluster': {'worker': addresses}, 'task': {'type': 'worker', 'index': 0}}
      done = subprocess.run(
          [sys.executable, '-m', 'tests.pretraining.multi_worker_process', '5', '8'], cwd=ROOT,
          env={**os.environ, 'TF_CONFIG': json.dumps(config)}, text=True, capture_output=True,
          timeout=280)
  assert done.returncode == 1
  assert 'for 8 s not all workers that had started joined the training' in done.stderr
