"""A user's encoder with weight regularizers, and its export."""

from __future__ import annotations

import tensorflow as tf
import tf_keras
from official.nlp.modeling import networks

from nlp_export import names, poolers
from nlp_export.dropout import DropoutState
from nlp_export.saved_models import writing
from nlp_export.saved_models.encoder import EncoderSavedModel

STRENGTH = 0.25


def network(**changes):
  """TF-NLP's, of one layer, without any regularizer."""
  encoder = networks.BertEncoderV2(
      vocab_size=20, hidden_size=8, num_layers=1, num_attention_heads=2, inner_dim=12,
      max_sequence_length=16, **changes)
  encoder({name: tf.ones([1, 2], tf.int32) for name in names.ENCODER_INPUTS})
  return encoder


class Regularized(tf_keras.Model):
  """An encoder of one's own: L2 on the kernels of its pooler and of a layer before it."""

  def __init__(self, activity=None):
    super().__init__()
    self.inner = network()
    l2 = tf_keras.regularizers.L2(STRENGTH)
    self.mixed = tf_keras.layers.Dense(
        8, kernel_regularizer=l2, activity_regularizer=activity, name='mixed')
    self.pooler_layer = tf_keras.layers.Dense(
        8, activation='tanh', kernel_regularizer=l2, name='pooler_transform')
    self({name: tf.ones([1, 2], tf.int32) for name in names.ENCODER_INPUTS})

  def call(self, inputs, training=False):
    outputs = dict(self.inner(inputs, training=training))
    sequence = self.mixed(outputs[names.SEQUENCE_OUTPUT])
    outputs[names.SEQUENCE_OUTPUT] = sequence
    outputs[names.ENCODER_OUTPUTS] = [sequence]
    outputs[names.POOLED_OUTPUT] = self.pooler_layer(sequence[:, 0])
    return outputs


def write(made, path, with_pooler=True):
  """Exports it."""
  dropout = DropoutState()
  dropout.install(made)
  root = EncoderSavedModel(made, dropout, tokenizer=None, pooler=poolers.layer_of(made),
                           with_pooler=with_pooler)
  writing.write(root, str(path))
