"""How fast does this machine multiply matrices at best, of which training reaches a share?"""

from __future__ import annotations

import time

import tensorflow as tf

from nlp_export.pretraining.recipe import FLOAT32


def flops_per_second(
    precision: str = FLOAT32, *, size: int = 1024, seconds: float = 0.5, device: str | None = None
) -> float:
  """Measures products of two square matrices, one after the other, and takes the fastest.

  With the threads that TensorFlow has in this process, on one device.

  Args:
    precision: 'float32' or 'mixed_bfloat16': of the matrices.
    size: their width.
    seconds: how long to measure, after one product that is not counted.
    device: 'GPU:0', say; None for TensorFlow's choice.

  Returns:
    Floating point operations in a second.
  """
  dtype = tf.float32 if precision == FLOAT32 else tf.bfloat16
  with tf.device(device):
    a = tf.cast(tf.random.stateless_uniform([size, size], [1, 2]), dtype)
    b = tf.cast(tf.random.stateless_uniform([size, size], [3, 4]), dtype)

    @tf.function(autograph=False)
    def product(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
      # One number, so that a GPU has to finish and little is copied.
      return tf.cast(tf.matmul(x, y)[0, 0], tf.float32)

    float(product(a, b))
    best, end = float('inf'), time.perf_counter() + seconds
    while time.perf_counter() < end:
      start = time.perf_counter()
      float(product(a, b))
      best = min(best, time.perf_counter() - start)
  if best == float('inf'):
    raise ValueError(f'no time to measure in {seconds} s')
  return 2.0 * size**3 / best
