"""The pretrainer: which variables are trained, which items hold them, what they start as."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from official.nlp.modeling import models

from nlp_export import poolers
from nlp_export.encoders import BuiltEncoder
from nlp_export.errors import RequestError
from nlp_export.pretraining import model
from tests.pretraining import training_lab as lab


@functools.cache  # Building takes seconds. Do not change what it returns.
def built(encoder='bert', init_seed=1):
  return model.build(lab.spec(encoder), lab.HEADS, init_seed=init_seed)


@pytest.fixture
def pretrainer():
  return built()


def test_it_is_tf_nlps_with_the_items_that_exports_know(pretrainer):
  assert isinstance(pretrainer.model, models.BertPretrainerV2)
  items = pretrainer.items()
  assert list(items) == [
      'encoder', 'masked_lm', 'next_sentence.pooler_dense', 'next_sentence.out_proj']
  assert items['next_sentence.pooler_dense'].kernel.shape == [16, 16]
  assert items['next_sentence.out_proj'].kernel.shape == [16, 2]


def test_the_items_hold_every_weight(pretrainer):
  held = {id(variable) for item in pretrainer.items().values() for variable in item.variables}
  assert {id(variable) for variable in pretrainer.model.variables} <= held
  # Control: TF-NLP's own items miss the projection, without which a training cannot go on.
  own = {id(v) for item in pretrainer.model.checkpoint_items.values() for v in item.variables}
  assert {id(variable) for variable in pretrainer.model.variables} - own


@pytest.mark.parametrize('encoder', ['bert', 'bert_v2', 'albert'])
def test_the_encoders_own_pooler_is_the_one_thing_without_gradient(encoder):
  made = built(encoder)
  batch = lab.SyntheticBatches(2).batch(0)
  with tf.GradientTape() as tape:
    outputs = made(batch, training=False)
    loss = tf.reduce_sum(outputs['mlm_logits']) + tf.reduce_sum(outputs['next_sentence'])
  everything = made.model.trainable_variables
  gradients = tape.gradient(loss, everything)
  unreached = [v.name for v, gradient in zip(everything, gradients) if gradient is None]
  assert sorted(unreached) == sorted(made.left_out)
  pooler = poolers.layer_of(made.encoder)
  assert made.left_out == tuple(v.name for v in pooler.trainable_variables) and len(unreached) == 2
  assert len(made.trained) == len(everything) - 2


def values(pretrainer):
  return [variable.numpy() for variable in pretrainer.model.variables]


@pytest.mark.parametrize('encoder', ['bert', 'albert'])
def test_initial_weights_are_a_function_of_the_seed(encoder):
  first = values(built(encoder))
  tf.random.set_seed(2)
  tf_keras.layers.Dense(3).build([1, 3])  # Draws from Keras' global state.
  again = model.build(lab.spec(encoder), lab.HEADS, init_seed=1)
  for a, b in zip(first, values(again), strict=True):
    np.testing.assert_array_equal(a, b)


def test_another_seed_gives_other_initial_weights():
  first, other = values(built()), values(built(init_seed=2))
  differ = [(a != b).any() for a, b in zip(first, other, strict=True)]
  assert differ.count(True) == sum(1 for v in first if v.std() > 0)  # Not zeros and ones.


def test_initial_weights_have_tf_nlps_distribution_and_differ_between_layers(pretrainer):
  kernels = [v for v in pretrainer.model.trainable_variables if v.shape.rank > 1]
  for kernel in kernels:
    values = kernel.numpy()
    assert np.abs(values).max() <= 0.04 + 1e-6  # Cut at two standard deviations of 0.02.
    if values.size > 200:
      assert values.std() == pytest.approx(0.0176, abs=0.003)
  equal = [k for k in kernels if k.shape == kernels[-2].shape]
  assert len({k.numpy().tobytes() for k in equal}) == len(equal)


def test_bfloat16_changes_the_computation_and_not_the_variables(pretrainer):
  half = model.build(lab.spec(), lab.HEADS, init_seed=1, precision='mixed_bfloat16')
  assert tf_keras.mixed_precision.global_policy().name == 'float32'  # Set back.
  ours, theirs = half.model.variables, pretrainer.model.variables
  assert {v.dtype for v in ours} == {tf.float32}
  assert [v.name.split('/')[1:] for v in ours] == [v.name.split('/')[1:] for v in theirs]
  for a, b in zip(ours, theirs):
    np.testing.assert_array_equal(a.numpy(), b.numpy())
  batch = lab.SyntheticBatches(2).batch(0)
  a, b = half(batch, training=False), pretrainer(batch, training=False)
  assert a['mlm_logits'].dtype == tf.float32
  np.testing.assert_allclose(a['mlm_logits'], b['mlm_logits'], atol=0.05)
  assert np.abs(a['mlm_logits'] - b['mlm_logits']).max() > 1e-5


def test_a_network_without_a_table_of_embeddings_is_refused():
  class Network(tf_keras.layers.Layer):
    hidden_size = 4

  with pytest.raises(RequestError, match="as TF-NLP's encoders have it$"):
    model.build(BuiltEncoder(Network(), 'my_lab'))
