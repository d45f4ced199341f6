"""How does one training go from its first step to its best or last, through kills and evaluations?

What there is to go on from lies in the cell's work directory: a checkpoint of all that training
changes, and `progress.json`, written after it, which names it. So a kill between any two operations
leaves the earlier state or the later one, and what follows is the same to the last bit. Ctrl-C
waits for the end of a step and saves what there is by then.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import logging
import math
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.glue.cells import Cell
from nlp_export.glue.fine_tuning import batches
from nlp_export.glue.fine_tuning.recipe import BEST, Recipe
from nlp_export.glue.fine_tuning.tokenised import TokenisedTexts
from nlp_export.glue.fine_tuning.trainer import Trainer
from nlp_export.glue.work import Work
from nlp_export.running import interrupts

# Seconds of training that a kill may cost; writing the state takes about one for 20 M weights.
SAVE_EVERY_SECONDS = 120.0

_POINTS = 100  # Of the learning curve.
_PROGRESS = 'progress.json'
_SCHEMA_VERSION = 1

# What TensorFlow and NumPy raise for files that are not what they should be.
_DAMAGED = (RequestError, tf.errors.OpError, AssertionError, OSError, EOFError, ValueError,
            TypeError, LookupError, zipfile.BadZipFile, zlib.error)

Evaluate = Callable[[], Mapping[str, float]]


@dataclasses.dataclass
class Progress:
  """Where a training is.

  Attributes:
    step: steps done.
    seconds: wall time of these, without evaluation and what surrounds them.
    history: see CellResult.
    losses, norms: of the steps since the last point of the history.
    best_score: of the checkpoint to keep, by the evaluations' main metric; None for none yet.
    best_file: its file in the work directory; '' for none.
    state: name of the checkpoint in the work directory.
  """

  step: int = 0
  seconds: float = 0.0
  history: list[dict[str, float]] = dataclasses.field(default_factory=list)
  losses: list[float] = dataclasses.field(default_factory=list)
  norms: list[float] = dataclasses.field(default_factory=list)
  best_score: float | None = None
  best_file: str = ''
  state: str = ''


class Training:
  """One cell's training."""

  def __init__(
      self, cell: Cell, recipe: Recipe, trainer: Trainer, texts: TokenisedTexts,
      labels: np.ndarray, evaluate: Evaluate, main_metric: str, work: Work,
      save_every_seconds: float = SAVE_EVERY_SECONDS,
  ):
    """Prepares nothing yet.

    Args:
      cell: its seeds are used.
      recipe: how to train.
      trainer: what to train.
      texts: the training examples, N rows.
      labels: int32 or float32 [N].
      evaluate: gives metrics by name, of dev or of what is held out.
      main_metric: of them, the one that the best checkpoint is chosen by.
      work: of the cell.
      save_every_seconds: between two checkpoints.
    """
    self._cell, self._recipe, self._trainer = cell, recipe, trainer
    self._texts, self._labels = texts, labels
    self._evaluate, self._main_metric = evaluate, main_metric
    self._work, self._save_every = work, save_every_seconds
    self._total = recipe.total_steps(len(texts))
    self._per_epoch = recipe.steps_per_epoch(len(texts))
    self._epochs: dict[int, list[batches.Batch]] = {}
    self._best: list[np.ndarray] = []
    self._state = trainer.state()
    self._saved_step = 0
    self._saved_at = 0.0
    self._is_divided = False  # Whether variables and progress are of different steps.

  def run(self) -> Progress:
    """Trains from where an earlier process has stopped, or from the start.

    Returns:
      The progress at the end; the trainer's variables are those to keep.
    """
    self._trainer.prepare(
        self._texts, {self._batch(step).length for step in range(self._total)})
    self._trainer.reset(self._cell.init_seed, self._cell.pooler_seed)
    progress = self._resume()
    self._saved_step, self._saved_at = progress.step, time.monotonic()
    with self.saved_at_interrupt(progress):
      self._train(progress)
    self._finish_variables(progress)
    if self._best:
      for variable, value in zip(self._variables(), self._best, strict=True):
        variable.assign(value)
    return progress

  @contextlib.contextmanager
  def saved_at_interrupt(self, progress: Progress) -> Iterator[None]:
    """Around what Ctrl-C may end, and what is done of the training should outlive.

    Args:
      progress: of `run`.
    """
    try:
      yield
    except KeyboardInterrupt:
      self._save_at_interrupt(progress)
      raise

  def totals(self, steps: int) -> tuple[int, int, float]:
    """Examples, real tokens and padding share of the first `steps` batches."""
    seen = [self._batch(step) for step in range(steps)]
    return (sum(len(batch.rows) for batch in seen),
            batches.real_tokens(self._texts.lengths, seen),
            batches.padding_share(self._texts.lengths, seen))

  def _batch(self, step: int) -> batches.Batch:
    epoch, of_epoch = divmod(step, self._per_epoch)
    if epoch not in self._epochs:
      self._epochs[epoch] = batches.epoch(
          self._texts.lengths, self._recipe.batch_size, self._recipe.grouping_window,
          self._cell.data_seed, epoch, self._recipe.max_seq_length)
    return self._epochs[epoch][of_epoch]

  @staticmethod
  def _is_sound(progress: Progress) -> bool:
    """Not after a loss that is no number: nothing after it would be."""
    return not progress.history or math.isfinite(progress.history[-1]['loss'])

  def _train(self, progress: Progress) -> None:
    self._log_if_due(progress)  # What an interrupt in an evaluation has left to do.
    while progress.step < self._total and self._is_sound(progress):
      interrupts.check()
      with self._undivided():
        self._one_step(progress)
      self._log_if_due(progress)
      self._work.progress(
          progress.step / self._total,
          f'step {progress.step} of {self._total}, loss {progress.history[-1]["loss"]:.3f}'
          if progress.history else '')
      if time.monotonic() - self._saved_at > self._save_every and progress.step < self._total:
        self._save(progress)

  @contextlib.contextmanager
  def _undivided(self) -> Iterator[None]:
    """Around what changes variables or progress: Ctrl-C waits until they fit each other again."""
    with interrupts.held_back():
      self._is_divided = True
      yield
      self._is_divided = False

  def _one_step(self, progress: Progress) -> None:
    step = progress.step
    rate = self._recipe.learning_rate_at(step, self._total)
    start = time.perf_counter()
    loss, norm = self._trainer.step(
        self._texts, self._labels, self._batch(step), step, rate)
    progress.seconds += time.perf_counter() - start
    progress.losses.append(loss)
    progress.norms.append(norm)
    progress.step = step + 1

  def _log_if_due(self, progress: Progress) -> None:
    """Evaluates and adds to the history after the steps that are for it, once."""
    if not progress.losses:
      return
    step = progress.step - 1
    evaluated = self._recipe.is_evaluated_after(step, len(self._texts))
    every = max(1, self._total // _POINTS)
    if evaluated or progress.step % every == 0 or not math.isfinite(progress.losses[-1]):
      metrics: Mapping[str, float] = {}
      if evaluated:
        self._finish_variables(progress)
        metrics = self._evaluate()  # It changes nothing: Ctrl-C ends it at once.
      with self._undivided():
        self._log(progress, self._recipe.learning_rate_at(step, self._total), metrics)

  def _finish_variables(self, progress: Progress) -> None:
    self._trainer.finish(
        self._recipe.learning_rate_at(step, self._total) for step in range(progress.step))

  def _log(self, progress: Progress, rate: float, metrics: Mapping[str, float]) -> None:
    progress.history.append({
        'step': progress.step,
        'epoch': round(progress.step / self._per_epoch, 4),
        'loss': float(np.mean(progress.losses)),
        'gradient_norm': float(np.mean(progress.norms)),
        'learning_rate': rate,
        **metrics,
    })
    progress.losses, progress.norms = [], []
    score = metrics.get(self._main_metric)
    if (self._recipe.checkpoint == BEST and score is not None and math.isfinite(score)
        and (progress.best_score is None or score > progress.best_score)):
      progress.best_score, progress.best_file = score, ''
      self._best = [variable.numpy() for variable in self._variables()]

  def _variables(self) -> list[Any]:
    return list(self._trainer.classifier.variables().values())

  # What an ended process leaves.

  def _save_at_interrupt(self, progress: Progress) -> None:
    """What would be lost since the last state, if variables and progress fit each other."""
    if self._is_divided or progress.step == self._saved_step:
      return
    with interrupts.held_back():  # A second one, too: programs such as `timeout` send two.
      self._work.say(
          f'saving the training at step {progress.step} of {self._total}, to go on there')
      try:
        self._save(progress)
      except Exception as error:  # The process ends all the same, as it was told to.
        logging.getLogger(__name__).warning('not saved at the interrupt', exc_info=error)
        self._work.say(f'not saved, an earlier state stays: {error}')

  def _save(self, progress: Progress) -> None:
    with interrupts.held_back():
      self._write(progress)
    self._saved_at = time.monotonic()

  def _write(self, progress: Progress) -> None:
    self._work.check_claim()
    progress.state = f'state_{progress.step}'
    self._state.write(self._path(progress.state))
    if self._best and not progress.best_file:
      progress.best_file = f'best_{progress.step}.npz'
      data = io.BytesIO()
      np.savez(data, *self._best)
      files.write_bytes(self._path(progress.best_file), data.getvalue())
    self._work.check_claim()
    self._saved_step = progress.step  # From here on a file may name it: it is not written again.
    # A correlation of constant predictions is NaN, a norm may be infinite: Python's own reader of
    # JSON, the only one here, gives them back.
    files.write_text(self._path(_PROGRESS), json.dumps(
        {'schema_version': _SCHEMA_VERSION, **dataclasses.asdict(progress)}))
    kept = {progress.state, progress.best_file.removesuffix('.npz')}
    for name in self._work_files():  # Also what a killed process had not named yet.
      if (name.startswith(('state_', 'best_')) and name.partition('.')[0] not in kept
          and not files.is_dir(self._path(name))):
        files.remove(self._path(name), missing_ok=True)

  def _resume(self) -> Progress:
    if _PROGRESS not in self._work_files():
      return Progress()
    stored = files.read_json(self._path(_PROGRESS))
    if not isinstance(stored, dict) or stored.pop('schema_version', None) != _SCHEMA_VERSION:
      raise RequestError(
          f'{self._work.directory} holds a training that another version of nlp_export began. '
          'Finish it with that version, or remove the directory to begin it anew')
    try:
      return self._restored(Progress(**stored))
    except _DAMAGED as error:
      raise RequestError(
          f'{self._work.directory} holds a training to go on with, but what {_PROGRESS} names is '
          f'damaged or missing ({type(error).__name__}: {str(error).partition(chr(10))[0]}). It is '
          'written whole, so the disk, a power cut or another program has changed it. Remove the '
          'directory to begin the training anew') from error

  def _restored(self, progress: Progress) -> Progress:
    # The counterpart of `write`; `restore` would look for a counter that only `save` keeps.
    self._state.read(self._path(progress.state)).assert_consumed()
    self._trainer.restored()
    if progress.best_file:
      with np.load(io.BytesIO(files.read_bytes(self._path(progress.best_file))),
                   allow_pickle=False) as arrays:
        self._best = [arrays[name] for name in arrays.files]
    return progress

  def _path(self, name: str) -> str:
    return files.join(self._work.directory, name)

  def _work_files(self) -> list[str]:
    return files.list_dir(self._work.directory) if files.exists(self._work.directory) else []
