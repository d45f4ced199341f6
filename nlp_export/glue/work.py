"""What has an unfinished cell to go on from, and what may its function use?

    out_dir/glue/work/<task>/<pooler>/<arm>/seed_<n>/description.json   of the cell
    out_dir/glue/work/<task>/<pooler>/<arm>/seed_<n>/files/             `Work.directory`

The description is made last and removed first: where there is none, nobody goes on from the files.
The directory of a cell is touched by who has the claim alone, even while it is empty.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.glue import cell_files
from nlp_export.glue.cells import Cell
from nlp_export.glue.progress import Progress
from nlp_export.running import interrupts
from nlp_export.running.claims import Claim

_DESCRIPTION = 'description.json'
_FILES = 'files'
_CELL_DEPTH = 4  # Of <task>/<pooler>/<arm>/seed_<n>.
_ATTEMPTS = 20


class Work:
  """What a cell's function may use besides the cell.

  Attributes:
    directory: for files to go on from after a kill; exists, and stays until the cell is finished.
      Write them whole (`nlp_export.files`) and refer to them by relative names.
    resumed: whether an earlier process has left something in `directory`.
    out_dir: of the run: predictions go to `cell_files.predictions_file(cell)` below it.
  """

  def __init__(
      self, directory: str, resumed: bool, out_dir: str, claim: Claim | None = None,
      progress: Progress | None = None,
  ):
    """For use from Python a directory is enough.

    Args:
      directory: see the class.
      resumed: see the class.
      out_dir: see the class.
      claim: to the cell.
      progress: where `progress` is shown.
    """
    self.directory = directory
    self.resumed = resumed
    self.out_dir = out_dir
    self._claim = claim
    self._progress = progress

  def check(self) -> None:
    """Raises if the cell is no longer this process's to work on, or Ctrl-C was pressed.

    Call it before each write to `directory`; let the exception pass.

    Raises:
      ClaimLost: this machine was asleep, and another took the cell over.
    """
    interrupts.check()
    self.check_claim()

  def check_claim(self) -> None:
    """As `check`, but for Ctrl-C: for what is to be saved before the process ends."""
    if self._claim is not None:
      self._claim.check()

  def say(self, line: str) -> None:
    """Shows a line."""
    if self._progress is not None:
      self._progress.say(line)

  def progress(self, fraction: float, text: str = '') -> None:
    """Shows how much of the cell is done, 0 to 1, and a few words: 'epoch 2 of 3'."""
    if self._progress is not None:
      self._progress.within(fraction, text)


def open_work(
    out_dir: str, cell: Cell, claim: Claim | None = None, progress: Progress | None = None
) -> Work:
  """Makes a cell's work directory, or opens the one that an ended process has left.

  Raises:
    RequestError: it comes from another configuration.
  """
  check_work(out_dir, cell)
  place = cell_files.work_path(out_dir, cell)
  description, directory = files.join(place, _DESCRIPTION), files.join(place, _FILES)
  described = files.exists(description)
  if not described:
    files.remove_tree(place)  # What a process that was killed in `discard_work` has left.
  _make_dirs(directory)
  if not described:
    files.write_json(description, cell.description)
  return Work(directory, bool(files.list_dir(directory)), out_dir, claim, progress)


def _make_dirs(directory: str) -> None:
  """Makes it although another process, at its end, may remove the empty parents meanwhile."""
  for attempt in range(_ATTEMPTS):
    try:
      files.make_dirs(directory)
      return
    except RequestError as error:
      if attempt == _ATTEMPTS - 1 or not isinstance(error.__cause__, FileNotFoundError):
        raise


def discard_work(out_dir: str, cell: Cell) -> None:
  """Removes a cell's work directory; what a kill leaves of it is never gone on from."""
  place = cell_files.work_path(out_dir, cell)
  files.remove(files.join(place, _DESCRIPTION), missing_ok=True)
  files.remove_tree(place)


def check_work(out_dir: str, cell: Cell) -> None:
  """Raises RequestError if there is work of another configuration, with the difference."""
  place = cell_files.work_path(out_dir, cell)
  path = files.join(place, _DESCRIPTION)
  if not files.exists(path):
    return
  try:
    before = files.read_json(path)
  except RequestError:
    if not files.exists(path):  # Its cell was finished, by another process, just now.
      return
    raise
  cell_files.check_description(place, before, cell)


def has_work(out_dir: str, cell: Cell) -> bool:
  """Whether there is something to go on from."""
  place = cell_files.work_path(out_dir, cell)
  directory = files.join(place, _FILES)
  if not (files.exists(files.join(place, _DESCRIPTION)) and files.exists(directory)):
    return False
  try:
    return bool(files.list_dir(directory))
  except RequestError:
    if files.exists(directory):
      raise
    return False


def remove_empty(out_dir: str) -> None:
  """Removes the directories of work and claims as far as they are empty.

  Not those of a cell's work: another process may just have made them. To that of a cell's claims
  this may happen, see `claim_files.create`.
  """
  if files.is_remote(out_dir):
    return
  for root, depth in ((files.join(out_dir, cell_files.WORK_DIR), _CELL_DEPTH - 1),
                      (files.join(out_dir, cell_files.CLAIMS_DIR), _CELL_DEPTH)):
    for directory, _, _ in os.walk(root, topdown=False):
      if len(Path(directory).relative_to(root).parts) <= depth:
        with contextlib.suppress(OSError):  # Not empty: another process is at work in there.
          os.rmdir(directory)
