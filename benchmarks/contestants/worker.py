"""How does a contestant run in a process of its own?

    python -m benchmarks.contestants.worker NAME '{"glue_dir": ...}'

reads a JSON object a line, {"method": "measure", "arguments": {...}}, and answers each with a line:
{"result": ...} or {"error": the traceback}. Between them it waits and takes no processor time, so
contestants can take turns. Whatever libraries print goes to stderr. `Worker` is the other end.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import IO, Any

from benchmarks import contestants

_ROOT = Path(__file__).resolve().parent.parent.parent
_SECONDS_TO_END = 20.0


class WorkerFailed(Exception):
  """The contestant's process raised an exception or ended; the message has the traceback."""


class Worker:
  """A contestant in another process.

  Attributes:
    name: of the contestant.
    start_seconds: until it had imported its framework and answered.
  """

  def __init__(self, name: str, given: contestants.Given, log: str | Path):
    """Starts the process and waits for its first answer.

    Args:
      name: of `contestants.NAMES`.
      given: handed on.
      log: file for what it prints.

    Raises:
      WorkerFailed: it could not be made.
    """
    self.name = name
    self._log = Path(log)
    with self._log.open('wb') as output:
      started = time.perf_counter()
      self._process = subprocess.Popen(
          [sys.executable, '-m', 'benchmarks.contestants.worker', name,
           json.dumps(dataclasses.asdict(given))],
          cwd=_ROOT, env={'TF_CPP_MIN_LOG_LEVEL': '2', **os.environ}, stdin=subprocess.PIPE,
          stdout=subprocess.PIPE, stderr=output, text=True)
    self._answer()
    self.start_seconds = time.perf_counter() - started

  def ask(self, method: str, **arguments: Any) -> Any:
    """Calls a method of the contestant and waits for what it returns.

    Raises:
      WorkerFailed: it raised an exception.
    """
    assert self._process.stdin is not None
    self._process.stdin.write(json.dumps({'method': method, 'arguments': arguments}) + '\n')
    self._process.stdin.flush()
    return self._answer()

  def _answer(self) -> Any:
    assert self._process.stdout is not None
    line = self._process.stdout.readline()
    if not line:
      log = self._log.read_text(errors='replace')[-4000:]
      raise WorkerFailed(f'{self.name} ended with status {self._process.wait()}:\n{log}')
    answer = json.loads(line)
    if 'error' in answer:
      raise WorkerFailed(f'{self.name} failed:\n{answer["error"]}')
    return answer['result']

  def close(self) -> None:
    """Ends the process."""
    assert self._process.stdin is not None and self._process.stdout is not None
    self._process.stdin.close()
    try:
      self._process.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
      self._process.kill()
      self._process.wait()
    self._process.stdout.close()


def serve(name: str, given: contestants.Given, requests: IO[str], answers: IO[str]) -> int:
  """Answers requests until there are no more.

  Args:
    name: of the contestant.
    given: what it is given.
    requests: JSON lines.
    answers: JSON lines, the first one as soon as the contestant is made.

  Returns:
    Exit status: 1 after an error.
  """

  def answer(**values: Any) -> None:
    answers.write(json.dumps(values) + '\n')
    answers.flush()

  try:
    contestant = contestants.make(name, given)
    answer(result=None)
    for line in requests:
      request = json.loads(line)
      result = getattr(contestant, request['method'])(**request['arguments'])
      answer(result=dataclasses.asdict(result) if dataclasses.is_dataclass(result) else result)
  except Exception:
    answer(error=traceback.format_exc())
    return 1
  return 0


def main() -> None:
  name, given = sys.argv[1:]
  answers = os.fdopen(os.dup(1), 'w')
  os.dup2(2, 1)
  sys.exit(serve(name, contestants.Given(**json.loads(given)), sys.stdin, answers))


if __name__ == '__main__':
  main()
