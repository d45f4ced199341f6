"""How does `.mlm` of a SavedModel, anybody's, stand where a pre-training has its model?

The loop, its checkpoints and evaluations are those of pre-training. What differs: variables come
with the SavedModel, and so does dropout, whose state (of our exports) goes into each checkpoint; a
stranger's draws its masks from ops that nothing can set.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from nlp_export import names
from nlp_export.errors import RequestError
from nlp_export.pretraining.data.recipe import MASKED_LM_IDS, MASKED_LM_WEIGHTS
from nlp_export.pretraining.model import Pretrainer

WEIGHTS_ITEM = 'export'
_ROWS = 4  # Enough to see what the masked LM reaches.
NOT_REPRODUCIBLE = (
    'the dropout masks of this export cannot be set (it has no dropout_state): a training that was '
    'interrupted goes on with other masks than one that was not')


class LoadedModel(tf.Module):
  """What `pretraining.model.Pretrainer` needs of a model, over a loaded SavedModel.

  Attributes:
    root: the loaded SavedModel.
    classification_heads: none: an export has the masked LM alone.
  """

  classification_heads = ()

  def __init__(self, root: Any):
    """Takes its variables: those of `.mlm`, and what the root has besides."""
    super().__init__()
    self.root = root
    self._trained = list(root.mlm.trainable_variables)
    own = {id(v) for v in self._trained}
    others = [*root.mlm.variables, *root.variables]
    state = getattr(root, names.DROPOUT_STATE, None)
    self._state = list(dict.fromkeys(
        v.ref() for v in others
        if id(v) not in own and v is not state and v.dtype.is_floating))

  def __call__(self, inputs: Mapping[str, tf.Tensor], training: bool) -> Mapping[str, Any]:
    """Calls `.mlm` on int32 names.MLM_INPUTS."""
    return self.root.mlm(dict(inputs), training=training)

  @property
  def trainable_variables(self) -> tuple[tf.Variable, ...]:
    """Of `.mlm`: the encoder's, then the head's."""
    return tuple(self._trained)

  @property
  def variables(self) -> tuple[tf.Variable, ...]:
    """All that training could change, but for the state of dropout."""
    return (*self._trained, *(reference.deref() for reference in self._state))

  @property
  def losses(self) -> list[tf.Tensor]:
    """float32 scalars: the regularization losses that `.mlm` declares."""
    return [tf.cast(loss(), tf.float32)
            for loss in getattr(self.root.mlm, 'regularization_losses', ())]

  @property
  def checkpoint_items(self) -> dict[str, Any]:
    """One item with every variable, under its place and name."""
    return {WEIGHTS_ITEM: tf.train.Checkpoint(**{
        f'{place:04d}/{v.name.partition(":")[0]}': v for place, v in enumerate(self.variables)})}


@dataclasses.dataclass(frozen=True)
class Facts:
  """What a look at an export told.

  Attributes:
    left_out: places in `.mlm.trainable_variables` of those that the masked LM does not reach: the
      pooler's.
    vocab_size: rows of the head's logits.
    drops: whether training=True changes the logits.
    has_dropout_state: whether its masks can be set.
  """

  left_out: tuple[int, ...]
  vocab_size: int
  drops: bool
  has_dropout_state: bool


def load(path: str) -> Any:
  """Loads an export with `.mlm`. Under a strategy: inside of its scope.

  Args:
    path: a local directory.

  Raises:
    RequestError: it cannot be loaded, or has no `.mlm` that can be trained.
  """
  try:
    root = tf.saved_model.load(path)
  except (OSError, ValueError, tf.errors.OpError) as error:
    raise RequestError(f'EXPORT {path} cannot be loaded: {error}. '
                       'Check it with gin/runs/verify.gin') from error
  mlm = getattr(root, names.MLM, None)
  if mlm is None:
    raise RequestError(
        f'EXPORT {path} has no masked-LM head (.mlm) to go on with. Export the checkpoint with one:'
        " gin/runs/export.gin --set EXPORT_TYPES=\"('model_with_mlm', 'preprocessing')\"")
  variables = getattr(mlm, 'trainable_variables', None)
  if not variables:
    raise RequestError(
        f'.mlm of EXPORT {path} has no trainable_variables, so there is nothing to train. A '
        "Reusable SavedModel of TF Hub's text API has them: export it with TensorFlow 2's tools")
  narrow = [v.name for v in variables if v.dtype != tf.float32]
  if narrow:
    raise RequestError(
        f'{len(narrow)} variables of EXPORT {path}, such as {narrow[0]}, are not float32, in which '
        'alone weights are updated here. Export the checkpoint in float32')
  return root


def look(root: Any, batch: Mapping[str, np.ndarray], path: str) -> Facts:
  """Calls an export, loaded without a strategy, on a batch, and looks what training would reach.

  Args:
    root: of `load`.
    batch: as `Batches.batch` gives it.
    path: of the export, for messages.

  Raises:
    RequestError: it fails on rows of this length, or returns no logits.
  """
  batch = {name: values[:_ROWS] for name, values in batch.items()}
  inputs = {name: tf.constant(batch[name]) for name in names.MLM_INPUTS}
  try:
    outputs = root.mlm(inputs, training=False)
    noisy = root.mlm(inputs, training=True)
    if names.MLM_LOGITS not in outputs:
      raise RequestError(
          f'.mlm of EXPORT {path} returns {", ".join(sorted(outputs))}, and no '
          f'{names.MLM_LOGITS}. Check it with gin/runs/verify.gin')
    left_out = _pooler_alone(root, inputs, batch) if names.POOLED_OUTPUT in outputs else ()
  except (tf.errors.OpError, ValueError) as error:
    text = str(error).strip().partition('\n')[0].rstrip('.')
    raise RequestError(
        f'.mlm of EXPORT {path} cannot be called with rows of '
        f'{inputs[names.INPUT_MASK].shape[1]} tokens: {text}. If it takes fewer (its card says how '
        'many), lower SEQ_LENGTH') from error
  logits = outputs[names.MLM_LOGITS]
  return Facts(
      left_out, int(logits.shape[-1]), bool(tf.reduce_any(noisy[names.MLM_LOGITS] != logits)),
      getattr(root, names.DROPOUT_STATE, None) is not None)


def _pooler_alone(
    root: Any, inputs: dict[str, tf.Tensor], batch: Mapping[str, np.ndarray]) -> tuple[int, ...]:
  """Places of the variables that move `pooled_output`, and neither tokens' vectors nor logits.

  A loaded graph gives zeros, not None, for what an output does not depend on: so values are looked
  at, and weight decay alone would shrink what got zeros.
  """
  trainable = list(root.mlm.trainable_variables)

  @tf.function(autograph=False)  # Traces one gradient; an eager tape traces one more of it.
  def flags() -> list[list[tf.Tensor]]:
    with tf.GradientTape(persistent=True) as tape:
      outputs = root.mlm(inputs, training=False)
      learned = masked_lm_loss(outputs[names.MLM_LOGITS], batch)
      learned += tf.reduce_sum(outputs[names.SEQUENCE_OUTPUT] ** 2)
      pooled = tf.reduce_sum(outputs[names.POOLED_OUTPUT] ** 2)
    return [[tf.constant(False) if g is None else tf.reduce_any(tf.convert_to_tensor(g) != 0.0)
             for g in tape.gradient(value, trainable)] for value in (learned, pooled)]

  reached, by_pooled = flags()
  return tuple(place for place, yes in enumerate(by_pooled) if yes and not reached[place])


def masked_lm_loss(logits: tf.Tensor, batch: Mapping[str, Any]) -> tf.Tensor:
  """float32 scalar: mean cross-entropy [nats] of the masked tokens.

  Args:
    logits: float32 [batch, predictions, vocab_size].
    batch: has masked_lm_ids and masked_lm_weights [batch, predictions].
  """
  each = tf_keras.losses.sparse_categorical_crossentropy(
      batch[MASKED_LM_IDS], logits, from_logits=True)
  weights = tf.cast(batch[MASKED_LM_WEIGHTS], tf.float32)
  return tf.reduce_sum(each * weights) / tf.maximum(tf.reduce_sum(weights), 1.0)


def pretrainer(root: Any, facts: Facts, dropout_seed: int) -> Pretrainer:
  """The export as what a TrainingLoop trains.

  Args:
    root: of `load`, in the scope of the strategy that trains it.
    facts: of `look`.
    dropout_seed: of its masks, which then count training calls from 0.
  """
  model = LoadedModel(root)
  state = getattr(root, names.DROPOUT_STATE, None)
  if state is not None:
    state.assign(tf.constant([dropout_seed, 0], tf.int64))
  variables = model.trainable_variables
  return Pretrainer(
      model, (),
      trained=tuple(v for place, v in enumerate(variables) if place not in facts.left_out),
      left_out=tuple(variables[place].name for place in facts.left_out),
      mlm_activation='of the export')


def take_values(root: Any, trained: LoadedModel) -> None:
  """Gives an export, loaded anew and without a strategy, the values of a trained one.

  All but the state of dropout, which stays as it was exported: a re-export begins to count anew.
  """
  own = LoadedModel(root).variables
  values: Sequence[Any] = [v.numpy() for v in trained.variables]
  for variable, value in zip(own, values, strict=True):
    variable.assign(value)
