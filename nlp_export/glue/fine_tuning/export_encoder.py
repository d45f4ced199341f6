"""How is a SavedModel of TF Hub's text API fine-tuned? Loaded by path, as its users do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_text  # noqa: F401  Registers the ops of preprocessing.

from nlp_export import declared_losses, names
from nlp_export.errors import CheckError
from nlp_export.glue.fine_tuning import one_length, tokenised
from nlp_export.glue.fine_tuning.arms import PoolerStart
from nlp_export.glue.fine_tuning.trainable_encoder import TrainableEncoder

NOT_REGULARIZED = "The export's regularization_losses were not added to the loss"


def load(model: str, preprocessing: str, pooler: PoolerStart | None = None) -> TrainableEncoder:
  """Loads an encoder and its preprocessing.

  Args:
    model: directory of the encoder, ours or another's.
    preprocessing: directory of its preprocessing.
    pooler: see TrainableEncoder.

  Raises:
    CheckError: it cannot be loaded, or trains nothing.
  """
  return of_loaded(_load(model), _load(preprocessing), model, pooler)


def of_loaded(
    root: Any, preprocessor: Any, model: str, pooler: PoolerStart | None = None,
    regularized: bool = False,
) -> TrainableEncoder:
  """An encoder and its preprocessing that are loaded already; its own variables are trained.

  Args:
    root: the encoder.
    preprocessor: the preprocessing.
    model: what to call the encoder in messages.
    pooler: see TrainableEncoder.
    regularized: whether the losses of its weights that it declares are added to that of its task.
      Not where it is compared with an encoder that was built in Python: docs/glue.md.

  Raises:
    CheckError: it trains nothing.
    RequestError: it declares losses that cannot be called.
  """

  def call(inputs: dict[str, tf.Tensor], training: bool) -> Mapping[str, Any]:
    return root(inputs, training=training)

  def tokenise(segments: Sequence[Sequence[str]], max_seq_length: int) -> Any:
    return tokenised.through_preprocessing(preprocessor, segments, max_seq_length)

  padded, checked = one_length.adapted(call, tokenise, one_length.of_signature(root), model)
  losses = declared_losses.of(root, model)
  encoder = TrainableEncoder(
      padded, _trainable(root, model), checked,
      dropout_state=getattr(root, names.DROPOUT_STATE, None), pooler=pooler,
      regularization_losses=losses if regularized else ())
  if losses and not regularized:
    encoder.notes += (NOT_REGULARIZED,)
  return encoder


def put_values(model: str, pooler: PoolerStart | None, encoder: TrainableEncoder) -> None:
  """Makes an encoder start from the values of another SavedModel of the same graph."""
  encoder.start_from(_trainable(_load(model), model))
  encoder.pooler = pooler


def _load(path: str) -> Any:
  try:
    return tf.saved_model.load(path)
  except (OSError, ValueError, tf.errors.OpError) as error:
    raise CheckError(f'{path} cannot be loaded: {error}') from error


def _trainable(root: Any, path: str) -> Sequence[tf.Variable]:
  variables = getattr(root, 'trainable_variables', None)
  if not variables:
    raise CheckError(
        f'{path} has no trainable_variables, so there is nothing to fine-tune. A Reusable '
        "SavedModel of TF Hub's text API has them: export it with TensorFlow 2's tools")
  return list(variables)
