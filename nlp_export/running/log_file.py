"""How does log.txt grow while a run goes on, and how is a second run kept out of its out_dir?

The one place besides files.py that opens a file: a log is appended to, never replaced, and the open
handle is the lock, which the system releases however the process ends.
"""

from __future__ import annotations

import logging
import os
from typing import IO

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.file_errors import explain_failures

try:
  import fcntl
except ImportError:  # Not on Windows: runs are not kept apart there.
  fcntl = None  # type: ignore[assignment]


class LogInUse(RequestError):
  """Another process has the log open: it is writing to this out_dir."""


class LogFile:
  """A text file that is appended to; a remote one is rewritten by each `flush`."""

  def __init__(self, path: str):
    """Opens the file and locks it.

    Raises:
      LogInUse: another process has it.
      RequestError: it cannot be written.
    """
    self._path = path
    self._handle: IO[str] | None = None
    self._text = self._kept = ''
    if files.is_remote(path):
      self._text = files.read_text(path) if files.exists(path) else ''
      return
    with explain_failures('write', path):
      self._handle = open(path, 'a', encoding='utf-8')  # noqa: SIM115 - open as long as the run.
    self._lock(self._handle)

  def _lock(self, handle: IO[str]) -> None:
    if fcntl is None:
      return
    try:
      fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
      # Removed between our opening and our lock, by a run that discarded its record.
      if not os.path.exists(self._path) or not os.path.samestat(
          os.stat(self._path), os.fstat(handle.fileno())):
        raise BlockingIOError
    except BlockingIOError as error:
      handle.close()
      raise LogInUse(
          f'Another run.py is writing to {files.dirname(self._path)} at this moment. '
          'Wait for it, end it, or give another --out_dir.') from error
    except OSError:
      # Some network file systems have no locks; the run is worth more than the warning.
      logging.getLogger(__name__).info('%s cannot be locked on this file system', self._path)

  def write(self, line: str) -> None:
    """Adds a line, or several. On a full disk the log ends early; the run says why it failed."""
    if self._handle is None:
      self._text += line + '\n'
      return
    with explain_failures('write', self._path):
      self._handle.write(line + '\n')
      self._handle.flush()

  def flush(self) -> None:
    """Brings a remote file up to date."""
    if self._handle is None and self._text != self._kept:
      files.write_text(self._path, self._text)
      self._kept = self._text

  def close(self) -> None:
    """Closes and unlocks."""
    if self._handle is not None:
      self._handle.close()
    else:
      self.flush()

  def discard(self) -> None:
    """Removes the file, and unlocks only then: no other process can have begun to use it."""
    files.remove(self._path, missing_ok=True)
    if self._handle is not None:
      self._handle.close()


class LogHandler(logging.Handler):
  """Sends what libraries log to log.txt instead of the screen."""

  def __init__(self, log: LogFile):
    super().__init__(logging.INFO)
    self._log = log
    self.setFormatter(logging.Formatter('%(asctime)s %(levelname)s %(name)s: %(message)s'))

  def emit(self, record: logging.LogRecord) -> None:
    """Called by the logging module."""
    try:
      self._log.write(self.format(record))
    except (RequestError, ValueError):  # A full disk, or a line that comes after the end.
      self.handleError(record)
