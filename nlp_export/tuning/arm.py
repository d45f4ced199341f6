"""What is trained: an encoder's SavedModel, with the loaded object at hand to export it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlp_export import reexporting, vocabularies
from nlp_export.errors import RequestError
from nlp_export.glue.fine_tuning.arms import ExportArm

if TYPE_CHECKING:
  from nlp_export.glue.fine_tuning.trainable_encoder import TrainableEncoder


class LoadedArm:
  """An arm of FineTuning that keeps what it has loaded.

  Attributes:
    model: directory of the encoder.
    preprocessing: directory of its preprocessing.
    root: the loaded encoder, once `load` was called.
    preprocessor: the loaded preprocessing, likewise.
  """

  def __init__(self, model: str, preprocessing: str, max_seq_length: int, regularized: bool = True):
    """Loads nothing yet.

    Args:
      model: local directory of the encoder.
      preprocessing: local directory of its preprocessing.
      max_seq_length: of the training, which the encoder must have positions for.
      regularized: whether the regularization losses that the encoder declares are added to the
        loss, as whoever trains one of TF Hub's Reusable SavedModels is to do.
    """
    self.model = model
    self._max_seq_length, self._regularized = max_seq_length, regularized
    self.preprocessing = preprocessing
    self._arm = ExportArm(model, preprocessing)
    self.root: Any = None
    self.preprocessor: Any = None

  def key(self) -> str:
    """See `Arm`."""
    return self._arm.key()

  def content_hashes(self) -> dict[str, str]:
    """See `Arm`."""
    return self._arm.content_hashes()

  def load(self) -> TrainableEncoder:
    """Loads both; the variables that are trained are those of `root`.

    Raises:
      RequestError: they do not belong together, or are not fit.
    """
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  Registers the ops of preprocessing.

    from nlp_export.glue.fine_tuning import export_encoder

    vocabularies.refuse_other(self.model, self.preprocessing)
    self.root = reexporting.load(self.model)
    positions = reexporting.max_positions(self.root, self.model)
    if positions is not None and positions < self._max_seq_length:
      raise RequestError(
          f'MAX_SEQ_LENGTH is {self._max_seq_length}, but {self.model} has {positions} positions. '
          f'Write --set MAX_SEQ_LENGTH={positions}')
    self.preprocessor = tf.saved_model.load(self.preprocessing)
    return export_encoder.of_loaded(
        self.root, self.preprocessor, self.model, regularized=self._regularized)

  def put_into(self, encoder: TrainableEncoder) -> None:
    """See `Arm`; there is one arm only."""
    raise AssertionError('the encoder of another arm was given')
