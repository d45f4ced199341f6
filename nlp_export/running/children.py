"""How does a run start another process that never outlives it?"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

# Enough to remove a temporary directory, little enough to wait for after Ctrl-C.
GRACE_SECONDS = 5.0


@contextlib.contextmanager
def child(command: Sequence[str], **popen: Any) -> Iterator[subprocess.Popen]:
  """Starts a process that is ended with the block, however the block ends.

  The process leads a group of its own: Ctrl-C in a terminal reaches the run alone, which then ends
  the whole group (SIGTERM, and SIGKILL after `GRACE_SECONDS`). Wait for it inside the block:

      with child([sys.executable, '-m', 'some.module'], stdout=subprocess.PIPE) as process:
        output, _ = process.communicate()

  Args:
    command: program and arguments; no shell.
    **popen: as for subprocess.Popen.

  Yields:
    The process. After the block `returncode` is set.
  """
  process = subprocess.Popen(list(command), start_new_session=True, **popen)
  try:
    yield process
  finally:
    _end(process)


def _end(process: subprocess.Popen) -> None:
  """Ends the group, also where its leader is gone and left children of its own behind."""
  _signal_group(process, signal.SIGTERM)
  try:
    process.wait(GRACE_SECONDS)
  except subprocess.TimeoutExpired:
    _signal_group(process, signal.SIGKILL)
    process.wait()
  for stream in (process.stdin, process.stdout, process.stderr):
    if stream is not None:
      with contextlib.suppress(BrokenPipeError):  # Unread input of a process that is gone.
        stream.close()


def _signal_group(process: subprocess.Popen, number: signal.Signals) -> None:
  with contextlib.suppress(ProcessLookupError):  # All of it has ended already.
    os.killpg(process.pid, number)
