"""The text embedding object over TF-NLP's network, after a save and a load."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras

from nlp_export import poolers, poolings, tokenizers
from nlp_export.dropout import DropoutState
from nlp_export.encoder_config import sequence_form
from nlp_export.saved_models import preprocessing, text_embedding, writing
from tests import tiny

TEXTS = ['the cat sat on the mat', '', 'a dog ' * 30, 'hello world']
LENGTH = 24


@pytest.fixture(scope='module')
def parts(tiny_vocab):
  return preprocessing.parts(tokenizers.wordpiece(tiny_vocab, True))


@pytest.fixture(scope='module')
def network():
  made = tiny.build_encoder()
  if not made.built:
    made(made.inputs)
  tiny.draw_weights(made)
  return made


def build(network, parts, **options):
  state = DropoutState(3)
  state.install(network)
  return text_embedding.TextEmbeddingSavedModel(
      network, state, parts, pooler=poolers.layer_of(network),
      **{'pooling': 'mean', 'normalize': False, 'max_seq_length': LENGTH, **options})


@pytest.fixture(scope='module')
def saved(network, parts, tmp_path_factory):
  """The path of a text embedding: the pooler's output and the mean, one behind the other."""
  path = str(tmp_path_factory.mktemp('text_embedding') / 'saved')
  writing.write(build(network, parts, pooling=('pooled', 'mean')), path)
  return path


@pytest.fixture(scope='module')
def loaded(saved):
  return tf.saved_model.load(saved)


def by_hand(network, loaded, texts, pooling):
  """Each text alone, through the network that Python built."""
  rows = []
  for tokens in loaded.tokenize(tf.constant(texts)).to_list():
    ids = tf.constant([[2, *tokens[:LENGTH - 2], 3]])
    inputs = {'input_word_ids': ids, 'input_mask': tf.ones_like(ids),
              'input_type_ids': tf.zeros_like(ids)}
    rows.append(poolings.pool(pooling, network(inputs), inputs['input_mask']))
  return np.concatenate(rows)


@pytest.mark.conformance(109, 111, 112, 120, 121)
def test_vectors_are_those_of_each_text_alone(network, loaded):
  found = loaded(TEXTS)
  assert found.dtype == tf.float32 and found.shape == (4, 2 * tiny.Size.hidden_size)
  np.testing.assert_allclose(
      found, by_hand(network, loaded, TEXTS, ('pooled', 'mean')), atol=1e-5)
  inputs = loaded.encoder_inputs(tf.constant(TEXTS))
  assert inputs['input_mask'].shape == (4, LENGTH)
  assert loaded.encoder_inputs(tf.constant(TEXTS[:2]))['input_mask'].shape == (2, 8)
  np.testing.assert_allclose(loaded.embed_tokens(inputs), found, atol=1e-6)


def test_no_op_pads_to_a_fixed_length(saved, loaded):
  # Control of the length above: the network itself sees no longer rows.
  seen = []

  @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
  def call(texts):
    seen.append(loaded.encoder_inputs(texts)['input_mask'].shape.as_list())
    return loaded(texts)

  assert call(tf.constant(['a'])).shape == (1, 32)
  assert seen == [[None, None]]


def test_the_pooler_is_left_out_where_it_is_not_used(network, parts, loaded):
  root = build(network, parts)
  pooler = {v.ref() for v in poolers.layer_of(network).variables}
  assert len(pooler) == 2
  assert not pooler & {v.ref() for v in root.variables}
  assert len(root.trainable_variables) == len(loaded.trainable_variables) - 2
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(root(TEXTS) ** 2)
  assert all(g is not None for g in tape.gradient(loss, root.trainable_variables))


def test_normalised_and_padded_rows(network, parts):
  root = build(network, parts, normalize=True, max_seq_length=12, pads=True,
               form=sequence_form.SequenceForm(fixed_length=12))
  np.testing.assert_allclose(np.linalg.norm(root(TEXTS), axis=1), 1, atol=1e-6)
  assert root.encoder_inputs(tf.constant(['a']))['input_mask'].shape == (1, 12)
  plain = build(network, parts, max_seq_length=12)(TEXTS)
  np.testing.assert_allclose(
      root(TEXTS), plain / np.linalg.norm(plain, axis=1, keepdims=True), atol=1e-5)


@pytest.mark.conformance(123)
def test_in_a_keras_2_model(saved):
  inputs = tf_keras.layers.Input(shape=(), dtype=tf.string)
  frozen = hub.KerasLayer(saved)
  model = tf_keras.Model(inputs, frozen(inputs))
  assert not frozen.trainable_weights
  before = model.predict(tf.constant(TEXTS), verbose=0)
  np.testing.assert_allclose(before, tf.saved_model.load(saved)(TEXTS), atol=1e-6)

  layer = hub.KerasLayer(saved, trainable=True)
  model = tf_keras.Sequential([
      tf_keras.layers.Input(shape=(), dtype=tf.string), layer, tf_keras.layers.Dense(1)])
  weights = [w.numpy() for w in layer.trainable_weights]
  assert len(weights) == 39
  model.compile(tf_keras.optimizers.Adam(0.01), 'mse')
  model.fit(tf.constant(TEXTS), tf.constant([[0.], [1.], [2.], [3.]]), epochs=2, verbose=0)
  moved = [not np.array_equal(a, b) for a, b in zip(weights, layer.get_weights(), strict=False)]
  assert sum(moved) > 30
  state = next(w for w in layer.weights if 'dropout_state' in w.name)
  assert state.numpy()[1] == 2  # Two training calls.


def test_saved_again_as_users_do_it_answers_by_its_name(loaded, tmp_path):
  """TF Hub's page "TF2 SavedModels" saves the loaded object, and names no signatures."""
  tf.saved_model.save(loaded, str(tmp_path / 'again'))
  again = tf.saved_model.load(str(tmp_path / 'again'))
  (vectors,) = again.signatures['serving_default'](
      sentences=tf.constant(['red blue'])).values()
  np.testing.assert_array_equal(vectors, loaded(tf.constant(['red blue'])))
