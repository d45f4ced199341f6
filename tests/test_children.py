"""Processes of a run end with it, their own children too."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import time

import pytest

from nlp_export.running import children

# Starts a process of its own, says its id, and waits.
_PARENT = """
import subprocess, sys, time
process = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
print(process.pid, flush=True)
time.sleep(60)
"""
_STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('ready', flush=True)
time.sleep(60)
"""


def is_running(pid: int) -> bool:
  status = pathlib.Path(f'/proc/{pid}/status')
  return status.exists() and 'State:\tZ' not in status.read_text()


def test_a_child_that_ends_by_itself_keeps_its_status():
  with children.child([sys.executable, '-c', 'print(3); raise SystemExit(7)'],
                      stdout=subprocess.PIPE, text=True) as process:
    output, _ = process.communicate()
  assert (output, process.returncode) == ('3\n', 7)


def test_an_exception_ends_the_child_and_its_children():
  with pytest.raises(KeyboardInterrupt):
    with children.child([sys.executable, '-c', _PARENT], stdout=subprocess.PIPE) as process:
      grandchild = int(process.stdout.readline())
      assert is_running(grandchild)
      raise KeyboardInterrupt
  assert process.returncode is not None
  time.sleep(0.1)  # The orphan is reaped by init, not by us.
  assert not is_running(grandchild)


def test_a_child_that_ignores_the_request_is_killed(monkeypatch):
  monkeypatch.setattr(children, 'GRACE_SECONDS', 0.2)
  with children.child([sys.executable, '-c', _STUBBORN], stdout=subprocess.PIPE) as process:
    process.stdout.readline()
  assert process.returncode == -9
