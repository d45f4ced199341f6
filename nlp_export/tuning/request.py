"""What is to be fine-tuned, on what, how, and what comes out of it?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from nlp_export import files, handles, names, reexporting, staging
from nlp_export.glue.cells import Cell
from nlp_export.glue.fine_tuning.recipe import Recipe
from nlp_export.tuning.examples import Data

ARM = 'export'
_UNKNOWN_POOLER = 'as_exported'


@dataclasses.dataclass(frozen=True)
class TuningRequest:
  """A fine-tuning whose parts are checked as far as that goes without TensorFlow.

  Attributes:
    export: EXPORT, as given.
    preprocessing: PREPROCESSING, as given.
    data: what to train and to score on.
    recipe: how to train.
    seed: of head, order and dropout.
    regularized: whether the export's regularization_losses are added to the loss.
    allowed_ops: of `handles.resolved`.
  """

  export: str
  preprocessing: str
  data: Data
  recipe: Recipe
  seed: int = 0
  regularized: bool = True
  allowed_ops: Sequence[str] = ()

  @property
  def exports_dir(self) -> str:
    """Below out_dir."""
    return files.join(names.EXPORTS_DIR, self.data.name)

  def classifier_place(self) -> str:
    """Below out_dir."""
    return files.join(self.exports_dir, names.CLASSIFIER)

  def outputs(self) -> list[str]:
    """Markers below out_dir of what a finished run has, as far as it is known before."""
    kinds = [names.CLASSIFIER]
    if not handles.is_handle(self.export):
      kinds += [kind for kind in (names.MODEL, names.MODEL_WITH_MLM)
                if reexporting.record_of(self.export).get('export_type') == kind]
    return [files.join(self.exports_dir, kind, staging.MARKER) for kind in kinds]

  def encoder_place(self, out_dir: str) -> str | None:
    """Below out_dir, of the encoder that is in place; None: none is yet."""
    for kind in (names.MODEL, names.MODEL_WITH_MLM):
      place = files.join(self.exports_dir, kind)
      if staging.is_complete(files.join(out_dir, place)):
        return place
    return None

  def cell(self, model: str, hashes: Mapping[str, str]) -> Cell:
    """The one fine-tuning, as the matrix of GLUE knows it.

    Args:
      model: local directory of the encoder.
      hashes: SHA-256 of what is read, by role.
    """
    record = reexporting.record_of(model)
    pooler = record.get('pooler', {}).get('name', _UNKNOWN_POOLER)
    return Cell(self.data.name, ARM, pooler, self.seed, recipe=self.settings(),
                content_hashes=hashes)

  def settings(self) -> dict[str, Any]:
    """All numbers of the training but its seed, as JSON values."""
    return {**self.recipe.to_json(), 'regularization_losses': self.regularized}

  def how(self) -> str:
    """The training in a sentence, for the card."""
    recipe = self.recipe
    length = (f'{recipe.steps} steps' if recipe.steps is not None else
              f'{recipe.epochs:g} epoch{"" if recipe.epochs == 1 else "s"}')
    count = recipe.trainable_layers
    what = ('All layers were trained' if count is None else
            'The last layer was trained' if count == 1 else
            f'The last {count} layers were trained')
    kept = ('' if recipe.checkpoint == 'last' else
            ' The best checkpoint was kept, not the last one.')
    return (
        f'{what}: {length} of AdamW at {recipe.learning_rate:g} (linear warm-up over '
        f'{100 * recipe.warmup_share:g} % of the steps, then linear decay), batches of '
        f'{recipe.batch_size}, texts of up to {recipe.max_seq_length} tokens, a dense layer on '
        f'{recipe.pooling}, {recipe.precision}, seed {self.seed}.{kept}')
