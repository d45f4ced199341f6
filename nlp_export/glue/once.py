"""How does one process do what several need and only one may do, while the others wait?"""

from __future__ import annotations

import time
from collections.abc import Callable

from nlp_export import files, names
from nlp_export.glue.claims import Claims
from nlp_export.running import interrupts

POLL_SECONDS = 1.0


def once(
    out_dir: str,
    name: str,
    is_done: Callable[[], bool],
    work: Callable[[], None],
    *,
    say: Callable[[str], None] = print,
    poll_seconds: float = POLL_SECONDS,
) -> None:
  """Returns when it is done, by this process or by another.

  A process that fails or is killed leaves it to the next; what `work` raises passes through.

  Args:
    out_dir: of the run that the processes share. On an object store, which has no claims, the one
      process that may work there does it.
    name: of what is done, for the claim: 'exports'.
    is_done: looks at the disk.
    work: makes `is_done` true. Not begun by two processes at once.
    say: shows a line.
    poll_seconds: between two looks while another process is at work.
  """
  claims = None if files.is_remote(out_dir) else Claims(files.join(out_dir, names.CLAIMS_DIR))
  waiting = False
  while not is_done():
    interrupts.check()
    claim = claims.acquire(name) if claims else None
    if claims is not None and claim is None:
      if not waiting:
        say(f'waiting for {name} ({claims.holder(name) or "another process"})')
      waiting = True
      time.sleep(poll_seconds)
      continue
    done = False
    try:
      if not is_done():  # Between our look and our claim.
        work()
      done = True
    finally:
      if claim is not None:
        claim.finish() if done else claim.release()
    return
