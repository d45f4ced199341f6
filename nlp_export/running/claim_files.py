"""How is a claim's file made by one process alone, and complete from the first moment?

Besides files.py and log_file.py the one place that touches the file system itself: exclusive
creation is for local and shared disks; an object store (gs://) has none.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import re
from typing import Any

_CLAIM = re.compile(r'(\d+)\.json')
# What file systems without hard links answer: FAT, FUSE for buckets, some SMB servers.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)
_ATTEMPTS = 20


@dataclasses.dataclass(frozen=True)
class Owner:
  """Who made a claim.

  Attributes:
    machine: where the process number counts, see `processes.machine`.
    host: for the reader.
    pid: process number.
    started: see `processes.start_time`.
    token: of this claim alone.
  """

  machine: str
  host: str
  pid: int
  started: str
  token: str

  def __str__(self) -> str:
    return f'process {self.pid} on {self.host}'


def claim_path(directory: str, number: int) -> str:
  """Path of the claim with a number."""
  return os.path.join(directory, f'{number}.json')


def list_claims(directory: str) -> list[str]:
  """Names in the directory of a cell's claims; none where there is none."""
  try:
    return os.listdir(directory)
  except FileNotFoundError:
    return []


def number_of(name: str) -> int:
  """N of N.json and N.released; -1 of what a killed process left half-made."""
  stem = name.partition('.')[0]
  return int(stem) if stem.isdigit() else -1


def top_number(directory: str) -> int:
  """The number of the claim that counts, -1 for none."""
  return max((int(m[1]) for m in map(_CLAIM.fullmatch, list_claims(directory)) if m), default=-1)


def read_owner(path: str) -> Owner | None:
  """The owner; None of a claim that a killed process could not complete (no hard links)."""
  with open(path, encoding='utf-8') as f:
    text = f.read()
  try:
    value: dict[str, Any] = json.loads(text)
    return Owner(**{field.name: value[field.name] for field in dataclasses.fields(Owner)})
  except (ValueError, KeyError, TypeError):
    return None


def heartbeat(path: str) -> int:
  """Time of the last sign of life [ns], by the clock of who knows: only to be compared."""
  with open(path, 'rb') as f:  # Opened, because NFS asks the server then.
    return os.fstat(f.fileno()).st_mtime_ns


def create(path: str, owner: Owner) -> int | None:
  """Makes the claim, complete, if there is none of that number; returns its open file."""
  directory = os.path.dirname(path)
  data = json.dumps({'schema_version': 1, **dataclasses.asdict(owner)}).encode()
  for _ in range(_ATTEMPTS):
    temporary = os.path.join(directory, f'.partial-{owner.token}')
    try:
      os.makedirs(directory, exist_ok=True)
      descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    except FileNotFoundError:
      continue  # Somebody finished a cell, or the matrix, and removed empty directories.
    made: bool | None = False
    try:
      os.write(descriptor, data)
      os.fsync(descriptor)  # Else another machine may see the link before the text.
      made = _link(temporary, path, descriptor)
    finally:
      with contextlib.suppress(FileNotFoundError):
        os.remove(temporary)
      if not made:
        os.close(descriptor)
    return descriptor if made else _create_without_links(path, data) if made is None else None
  return None


def _link(temporary: str, path: str, descriptor: int) -> bool | None:
  """True if `path` is ours now; None if there are no hard links here."""
  try:
    os.link(temporary, path)
  except FileExistsError:
    # NFS may repeat a request whose answer was lost, and then complains about its own success.
    try:
      return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
      return False
  except FileNotFoundError:
    return False  # The directory was cleared: there is a result to look at.
  except OSError as error:
    if error.errno in _NO_LINKS:
      return None
    raise
  return True


def _create_without_links(path: str, data: bytes) -> int | None:
  """Exclusive too, but killed before the text is written it leaves a claim of nobody known."""
  try:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
  except (FileExistsError, FileNotFoundError):
    return None
  os.write(descriptor, data)
  os.fsync(descriptor)
  return descriptor
