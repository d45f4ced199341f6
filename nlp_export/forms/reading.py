"""How is a form run in a fresh process that has nothing of this package?"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nlp_export.errors import CheckError
from nlp_export.forms import reader
from nlp_export.running import children

# What TensorFlow reads of the environment would make a reader other than its users' processes.
_SETTINGS = ('TF_', 'XLA_', 'ONEDNN_', 'DNNL_', 'OMP_', 'KMP_', 'PYTHON', 'TFHUB_')


class Reader(contextlib.AbstractContextManager):
  """A process that loads forms and calls them, with nothing set that its user would not set."""

  def __init__(self, work: str, barred: Sequence[str] = (), environment: Mapping[str, str] = {}):
    """Describes the process; entering the context starts it.

    Args:
      work: a directory for arrays on their way.
      barred: packages that cannot be imported there, besides this one.
      environment: variables that are set there.
    """
    self._work = work
    self._barred = tuple(barred)
    self._environment = dict(environment)
    self._stack = contextlib.ExitStack()
    self._count = 0

  def __enter__(self) -> Reader:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_SETTINGS)}
    self._log = self._stack.enter_context(
        open(os.path.join(self._work, f'reader_{id(self)}.log'), 'w+', errors='replace'))
    # -P: what lies in the working directory is not imported instead of what is installed.
    self._process = self._stack.enter_context(children.child(
        [sys.executable, '-P', str(reader.__file__), *self._barred], cwd=self._work,
        env={**kept, 'TF_CPP_MIN_LOG_LEVEL': '3', **self._environment},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True))
    return self

  def __exit__(self, *exception: Any) -> None:
    self._stack.close()

  def load(self, name: str, kind: str, path: str, inputs: Sequence[str],
           outputs: Sequence[str], signature: str = '') -> None:
    """Loads a form under a name."""
    self._ask(do='load', name=name, kind=kind, path=os.path.abspath(path), inputs=list(inputs),
              outputs=list(outputs), signature=signature)

  def unload(self, name: str) -> None:
    """Lets a form go."""
    self._ask(do='unload', name=name)

  def call(self, name: str, inputs: Mapping[str, np.ndarray]
           ) -> tuple[dict[str, np.ndarray], float]:
    """Outputs by name, and the seconds of the call."""
    to = self._path()
    answer = self._ask(do='call', name=name, inputs=self._put(inputs), to=to)
    with np.load(to, allow_pickle=False) as stored:
      return dict(stored), answer['seconds']

  def time(self, name: str, inputs: Mapping[str, np.ndarray], calls: int) -> float:
    """Seconds of one call, the mean of some."""
    return self._ask(do='time', name=name, inputs=self._put(inputs), calls=calls)['seconds']

  def _put(self, inputs: Mapping[str, np.ndarray]) -> str:
    path = self._path()
    np.savez(path, **dict[str, Any](inputs))
    return path

  def _path(self) -> str:
    self._count += 1
    return os.path.join(self._work, f'{id(self)}_{self._count}.npz')

  def _ask(self, **request: Any) -> dict[str, Any]:
    line = ''
    with contextlib.suppress(BrokenPipeError):  # It has died: there is no answer, see below.
      print(json.dumps(request), file=self._process.stdin, flush=True)
      line = next(iter(self._process.stdout or ()), '')
    if not line:
      self._log.seek(0)
      tail = '\n'.join(self._log.read().splitlines()[-8:])
      raise CheckError(f'The process that reads {request["name"]} ended before it had an answer '
                       f'(status {self._process.wait()}). Its last lines:\n{tail}\nRun it again, '
                       'with more memory if it was killed.')
    answer: dict[str, Any] = json.loads(line)
    if 'error' in answer:
      raise CheckError(f'{request["name"]} could not {request["do"]} in a process of its own: '
                       f'{answer["error"]}\nNo form was put in place.')
    return answer
