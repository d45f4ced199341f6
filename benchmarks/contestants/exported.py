"""How fast does this project fine-tune its exports?

FineTuning is used as `run.py` uses it: it loads the SavedModels by path, tokenises, compiles and
trains; the seconds are those that the result of a cell states. It computes with one thread between
operations, so that equal seeds give equal bits; `all_threads` is TensorFlow's own default, to see
what that costs.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.contestants import Given, Passed, samples
from nlp_export.glue import tasks
from nlp_export.glue.cells import FAILED, Cell, CellResult
from nlp_export.glue.examples import Examples
from nlp_export.glue.fine_tuning.arms import ExportArm
from nlp_export.glue.fine_tuning.recipe import Recipe
from nlp_export.glue.work import Work

_ARM, _POOLER = 'export', 'keep'


class _TimedWork(Work):
  """Notes when the first step was done."""

  first_step_done: float | None = None

  def progress(self, fraction: float, text: str = '') -> None:
    if fraction > 0 and self.first_step_done is None:
      self.first_step_done = time.perf_counter()
    super().progress(fraction, text)


class Contestant:
  """FineTuning on an export, one process for all cells."""

  def __init__(self, given: Given, precision: str = 'float32', all_threads: bool = False):
    """See the file's docstring; `precision` as in Recipe."""
    if all_threads:
      _begin_with_all_threads()
    from nlp_export.glue.fine_tuning.finetune import FineTuning

    self._given = given
    self._precision = precision
    self._samples: dict[str, dict[str, Examples]] = {}
    self._arm = ExportArm(given.model, given.preprocessing)
    self._fine_tuning = FineTuning({(_ARM, _POOLER): self._arm}, self._splits)
    self._word_ids: dict[str, np.ndarray] = {}

  def prepare(self, task: str) -> dict[str, Any]:
    """A first cell of the task: loads, tokenises, compiles for every length, trains, evaluates.

    Returns:
      'other_seconds' by name, and 'lengths': real tokens of each example.
    """
    _, other_seconds = self._run(task, 0)
    encoder = self._fine_tuning.encoder(_ARM, _POOLER)
    texts = self._splits(task)[tasks.TRAIN].texts
    lengths = encoder.tokenise(texts, self._given.max_seq_length).lengths
    return {'other_seconds': other_seconds, 'lengths': lengths.tolist()}

  def measure(self, task: str, round: int = 0) -> Passed:
    """Another cell in the same process, with another seed and the same order of the data."""
    result, other_seconds = self._run(task, round + 1)
    tokens = _whole(result.tokens_per_second * result.train_seconds)
    return Passed(
        seconds=result.train_seconds, steps=self._recipe(task).steps or 0,
        examples=_whole(result.examples_per_second * result.train_seconds), tokens=tokens,
        positions=_whole(tokens / (1 - result.padding_share)),
        losses=tuple(entry['loss'] for entry in result.history), other_seconds=other_seconds)

  def _run(self, task: str, seed: int) -> tuple[CellResult, dict[str, float]]:
    cell = Cell(
        task, _ARM, _POOLER, seed, recipe=self._recipe(task).to_json(),
        content_hashes=self._arm.content_hashes(), data_seed=self._given.seed)
    with tempfile.TemporaryDirectory(dir=self._given.out_dir or None) as out_dir:
      work = _TimedWork(f'{out_dir}/work', False, out_dir)
      loading = time.perf_counter()
      self._fine_tuning.encoder(_ARM, _POOLER)  # What the cell would load is loaded for the words.
      loading = time.perf_counter() - loading
      with self._words_of_all_examples(task):
        started = time.perf_counter() - loading
        result = self._fine_tuning(cell, work)
        seconds = time.perf_counter() - started
    if result.status == FAILED or work.first_step_done is None:
      raise RuntimeError(f'{cell.name} failed: {result.cause}')
    return result, {
        'until the first step is done': work.first_step_done - started,
        'all but training': seconds - result.train_seconds}

  @contextlib.contextmanager
  def _words_of_all_examples(self, task: str) -> Iterator[None]:
    """The optimizer passes over as many rows of the embedding as in a training on all examples.

    The few that are trained on here hold fewer words, so it would be quicker than it is in use.
    """
    from nlp_export.glue.fine_tuning.adamw import AdamW

    choose = AdamW.choose_words
    if task not in self._word_ids:
      texts = samples.whole(task, self._given)[tasks.TRAIN].texts
      encoder = self._fine_tuning.encoder(_ARM, _POOLER)
      self._word_ids[task] = np.unique(
          encoder.tokenise(texts, self._given.max_seq_length).word_ids)
    with mock.patch.object(
        AdamW, 'choose_words',
        lambda optimizer, ids: choose(optimizer, np.append(ids, self._word_ids[task]))):
      yield

  def _recipe(self, task: str) -> Recipe:
    rows = len(self._splits(task)[tasks.TRAIN])
    return Recipe(
        learning_rate=self._given.learning_rate, batch_size=self._given.batch_size, epochs=None,
        steps=rows // self._given.batch_size, max_seq_length=self._given.max_seq_length,
        precision=self._precision)

  def _splits(self, task: str) -> dict[str, Examples]:
    if task not in self._samples:
      self._samples[task] = samples.draw(task, self._given)
    return self._samples[task]


def _whole(value: float) -> int:
  """A count that was divided by seconds, multiplied by them again."""
  return int(value + 0.5)


def _begin_with_all_threads() -> None:
  import os

  import tensorflow as tf

  # Settings of threads cannot change once TensorFlow has begun.
  tf.config.threading.set_inter_op_parallelism_threads(len(os.sched_getaffinity(0)))
  tf.constant(0)
