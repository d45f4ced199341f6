"""What is an export compared with? The same encoder, built in Python by TF-NLP.

Nothing of saved_models/ is used here. What is shared with exports is the state of dropout: with
equal masks the difference between the two is rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from nlp_export import names
from nlp_export.dropout import DropoutState
from nlp_export.glue.fine_tuning import one_length, tokenised
from nlp_export.glue.fine_tuning.arms import BaselineArm
from nlp_export.glue.fine_tuning.trainable_encoder import TrainableEncoder
from nlp_export.restored_encoder import restore_encoder


def load(arm: BaselineArm) -> TrainableEncoder:
  """Builds the encoder, restores it, and sets its pooler.

  Raises:
    RequestError: the checkpoint does not fit.
  """
  restored = restore_encoder(arm.checkpoint, arm.encoder, item_names=arm.item_names)
  network = restored.network
  dropout = DropoutState()
  dropout.install(network)
  length = restored.form.fixed_length or restored.form.padded_length
  specs = {name: tf.TensorSpec([None, length], tf.int32, name=name)
           for name in names.ENCODER_INPUTS}

  # Traced for any shape, as an export was: with static ones TensorFlow may fold other constants,
  # and the last bits of the two arms would differ.
  @tf.function(input_signature=[specs], autograph=False)
  def infer(inputs: dict[str, tf.Tensor]) -> Mapping[str, Any]:
    return network(inputs, training=False)

  @tf.function(input_signature=[specs], autograph=False)
  def train(inputs: dict[str, tf.Tensor]) -> Mapping[str, Any]:
    with dropout.training_call(inputs):
      return network(inputs, training=True)

  def call(inputs: dict[str, tf.Tensor], training: bool) -> Mapping[str, Any]:
    return train(inputs) if training else infer(inputs)

  def tokenise(segments: Sequence[Sequence[str]], max_seq_length: int) -> Any:
    return tokenised.through_tf_nlp(arm.tokenizer, segments, max_seq_length)

  padded, checked = one_length.adapted(
      call, tokenise, length, f'the encoder from {arm.encoder.source}')
  encoder = TrainableEncoder(
      padded, network.trainable_variables, checked, dropout_state=dropout.variable,
      pooler=arm.pooler, pooler_source=restored.pooler_source())
  encoder.take_pooler_weights()
  return encoder
