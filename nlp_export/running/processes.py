"""Is a process still the one that was meant, seen from this machine?

A process number alone does not say it: numbers are used again, and two containers with one host
name and one disk count their processes apart.
"""

from __future__ import annotations

import contextlib
import os
import socket
import uuid


def machine() -> str:
  """Where process numbers mean the same: host name, boot and process namespace.

  Without Linux's /proc: host name and network address.
  """
  parts = [socket.gethostname()]
  try:
    with open('/proc/sys/kernel/random/boot_id', encoding='ascii') as f:
      parts.append(f.read().strip())
    parts.append(os.readlink('/proc/self/ns/pid'))
  except OSError:
    parts.append(f'{uuid.getnode():012x}')
  return ' '.join(parts)


def start_time(pid: int) -> str | None:
  """When a process began, in a form that only equality is asked of; None if it has ended.

  '' if it is there and its start cannot be told: no /proc, or one that hides other users'.
  """
  with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
    with open(f'/proc/{pid}/stat', encoding='utf-8', errors='replace') as f:
      # 'pid (any name) state ...': proc_pid_stat(5); the start is field 22, in ticks since boot.
      fields = f.read().rpartition(')')[2].split()
    return None if fields[0] in 'ZX' else fields[19]  # Killed, and not yet waited for, is ended.
  try:
    os.kill(pid, 0)
  except ProcessLookupError:
    return None
  except PermissionError:
    return ''
  return ''
