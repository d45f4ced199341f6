"""How do several processes execute one plan in one out_dir (`Plan.shared`)?

The first one has log.txt and writes the record, as any run does. Those that come while it is at
work join: the same configuration and inputs, a log of their own, log.<host>.<process>.txt. Should
the first one end early, a joined one that finishes the run writes the record's end. The lock of
each log tells who is alive; the system releases it however a process ends.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Mapping
from typing import Any

from nlp_export import files
from nlp_export.running import out_dir as out_dirs
from nlp_export.running.log_file import LogFile, LogInUse

_POLL_SECONDS = 0.1


def own_log() -> str:
  """Name of the log of a process that joins."""
  host = re.sub(r'[^\w-]', '_', socket.gethostname()) or 'host'
  return f'log.{host}.{os.getpid()}.txt'


def open_log(
    out_dir: str, config_text: str, input_hashes: Mapping[str, str],
    module_hashes: Mapping[str, str],
) -> tuple[LogFile, bool]:
  """The log of this process, and whether it has joined another one's run.

  Raises:
    RequestError: the run that is going on has another configuration or other inputs.
  """
  while True:
    try:
      return LogFile(files.join(out_dir, out_dirs.LOG)), False
    except LogInUse:
      earlier = out_dirs.look(out_dir)
    if earlier is not None:
      out_dirs.check_config(out_dir, earlier, config_text)
      out_dirs.check_inputs(out_dir, earlier, input_hashes, module_hashes)
      return LogFile(files.join(out_dir, own_log())), True
    time.sleep(_POLL_SECONDS)  # It is about to write its record.


def others_at_work(out_dir: str) -> bool:
  """Whether a process that joined is alive. The caller has log.txt."""
  for name in files.list_dir(out_dir):
    if out_dirs.is_joined_log(name):
      try:
        LogFile(files.join(out_dir, name)).close()
      except LogInUse:
        return True
  return False


def record_to_end(out_dir: str) -> tuple[LogFile, Mapping[str, Any]] | None:
  """The locked log.txt and the record of a run that its first process has left unfinished.

  None if that one is alive, and will write the end itself, or another has written it.
  """
  try:
    log = LogFile(files.join(out_dir, out_dirs.LOG))
  except LogInUse:
    return None
  path = files.join(out_dir, out_dirs.RECORD)
  record = files.read_json(path) if files.exists(path) else {}
  if record.get('status') in (out_dirs.Status.DONE, out_dirs.Status.CHECKS_FAILED):
    log.close()
    return None
  return log, record
