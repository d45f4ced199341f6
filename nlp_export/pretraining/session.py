"""How does a training go through its steps: in loops, between which it is shown, measured, saved?

Wherever it is interrupted (SIGTERM, Ctrl-C) it saves the step it is at and passes the interrupt on:
within the step that runs, the rest of a save that is going on, and one save more.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nlp_export.pretraining.data.loading import Data
from nlp_export.pretraining.evaluation import Evaluation
from nlp_export.pretraining.history import History
from nlp_export.pretraining.keeper import Keeper
from nlp_export.pretraining.loop import TrainingLoop
from nlp_export.pretraining.progress import Progress, told
from nlp_export.pretraining.recipe import TrainRecipe
from nlp_export.pretraining.saving_options import Saving
from nlp_export.running import interrupts


class Session:
  """One attempt at a training.

  Attributes:
    step: number of steps done.
  """

  def __init__(
      self, training: TrainingLoop, data: Data, recipe: TrainRecipe, saving: Saving, *,
      first_step: int, history: History, keeper: Keeper | None, alone: bool,
      say: Callable[[str], None],
  ):
    """Binds what it works on.

    Args:
      training: restored to `first_step`.
      data: its text.
      recipe: how many steps, in which loops.
      saving: when to save and to measure.
      first_step: steps that were done.
      history: of these steps; grows.
      keeper: writes; None in a process that does not.
      alone: whether no other process takes part.
      say: shows a line.
    """
    self.step = first_step
    self._training, self._data, self._recipe, self._saving = training, data, recipe, saving
    self._history, self._keeper, self._alone, self._say = history, keeper, alone, say
    self._traced = False
    self._saved_at = time.monotonic()
    self._measured: tuple[int, Evaluation] | None = None

  def train(self) -> Evaluation:
    """Takes the steps that are left; the last one is saved when it returns.

    Returns:
      The evaluation after the last step.

    Raises:
      KeyboardInterrupt: after SIGTERM and the like; the step it came in is saved.
      NotFinite: nothing of the loop it came in is saved.
      RequestError: a checkpoint could not be written.
      WorkerLost: another process of the training went away.
    """
    # Of several processes none may leave the others alone: they agree in the loop of steps.
    held = contextlib.nullcontext() if self._alone else interrupts.held_back()
    try:
      with held:
        return self._train()
    except KeyboardInterrupt:
      with interrupts.held_back():
        self._say(f'interrupted after step {self.step}: saving')
        if self._keeper is not None:
          if self.step and not self._keeper.has(self.step):
            self._save(None)
          self._keeper.wait()
      raise

  def _train(self) -> Evaluation:
    total = self._recipe.train_steps
    with Progress(total, self.step, self._say) as progress:
      while self.step < total:
        self._loop(progress)
    found = self._evaluation()
    if self._keeper is not None:
      if not self._keeper.has(total):
        self._save(found.metrics)
      self._keeper.wait()
    return found

  def _loop(self, progress: Progress) -> None:
    # Not to be cut between the steps and what counts them.
    with interrupts.held_back():
      result = self._training.run(self.step, self._count())
      self.step += result.steps_done
      entry = self._history.add(self.step, result, traced=not self._traced)
      self._traced = True
    if result.stopped:
      raise KeyboardInterrupt  # Also where the signal came to another process.
    if self._keeper is not None:
      self._keeper.check()
      self._keeper.events('training', self.step, entry or {})
    progress.show(self.step, entry or {})
    metrics = self._evaluation().metrics if self._is_due(self._saving.evaluation_steps) else None
    if self._is_due(self._saving.every_steps) or self._is_late():
      self._save(metrics)

  def _count(self) -> int:
    """Steps up to the next one after which there is something to do."""
    if not self._traced:
      return 1  # Tracing takes a while: it is seen that training has begun.
    stops = [self._recipe.train_steps]
    for every in (self._recipe.steps_per_loop, self._saving.every_steps,
                  self._saving.evaluation_steps):
      stops.append((self.step // every + 1) * every)
    return min(stops) - self.step

  def _is_due(self, every: int) -> bool:
    return self.step % every == 0 or self.step == self._recipe.train_steps

  def _is_late(self) -> bool:
    seconds = self._saving.every_seconds
    return seconds is not None and time.monotonic() - self._saved_at >= seconds

  def _save(self, metrics: Mapping[str, float] | None) -> None:
    if self._keeper is None:
      return
    with interrupts.held_back():
      self._keeper.save(self.step, self._progress(), metrics)
      self._saved_at = time.monotonic()

  def _progress(self) -> dict[str, Any]:
    """The item `progress`: everything else follows from the step."""
    recipe, batches = self._recipe, self._data.batches
    return {
        'data_position': {
            'next_instance': self.step * recipe.global_batch_size,
            'instances_per_epoch': batches.instances_per_epoch,
            'epochs': batches.epochs(self.step)},
        'seeds': {'data': batches.recipe.data_seed, 'dropout': recipe.dropout_seed,
                  'init': recipe.init_seed}}

  def _evaluation(self) -> Evaluation:
    """Of this step, made once."""
    if self._measured is None or self._measured[0] != self.step:
      found = self._training.evaluate(self._held_out())
      self._measured = self.step, found
      if self._history.evaluation_at(self.step) is None:
        self._history.add_evaluation(self.step, found.metrics)
      if self._keeper is not None:
        self._keeper.events('held_out', self.step, found.metrics)
      self._say(f'step {self.step}, held out: {told(found.metrics)}')
    return self._measured[1]

  def _held_out(self) -> Iterator[Mapping[str, Any]]:
    for batch in self._data.held_out.batches():
      if self._alone:
        interrupts.check()
      yield batch
