"""AdamW and LAMB: twenty steps against TF-NLP's and Keras' own."""

from __future__ import annotations

import gin
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from official.modeling.optimization import lamb, legacy_adamw

from nlp_export.errors import RequestError
from nlp_export.pretraining import optimizers
from nlp_export.pretraining.optimizer_state import Optimizer

STEPS, DECAY, RATE = 20, 0.1, 0.01
NAMES = ('dense/kernel', 'dense/bias', 'layer_norm/gamma', 'layer_norm/beta', 'table/embeddings')
EXCLUDED = ['bias', 'LayerNorm', 'layer_norm']
SHAPES = ((6, 4), (4,), (4,), (4,), (9, 4))


def variables():
  rng = np.random.default_rng(0)
  return [tf.Variable(rng.normal(size=shape).astype(np.float32), name=name)
          for name, shape in zip(NAMES, SHAPES)]


def gradients():
  rng = np.random.default_rng(1)  # Norms on both sides of the clipping.
  return [[tf.constant(rng.normal(0, scale, shape).astype(np.float32)) for shape in SHAPES]
          for scale in np.linspace(0.02, 1.0, STEPS)]


def ours(spec, clip_norm=1.0, weight_decay=DECAY, step_offset=0):
  trained = variables()
  optimizer = Optimizer(spec, trained, weight_decay=weight_decay, clip_norm=clip_norm)
  apply = tf.function(optimizer.apply, autograph=False)
  for step, grads in enumerate(gradients()):
    apply(grads, tf.constant(RATE), tf.constant(step + step_offset, tf.int64))
  return [variable.numpy() for variable in trained]


def keras(optimizer, clip_norm=None):
  trained = variables()
  if isinstance(optimizer, tf_keras.optimizers.AdamW):
    optimizer.exclude_from_weight_decay(var_names=EXCLUDED)
  for grads in gradients():
    if clip_norm:
      grads, _ = tf.clip_by_global_norm(grads, clip_norm)
    optimizer.apply_gradients(zip(grads, trained))
  return [variable.numpy() for variable in trained]


def assert_near(found, expected):
  for a, b in zip(found, expected, strict=True):
    np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


def test_adamw_is_tf_nlps():
  expected = keras(legacy_adamw.AdamWeightDecay(
      RATE, epsilon=1e-6, weight_decay_rate=DECAY, exclude_from_weight_decay=EXCLUDED,
      gradient_clip_norm=1.0))
  assert_near(ours(optimizers.adamw()), expected)


def test_adamw_is_keras():
  expected = keras(tf_keras.optimizers.AdamW(RATE, weight_decay=DECAY, epsilon=1e-6), clip_norm=1.0)
  assert_near(ours(optimizers.adamw()), expected)


def test_lamb_is_tf_nlps():
  expected = keras(lamb.LAMB(
      RATE, weight_decay_rate=DECAY, exclude_from_weight_decay=EXCLUDED), clip_norm=1.0)
  assert_near(ours(optimizers.lamb()), expected)


@pytest.mark.parametrize('change', [
    {'spec': optimizers.adamw(not_decayed=())}, {'spec': optimizers.adamw(epsilon=1e-2)},
    {'spec': optimizers.adamw(beta_2=0.99)}, {'clip_norm': 0.0}, {'weight_decay': 0.0},
    {'step_offset': 1}, {'spec': optimizers.lamb()}])
def test_any_other_number_would_be_seen(change):  # Control of the three tests above.
  expected = ours(optimizers.adamw())
  with pytest.raises(AssertionError):
    assert_near(ours(**{'spec': optimizers.adamw(), **change}), expected)


def test_a_variable_without_gradient_is_left_alone_and_the_norm_is_that_before_clipping():
  trained = variables()
  before = trained[0].numpy()
  optimizer = Optimizer(optimizers.adamw(), trained, weight_decay=DECAY, clip_norm=1.0)
  grads = [None, *gradients()[-1][1:]]
  norm = optimizer.apply(grads, tf.constant(RATE), tf.constant(0))
  np.testing.assert_array_equal(trained[0].numpy(), before)
  assert norm.numpy() == pytest.approx(
      np.sqrt(sum((g.numpy() ** 2).sum() for g in grads[1:])), rel=1e-5)
  assert norm.numpy() > 1.0


@pytest.mark.parametrize('part', [optimizers.adamw, optimizers.lamb])
def test_numbers_that_make_no_sense_are_refused(part):
  with pytest.raises(RequestError, match='a positive number such as 1e-6$'):
    part(epsilon=0.0)
  with pytest.raises(RequestError, match='from 0 to below 1$'):
    part(beta_2=1.0)
  with pytest.raises(RequestError, match=r"not_decayed = \('bias',\)$"):
    part(not_decayed='bias')


def test_a_gin_file_sets_the_numbers():
  gin.parse_config('adamw.beta_2 = 0.98\noptimizers.lamb.epsilon = 1e-5')
  try:
    assert gin.get_configurable('optimizers.adamw')().beta_2 == 0.98
    assert gin.get_configurable('optimizers.lamb')().epsilon == 1e-5
  finally:
    gin.clear_config()
