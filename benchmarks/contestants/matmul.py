"""How fast does this machine multiply matrices, by TensorFlow?

The ceiling of any training: the best of several runs of each shape. The shapes are those of
MiniLM's layers for 2,048 tokens, and a large square one.
"""

from __future__ import annotations

import time
from typing import Any

import tensorflow as tf

from benchmarks.contestants import Given

# [rows, inner] x [inner, columns].
SHAPES = ((2048, 384, 384), (2048, 384, 1536), (2048, 1536, 384), (2048, 2048, 2048))
DTYPES = ('float32', 'bfloat16')
_SECONDS = 0.2  # Long enough that starting a call does not matter.
_REPEATS = 5


class Contestant:
  """Multiplies matrices, with all cores."""

  def __init__(self, given: Given, shapes: tuple[tuple[int, int, int], ...] = SHAPES):
    """Args: given: of no use here. shapes: (rows, inner, columns)."""
    del given
    self._shapes = shapes
    self._product = tf.function(tf.matmul, autograph=False)

  def measure(self) -> dict[str, dict[str, float]]:
    """Best GFLOP/s by dtype and shape ('2048x1536x384')."""
    return {dtype: {'x'.join(map(str, shape)): self._rate(shape, dtype) for shape in self._shapes}
            for dtype in DTYPES}

  def _rate(self, shape: tuple[int, int, int], dtype: str) -> float:
    rows, inner, columns = shape
    left = tf.cast(tf.random.stateless_normal([rows, inner], [0, 0]), dtype)
    right = tf.cast(tf.random.stateless_normal([inner, columns], [0, 1]), dtype)
    calls, best = 1, 0.0
    while (seconds := self._seconds(left, right, calls)) < _SECONDS:
      calls = max(2 * calls, int(calls * _SECONDS / seconds))
    for _ in range(_REPEATS):
      best = max(best, calls * 2.0 * rows * inner * columns / self._seconds(left, right, calls))
    return best / 1e9

  def _seconds(self, left: Any, right: Any, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
      product = self._product(left, right)
    product[0, 0].numpy()
    return time.perf_counter() - start
