"""How many of TensorFlow's operations run at once in this process? One, for equal bits."""

from __future__ import annotations

import contextlib
import os

NOT_DETERMINISTIC = 'not reproducible to the last digit: several inter-op threads'


def set_inter_op(count: int) -> None:
  """Threads between operations, unless TensorFlow has begun in this process. See `notes`."""
  import tensorflow as tf

  with contextlib.suppress(RuntimeError):  # It has.
    tf.config.threading.set_inter_op_parallelism_threads(count)


def notes() -> tuple[str, ...]:
  """What of the threads stands in the way of equal bits, for the reader of results."""
  import tensorflow as tf

  # 0 leaves it to the environment.
  found = tf.config.threading.get_inter_op_parallelism_threads() or os.environ.get(
      'TF_NUM_INTEROP_THREADS', 0)
  return () if str(found) == '1' else (NOT_DETERMINISTIC,)
