"""How good is the pretrainer on batches that it was not trained on? Row by row, without dropout."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from nlp_export import names
from nlp_export.pretraining.data.recipe import MASKED_LM_IDS, MASKED_LM_WEIGHTS
from nlp_export.pretraining.model import Pretrainer
from nlp_export.pretraining.step import (
    LOSS,
    MASKED_LM_ACCURACY,
    MASKED_LM_LOSS,
    loss_names,
    row_values,
)

MASKED_LM_PREDICTIONS = 'masked_lm_predictions'


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
  """Losses and accuracies.

  Attributes:
    metrics: 'loss' (their sum), 'masked_lm_loss' [nats for each prediction], 'masked_lm_accuracy',
      and '<head>_loss' and '<head>_accuracy' for each head.
    rows: float64 [rows] each: 'masked_lm_loss' and 'masked_lm_accuracy' are sums over the row's
      'masked_lm_predictions' predictions, a head's are the row's own. For intervals.
  """

  metrics: dict[str, float]
  rows: dict[str, np.ndarray]


class Evaluator:
  """The evaluation of a pretrainer on the devices of a strategy: traced once for a shape."""

  def __init__(self, pretrainer: Pretrainer, strategy: tf.distribute.Strategy):
    """Binds model and devices."""
    self._pretrainer = pretrainer
    self._strategy = strategy
    self._replicas = strategy.num_replicas_in_sync
    self._names = (*loss_names(pretrainer), MASKED_LM_PREDICTIONS)
    self._keys = (*names.MLM_INPUTS, MASKED_LM_IDS, MASKED_LM_WEIGHTS,
                  *(head.labels for head in pretrainer.heads))

    @tf.function(autograph=False)
    def evaluate(parts: Any) -> Any:
      return strategy.run(self._rows_of, args=(parts,))

    self._evaluate = evaluate

  def __call__(self, batches: Iterable[Mapping[str, np.ndarray]]) -> Evaluation:
    """Evaluates batches of one shape; see `ReplicaStep` for their keys.

    Raises:
      ValueError: there are none.
    """
    found = np.concatenate([self._batch(batch) for batch in batches]).astype(np.float64)
    rows = dict(zip(self._names, found.T, strict=True))
    predictions = max(rows[MASKED_LM_PREDICTIONS].sum(), 1.0)
    metrics = {}
    for name in loss_names(self._pretrainer):
      of_masked_lm = name in (MASKED_LM_LOSS, MASKED_LM_ACCURACY)
      metrics[name] = float(rows[name].sum() / (predictions if of_masked_lm else len(found)))
    total = sum(value for name, value in metrics.items() if name.endswith('_loss'))
    return Evaluation({LOSS: total, **metrics}, rows)

  def _batch(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
    """float32 [rows, len(names)]."""
    arrays = {key: np.asarray(batch[key]) for key in self._keys}
    count = len(arrays[names.INPUT_WORD_IDS])
    each = -(-count // self._replicas)
    padding = each * self._replicas - count  # Rows that are computed and thrown away.
    arrays = {key: np.concatenate([value, np.repeat(value[:1], padding, axis=0)])
              for key, value in arrays.items()}

    def part(context: tf.distribute.ValueContext) -> dict[str, tf.Tensor]:
      first = context.replica_id_in_sync_group * each
      return {key: tf.constant(value[first:first + each]) for key, value in arrays.items()}

    parts = self._strategy.experimental_distribute_values_from_function(part)
    rows = self._strategy.gather(self._evaluate(parts), axis=0)
    return rows.numpy()[:count]

  def _rows_of(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
    outputs = self._pretrainer(batch, training=False)
    found = row_values(self._pretrainer, outputs, batch)
    return tf.stack([*found, tf.reduce_sum(batch[MASKED_LM_WEIGHTS], axis=1)], axis=1)
