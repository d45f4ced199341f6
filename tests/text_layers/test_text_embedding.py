"""A text layer over a text_embedding: it tokenises and pools by itself."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from nlp_export.errors import RequestError

TEXTS = tf.constant(['the cat sat on the mat', 'hello'])


@pytest.fixture
def make(tf_keras_alone, uncased_exports):
  """A function for a layer over the text_embedding."""

  def layer(*preprocessing, **settings):
    return tf_keras_alone.layer(uncased_exports['text_embedding'], *preprocessing, **settings)

  return layer


def test_it_needs_no_preprocessing(make, uncased_exports):
  layer = make()
  expected = tf.saved_model.load(uncased_exports['text_embedding'])(TEXTS)
  np.testing.assert_allclose(layer(TEXTS), expected, atol=1e-6)
  tokens = make(inputs='encoder_inputs')
  inputs = tokens.preprocess(TEXTS)
  assert inputs['input_mask'].shape == (2, 8)  # Not 128.
  np.testing.assert_allclose(tokens(inputs), expected, atol=1e-6)


def test_with_preprocessing_it_takes_pairs(make, uncased_exports):
  layer = make(uncased_exports['preprocessing'], separator='|||')
  pair, single = layer(tf.constant(['the cat ||| a dog', 'the cat']))
  np.testing.assert_allclose(single, make()(tf.constant(['the cat']))[0], atol=1e-6)
  assert np.abs(pair - single).max() > 1e-3  # Control.


@pytest.mark.parametrize('inputs', ['text', 'encoder_inputs'])
def test_alone_it_refuses_pairs(make, inputs):
  layer = make(inputs=inputs)
  with pytest.raises(RequestError) as error:  # Two tensors are not two texts.
    (layer.exported if inputs == 'text' else layer.preprocess)([TEXTS[:1], TEXTS[1:]])
  assert str(error.value).endswith('Give one, or preprocessing=...')


@pytest.mark.extra
def test_its_last_block_trains(make):
  layer = make(trainable_layers=1)
  pooler = [w for w in layer.trainable_weights if 'pooler' in w.name]
  assert len(layer.trainable_weights) - len(pooler) == 16
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(layer(TEXTS, training=True)[:, :3])
  assert all(gradient is not None for gradient in tape.gradient(loss, layer.trainable_weights))


@pytest.mark.parametrize('wrong, cure', [
    ({'pooling': 'mean'}, 'Leave pooling out, or give a model export and its preprocessing'),
    ({'separator': '|||'}, 'Leave it out, or give preprocessing=... as well'),
    ({'max_seq_length': 64}, 'Leave it out, or give preprocessing=... as well'),
])
def test_what_it_does_inside_cannot_be_set(make, wrong, cure):
  with pytest.raises(RequestError) as error:
    make(**wrong)
  assert str(error.value).endswith(cure)
