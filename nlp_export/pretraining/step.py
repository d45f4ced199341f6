"""What is one training step of a replica, that means the same on any number of replicas?

Losses are sums over the replica's rows, divided by the number of predictions (or rows) of the
GLOBAL batch: so losses, gradients and accuracies of replicas and micro-batches simply add up to
those of one device. (TF-NLP's masked-LM task divides by the replica's own number and adds gradients
up, which multiplies the learning rate by the number of replicas.) Gradients are clipped after they
were summed, for the same reason.

Every shape is static and every operation dense mathematics, as XLA and TPUs need it: no strings, no
Python, no assertions. What a step reports comes out as numbers.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf
import tf_keras

from nlp_export import names
from nlp_export.pretraining.data.recipe import MASKED_LM_IDS, MASKED_LM_WEIGHTS
from nlp_export.pretraining.dropout_by_row import DropoutByRow
from nlp_export.pretraining.model import Pretrainer
from nlp_export.pretraining.optimizer_state import Optimizer

LOSS = 'loss'
GRADIENT_NORM = 'gradient_norm'
MASKED_LM_LOSS = 'masked_lm_loss'
MASKED_LM_ACCURACY = 'masked_lm_accuracy'


class ReplicaStep:
  """One step: forward, backward, sum over replicas, update. Called in replica context.

  Attributes:
    names: of the values that a call returns: 'loss', 'masked_lm_loss' [nats for each prediction],
      'masked_lm_accuracy', for each head '<name>_loss' and '<name>_accuracy', 'gradient_norm'
      (before clipping).
    without_gradient: names of trained variables that a call found no gradient for, which are then
      left alone; known after the first call was traced.
  """

  def __init__(
      self, pretrainer: Pretrainer, optimizer: Optimizer, dropout: DropoutByRow, *,
      rows_per_micro_batch: int, accumulation_steps: int = 1,
  ):
    """Binds what a step works on.

    Args:
      pretrainer: the model.
      optimizer: of `pretrainer.trained`.
      dropout: installed in the model.
      rows_per_micro_batch: rows that are computed at a time.
      accumulation_steps: micro-batches of a replica.
    """
    self._pretrainer = pretrainer
    self._optimizer = optimizer
    self._dropout = dropout
    self._micro_rows = rows_per_micro_batch
    self._accumulation_steps = accumulation_steps
    self._rows = rows_per_micro_batch * accumulation_steps
    self._variables = list(pretrainer.trained)
    self.names: tuple[str, ...] = (LOSS, *loss_names(pretrainer), GRADIENT_NORM)
    self.without_gradient: tuple[str, ...] = ()
    self._reached = [True] * len(self._variables)

  def __call__(
      self, batch: Mapping[str, tf.Tensor], step: tf.Tensor, dropout_state: tf.Tensor,
      learning_rate: tf.Tensor, stop: tf.Tensor,
  ) -> tf.Tensor:
    """Takes a step.

    Args:
      batch: the replica's rows: int32 [rows, seq_length] under input_word_ids, input_mask and
        input_type_ids; [rows, predictions] under masked_lm_positions and masked_lm_ids, int32, and
        masked_lm_weights, float32; int32 [rows, 1] under the labels of each head.
      step: int64 scalar, number of the step from 0.
      dropout_state: int64 [2]: seed and number of the step for the masks.
      learning_rate: float32 scalar.
      stop: float32 scalar, above 0 to ask all replicas to end after this step.

    Returns:
      float32 [len(names) + 1]: what `names` says, of the global batch, and the sum of `stop` over
      all replicas.
    """
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    weights = tf.reduce_sum(batch[MASKED_LM_WEIGHTS])
    if replicas > 1:
      weights = context.all_reduce(tf.distribute.ReduceOp.SUM, weights)
    # A batch without a single prediction has the loss 0, not NaN.
    denominators = tf.maximum(weights, 1.0), float(replicas * self._rows)
    first_row = tf.cast(context.replica_id_in_sync_group, tf.int64) * self._rows
    gradients, values = self._gradients(batch, denominators, dropout_state, first_row, replicas)
    values = tf.concat([values, [stop]], axis=0)
    if replicas > 1:
      gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
      values = context.all_reduce(tf.distribute.ReduceOp.SUM, values)
    norm = self._optimizer.apply(
        [gradient if reached else None
         for gradient, reached in zip(gradients, self._reached, strict=True)],
        learning_rate, step)
    return tf.concat([values[:-1], [norm], values[-1:]], axis=0)

  def _gradients(
      self, batch: Mapping[str, tf.Tensor], denominators: tuple[tf.Tensor, float],
      dropout_state: tf.Tensor, first_row: tf.Tensor, replicas: int,
  ) -> tuple[list[tf.Tensor], tf.Tensor]:
    """The replica's share of the gradients, dense, and of the values that add up."""
    count = self._accumulation_steps
    share = 1.0 / (replicas * count)
    if count == 1:
      return self._of_rows(batch, denominators, dropout_state, first_row, share)
    parts = {key: tf.reshape(value, [count, self._micro_rows, *value.shape.as_list()[1:]])
             for key, value in batch.items()}

    def body(
        index: tf.Tensor, sums: list[tf.Tensor], values: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor]:
      part = {key: tf.gather(value, index) for key, value in parts.items()}
      row = first_row + tf.cast(index, tf.int64) * self._micro_rows
      gradients, new = self._of_rows(part, denominators, dropout_state, row, share)
      return (index + 1, [a + b for a, b in zip(sums, gradients, strict=True)], values + new)

    _, sums, values = tf.while_loop(
        lambda index, *_: index < count, body,
        [tf.constant(0), [tf.zeros(v.shape) for v in self._variables],
         tf.zeros([len(self.names) - 1])],
        maximum_iterations=count, parallel_iterations=1)
    return sums, values

  def _of_rows(
      self, batch: Mapping[str, tf.Tensor], denominators: tuple[tf.Tensor, float],
      dropout_state: tf.Tensor, first_row: tf.Tensor, share: float,
  ) -> tuple[list[tf.Tensor], tf.Tensor]:
    with self._dropout.rows(dropout_state[0], dropout_state[1], first_row):
      with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(self._variables)
        outputs = self._pretrainer(batch, training=True)
        rows = row_values(self._pretrainer, outputs, batch)
        # The first two are the masked LM's, see `loss_names`.
        sums = [tf.reduce_sum(value) / denominators[0 if index < 2 else 1]
                for index, value in enumerate(rows)]
        loss = tf.add_n(sums[::2])
        if self._pretrainer.model.losses:  # Of a layer's own, as a mixture of experts has them.
          loss += tf.add_n(self._pretrainer.model.losses) * share
    gradients = tape.gradient(loss, self._variables)
    self._reached = [gradient is not None for gradient in gradients]
    self.without_gradient = tuple(
        v.name for v, reached in zip(self._variables, self._reached, strict=True) if not reached)
    dense = [tf.zeros(v.shape) if g is None else tf.convert_to_tensor(g)
             for v, g in zip(self._variables, gradients, strict=True)]
    return dense, tf.stack([loss, *sums])


