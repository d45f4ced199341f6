"""How do the checkpoints of a run come to disk while it trains on?

A save takes the values of a moment and returns; Orbax writes them in the background and renames the
step when it is whole. Only one process of a run has a writer, and only one writer a directory.
Errors of the background are raised by the next `check`, `save`, `wait` or `close`.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from nlp_export import files
from nlp_export.checkpoints import orbax_layout as layout
from nlp_export.errors import NlpExportError, RequestError
from nlp_export.file_errors import explain_failures
from nlp_export.pretraining.saving import handlers, roots, save_errors
from nlp_export.pretraining.saving.metadata import STEP_KEY, Metadata, as_json
from nlp_export.pretraining.saving.tree import Trees


@dataclass(frozen=True)
class Saved:
  """One finished save: how long training stood still for it, how long it took in all (seconds)."""

  step: int
  blocking_seconds: float
  seconds: float


@dataclass
class _Running:
  """The save in the background; Orbax's thread sets `ended` just before it renames the step."""

  step: int
  begun: float
  blocking_seconds: float = 0.0
  ended: float | None = None


class CheckpointWriter:
  """Writes steps of a run into one directory and deletes those that need not be kept.

  Attributes:
    root: the directory, the root of an Orbax CheckpointManager.
    saved: the saves that were finished, in order.
  """

  def __init__(
      self,
      root: str,
      items: Iterable[str],
      keep_last: int = 3,
      keep_best: str | None = None,
      best_is_lowest: bool = True,
      say: Callable[[str], None] = lambda line: None,
  ):
    """Prepares a directory, and removes what a killed run left unfinished in it.

    Args:
      root: directory; local or gs://. Damaged steps must have been set aside (`resume`).
      items: all items of arrays that will be saved: `trees.items`.
      keep_last: so many of the newest steps are kept.
      keep_best: name of a metric; the step that is best by it is kept as well. None: no metrics are
        written.
      best_is_lowest: whether a lower metric is better, as a loss is.
      say: takes a line when a save begins and when its end is seen.

    Raises:
      RequestError: it is a directory of something else, or cannot be written.
    """
    if keep_last < 1:
      raise RequestError(
          f'keep_last is {keep_last}, but a run needs a checkpoint to go on from. Write 2 or more: '
          'the newest one may get damaged.')
    roots.look(root)
    files.make_dirs(root)
    self.root = root
    self.saved: list[Saved] = []
    self._keep_best = keep_best
    self._say = say
    self._running: _Running | None = None
    with explain_failures('write', root):
      self._manager = ocp.CheckpointManager(
          save_errors.absolute(root), handler_registry=handlers.registry(items),
          options=_options(keep_last, keep_best, best_is_lowest, self._on_commit))

  def save(
      self,
      step: int,
      trees: Trees,
      progress: Mapping[str, Any],
      metadata: Metadata,
      metrics: Mapping[str, float] | None = None,
  ) -> None:
    """Begins to save a step; waits first for the save before it.

    Args:
      step: number of training steps done; greater than that of every step there.
      trees: from `RunVariables.trees`.
      progress: JSON: position in the data, seeds. The step is added.
      metadata: see there.
      metrics: of an evaluation at this very step; needs `keep_best`'s.

    Raises:
      RequestError: this save or the one before it cannot be written.
      ValueError: there is such a step or a later one; an array is empty; a value is no JSON.
    """
    self.wait()
    latest = self.latest_step
    if latest is not None and step <= latest:
      raise ValueError(f'Checkpoint {step} cannot follow {latest} in {self.root}')
    args = _args(step, trees, progress, metadata)
    numbers = as_json(dict(metrics)) if metrics and self._keep_best else None
    if numbers is not None and self._keep_best not in numbers:
      raise ValueError(f'The metrics of checkpoint {step} have no {self._keep_best}: {numbers}')
    self._say(f'checkpoint {step}: saving')
    running = self._running = _Running(step, time.monotonic())
    try:
      # Forced: when to save is decided by the caller, and "not now" would be said by silence.
      self._manager.save(step, args=args, metrics=numbers, force=True)
    except Exception as error:
      raise self._failed(step, error) from error
    except BaseException:  # Ctrl-C: nobody knows how far it came, so nobody says 'saved'.
      self._running = None
      raise
    running.blocking_seconds = time.monotonic() - running.begun

  def check(self) -> None:
    """Raises the error of a save in the background, if there is one. Does not wait."""
    if self._running and not self._manager.is_saving_in_progress():
      self.wait()

  def wait(self) -> None:
    """Waits until the running save, if there is one, is on the disk.

    Raises:
      RequestError: it could not be written. What it left is removed; earlier steps are whole.
    """
    running = self._running
    if running is None:
      return
    try:
      self._manager.wait_until_finished()
      if not layout.is_step(files.join(self.root, str(running.step))):
        raise FileNotFoundError(errno.ENOENT, 'it was written, but is not there')
    except Exception as error:
      raise self._failed(running.step, error) from error
    self._running = None
    seconds = (running.ended or time.monotonic()) - running.begun
    self.saved.append(Saved(running.step, running.blocking_seconds, seconds))
    self._say(f'checkpoint {running.step}: saved in {seconds:.2f} s, of which training waited '
              f'{running.blocking_seconds:.2f} s')

  def close(self) -> None:
    """Waits for the running save and ends the background threads."""
    try:
      self.wait()
    finally:
      self._manager.close()

  @property
  def latest_step(self) -> int | None:
    """The newest step, the one that is being saved included; None if there is none."""
    return self._manager.latest_step()

  @property
  def steps(self) -> tuple[int, ...]:
    """All steps, the oldest first, the one that is being saved included."""
    return tuple(self._manager.all_steps())

  def __enter__(self) -> CheckpointWriter:
    return self

  def __exit__(
      self, kind: type[BaseException] | None, error: BaseException | None,
      traceback: TracebackType | None
  ) -> None:
    try:
      self.close()
    except NlpExportError:
      if error is None:
        raise
      # What ended the run is said; this comes on top of it.
      logging.getLogger(__name__).warning('the last checkpoint was not saved', exc_info=True)

  def _on_commit(self) -> None:
    if self._running:
      self._running.ended = time.monotonic()

  def _failed(self, step: int, error: Exception) -> RequestError:
    """Cleans up after the running save and says why it failed."""
    self._running = None
    roots.remove_unfinished(self.root, step)
    self._manager.reload()  # It has counted this step, and not those that it would have deleted.
    return save_errors.explain(error, self.root, step, self.latest_step)


