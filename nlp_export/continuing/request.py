"""What is to be trained further, resolved and checked as far as that goes without TensorFlow?"""

from __future__ import annotations

import dataclasses
from typing import Any

from nlp_export import files, names
from nlp_export.errors import RequestError
from nlp_export.handles import is_handle
from nlp_export.pretraining import strategies
from nlp_export.pretraining.data.recipe import DataRecipe
from nlp_export.pretraining.recipe import FLOAT32, TrainRecipe
from nlp_export.pretraining.saving_options import Saving
from nlp_export.pretraining.texts import EMBEDDED, FILES, Text

CHECKPOINTS_DIR = 'training/checkpoints'
BEFORE = 'training/before.json'  # The held-out rows, as the export had them.
NAME = 'continued'


@dataclasses.dataclass(frozen=True)
class Request:
  """Continued masked-LM training of an export.

  Attributes:
    export: directory or handle of a SavedModel with `.mlm`.
    preprocessing: of the preprocessing SavedModel that belongs to it.
    text: what is trained on, and what is held out.
    data: how text becomes rows with masks.
    training: steps, batch, optimizer.
    saving: checkpoints and evaluations.
    runtime: where it runs, not begun.
    allowed_ops: operations that the two may hold whatever they do.
  """

  export: str
  preprocessing: str
  text: Text
  data: DataRecipe
  training: TrainRecipe
  saving: Saving
  runtime: Any
  allowed_ops: tuple[str, ...] = ()

  @property
  def destination(self) -> str:
    """Below out_dir: the re-exported SavedModel."""
    return files.join(names.EXPORTS_DIR, NAME, names.MODEL_WITH_MLM)

  @property
  def evaluation_batch_size(self) -> int:
    """Rows of a held-out batch: as many as one device computes at a time, at most."""
    return max(1, self.training.global_batch_size // self.training.accumulation_steps)

  @property
  def local_inputs(self) -> tuple[str, ...]:
    """What can be hashed: files and directories, not handles."""
    given = (self.export, self.preprocessing, *self.text.paths())
    return tuple(dict.fromkeys(path for path in given if not is_handle(path)))

  def check(self) -> None:
    """Refuses what cannot be done.

    Raises:
      RequestError: says which line to change.
    """
    self.training.optimizer_spec()
    self.training.learning_rate_schedule()
    self.training.rows_per_micro_batch(1)
    if self.text.kind not in (EMBEDDED, FILES):
      raise RequestError(
          'Continued training tokenises text with the preprocessing SavedModel, but '
          f'text.{self.text.kind} holds ids that another tokenizer made. Give the text itself: '
          '--set TEXT_FILES=...')
    if self.training.precision != FLOAT32:
      raise RequestError(
          f'train_recipe.precision is {self.training.precision!r}, but the graph of a SavedModel '
          'is fixed: a Keras policy changes nothing in it. '
          f"Write train_recipe.precision = '{FLOAT32}'")
    if not isinstance(self.runtime, strategies.one_device | strategies.mirrored):
      raise RequestError(
          f'The runtime {type(self.runtime).__name__} trains what is built on its devices, and an '
          'export is loaded, by one process. Include gin/runtime/one_device.gin or '
          'gin/runtime/mirrored.gin')
