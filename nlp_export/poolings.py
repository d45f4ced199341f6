"""How do the vectors of a text's tokens become one vector?

`pooled` and `cls` are the encoder's own answers; `mean`, `max` and `mean_sqrt_len` are taken over
the real tokens ([CLS] and [SEP] among them), never over padding. Several names are concatenated in
the order given. This module imports TensorFlow only where it computes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nlp_export import names
from nlp_export.errors import RequestError
from nlp_export.spelling import MACROS, Spelling

if TYPE_CHECKING:
  import tensorflow as tf

POOLED, CLS, MEAN, MAX, MEAN_SQRT_LEN = 'pooled', 'cls', 'mean', 'max', 'mean_sqrt_len'
POOLINGS = (POOLED, CLS, MEAN, MAX, MEAN_SQRT_LEN)
# Those that need one vector for each token.
OVER_TOKENS = (MEAN, MAX, MEAN_SQRT_LEN)

_DESCRIPTIONS = {
    POOLED: 'pooled_output of the encoder',
    CLS: 'the vector of [CLS] in sequence_output',
    MEAN: 'the mean of the vectors of real tokens',
    MAX: 'for each dimension the largest value at real tokens',
    MEAN_SQRT_LEN: 'the sum of the vectors of real tokens, divided by the square root of their '
                   'number',
}


def parts(pooling: str | Sequence[str]) -> tuple[str, ...]:
  """The names in a POOLING, in the order of concatenation: one name is a tuple of one."""
  return (pooling,) if isinstance(pooling, str) else tuple(pooling)


def check(pooling: Any, spelling: Spelling = MACROS) -> None:
  """Refuses what is no pooling.

  Args:
    pooling: one of POOLINGS, or a sequence of them.
    spelling: of the message.

  Raises:
    RequestError: it is something else, empty, or names one twice.
  """
  try:
    found = parts(pooling)
  except TypeError:
    found = ()
  unknown = [name for name in found if name not in POOLINGS]
  if found and not unknown and len(set(found)) == len(found):
    return
  if unknown:
    why = f'{unknown[0]!r} is no pooling'
  elif found:
    why = 'one name stands there twice, which would give the same numbers twice'
  else:
    why = 'that is neither a name nor a tuple of names'
  raise RequestError(
      f'{spelling.name("pooling")} is {pooling!r}: {why}. The poolings are '
      f'{", ".join(POOLINGS)}: write {spelling.line("pooling", MEAN)}, or several to be '
      f'concatenated: {spelling.line("pooling", (CLS, MEAN))}')


def dim(pooling: str | Sequence[str], width: int) -> int:
  """Length of a text's vector.

  Args:
    pooling: one of POOLINGS, or several.
    width: of the encoder's vectors.
  """
  return len(parts(pooling)) * width


def description(pooling: str | Sequence[str]) -> str:
  """What the vector is, in words, for a model card; without a full stop."""
  return ', then '.join(_DESCRIPTIONS[name] for name in parts(pooling))


def pool(
    pooling: str | Sequence[str], outputs: Mapping[str, Any], input_mask: tf.Tensor
) -> tf.Tensor:
  """One vector for each row.

  Args:
    pooling: one of POOLINGS, or several, whose vectors are concatenated.
    outputs: of an encoder: `sequence_output` float [batch, seq_length, width], `pooled_output`
      [batch, width] for 'pooled'.
    input_mask: int32 [batch, seq_length], 1 for tokens, 0 for padding, wherever it is.

  Returns:
    [batch, dim(pooling, width)], of the dtype of `outputs`. A row without any token is 0 in the
    poolings over tokens.

  Raises:
    RequestError: `pooling` is none, or asks for an output that the encoder does not have.

  Source: Reimers and Gurevych 2019 (arXiv 1908.10084): CLS, MEAN and MAX pooling; mean_sqrt_len
    is the combiner 'sqrtn' of TensorFlow's embedding lookups.
  """
  import tensorflow as tf

  check(pooling)
  vectors = [_pool_one(name, outputs, input_mask) for name in parts(pooling)]
  return vectors[0] if len(vectors) == 1 else tf.concat(vectors, axis=-1)


def mean_of_tokens(sequence_output: tf.Tensor, input_mask: tf.Tensor) -> tf.Tensor:
  """The mean of the vectors of real tokens: `pool('mean', ...)` of a sequence output.

  Args:
    sequence_output: float [batch, seq_length, width].
    input_mask: int32 [batch, seq_length], 1 for tokens, 0 for padding.

  Returns:
    [batch, width].
  """
  return _pool_one(MEAN, {names.SEQUENCE_OUTPUT: sequence_output}, input_mask)


def _pool_one(pooling: str, outputs: Mapping[str, Any], input_mask: tf.Tensor) -> tf.Tensor:
  import tensorflow as tf

  wanted = names.POOLED_OUTPUT if pooling == POOLED else names.SEQUENCE_OUTPUT
  if wanted not in outputs:
    raise RequestError(
        f'POOLING {pooling!r} needs the output {wanted}, but the encoder returns '
        f'{", ".join(sorted(outputs))}. Use an encoder with a pooler, or write --set POOLING=cls, '
        'which is the vector that its pooler would have been given')
  vectors = tf.convert_to_tensor(outputs[wanted])
  if pooling == POOLED:
    return vectors
  if pooling == CLS:
    return vectors[:, 0, :]
  real = tf.convert_to_tensor(input_mask)[:, :, tf.newaxis] > 0
  # By selection, not by a product: what stands at padding does not count, be it NaN.
  if pooling == MAX:
    least = tf.constant(vectors.dtype.min, vectors.dtype)
    largest = tf.reduce_max(tf.where(real, vectors, least), axis=1)
    return tf.where(tf.reduce_any(real, axis=1), largest, tf.zeros_like(largest))
  total = tf.reduce_sum(tf.where(real, vectors, tf.zeros_like(vectors)), axis=1)
  tokens = tf.reduce_sum(tf.cast(real, vectors.dtype), axis=1)
  return tf.math.divide_no_nan(total, tf.sqrt(tokens) if pooling == MEAN_SQRT_LEN else tokens)
