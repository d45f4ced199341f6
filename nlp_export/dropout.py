"""Where do dropout masks come from? From one state that can be read and set.

Keras' Dropout layers draw from stateful ops that no seed reaches once a model has been
saved. Here every Dropout layer of a network draws from one variable instead:

    dropout_state = (seed, number of training calls so far), int64 [2]

A training call uses the state and then adds one to its second number. The masks are a
function of the state, of the layer's place in the call and of `input_word_ids`, and of
nothing else. So the same state gives the same masks in a SavedModel and in the encoder
that was built in Python, with and without XLA; a training that puts the state into its
checkpoint resumes exactly; and the replicas of a `tf.distribute` strategy, which hold equal
states but different examples, draw different masks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tf_keras

from nlp_export import names

# Masks compare 16 random bits with the dropout rate: a third less time than drawing floats,
# and full-range integers are the same bits with and without XLA (floats are not: tried with
# TensorFlow 2.20, philox). The rate that is applied is rounded to 1/65536, and the scale of
# what is kept is the exact inverse of the rounded rate, so the expectation is unbiased.
LEVELS = 1 << 16
# Calls are this far apart in the stateless seed: no call has as many dropout layers.
_DRAWS_PER_CALL = 1 << 20


class DropoutState:
  """The state of a network's dropout, and the drawing of masks from it.

  Attributes:
    variable: int64 [2], not trainable: (seed, number of training calls so far).
  """

  def __init__(self, seed: int = 0):
    self.variable = tf.Variable(
        [seed, 0], dtype=tf.int64, trainable=False, name=names.DROPOUT_STATE
    )
    self._seed: tf.Tensor | None = None
    self._draws = 0

  def install(self, network: Any) -> int:
    """Makes every Dropout layer of a tf_keras network draw from this state.

    Args:
      network: a built tf_keras layer or model.

    Returns:
      The number of layers that now draw from here and have a rate above 0.
    """
    return draw_from(network, self)

  @contextlib.contextmanager
  def training_call(self, inputs: dict[str, tf.Tensor]) -> Iterator[None]:
    """Masks drawn inside belong to one training call, which advances the state by one.

    Args:
      inputs: the encoder's inputs; `input_word_ids` int32 [batch, seq_length] is read.
    """
    state = self.variable.read_value()
    self.variable.assign_add(tf.constant([0, 1], tf.int64))
    self._seed = tf.stack([
        state[0] + _checksum(inputs[names.INPUT_WORD_IDS]), state[1] * _DRAWS_PER_CALL])
    self._draws = 0
    try:
      yield
    finally:
      self._seed = None

  def dropout(self, inputs: tf.Tensor, rate: float, noise_shape: Any = None) -> tf.Tensor:
    """Zeroes elements with probability `rate`, scales the others; called by Keras' Dropout.

    Args:
      inputs: floating point tensor.
      rate: share of elements to zero, 0 <= rate < 1.
      noise_shape: shape of the mask where it is broadcast, else None.

    Returns:
      A tensor like `inputs`.

    Raises:
      RuntimeError: outside of `training_call`.
    """
    if self._seed is None:
      raise RuntimeError(
          'A dropout mask was asked for outside of DropoutState.training_call; '
          'call the network through `with state.training_call(inputs):`.')
    seed = self._seed + tf.constant([0, self._draws], tf.int64)
    self._draws += 1
    dropped_levels = round(rate * LEVELS)
    shape = tf.shape(inputs) if noise_shape is None else noise_shape
    kept = tf.cast(_random_levels(shape, seed) >= tf.constant(dropped_levels, tf.uint16),
                   inputs.dtype)
    if noise_shape is None:
      kept = tf.reshape(kept, tf.shape(inputs))
    return scaled(inputs, kept, dropped_levels)


def drops(network: Any) -> bool:
  """Whether a tf_keras network has a Dropout layer with a rate above 0.

  Some of TF-NLP's networks take a rate that none of their layers gets (fnet, bigbird): the
  configuration alone does not tell.
  """
  return any(m.rate for m in network.submodules if isinstance(m, tf_keras.layers.Dropout))


def draw_from(network: Any, source: Any) -> int:
  """Makes every Dropout layer of a tf_keras network draw its masks from an object.

  Args:
    network: a built tf_keras layer or model.
    source: has `dropout(inputs, rate, noise_shape)`.

  Returns:
    The number of layers that now draw from there and have a rate above 0.
  """
  layers = [m for m in network.submodules if isinstance(m, tf_keras.layers.Dropout)]
  for layer in layers:
    # The one hook that Keras offers: Dropout.call asks this object for its mask.
    layer._random_generator = source
  return sum(1 for layer in layers if layer.rate)


def scaled(inputs: tf.Tensor, kept: tf.Tensor, dropped_levels: int) -> tf.Tensor:
  """What a mask leaves of a tensor, with its expectation.

  Args:
    inputs: floating point tensor.
    kept: 1 or 0 for each element, of the same dtype.
    dropped_levels: of `LEVELS`, the share that the mask drops.
  """
  return inputs * (kept * (LEVELS / (LEVELS - dropped_levels)))


def _random_levels(shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
  """uint16 of `shape`, uniform over all values, two from each 32 random bits (Philox)."""
  size = tf.reduce_prod(shape)
  bits = tf.random.stateless_uniform(
      [(size + 1) // 2], seed=seed, minval=None, maxval=None, dtype=tf.uint32, alg='philox')
  return tf.reshape(tf.reshape(tf.bitcast(bits, tf.uint16), [-1])[:size], shape)


def _checksum(word_ids: tf.Tensor) -> tf.Tensor:
  """int64 scalar that differs between batches of different text."""
  positions = tf.range(1, tf.shape(word_ids)[1] + 1, dtype=tf.int32)
  return tf.reduce_sum(tf.cast(word_ids, tf.int64) * tf.cast(positions, tf.int64))
