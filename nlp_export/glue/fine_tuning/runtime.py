"""Under which settings of TensorFlow does the same training give the same bits?

On 2 cores, with one inter-op thread 12 of 12 trainings agreed to the last bit; with two, 8 of 9
differed, also under enable_op_determinism (TensorFlow 2.20, MiniLM). What that costs is in
benchmarks/README.md.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import tensorflow as tf

from nlp_export.glue.fine_tuning.recipe import FLOAT32, MIXED_BFLOAT16
from nlp_export.running import threads

NO_BFLOAT16 = 'mixed_bfloat16 had no effect: this processor computes in float32'

# Grappler's rewriting of a finished graph: a Keras policy has no effect on a loaded one.
_BFLOAT16 = 'auto_mixed_precision_onednn_bfloat16'


def make_deterministic() -> None:
  """One inter-op thread, if TensorFlow has not begun in this process. See `notes`."""
  threads.set_inter_op(1)


def notes(precision_name: str = FLOAT32) -> tuple[str, ...]:
  """What stands in the way of equal bits or of the precision, for the reader of results."""
  found = list(threads.notes())
  if precision_name == MIXED_BFLOAT16 and not has_bfloat16():
    found.append(NO_BFLOAT16)
  return tuple(found)


@functools.cache
def has_bfloat16() -> bool:
  """Whether 'mixed_bfloat16' changes anything here: TensorFlow rewrites for some CPUs only."""
  @tf.function(input_signature=[tf.TensorSpec([None, 8])] * 2, autograph=False)
  def product(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    return tf.matmul(a, b)

  with precision(MIXED_BFLOAT16):  # bfloat16 has 8 bits: 1.001 is 1 there.
    found = product(tf.fill([8, 8], 1.001), tf.ones([8, 8]))
  return bool(abs(float(found[0, 0]) - 8.008) > 1e-3)


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
  """Functions that run inside for the first time compute in 'float32' or 'mixed_bfloat16'."""
  before = tf.config.optimizer.get_experimental_options().get(_BFLOAT16, False)
  tf.config.optimizer.set_experimental_options({_BFLOAT16: name == MIXED_BFLOAT16})
  try:
    yield
  finally:
    tf.config.optimizer.set_experimental_options({_BFLOAT16: before})