def loss_names(pretrainer: Pretrainer) -> tuple[str, ...]:
  """Names of losses and accuracies, in turn: the masked LM's, then each head's."""
  heads = (f'{head.name}_{what}' for head in pretrainer.heads for what in ('loss', 'accuracy'))
  return (MASKED_LM_LOSS, MASKED_LM_ACCURACY, *heads)


def row_values(
    pretrainer: Pretrainer, outputs: Mapping[str, tf.Tensor], batch: Mapping[str, tf.Tensor]
) -> list[tf.Tensor]:
  """Loss and number of hits of each row, in the order of `loss_names`.

  Args:
    pretrainer: whose outputs they are.
    outputs: what it returned for the batch.
    batch: see `ReplicaStep.__call__`.

  Returns:
    float32 [rows] each. The masked LM's are sums over the row's predictions times their weights.
  """
  logits, weights = outputs[names.MLM_LOGITS], batch[MASKED_LM_WEIGHTS]
  loss, hit = _loss_and_hit(batch[MASKED_LM_IDS], logits)
  found = [tf.reduce_sum(loss * weights, axis=1), tf.reduce_sum(hit * weights, axis=1)]
  for head in pretrainer.heads:
    found += _loss_and_hit(batch[head.labels][:, 0], outputs[head.name])
  return found


def _loss_and_hit(labels: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Cross-entropy [nats] and 1.0 where the highest logit is the label's, in the labels' shape."""
  loss = tf_keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
  hit = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), labels)
  return loss, tf.cast(hit, tf.float32)
