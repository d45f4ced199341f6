"""How do the processes of a multi-worker training find each other, and how is a lost one told?"""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import json
import logging
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import NoReturn

from nlp_export.errors import CheckError, RequestError
from nlp_export.running import children

_EXAMPLE = ('{"cluster": {"worker": ["host0:12345", "host1:12345"]}, '
            '"task": {"type": "worker", "index": 0}}')
_TOLD_AFTER_SECONDS = 10.0  # So long nobody wonders why nothing happens.
_AGAIN_SECONDS = 0.25


@dataclasses.dataclass(frozen=True)
class Cluster:
  """The processes of a training.

  Attributes:
    addresses: 'host:port' of every worker.
    index: which of them this process is.
  """

  addresses: tuple[str, ...]
  index: int

  @property
  def size(self) -> int:
    """Number of workers."""
    return len(self.addresses)

  @property
  def is_chief(self) -> bool:
    """Whether this one writes."""
    return self.index == 0

  def name(self, index: int) -> str:
    """A worker as messages call it."""
    return f'worker {index} ({self.addresses[index]})'


class WorkerLost(CheckError):
  """Another process of the training went away. This one cannot go on, nor save.

  TensorFlow's collective operations are unusable from now on, and its servers may hang when they
  are destroyed: end the process with `end_process`.
  """


def from_environment(environment: Mapping[str, str] | None = None) -> Cluster:
  """The cluster that TF_CONFIG describes.

  Args:
    environment: instead of os.environ.

  Raises:
    RequestError: there is none, or it makes no sense.
  """
  text = (os.environ if environment is None else environment).get('TF_CONFIG', '')
  if not text:
    raise RequestError(
        'The runtime multi_worker needs the environment variable TF_CONFIG, which tells each worker'
        f" of the others and which it is. Set it for each: TF_CONFIG='{_EXAMPLE}'")
  try:
    value = json.loads(text)
    cluster, task = value['cluster'], value['task']
    addresses = tuple(str(address) for address in cluster['worker'])
    index, kind = int(task['index']), task.get('type', 'worker')
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise RequestError(
        f'TF_CONFIG is {text!r}, which does not say who works ({type(error).__name__}: {error}).'
        f' Write it as {_EXAMPLE}') from error
  if set(cluster) != {'worker'} or kind != 'worker':
    raise RequestError(
        f'TF_CONFIG names {", ".join(sorted({*cluster, kind} - {"worker"}))}; every process of a'
        f' pre-training is a worker, and worker 0 writes. Write it as {_EXAMPLE}')
  if not 0 <= index < len(addresses):
    raise RequestError(
        f'TF_CONFIG says that this is worker {index}, but it lists {len(addresses)} workers, which'
        ' count from 0. Give each process another index below that number')
  double = next((a for a in addresses if addresses.count(a) > 1), None)
  unusable = next((a for a in addresses if not re.fullmatch(r'.+:\d+', a)), None)
  if double or unusable:
    raise RequestError(
        f'TF_CONFIG lists the address {double or unusable!r}'
        f'{" twice" if double else ", which is not host:port"}. Give each worker a host:port of'
        ' its own')
  return Cluster(addresses, index)


def meet(cluster: Cluster, timeout_seconds: float) -> None:
  """Waits until every other worker has started.

  TensorFlow itself waits for hours in a call that nothing interrupts. So every worker first listens
  at its own address, with Python's means, until it has reached all others; the address is then free
  for TensorFlow's server, which counts as reached too.

  Args:
    cluster: all workers.
    timeout_seconds: how long to wait.

  Raises:
    RequestError: some did not start in time, or the own address is taken.
  """
  missing = {index for index in range(cluster.size) if index != cluster.index}
  start = time.monotonic()
  told = start + _TOLD_AFTER_SECONDS
  with _listening(cluster):
    while missing := {i for i in missing if not _reached(cluster.addresses[i])}:
      now = time.monotonic()
      names = ', '.join(cluster.name(index) for index in sorted(missing))
      if now - start > timeout_seconds:
        raise RequestError(
            f'{cluster.name(cluster.index).capitalize()} of {cluster.size} waited'
            f' {timeout_seconds:g} s in vain for {names}. Start the same command on every worker,'
            ' each with its own index in TF_CONFIG, and see that they reach each other; to wait'
            f' longer write multi_worker.start_timeout_seconds = {10 * timeout_seconds:g}')
      if now > told:
        told = now + 3 * _TOLD_AFTER_SECONDS
        print(f'Waiting for {names}.', file=sys.stderr, flush=True)
      time.sleep(_AGAIN_SECONDS)


