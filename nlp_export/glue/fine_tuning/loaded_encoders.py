"""What stays in memory between cells, and what has to go?

Loading an encoder and compiling a step for each length of a batch takes longer than many a
training. So two encoders stay, an export and its baseline, each with its compiled functions, which
poolers, seeds and tasks of as many classes share. More would not fit where encoders are large.
"""

from __future__ import annotations

import collections
from typing import Any

from nlp_export.glue.examples import Examples
from nlp_export.glue.fine_tuning.arms import Arm
from nlp_export.glue.fine_tuning.classifier import Classifier
from nlp_export.glue.fine_tuning.recipe import Recipe
from nlp_export.glue.fine_tuning.tokenised import TokenisedTexts
from nlp_export.glue.fine_tuning.trainable_encoder import TrainableEncoder
from nlp_export.glue.fine_tuning.trainer import Trainer
from nlp_export.glue.tasks import Task

_ENCODERS = 2
_TRAINERS = 2  # Each holds two moments for every weight.

# What a compiled step does not depend on.
_NOT_COMPILED = frozenset((
    'learning_rate', 'epochs', 'steps', 'warmup_share', 'grouping_window', 'evaluations_per_epoch',
    'checkpoint', 'held_out_share'))


class LoadedEncoder:
  """An encoder and everything that was made for it.

  Attributes:
    encoder: ready to train, with the values of the last arm that was asked for.
  """

  def __init__(self, arm: Arm):
    """Loads it."""
    self.encoder: TrainableEncoder = arm.load()
    self._arm: Arm | None = arm
    self._trainers: collections.OrderedDict[Any, Trainer] = collections.OrderedDict()
    self._texts: dict[tuple[Any, ...], TokenisedTexts] = {}

  def take(self, arm: Arm) -> None:
    """Makes the encoder start where an arm of the same key starts."""
    if arm is not self._arm:
      self._arm = None  # Should it fail, the encoder is no arm's.
      arm.put_into(self.encoder)
      self._arm = arm

  def trainer(self, task: Task, recipe: Recipe) -> Trainer:
    """The compiled functions for a task's outputs; recipes may differ in what is not compiled."""
    fixed = {name: value for name, value in recipe.to_json().items() if name not in _NOT_COMPILED}
    key = (task.outputs, task.is_regression, tuple(sorted(fixed.items(), key=str)))
    if key not in self._trainers:
      while len(self._trainers) >= _TRAINERS:
        self._trainers.popitem(last=False)
      self._trainers[key] = Trainer(
          Classifier(self.encoder, task.outputs, task.is_regression, recipe), recipe)
    self._trainers.move_to_end(key)
    return self._trainers[key]

  def tokenised(self, examples: Examples, recipe: Recipe) -> TokenisedTexts:
    """The token ids of a split; those of one task stay."""
    key = (examples.task.name, examples.split, recipe.max_seq_length)
    if key not in self._texts:
      if any(task != key[0] for task, _, _ in self._texts):
        self._texts = {}
      self._texts[key] = self.encoder.tokenise(examples.texts, recipe.max_seq_length)
    return self._texts[key]


class LoadedEncoders:
  """The encoders of a process."""

  def __init__(self) -> None:
    self._by_key: collections.OrderedDict[str, LoadedEncoder] = collections.OrderedDict()

  def of(self, arm: Arm) -> LoadedEncoder:
    """The encoder of an arm, loaded if need be, with the arm's values to start from."""
    key = arm.key()
    if key not in self._by_key:
      while len(self._by_key) >= _ENCODERS:  # Room for the next one, before it is loaded.
        self._by_key.popitem(last=False)
      self._by_key[key] = LoadedEncoder(arm)
    self._by_key.move_to_end(key)
    loaded = self._by_key[key]
    loaded.take(arm)
    return loaded
