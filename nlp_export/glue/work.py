"""What has an unfinished cell to go on from, and what may its function use?"""

from __future__ import annotations

import contextlib
import os

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.glue import cell_files
from nlp_export.glue.cells import Cell
from nlp_export.glue.claims import Claim
from nlp_export.glue.progress import Progress
from nlp_export.running import interrupts

_DESCRIPTION = 'description.json'
_FILES = 'files'


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
    if self._claim is not None:
      self._claim.check()

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
  if not files.exists(files.join(place, _DESCRIPTION)):
    files.write_json(files.join(place, _DESCRIPTION), cell.description)
  directory = files.join(place, _FILES)
  files.make_dirs(directory)
  return Work(directory, bool(files.list_dir(directory)), out_dir, claim, progress)


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
  place = files.join(cell_files.work_path(out_dir, cell), _FILES)
  try:
    return files.exists(place) and bool(files.list_dir(place))
  except RequestError:
    if files.exists(place):
      raise
    return False


def remove_empty(root: str) -> None:
  """Removes a tree of directories as far as they are empty. A file stays, with its parents."""
  if files.is_remote(root):
    return
  for directory, _, _ in os.walk(root, topdown=False):
    with contextlib.suppress(OSError):  # Not empty: another process is at work in there.
      os.rmdir(directory)
