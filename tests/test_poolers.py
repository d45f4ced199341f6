"""Poolers: what each strategy gives, where each refuses, and what a user's own may return."""

from __future__ import annotations

import numpy as np
import pytest

from nlp_export import poolers
from nlp_export.errors import RequestError

WIDTH = 8


class StoredHead:
  """A checkpoint with one head, `sop`."""

  name = 'ckpt-7'
  kernel = np.arange(WIDTH * WIDTH, dtype=np.float32).reshape(WIDTH, WIDTH)
  bias = np.ones(WIDTH, np.float32)

  def dense(self, item: str) -> tuple[np.ndarray, np.ndarray]:
    if item != 'sop.pooler_dense':
      raise RequestError(f'no item {item}')
    return self.kernel, self.bias


def source(encoder_pooler=None, item_names=None) -> poolers.PoolerSource:
  return poolers.PoolerSource(StoredHead(), encoder_pooler, item_names)


@pytest.mark.conformance(101)
def test_identity_is_the_identity_matrix():
  weights = poolers.identity(WIDTH)
  x = np.random.default_rng(0).normal(size=(3, WIDTH)).astype(np.float32)
  np.testing.assert_array_equal(x @ weights.kernel + weights.bias, x)
  assert weights.kernel.dtype == weights.bias.dtype == np.float32
  assert not np.allclose(x @ poolers.random(WIDTH).kernel, x)  # control


@pytest.mark.conformance(101)
def test_random_gives_the_same_bytes_for_the_same_seed_only():
  first, again = poolers.random(WIDTH, seed=3), poolers.random(WIDTH, seed=3)
  assert first.kernel.tobytes() == again.kernel.tobytes()
  assert first.kernel.tobytes() != poolers.random(WIDTH, seed=4).kernel.tobytes()


def test_random_is_a_truncated_normal_of_the_given_deviation():
  kernel = poolers.random(300, stddev=0.02).kernel
  assert np.abs(kernel).max() <= 0.04
  # A normal distribution cut at two standard deviations has 0.8796 of its deviation left.
  assert kernel.std() == pytest.approx(0.8796 * 0.02, rel=0.02)
  assert not poolers.random(300).bias.any()


def test_random_refuses_a_deviation_that_is_not_positive():
  with pytest.raises(RequestError, match=r'to a positive number such as 0\.02\.$'):
    poolers.random(WIDTH, stddev=0)


def test_arguments_are_checked_where_no_checkpoint_is_needed():
  poolers.check_arguments({'identity': poolers.identity, 'keep': poolers.keep,
                           'random': poolers.random, 'none': poolers.none}, WIDTH)  # Control.
  with pytest.raises(RequestError, match=r'to a positive number such as 0\.02\.$'):
    poolers.check_arguments({'wide': lambda width: poolers.random(width, stddev=-1)}, WIDTH)


def test_copy_nsp_takes_the_dense_of_the_named_head():
  weights = poolers.copy_nsp(source(), head='sop')
  np.testing.assert_array_equal(weights.kernel, StoredHead.kernel)
  renamed = poolers.copy_nsp(source(item_names={'next_sentence': 'sop'}))
  np.testing.assert_array_equal(renamed.kernel, StoredHead.kernel)
  with pytest.raises(RequestError, match='next_sentence.pooler_dense'):
    poolers.copy_nsp(source())


def test_keep_returns_the_encoders_own_pooler_or_refuses():
  kernel, bias = np.eye(WIDTH, dtype=np.float32) * 2, np.zeros(WIDTH, np.float32)
  np.testing.assert_array_equal(poolers.keep(source((kernel, bias))).kernel, kernel)
  with pytest.raises(RequestError, match=r'@poolers\.identity or @poolers\.none\.$'):
    poolers.keep(source())


def test_initialise_passes_what_the_pooler_asks_for():
  def own(width, scale=2.0):
    return poolers.PoolerWeights(np.eye(width) * scale, np.zeros(width))

  weights = poolers.initialise(own, 'own', WIDTH, source())
  assert weights is not None and weights.kernel.dtype == np.float32
  assert weights.kernel[0, 0] == 2.0
  assert weights.origin == 'The pooler was made by own.'
  assert poolers.initialise(poolers.none, 'none', WIDTH, source()) is None
  both = poolers.initialise(
      lambda checkpoint, width: poolers.identity(width), 'both', WIDTH, source())
  assert both is not None


@pytest.mark.parametrize('returned, message', [
    (np.eye(WIDTH), r'or None for no pooler\.$'),
    (poolers.PoolerWeights(np.eye(3), np.zeros(3)), r'Return kernel \[8, 8\] and bias \[8\]\.$'),
    (poolers.PoolerWeights(np.full((WIDTH, WIDTH), np.nan), np.zeros(WIDTH)),
     r'Return finite ones\.$'),
])
def test_initialise_refuses_what_is_not_a_pooler(returned, message):
  with pytest.raises(RequestError, match=message):
    poolers.initialise(lambda width: returned, 'own', WIDTH, source())
