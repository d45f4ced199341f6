"""What is put on an encoder to solve a task, and what is its loss?"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from nlp_export import declared_losses, names, poolings
from nlp_export.dropout import DropoutState
from nlp_export.errors import RequestError
from nlp_export.glue.fine_tuning.recipe import Recipe
from nlp_export.glue.fine_tuning.trainable_encoder import TrainableEncoder
from nlp_export.initial_values import truncated_normal

HEAD_KERNEL = 'head/kernel'
HEAD_BIAS = 'head/bias'


class Classifier:
  """A dense layer on the pooled vector: classes, or one value of a regression.

  Attributes:
    encoder: below the head.
    outputs: classes; 1 for a regression.
    is_regression: whether the output is a value.
    head: 'head/kernel' [width x parts of the pooling, outputs] and 'head/bias' [outputs].
    head_dropout: its own state, so that the encoder's masks do not depend on the head.
  """

  def __init__(self, encoder: TrainableEncoder, outputs: int, is_regression: bool, recipe: Recipe):
    """The head's values are zeros until `reset`.

    Raises:
      RequestError: the recipe reads pooled_output and the encoder has none.
    """
    self.encoder = encoder
    self.outputs = outputs
    self.is_regression = is_regression
    self._recipe = recipe
    self._check()
    width = encoder.width * len(recipe.pooling_parts)
    self.head = {
        HEAD_KERNEL: tf.Variable(tf.zeros([width, outputs]), name=HEAD_KERNEL),
        HEAD_BIAS: tf.Variable(tf.zeros([outputs]), name=HEAD_BIAS),
    }
    self.head_dropout = DropoutState()

  def _check(self) -> None:
    if poolings.POOLED in self._recipe.pooling_parts and not self.encoder.has_pooled_output:
      raise RequestError(
          f'The recipe\'s pooling is {self._recipe.pooling!r}, but the encoder has no '
          'pooled_output. Use --set POOLING=cls or mean')

  def reset(self, init_seed: int, pooler_seed: int | None = None) -> None:
    """Encoder, head and dropout as a training with these seeds starts; the arm plays no part.

    Raises:
      RequestError: as when it was made; the encoder may have another pooler since.
    """
    self._check()
    recipe = self._recipe
    self.encoder.reset(pooler_seed)
    if recipe.reinit_top_layers:
      self.encoder.reinitialise(recipe.reinit_top_layers, recipe.head_stddev, init_seed)
    kernel = self.head[HEAD_KERNEL]
    kernel.assign(truncated_normal(kernel.shape, recipe.head_stddev, init_seed))
    self.head[HEAD_BIAS].assign(np.zeros(self.outputs, np.float32))
    self.head_dropout.variable.assign([init_seed + 1, 0])
    if self.encoder.dropout_state is not None:
      self.encoder.dropout_state.assign([init_seed, 0])

  def variables(self) -> dict[str, tf.Variable]:
    """The encoder's variables, then the head's."""
    return {**self.encoder.variables, **self.head}

  def trained(self) -> dict[str, tf.Variable]:
    """Those that the recipe trains: with `trainable_layers`, the last ones, pooler and head."""
    count = self._recipe.trainable_layers
    if count is None:
      return self.variables()
    chosen = set(self.encoder.last_layers(count))
    if poolings.POOLED in self._recipe.pooling_parts:
      chosen |= {name for name in self.encoder.variables
                 if any(f'/{layer}/' in f'/{name}' for layer in names.POOLER_LAYER_NAMES)}
    return {**{name: v for name, v in self.encoder.variables.items() if name in chosen},
            **self.head}

  def logits(self, inputs: dict[str, tf.Tensor], training: bool) -> tf.Tensor:
    """float32 [batch, outputs] for the encoder's inputs, each int32 [batch, seq_length]."""
    vector = poolings.pool(self._recipe.pooling_parts, self.encoder.outputs(inputs, training),
                           inputs[names.INPUT_MASK])
    if training and self._recipe.head_dropout:
      with self.head_dropout.training_call(inputs):
        vector = self.head_dropout.dropout(vector, self._recipe.head_dropout)
    return tf.matmul(vector, self.head[HEAD_KERNEL]) + self.head[HEAD_BIAS]

  def loss(self, logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor | None = None
           ) -> tf.Tensor:
    """The mean over a batch: cross-entropy, or the squared error of a regression.

    Args:
      logits: float32 [batch, outputs].
      labels: int32 [batch]; float32 [batch] for a regression.
      weights: float32 [batch], 0 for rows that only fill up the batch; None for all 1.

    Returns:
      float32 scalar.
    """
    if self.is_regression:
      # Both [batch]: [batch, 1] against [batch] would broadcast, and its optimum is a constant.
      losses = tf.math.squared_difference(logits[:, 0], labels)
    else:
      losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    losses = tf.ensure_shape(losses, [labels.shape[0]])
    if weights is None:
      return tf.reduce_mean(losses)
    return tf.reduce_sum(losses * weights) / tf.reduce_sum(weights)

  def regularized(self, loss: tf.Tensor) -> tf.Tensor:
    """A batch's loss and the encoder's regularization losses; without any the very same tensor."""
    losses = self.encoder.regularization_losses
    return loss + declared_losses.total(losses) if losses else loss

  def regularization(self) -> float:
    """The sum of the encoder's regularization losses, with the present weights."""
    return float(declared_losses.total(self.encoder.regularization_losses))

  def regularized_names(self) -> frozenset[str]:
    """Names of the encoder's variables that its regularization losses read."""
    return declared_losses.names_read(self.encoder.regularization_losses, self.encoder.variables)
