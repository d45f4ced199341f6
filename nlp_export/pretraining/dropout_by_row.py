"""Where do dropout masks of a pre-training come from, that is the same on any hardware?

The mask of a layer in a step is one array over the GLOBAL batch, a function of (seed, step, layer),
and every replica or micro-batch draws the rows of it that are its own. Philox makes that cheap: it
turns a counter into bits, so that the bits of a row are had without those of the rows before.
Nothing is kept on a replica, and one device, eight, or accumulation give the same losses.

An export's dropout (`nlp_export.dropout`) is another one: its masks follow the calls and the text,
since nobody tells an exported encoder which rows of which step it sees.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tf_keras

from nlp_export.dropout import LEVELS, draw_from, scaled
from nlp_export.errors import RequestError

# Elements of a mask that one value of the counter stands for: 128 bits.
_PER_COUNT = 8
# Steps are this far apart in the seed: no call has as many dropout layers.
_DRAWS_PER_STEP = 1 << 20
_PHILOX = 1  # tf.random.Algorithm.PHILOX


class DropoutByRow:
  """Draws the masks of a network's Dropout layers."""

  def __init__(self, *, narrow_integers: bool = True):
    """Not installed anywhere yet.

    Args:
      narrow_integers: compare as uint16, which saves passes over memory. False for hardware without
        that type (the published list of Cloud TPU's operations does not name it): same masks.
    """
    self._narrow = narrow_integers
    self._place: tuple[tf.Tensor, tf.Tensor] | None = None
    self._first_row: tf.Tensor | int = 0
    self._draws = 0

  def install(self, network: Any) -> int:
    """Makes every Dropout layer of a tf_keras network draw from here.

    Args:
      network: a built tf_keras layer or model.

    Returns:
      The number of layers that now draw from here and have a rate above 0.

    Raises:
      RequestError: a layer draws random numbers in another way, which nothing could repeat.
    """
    for module in network.submodules:
      if (isinstance(module, tf_keras.__internal__.layers.BaseRandomLayer)
          and not isinstance(module, tf_keras.layers.Dropout)):
        raise RequestError(
            f'The layer {module.name} ({type(module).__name__}) draws random numbers from a state'
            ' of its own, so that a training could not be resumed exactly. Use'
            ' tf_keras.layers.Dropout')
    return draw_from(network, self)

  @contextlib.contextmanager
  def rows(
      self, seed: tf.Tensor, step: tf.Tensor, first_row: tf.Tensor | int
  ) -> Iterator[None]:
    """Masks drawn inside belong to rows from `first_row` on of the global batch of a step.

    Args:
      seed: int64 scalar.
      step: int64 scalar.
      first_row: integer scalar; the number of rows is that of the tensors.
    """
    self._place, self._first_row, self._draws = (seed, step * _DRAWS_PER_STEP), first_row, 0
    try:
      yield
    finally:
      self._place = None

  def dropout(self, inputs: tf.Tensor, rate: float, noise_shape: Any = None) -> tf.Tensor:
    """Zeroes elements with probability `rate`, scales the others; called by Keras' Dropout.

    Args:
      inputs: floating point tensor of static shape [rows, ...].
      rate: share of elements to zero, 0 <= rate < 1.
      noise_shape: not supported.

    Returns:
      A tensor like `inputs`.

    Raises:
      RuntimeError: outside of `rows`, a shape that is not static, or a noise shape.
    """
    if self._place is None:
      raise RuntimeError(
          'A dropout mask was asked for outside of DropoutByRow.rows; call the network through '
          '`with dropout.rows(seed, step, first_row):`.')
    if noise_shape is not None or not inputs.shape.is_fully_defined():
      raise RuntimeError(
          f'Masks by row need a static shape with the batch first, not {inputs.shape} (noise shape '
          f'{noise_shape}). Batch with drop_remainder=True, from an infinite dataset.')
    draw, self._draws = self._draws, self._draws + 1
    dropped_levels = round(rate * LEVELS)
    if not dropped_levels:
      return inputs
    kept = self._kept(inputs.shape.as_list(), *self._place, draw, dropped_levels)
    kept = tf.cast(kept, inputs.dtype)
    return scaled(inputs, kept, dropped_levels)

  def _kept(
      self, shape: list[int], seed: tf.Tensor, place: tf.Tensor, draw: int, dropped_levels: int
  ) -> tf.Tensor:
    """bool of `shape`: what is not dropped."""
    rows, inner = shape[0], math.prod(shape[1:])
    padded = -(-inner // _PER_COUNT) * _PER_COUNT  # Each row begins with a count of its own.
    key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=tf.stack([seed, place + draw]))
    offset = tf.cast(self._first_row, tf.int64) * (padded // _PER_COUNT)
    bits = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[rows * padded // 2], key=key,
        counter=counter + tf.cast(tf.stack([offset, tf.zeros_like(offset)]), tf.uint64),
        alg=_PHILOX, dtype=tf.uint32)
    if self._narrow:
      kept = tf.bitcast(bits, tf.uint16) >= tf.constant(dropped_levels, tf.uint16)
    else:  # The same halves, the low one first.
      levels = tf.constant(dropped_levels, tf.uint32)
      low = tf.bitwise.bitwise_and(bits, tf.constant(LEVELS - 1, tf.uint32))
      high = tf.bitwise.right_shift(bits, tf.constant(16, tf.uint32))
      kept = tf.stack([low >= levels, high >= levels], axis=-1)
    if padded == inner:
      return tf.reshape(kept, shape)
    return tf.reshape(tf.reshape(kept, [rows, padded])[:, :inner], shape)
