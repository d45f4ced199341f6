"""What does the one process that writes write: checkpoints, curves, TensorBoard's events?"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from nlp_export import files
from nlp_export.pretraining.history import STEP, History
from nlp_export.pretraining.saving.metadata import Metadata
from nlp_export.pretraining.saving.tree import RunVariables
from nlp_export.pretraining.saving.writer import CheckpointWriter, Saved
from nlp_export.pretraining.saving_options import Saving
from nlp_export.running import interrupts

TENSORBOARD_DIR = 'tensorboard'
_BEST = 'masked_lm_loss'
_ABSL = logging.getLogger('absl')
_NO_CURVES = (STEP, 'steps', 'seconds', 'traced')


class Keeper:
  """Keeps a training: a context manager, at whose end the last save is finished."""

  def __init__(
      self, root: str, curves_path: str, tensorboard_dir: str, saving: Saving,
      variables: RunVariables, metadata: Metadata, history: History, say: Callable[[str], None],
  ):
    """Prepares the directory of checkpoints.

    Args:
      root: of the checkpoints.
      curves_path: of the history's file.
      tensorboard_dir: of the events; '' for none.
      saving: how many are kept.
      variables: of the training.
      metadata: of every checkpoint.
      history: is written before each checkpoint.
      say: shows a line.
    """
    self._variables, self._metadata, self._history = variables, metadata, history
    self._curves_path = curves_path
    self._writer = CheckpointWriter(
        root, variables.items, keep_last=saving.keep_last,
        keep_best=_BEST if saving.keep_best else None, say=say)
    self._events: Any = None
    if tensorboard_dir:
      import tensorflow as tf

      files.make_dirs(tensorboard_dir)
      self._events = tf.summary.create_file_writer(tensorboard_dir)

  def __enter__(self) -> Keeper:
    # Orbax tells a hundred lines of each save, which would fill log.txt.
    self._absl_level = _ABSL.level
    _ABSL.setLevel(max(logging.WARNING, _ABSL.level))
    self._writer.__enter__()
    return self

  def __exit__(
      self, kind: type[BaseException] | None, error: BaseException | None,
      traceback: TracebackType | None,
  ) -> None:
    try:
      if self._events is not None:
        self._events.close()
    finally:
      try:
        self._writer.__exit__(kind, error, traceback)
      finally:
        _ABSL.setLevel(self._absl_level)

  @property
  def saved(self) -> list[Saved]:
    """The saves of this process that were finished."""
    return self._writer.saved

  def has(self, step: int) -> bool:
    """Whether this step is saved, or being saved."""
    return self._writer.latest_step == step

  def save(
      self, step: int, progress: Mapping[str, Any], metrics: Mapping[str, float] | None = None
  ) -> None:
    """Begins to save a step, which no signal cuts; see `CheckpointWriter.save`."""
    with interrupts.held_back():
      self._history.write(self._curves_path)
      self._writer.save(step, self._variables.trees(), progress, self._metadata, metrics)

  def wait(self) -> None:
    """Until the last save is on the disk; a signal waits as well."""
    with interrupts.held_back():
      self._writer.wait()

  def check(self) -> None:
    """Raises what went wrong in the background."""
    with interrupts.held_back():
      self._writer.check()

  def events(self, prefix: str, step: int, values: Mapping[str, Any]) -> None:
    """Points of TensorBoard's curves 'training/loss', 'held_out/masked_lm_loss' ..."""
    if self._events is None:
      return
    import tensorflow as tf

    with self._events.as_default(step=step):
      for name, value in values.items():
        if name not in _NO_CURVES and math.isfinite(value):
          tf.summary.scalar(f'{prefix}/{name}', value)
    self._events.flush()