@contextlib.contextmanager
def _listening(cluster: Cluster) -> Iterator[None]:
  """Accepts whoever asks at the own address."""
  port = int(cluster.addresses[cluster.index].rpartition(':')[2])
  server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
  server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
  try:
    server.bind(('', port))
  except OSError as error:
    server.close()
    raise RequestError(
        f'Port {port}, which TF_CONFIG gives to {cluster.name(cluster.index)}, is taken'
        f' ({error.strerror}): another program, or this worker started twice. Choose another port'
        ' in the TF_CONFIG of all workers') from error
  with server:
    server.listen(cluster.size)
    yield


def _reached(address: str) -> bool:
  host, _, port = address.rpartition(':')
  try:
    with socket.create_connection((host.strip('[]'), int(port)), timeout=1.0) as connection:
      # Nobody listens, and the system chose the very port to connect from: it happens.
      return connection.getsockname() != connection.getpeername()
  except OSError:  # Not started yet.
    return False


@contextlib.contextmanager
def given_up_after(cluster: Cluster, timeout_seconds: float) -> Iterator[None]:
  """Ends the process if the block, which nothing interrupts, takes longer. For the rest of a start.

  TensorFlow would wait without end for a worker that died after all had met. It does so in a call
  in which no other thread of Python runs (TensorFlow 2.20): so another process says what is wrong,
  and faulthandler's thread, which is not Python's, ends this one.
  """
  message = (
      f'{cluster.name(cluster.index).capitalize()} of {cluster.size} gave up: for'
      f' {timeout_seconds:g} s not all workers that had started joined the training. See what the'
      ' others say, and start the same command on every worker')
  _flush()
  with open(os.devnull, 'w') as nowhere, children.child(
      [sys.executable, '-c', _TELLER, str(timeout_seconds), message]):
    faulthandler.dump_traceback_later(timeout_seconds + 1.0, exit=True, file=nowhere)
    try:
      yield
    finally:
      faulthandler.cancel_dump_traceback_later()


@contextlib.contextmanager
def signals_kept() -> Iterator[None]:
  """Gives Python its handler of SIGTERM back after the block.

  TensorFlow's server for several workers takes the signal for a notifier of its own, past Python,
  which would not notice a preemption any more (TensorFlow 2.20).
  """
  handler = signal.getsignal(signal.SIGTERM)
  try:
    yield
  finally:
    if handler is not None and threading.current_thread() is threading.main_thread():
      signal.signal(signal.SIGTERM, handler)


# Says its second argument after as many seconds as the first, if the process that started it lives.
_TELLER = """
import os, sys, time
parent, end = os.getppid(), time.monotonic() + float(sys.argv[1])
while os.getppid() == parent:
  if time.monotonic() > end:
    print(sys.argv[2], file=sys.stderr, flush=True)
    break
  time.sleep(0.1)
"""


@contextlib.contextmanager
def explained(cluster: Cluster, step: int) -> Iterator[None]:
  """Turns what TensorFlow raises where another worker went away into `WorkerLost`.

  Args:
    cluster: all workers.
    step: number of steps that were done before the block.
  """
  import tensorflow as tf

  # What was seen for killed, stopped and crashed workers (TensorFlow 2.20, gRPC ring).
  lost = (tf.errors.UnavailableError, tf.errors.DeadlineExceededError, tf.errors.AbortedError,
          tf.errors.InternalError, tf.errors.CancelledError)
  try:
    yield
  except lost as error:
    text = str(error)
    named = {int(number) for number in re.findall(r'/task:(\d+)', text)} - {cluster.index}
    who = ', '.join(cluster.name(i) for i in sorted(named) if i < cluster.size) or 'another worker'
    raise WorkerLost(
        f'{cluster.name(cluster.index).capitalize()} of {cluster.size} lost {who} after step {step}'
        f' ({type(error).__name__}: {text.strip().partition(chr(10))[0][:200]}). The newest'
        ' checkpoint is intact. Start the same command on every worker: they go on from it'
    ) from error


def end_process(status: int) -> NoReturn:
  """Ends the process at once, after what was said and logged is written.

  For after `WorkerLost`: TensorFlow's servers may hang where Python would tidy them up.
  """
  logging.shutdown()
  _flush()
  os._exit(status)


def _flush() -> None:
  for stream in (sys.stdout, sys.stderr):
    with contextlib.suppress(OSError, ValueError):  # Closed, or nobody reads.
      stream.flush()
