"""How does a command run that is measured, and what if it fails?"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from nlp_export.running.children import child

ROOT = Path(__file__).resolve().parent.parent.parent
# What a user may have set for himself would decide for one contestant and not for the other.
_NOT_OF_THE_USER = ('TF_NUM_INTEROP_THREADS', 'TF_NUM_INTRAOP_THREADS', 'TF_CONFIG')
_TIMEOUT_SECONDS = 3600.0


class CommandFailed(Exception):
  """It ended with another status than it should; the message has the end of what it printed."""


@contextlib.contextmanager
def started(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None,
    cores: Sequence[int] | None = None,
) -> Iterator[subprocess.Popen]:
  """A process in the checkout, ended with the block.

  Args:
    command: program and arguments.
    log: file for what it prints.
    environment: in addition to this process's.
    cores: that it may use; None for all.
  """
  given = {name: value for name, value in os.environ.items() if name not in _NOT_OF_THE_USER}
  given = {'TF_CPP_MIN_LOG_LEVEL': '2', **given, **(environment or {})}
  log.parent.mkdir(parents=True, exist_ok=True)
  before = os.sched_getaffinity(0)
  with log.open('wb') as output, contextlib.ExitStack() as stack:
    try:
      os.sched_setaffinity(0, cores or before)  # The process inherits it.
      process = stack.enter_context(child(
          command, cwd=ROOT, env=given, stdin=subprocess.DEVNULL, stdout=output,
          stderr=subprocess.STDOUT))
    finally:
      os.sched_setaffinity(0, before)
    yield process


def finish(process: subprocess.Popen, log: Path, status: int = 0) -> None:
  """Waits for its end.

  Args:
    process: of `started`.
    log: of it.
    status: that it should end with.

  Raises:
    CommandFailed: it ended with another one, or does not end.
  """
  with contextlib.suppress(subprocess.TimeoutExpired):
    process.wait(_TIMEOUT_SECONDS)
  if process.returncode != status:
    raise failed(
        process, log, f'ended with status {process.returncode} instead of {status}')


def failed(process: subprocess.Popen, log: Path, why: str) -> CommandFailed:
  """The exception that says why, with the end of the log."""
  end = log.read_text(errors='replace')[-4000:]
  return CommandFailed(f'{process.args!r}\n{why}:\n{end}')


def call(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> str:
  """Runs a command to its end; see `started`.

  Returns:
    What it printed.

  Raises:
    CommandFailed: see `finish`.
  """
  with started(command, log, environment) as process:
    finish(process, log)
  return log.read_text(errors='replace')
