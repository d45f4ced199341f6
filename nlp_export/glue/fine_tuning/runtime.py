"""Under which settings of TensorFlow does the same training give the same bits?

On 2 cores, with one inter-op thread 12 of 12 trainings agreed to the last bit; with two, 8 of 9
differed, also under enable_op_determinism (TensorFlow 2.20, MiniLM). What that costs is in
benchmarks/README.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from nlp_export.glue.fine_tuning.recipe import MIXED_BFLOAT16

NOT_DETERMINISTIC = 'not reproducible to the last digit: several inter-op threads'

# Grappler's rewriting of a finished graph: a Keras policy has no effect on a loaded one.
_BFLOAT16 = 'auto_mixed_precision_onednn_bfloat16'


def make_deterministic() -> None:
  """One inter-op thread, if TensorFlow has not begun in this process. See `notes`."""
  with contextlib.suppress(RuntimeError):  # It has.
    tf.config.threading.set_inter_op_parallelism_threads(1)


def notes() -> tuple[str, ...]:
  """What stands in the way of equal bits, for the reader of results."""
  return () if tf.config.threading.get_inter_op_parallelism_threads() == 1 else (
      NOT_DETERMINISTIC,)


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
  """Functions that run inside for the first time compute in 'float32' or 'mixed_bfloat16'."""
  before = tf.config.optimizer.get_experimental_options().get(_BFLOAT16, False)
  tf.config.optimizer.set_experimental_options({_BFLOAT16: name == MIXED_BFLOAT16})
  try:
    yield
  finally:
    tf.config.optimizer.set_experimental_options({_BFLOAT16: before})
