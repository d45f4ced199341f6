"""How do several processes do what only one may do, each piece once, while the others wait?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from nlp_export import files
from nlp_export.running import interrupts
from nlp_export.running.claims import Claims

POLL_SECONDS = 1.0


def once(
    claims_dir: str,
    name: str,
    is_done: Callable[[], bool],
    work: Callable[[], None],
    *,
    say: Callable[[str], None] = print,
    poll_seconds: float = POLL_SECONDS,
) -> None:
  """Returns when it is done, by this process or by another: `each_once` for one piece.

  Args:
    claims_dir: see `each_once`.
    name: of what is done, for the claim: 'exports'.
    is_done: looks at the disk.
    work: makes `is_done` true. Not begun by two processes at once.
    say: shows a line.
    poll_seconds: between two looks while another process is at work.
  """
  each_once(claims_dir, (name,), lambda _: is_done(), lambda _: work(), say=say,
            poll_seconds=poll_seconds)


def each_once(
    claims_dir: str,
    names: Sequence[str],
    is_done: Callable[[str], bool],
    work: Callable[[str], None],
    *,
    say: Callable[[str], None] = print,
    poll_seconds: float = POLL_SECONDS,
) -> None:
  """Returns when all pieces are done, by this process or by others.

  A process that fails or is killed leaves its piece to the next; what `work` raises passes through.

  Args:
    claims_dir: directory of the claims of the processes that share the work, removed when it is
      empty. On an object store, which has no claims, the one process that may work there does it.
    names: of the pieces.
    is_done: looks at the disk for a piece.
    work: makes `is_done` true for a piece. Not begun by two processes at once.
    say: shows a line.
    poll_seconds: between two looks while other processes are at work.
  """
  claims = None if files.is_remote(claims_dir) else Claims(claims_dir)
  mine: set[str] = set()
  waiting = False
  while left := [name for name in names if name not in mine and not is_done(name)]:
    before = len(mine)
    for name in left:
      interrupts.check()
      if not is_done(name) and _did(claims, name, is_done, work):
        mine.add(name)
    if claims is not None and len(mine) == before:
      if not waiting:
        say(f'waiting for {left[0]} ({claims.holder(left[0]) or "another process"})')
      waiting = True
      time.sleep(poll_seconds)


def _did(
    claims: Claims | None, name: str, is_done: Callable[[str], bool], work: Callable[[str], None]
) -> bool:
  """Whether the piece was this process's, and so is done now."""
  claim = claims.acquire(name) if claims is not None else None
  if claims is not None and claim is None:
    return False
  done = False
  try:
    if not is_done(name):  # Between our look and our claim.
      work(name)
    done = True
  finally:
    if claim is not None:
      claim.finish() if done else claim.release()
  return True
