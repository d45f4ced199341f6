"""How is a bar kept below the lines of a run, where there is a terminal?"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any


class ProgressBar:
  """A bar of so many pieces; a context manager. Without a terminal nothing is drawn.

  Attributes:
    is_drawn: whether it is on the screen.
  """

  def __init__(self, total: int, done: int, terminal: bool | None = None):
    """Nothing is drawn before the block begins.

    Args:
      total: pieces in all.
      done: pieces that are finished already.
      terminal: whether a bar can be drawn; asked of stdout by default.
    """
    self._total, self._done = total, done
    self._terminal = sys.stdout.isatty() if terminal is None else terminal
    self._bar: Any = None
    self._task: Any = None

  @property
  def is_drawn(self) -> bool:
    return self._bar is not None

  def __enter__(self) -> ProgressBar:
    if self._terminal:
      from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

      self._bar = Progress(MofNCompleteColumn(), BarColumn(), TextColumn('{task.description}'))
      self._task = self._bar.add_task('', total=self._total, completed=self._done)
      self._bar.start()  # Lines printed from now on stand above it.
    return self

  def __exit__(
      self, kind: type[BaseException] | None, error: BaseException | None,
      traceback: TracebackType | None,
  ) -> None:
    if self._bar is not None:
      self._bar.stop()
      self._bar = None

  def update(self, completed: float, text: str) -> None:
    """So many pieces are done, perhaps a part of one; the text stands behind the bar."""
    if self._bar is not None:
      self._bar.update(self._task, description=text.replace('[', r'\['), completed=completed)
