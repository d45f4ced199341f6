"""How does someone who waits see where a training is and when it will end?

On a terminal a bar stays below the lines; elsewhere a line comes every few seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from nlp_export.running.durations import about
from nlp_export.running.progress_bar import ProgressBar

LINE_SECONDS = 15.0
_SHOWN = {'masked_lm_loss': 'masked-LM loss', 'masked_lm_accuracy': 'accuracy',
          'next_sentence_accuracy': 'next-sentence accuracy'}


def told(metrics: Mapping[str, Any]) -> str:
  """'masked-LM loss 5.123, accuracy 0.151, next-sentence accuracy 0.531', of what there is."""
  return ', '.join(f'{words} {metrics[name]:.3f}' for name, words in _SHOWN.items()
                   if name in metrics)


class Progress:
  """Shows a training while it runs; a context manager.

      with Progress(total=2000, done=500, say=run.say) as progress:
        progress.show(600, entry)
  """

  def __init__(
      self, total: int, done: int, say: Callable[[str], None] = print,
      terminal: bool | None = None, clock: Callable[[], float] = time.monotonic,
  ):
    """Nothing is shown before the block begins.

    Args:
      total: steps in all.
      done: steps that were done before.
      say: shows a line.
      terminal: whether a bar can be drawn; asked of stdout by default.
      clock: seconds.
    """
    self._total, self._done = total, done
    self._say = say
    self._clock = clock
    self._bar = ProgressBar(total, done, terminal)
    # The first loop traces, which the others do not: the estimate begins behind it.
    self._counted_from: tuple[int, float] | None = None
    self._said = clock()
    self._began = clock()

  def __enter__(self) -> Progress:
    self._bar.__enter__()
    return self

  def __exit__(
      self, kind: type[BaseException] | None, error: BaseException | None,
      traceback: TracebackType | None,
  ) -> None:
    self._bar.__exit__(kind, error, traceback)

  def show(self, step: int, metrics: Mapping[str, Any]) -> None:
    """So many steps are done, the last of them with these values."""
    now = self._clock()
    first = self._counted_from is None
    if self._counted_from is None:
      self._counted_from = step, now
    text = ', '.join(part for part in (told(metrics), about(self._rest(step, now))) if part)
    self._bar.update(step, text)
    if first:
      self._say(f'step {step} of {self._total}, {now - self._began:.1f} s after the model was '
                f'built: {told(metrics)}')
    elif not self._bar.is_drawn and (now - self._said >= LINE_SECONDS or step == self._total):
      self._said = now
      self._say(f'step {step} of {self._total}: {text}')

  def _rest(self, step: int, now: float) -> float | None:
    from_step, start = self._counted_from or (step, now)
    if step == from_step:
      return None
    return (now - start) / (step - from_step) * (self._total - step)
