"""How does someone who waits see where a matrix is and when it will end?

On a terminal a bar stays below the lines; elsewhere there are lines alone.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from types import TracebackType

from nlp_export.running.durations import about, duration
from nlp_export.running.progress_bar import ProgressBar

# Between two lines about one cell where there is no bar.
LINE_SECONDS = 60.0


class Estimate:
  """How long the rest of a matrix takes, from the cells that are finished.

  A cell counts as the median of its task's cells; a task without one as the median of all.
  """

  def __init__(self) -> None:
    self._seconds: dict[str, list[float]] = {}

  def add(self, task: str, seconds: float) -> None:
    """A cell of a task took so long [s]."""
    self._seconds.setdefault(task, []).append(seconds)

  def cell(self, task: str) -> float | None:
    """Seconds for a cell of a task; None before any is finished."""
    everything = [value for values in self._seconds.values() for value in values]
    known = self._seconds.get(task) or everything
    return statistics.median(known) if known else None

  def rest(self, tasks: Sequence[str], workers: int = 1) -> float | None:
    """Seconds until cells of these tasks are finished by so many processes at a time."""
    each = [self.cell(task) for task in tasks]
    if any(seconds is None for seconds in each):
      return None
    return sum(seconds or 0.0 for seconds in each) / max(1, min(workers, len(each)))


class Progress:
  """Shows a matrix while it is worked on; a context manager.

      with Progress(total=18, done=4, say=run.say) as progress:
        progress.begin('cola/random/export/seed_0')
        progress.within(0.4)
        progress.end(done=5, rest_seconds=840.0)
  """

  def __init__(
      self, total: int, done: int, say: Callable[[str], None] = print,
      terminal: bool | None = None, clock: Callable[[], float] = time.monotonic,
  ):
    """Nothing is shown before the block begins.

    Args:
      total: cells in all.
      done: cells that are finished already.
      say: shows a line.
      terminal: whether a bar can be drawn; asked of stdout by default.
      clock: seconds.
    """
    self.say = say
    self._total = total
    self._done = done
    self._clock = clock
    self._bar = ProgressBar(total, done, terminal)
    self._name = ''
    self._began = self._said = clock()

  def __enter__(self) -> Progress:
    self._bar.__enter__()
    return self

  def __exit__(
      self, kind: type[BaseException] | None, error: BaseException | None,
      traceback: TracebackType | None,
  ) -> None:
    self._bar.__exit__(kind, error, traceback)

  def begin(self, name: str) -> None:
    """A cell is being worked on."""
    self._name = name
    self._began = self._said = self._clock()
    self._show(name)

  def within(self, fraction: float, text: str = '') -> None:
    """How much of the cell is done.

    Args:
      fraction: 0 to 1.
      text: what else to show: 'epoch 2 of 3, loss 0.41'.
    """
    now = self._clock()
    line = f'{self._name}: {fraction:.0%}{f", {text}" if text else ""}'
    if fraction > 0:
      line += f', about {duration((now - self._began) * (1 - fraction) / fraction)} left in it'
    self._show(line, fraction)
    if not self._bar.is_drawn and now - self._said >= LINE_SECONDS:
      self._said = now
      self.say(line)

  def end(self, done: int, rest_seconds: float | None) -> None:
    """So many cells are finished now, and the rest may take so long [s]."""
    self._done = done
    self._show(about(rest_seconds))

  def _show(self, text: str, fraction: float = 0.0) -> None:
    self._bar.update(self._done + fraction, text)
