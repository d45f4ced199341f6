"""Workers find each other, or say whom they wait for. No TensorFlow but for its errors."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading

import pytest

from nlp_export.errors import RequestError
from nlp_export.pretraining import workers
from nlp_export.pretraining.workers import Cluster
from tests.conftest import ROOT
from tests.pretraining.ports import free_ports


def config(index=0, addresses=('a:1', 'b:2'), **task):
  return {'TF_CONFIG': json.dumps({
      'cluster': {'worker': list(addresses)}, 'task': {'type': 'worker', 'index': index, **task}})}


def test_tf_config_says_who_works():
  cluster = workers.from_environment(config(index=1))
  assert cluster == Cluster(('a:1', 'b:2'), 1)
  assert cluster.size == 2 and not cluster.is_chief
  assert workers.from_environment(config()).is_chief


@pytest.mark.parametrize('environment, last_clause', [
    ({}, '"task": {"type": "worker", "index": 0}}\''),
    ({'TF_CONFIG': '{"cluster":'}, '"task": {"type": "worker", "index": 0}}'),
    ({'TF_CONFIG': '{"cluster": {}, "task": {}}'}, '"task": {"type": "worker", "index": 0}}'),
    ({'TF_CONFIG': '[]'}, '"task": {"type": "worker", "index": 0}}'),
    (config(type='chief'), '"task": {"type": "worker", "index": 0}}'),
    (config(index=2), 'Give each process another index below that number'),
    (config(addresses=('a:1', 'a:1')), 'Give each worker a host:port of its own'),
    (config(addresses=('a:1', 'b')), 'Give each worker a host:port of its own'),
])
def test_a_tf_config_that_makes_no_sense_is_refused(environment, last_clause):
  with pytest.raises(RequestError) as error:
    workers.from_environment(environment)
  assert error.value.message.endswith(last_clause)


def loopback(count):
  return tuple(f'127.0.0.1:{port}' for port in free_ports(count))


def test_workers_meet_whoever_comes_first():
  addresses = loopback(3)
  met = []

  def come(index):
    workers.meet(Cluster(addresses, index), 20.0)
    met.append(index)
    # TensorFlow's server takes the address over and answers from then on.
    server = socket.create_server(('127.0.0.1', int(addresses[index].rpartition(':')[2])))
    servers.append(server)

  servers = []
  threads = [threading.Timer(0.2 * index, come, [index]) for index in (2, 0, 1)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join(30)
  for server in servers:
    server.close()
  assert sorted(met) == [0, 1, 2]


def test_a_worker_that_never_starts_is_named():
  addresses = loopback(2)
  with pytest.raises(RequestError) as error:
    workers.meet(Cluster(addresses, 0), 0.5)
  message = error.value.message
  assert message.startswith(f'Worker 0 ({addresses[0]}) of 2 waited 0.5 s in vain for worker 1 (')
  assert addresses[1] in message
  assert message.endswith('write multi_worker.start_timeout_seconds = 5')


def test_who_is_waited_for_is_said_meanwhile(monkeypatch, capsys):
  monkeypatch.setattr(workers, '_TOLD_AFTER_SECONDS', 0.1)
  addresses = loopback(2)
  with pytest.raises(RequestError):
    workers.meet(Cluster(addresses, 1), 0.8)
  assert capsys.readouterr().err.startswith(f'Waiting for worker 0 ({addresses[0]}).\n')


def test_a_port_that_is_taken_is_told():
  with socket.create_server(('', 0)) as server:
    port = server.getsockname()[1]
    cluster = Cluster((f'127.0.0.1:{port}', *loopback(1)), 0)
    with pytest.raises(RequestError, match='in the TF_CONFIG of all workers$'):
      workers.meet(cluster, 1.0)


def test_a_start_that_hangs_ends_the_process():
  code = """
import ctypes
from nlp_export.pretraining import workers
with workers.given_up_after(workers.Cluster(('a:1', 'b:2'), 1), 30.0):
  pass  # In time: nothing happens.
with workers.given_up_after(workers.Cluster(('a:1', 'b:2'), 1), 0.2):
  ctypes.PyDLL(None).sleep(60)  # As TensorFlow does: no other thread of Python runs.
"""
  done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True,
                        timeout=50)
  assert done.returncode == 1
  assert done.stderr.startswith('Worker 1 (b:2) of 2 gave up: for 0.2 s not all workers')
  assert done.stderr.endswith('start the same command on every worker\n')


def test_the_loss_of_a_worker_is_told_and_other_errors_pass():
  import tensorflow as tf

  cluster = Cluster(('a:1', 'b:2', 'c:3'), 0)
  with pytest.raises(workers.WorkerLost) as error:
    with workers.explained(cluster, 40):
      raise tf.errors.UnavailableError(
          None, None, 'Collective ops is aborted by: /job:worker/replica:0/task:2 is gone\nmore')
  message = error.value.message
  assert message.startswith('Worker 0 (a:1) of 3 lost worker 2 (c:3) after step 40 (Unavailable')
  assert message.endswith('Start the same command on every worker: they go on from it')
  assert error.value.exit_status == 1
  with pytest.raises(tf.errors.ResourceExhaustedError):  # Control: out of memory is another thing.
    with workers.explained(cluster, 40):
      raise tf.errors.ResourceExhaustedError(None, None, 'OOM')
