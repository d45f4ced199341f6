"""Poolings: from the vectors of tokens to one, whatever the mask is."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from nlp_export import poolings
from nlp_export.errors import RequestError

# Padding at the end, in front, between; no padding; no token at all.
MASK = np.array([[1, 1, 0, 0], [0, 1, 1, 1], [1, 0, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]], np.int32)
WIDTH = 3


def outputs(**changes: np.ndarray) -> dict[str, np.ndarray]:
  rng = np.random.default_rng(0)
  # Below 0 everywhere, so that a maximum with zeros at padding would be seen.
  sequence = -1 - rng.random((*MASK.shape, WIDTH), np.float32)
  return {'sequence_output': sequence, 'pooled_output': sequence[:, 0] * 10, **changes}


def by_hand(pooling: str, sequence: np.ndarray) -> np.ndarray:
  rows = []
  for vectors, mask in zip(sequence, MASK, strict=True):
    real = [v for v, m in zip(vectors, mask, strict=True) if m] or [np.zeros(WIDTH, np.float32)]
    rows.append({'cls': vectors[0], 'mean': np.mean(real, 0), 'max': np.max(real, 0),
                 'mean_sqrt_len': np.sum(real, 0) / np.sqrt(len(real)),
                 'pooled': vectors[0] * 10}[pooling])
  return np.stack(rows)


@pytest.mark.parametrize('pooling', poolings.POOLINGS)
def test_each_pooling_is_its_definition_at_any_mask(pooling):
  given = outputs()
  found = poolings.pool(pooling, given, tf.constant(MASK))
  np.testing.assert_allclose(found, by_hand(pooling, given['sequence_output']), rtol=1e-6)
  assert found.shape == (5, poolings.dim(pooling, WIDTH))


@pytest.mark.parametrize('pooling', poolings.OVER_TOKENS)
def test_what_stands_at_padding_does_not_count(pooling):
  given = outputs()
  for value in (np.nan, np.inf, 1e30, 0.0):
    spoilt = np.where(MASK[..., None] > 0, given['sequence_output'], np.float32(value))
    np.testing.assert_array_equal(
        poolings.pool(pooling, {'sequence_output': spoilt}, MASK),
        poolings.pool(pooling, given, MASK))
  other = given['sequence_output'] + (MASK[..., None] > 0)  # Control: what is real counts.
  assert np.abs(poolings.pool(pooling, {'sequence_output': other}, MASK)
                - poolings.pool(pooling, given, MASK))[:4].min() > 0.4


def test_gradients_are_finite_and_reach_real_tokens_alone():
  sequence = tf.constant(outputs()['sequence_output'])
  for pooling in poolings.OVER_TOKENS:
    with tf.GradientTape() as tape:
      tape.watch(sequence)
      loss = tf.reduce_sum(poolings.pool(pooling, {'sequence_output': sequence}, MASK))
    gradient = tape.gradient(loss, sequence).numpy()
    assert np.isfinite(gradient).all()
    assert not gradient[MASK == 0].any()
    assert gradient[:4].any(axis=(1, 2)).all()


def test_several_are_concatenated_in_their_order():
  given = outputs()
  both = poolings.pool(('max', 'cls'), given, MASK)
  np.testing.assert_array_equal(both[:, :WIDTH], poolings.pool('max', given, MASK))
  np.testing.assert_array_equal(both[:, WIDTH:], poolings.pool('cls', given, MASK))
  assert both.shape[1] == poolings.dim(('max', 'cls'), WIDTH) == 6
  assert poolings.description(('max', 'cls')).endswith(
      'real tokens, then the vector of [CLS] in sequence_output')


@pytest.mark.parametrize('dtype', [tf.bfloat16, tf.float16, tf.float64])
def test_dtypes_are_kept(dtype):
  given = {name: tf.cast(value, dtype) for name, value in outputs().items()}
  for pooling in poolings.POOLINGS:
    found = poolings.pool(pooling, given, MASK)
    assert found.dtype == dtype
    expected = by_hand(pooling, given['sequence_output'].numpy().astype(np.float32))
    np.testing.assert_allclose(tf.cast(found, tf.float32), expected, rtol=0.02)


def test_the_mean_alone():
  given = outputs()
  np.testing.assert_array_equal(
      poolings.mean_of_tokens(given['sequence_output'], MASK), poolings.pool('mean', given, MASK))


@pytest.mark.parametrize(('pooling', 'why'), [
    ('average', "'average' is no pooling"), (('cls', 'avg'), "'avg' is no pooling"),
    ((), 'that is neither a name nor a tuple of names'),
    (None, 'that is neither a name nor a tuple of names'), (('cls', 'cls'), 'stands there twice'),
    (3, 'that is neither a name nor a tuple of names')])
def test_what_is_no_pooling_is_refused(pooling, why):
  with pytest.raises(RequestError) as caught:
    poolings.check(pooling)
  assert why in str(caught.value)
  assert str(caught.value).endswith(
      'write --set POOLING=mean, or several to be concatenated: '
      '--set POOLING="(\'cls\', \'mean\')"')
  for good in ('cls', ('cls',), ['max', 'mean']):  # Control.
    poolings.check(good)


def test_an_encoder_without_a_pooler():
  given = {'sequence_output': outputs()['sequence_output']}
  poolings.pool('cls', given, MASK)  # Control.
  with pytest.raises(RequestError) as caught:
    poolings.pool(('mean', 'pooled'), given, MASK)
  assert 'needs the output pooled_output, but the encoder returns sequence_output' in str(
      caught.value)
  assert str(caught.value).endswith(
      'write --set POOLING=cls, which is the vector that its pooler would have been given')