def _options(
    keep_last: int, keep_best: str | None, best_is_lowest: bool, on_commit: Callable[[], None]
) -> ocp.CheckpointManagerOptions:
  # `max_to_keep` with `best_fn` would keep the best ones and delete the newest.
  policies: list[Any] = [preservation_policy.LatestN(keep_last)]
  ranking: dict[str, Any] = {}
  if keep_best is not None:
    metric: str = keep_best

    def value(metrics: Mapping[str, float]) -> float:
      return metrics[metric]

    policies.append(preservation_policy.BestN(
        get_metric_fn=value, reverse=best_is_lowest, n=1, keep_checkpoints_without_metrics=False))
    ranking = {'best_fn': value, 'best_mode': 'min' if best_is_lowest else 'max'}
  return ocp.CheckpointManagerOptions(
      enable_async_checkpointing=True, cleanup_tmp_directories=True,
      preservation_policy=preservation_policy.AnyPreservationPolicy(policies),
      async_options=ocp.AsyncOptions(post_finalization_callback=on_commit), **ranking)


def _args(
    step: int, trees: Trees, progress: Mapping[str, Any], metadata: Metadata
) -> ocp.args.Composite:
  """All that Orbax would refuse in its background thread is refused here."""
  values = trees.values()
  for item, arrays in values.items():
    for path, value in arrays.items():
      if not isinstance(value, np.ndarray) or not value.size:
        raise ValueError(f'{item}/{path} is no array with values')
  items = {
      item: ocp.args.PyTreeSave(
          tree, custom_metadata={layout.NAMES_KEY: dict(trees.names.get(item, {}))})
      for item, tree in trees.items.items()}
  content = handlers.MetadataContent(metadata.to_json(), metadata.files, values)
  return ocp.args.Composite(**{
      **items,
      layout.PROGRESS_ITEM: ocp.args.JsonSave(as_json({**progress, STEP_KEY: step})),
      layout.METADATA_ITEM: ocp.args.JsonSave(content),
  })
