"""Do all replicas hold the same weights, and all processes the same step?

Wrong numbers are all one would see otherwise: replicas only ever exchange gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from nlp_export.errors import CheckError


def check(strategy: tf.distribute.Strategy, step: int, variables: Sequence[tf.Variable]) -> None:
  """Compares the step and a checksum of the variables of every replica. After a restore.

  Args:
    strategy: every process calls this with its own.
    step: number of steps done.
    variables: float32, created in the strategy's scope.

  Raises:
    CheckError: they differ.
  """
  if strategy.num_replicas_in_sync == 1:
    return
  sums = gathered(strategy, variables, step)
  if (sums != sums[0]).any():
    others = sorted({int(row) for row in np.nonzero((sums != sums[0]).any(axis=1))[0]})
    raise CheckError(
        f'Replicas {", ".join(map(str, others))} do not hold what replica 0 holds (steps done'
        f' {sums[:, 0].tolist()}). Every worker has to read the same checkpoint: use one directory'
        ' that all of them see, and start the same command on every worker')


def gathered(
    strategy: tf.distribute.Strategy, variables: Sequence[tf.Variable], step: int
) -> np.ndarray:
  """int32 [replicas, 2]: step and checksum of each replica, see `check`."""

  @tf.function(autograph=False)
  def collect(number: tf.Tensor) -> Any:
    return strategy.run(_checksum, args=(variables, number))

  return strategy.gather(collect(tf.constant(step, tf.int32)), axis=0).numpy()


def _checksum(variables: Sequence[tf.Variable], step: tf.Tensor) -> tf.Tensor:
  """int32 [1, 2]. Sums of the bits as integers wrap around: no rounding, no order."""
  sums = [tf.reduce_sum(tf.bitcast(tf.raw_ops.ReadVariableOp(
      resource=variable.handle, dtype=tf.float32), tf.int32)) * (2 * index + 1)
          for index, variable in enumerate(variables)]
  return tf.stack([step, tf.add_n(sums)])[None]
