"""Who works on a piece of work now, and who may take it over from a process that was killed?

A piece is called a cell here, after those of a matrix; a shard of data is one too. A cell's claims
are numbered files in a directory of its own: 0.json, 1.json ... Each is made once, complete and
exclusively, by a hard link (atomic on NFS too), and never changed or renamed. The highest number
has the cell, unless N.released lies beside it or its owner is dead. To take over is to make the
next number, which one process can; killed at that moment, it leaves a claim as any other.
(Renaming a stale claim instead would let a slow process rename the claim that a quick one has put
in its place.)

Dead is: on the same machine, the process with that number and start time is gone, at once and for
certain. From another machine: the claim's time of change, the heartbeat, stood still for
`stale_seconds`. It is compared with itself alone and the seconds are the observer's, so that clocks
may differ. One that was only asleep finds its claim lost and drops what it did.

A machine that was started again counts as another one. Host names and machine ids are copied with
images; two living machines that took each other for dead would take each other's cells for ever.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import socket
import threading
import time

from nlp_export import files
from nlp_export.file_errors import explain_failures
from nlp_export.running import processes
from nlp_export.running.claim_files import (
    Owner,
    claim_path,
    create,
    heartbeat,
    list_claims,
    number_of,
    read_owner,
    top_number,
)

HEARTBEAT_SECONDS = 15.0
# NFS may show a change of time a minute late (actimeo); Python threads may starve in a long call.
STALE_SECONDS = 240.0

# The claims of this process: one that it gave up half-way (Ctrl-C) is nobody's.
_HELD: set[str] = set()


class ClaimLost(Exception):
  """Another process has taken the cell over: what this one has of it must be dropped."""


class Claim:
  """A cell that this process has. Ends with `release` or `finish`."""

  def __init__(
      self, root: str, path: str, owner: Owner, descriptor: int, heartbeat_seconds: float
  ):
    """Made by `Claims.acquire`.

    Args:
      root: directory of all claims.
      path: of the claim's file.
      owner: this process.
      descriptor: the open file: the heartbeat goes to it, whatever the path may become.
      heartbeat_seconds: between two heartbeats.
    """
    self.owner = owner
    self._root = root
    self._path = path
    self._descriptor = descriptor
    self._heartbeat_seconds = heartbeat_seconds
    self._ended = threading.Event()
    self._thread = threading.Thread(target=self._beat, name='claim', daemon=True)
    self._thread.start()

  def _beat(self) -> None:
    while not self._ended.wait(self._heartbeat_seconds):
      try:
        os.utime(self._descriptor)
      except OSError:  # The server is away, or removed the file: `check` tells when it matters.
        continue

  @property
  def lost(self) -> bool:
    """Whether another process has taken the cell over."""
    directory, name = os.path.split(self._path)
    after = os.path.join(directory, f'{int(name.removesuffix(".json")) + 1}.json')
    try:
      same = os.path.samestat(os.stat(self._path), os.fstat(self._descriptor))
    except FileNotFoundError:
      return True
    except OSError as error:
      if error.errno == errno.ESTALE:  # NFS: removed by another machine.
        return True
      raise
    return not same or os.path.exists(after)

  def check(self) -> None:
    """Raises ClaimLost if another process has taken the cell over."""
    if self.lost:
      raise ClaimLost(self._path)

  def release(self) -> None:
    """Lets any process have the unfinished cell, at once. Nothing to do after `finish`."""
    if self._ended.is_set():
      return
    try:
      if not self.lost:
        marker = self._path.removesuffix('.json') + '.released'
        with explain_failures('write', marker):
          os.close(os.open(marker, os.O_CREAT | os.O_WRONLY, 0o666))
    finally:
      self._end()

  def finish(self) -> None:
    """Removes all claims to the cell, whose result is stored: nobody needs to have it again."""
    try:
      directory = os.path.dirname(self._path)
      for name in sorted(list_claims(directory), key=number_of):  # The one that counts comes last.
        with contextlib.suppress(FileNotFoundError):
          os.remove(os.path.join(directory, name))
      _remove_empty(directory, self._root)
    finally:
      self._end()

  def _end(self) -> None:
    _HELD.discard(self.owner.token)
    if not self._ended.is_set():
      self._ended.set()
      self._thread.join()  # It must not touch a file that gets the number of the closed one.
      os.close(self._descriptor)


class Claims:
  """The claims below a directory that all processes of a run share."""

  def __init__(
      self,
      root: str,
      *,
      heartbeat_seconds: float = HEARTBEAT_SECONDS,
      stale_seconds: float = STALE_SECONDS,
      machine: str | None = None,
  ):
    """Nothing is made before the first `acquire`.

    Args:
      root: directory on a local or shared disk.
      heartbeat_seconds: between two signs of life.
      stale_seconds: after so long without one a process on another machine counts as dead.
      machine: where process numbers mean the same; this machine by default.
    """
    if files.is_remote(root):
      raise ValueError(f'{root} is an object store, which has no claims')
    self.root = root.rstrip('/')
    self._heartbeat_seconds = heartbeat_seconds
    self._stale_seconds = stale_seconds
    self._machine = machine or processes.machine()
    # Claim -> its last heartbeat and when, by our clock, it was first seen.
    self._seen: dict[str, tuple[int, float]] = {}

  def exist(self, name: str) -> bool:
    """Whether there are claims to a cell, alive or not."""
    return bool(list_claims(os.path.join(self.root, name)))

  def holder(self, name: str) -> Owner | None:
    """Who has a cell; None if it is free."""
    directory = os.path.join(self.root, name)
    top = top_number(directory)
    if top < 0 or self._is_free(directory, top):
      return None
    with contextlib.suppress(FileNotFoundError):  # Finished just now.
      return read_owner(claim_path(directory, top)) or Owner('', 'an unknown host', 0, '', '')
    return None

  def acquire(self, name: str) -> Claim | None:
    """Takes a cell that nobody has; None if a living process has it or was quicker.

    Raises:
      RequestError: the directory cannot be written.
    """
    directory = os.path.join(self.root, name)
    top = top_number(directory)
    if top >= 0 and not self._is_free(directory, top):
      return None
    owner = Owner(self._machine, socket.gethostname(), os.getpid(),
                  processes.start_time(os.getpid()) or '', secrets.token_hex(8))
    _HELD.add(owner.token)
    claim = None
    try:
      path = claim_path(directory, top + 1)
      with explain_failures('write', path):
        descriptor = create(path, owner)
      if descriptor is not None:
        claim = Claim(self.root, path, owner, descriptor, self._heartbeat_seconds)
    finally:
      if claim is None:
        _HELD.discard(owner.token)
    return claim

  def _is_free(self, directory: str, number: int) -> bool:
    path = claim_path(directory, number)
    if os.path.exists(path.removesuffix('.json') + '.released'):
      return True
    try:
      owner, beat = read_owner(path), heartbeat(path)
    except FileNotFoundError:
      return False  # Finished just now: there is a result to look at.
    if owner is not None and owner.machine == self._machine:
      started = processes.start_time(owner.pid)
      if started is None:
        return True
      if owner.pid == os.getpid() and owner.started == started:
        return owner.token not in _HELD
      if started and owner.started:
        return owner.started != started
    first, since = self._seen.get(path, (None, 0.0))
    now = time.monotonic()
    if first != beat:
      self._seen[path] = (beat, now)
      return False
    return now - since > self._stale_seconds


def _remove_empty(directory: str, root: str) -> None:
  """Removes a directory and those above it, `root` the last, as far as they are empty."""
  while directory.startswith(root):
    try:
      os.rmdir(directory)
    except OSError:  # Not empty: another process claims a cell in there; or gone already.
      return
    directory = os.path.dirname(directory)
