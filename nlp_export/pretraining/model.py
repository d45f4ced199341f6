"""What is pre-trained? TF-NLP's BertPretrainerV2 over an encoder, its heads, and its items."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras
from official.nlp.modeling import models

from nlp_export import names, poolers
from nlp_export.encoder_config import activations
from nlp_export.encoders import BuiltEncoder, EncoderSpec
from nlp_export.errors import RequestError
from nlp_export.pretraining import initial_weights
from nlp_export.pretraining.heads import HeadSpec
from nlp_export.pretraining.recipe import FLOAT32


@dataclasses.dataclass(frozen=True, eq=False)
class Pretrainer:
  """A built pretrainer.

  Attributes:
    model: official.nlp.modeling.models.BertPretrainerV2; called with training=True in training.
    heads: its classification heads.
    trained: the variables that training changes, in the order of the model. The encoder's own
      pooler is not among them: masked LM and classification heads read `sequence_output`, so it
      never gets a gradient. Weight decay alone would shrink it, to no one's use.
    left_out: names of trainable variables that are not in `trained`.
    mlm_activation: of the masked-LM head.
  """

  model: models.BertPretrainerV2
  heads: tuple[HeadSpec, ...]
  trained: tuple[tf.Variable, ...]
  left_out: tuple[str, ...]
  mlm_activation: str

  @property
  def encoder(self) -> Any:
    """The encoder's network."""
    return self.model.encoder_network

  def __call__(self, batch: Mapping[str, tf.Tensor], training: bool) -> dict[str, tf.Tensor]:
    """Calls the model on what it needs of a batch.

    Args:
      batch: int32 [batch, seq_length] under the encoder's inputs, int32 [batch, predictions] under
        masked_lm_positions; other keys are not read.

    Returns:
      float32: 'mlm_logits' [batch, predictions, vocab_size], and of each head under its name
      [batch, num_classes].
    """
    outputs = self.model({key: batch[key] for key in names.MLM_INPUTS}, training=training)
    wanted = (names.MLM_LOGITS, *(head.name for head in self.heads))
    return {key: tf.cast(outputs[key], tf.float32) for key in wanted}

  def items(self) -> dict[str, Any]:
    """Item of a checkpoint -> the object whose variables it holds.

    BertPretrainerV2's `checkpoint_items` and, since a training that goes on needs all weights, the
    projection of each head as `<head>.out_proj`. The masked LM shares the encoder's word table.
    """
    found = dict(self.model.checkpoint_items)
    for head in self.model.classification_heads:
      found[f'{head.name}.out_proj'] = head.out_proj
    return found


def build(
    spec: EncoderSpec | BuiltEncoder, heads: Sequence[HeadSpec] = (), *,
    mlm_activation: str = 'gelu', precision: str = FLOAT32, init_seed: int = 0,
) -> Pretrainer:
  """Builds the pretrainer with initial weights. Under a strategy: inside of its scope.

  Args:
    spec: the encoder. A network that a user's factory built keeps the weights and the precision
      that it has.
    heads: classification heads.
    mlm_activation: of the masked-LM head; PretrainerConfig.mlm_activation of TF-NLP.
    precision: 'float32', or 'mixed_bfloat16': a Keras policy around the building only. Names,
      variables and their float32 stay the same, so checkpoints do not depend on it.
    init_seed: of all initial weights.

  Raises:
    RequestError: the encoder has no table of word embeddings for the masked LM.
  """
  with _policy(precision), initial_weights.seeded(init_seed):
    network = spec.build(initialise=True)
    if not hasattr(network, 'get_embedding_table'):
      raise RequestError(
          f'The encoder from {spec.source} has no get_embedding_table(), whose table the masked-LM'
          ' head shares. Give your network that method, as TF-NLP\'s encoders have it')
    if not spec.hidden_size:
      spec.check_exportable()  # Finds the width of a user's network by calling it.
    initializer_range = spec.config.get('initializer_range') or 0.02
    model = models.BertPretrainerV2(
        encoder_network=network, mlm_activation=activations.get_activation(mlm_activation),
        mlm_initializer=tf_keras.initializers.TruncatedNormal(stddev=initializer_range),
        classification_heads=[head.build(spec.hidden_size) for head in heads])
    ids = tf.zeros([1, 1], tf.int32)
    model(dict.fromkeys(names.MLM_INPUTS, ids))  # Makes the variables.
  pooler = poolers.layer_of(network)
  left_out = {id(variable) for variable in pooler.trainable_variables} if pooler else set()
  return Pretrainer(
      model, tuple(heads),
      trained=tuple(v for v in model.trainable_variables if id(v) not in left_out),
      left_out=tuple(v.name for v in model.trainable_variables if id(v) in left_out),
      mlm_activation=mlm_activation)


@contextlib.contextmanager
def _policy(precision: str) -> Iterator[None]:
  before = tf_keras.mixed_precision.global_policy()
  tf_keras.mixed_precision.set_global_policy(precision)
  try:
    yield
  finally:
    tf_keras.mixed_precision.set_global_policy(before)
