"""What trains in a text layer, what does not, and what a frozen block costs."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.compat.v1 import graph_util
from tensorflow.python.framework import convert_to_constants

from nlp_export.errors import RequestError
from tests.text_layers.conftest import PAIRS

A_BLOCK = 16  # Variables of a Transformer layer.
EMBEDDINGS = 5  # Three tables and a layer norm.
POOLER = 2


SETTINGS = {'separator': '|||', 'max_seq_length': 16}


@pytest.fixture
def make(tf_keras_alone, uncased_exports):
  """A function for a layer over the exports."""
  return functools.partial(
      tf_keras_alone.layer, uncased_exports['model'], uncased_exports['preprocessing'], **SETTINGS)


@pytest.fixture
def make_either(either, uncased_exports):
  """The same, of both Keras."""
  return functools.partial(
      either.layer, uncased_exports['model'], uncased_exports['preprocessing'], **SETTINGS)


@pytest.mark.parametrize('function', ['fit', 'preprocess'])
def test_strings_under_xla_are_refused_before_tensorflow_ends_the_process(
    make, tf_keras_alone, dataset, function):
  layer = make()
  with pytest.raises(Exception, match='RequestError: The text layer takes strings') as error:
    if function == 'fit':
      model = tf_keras_alone.text_model(layer)
      model.compile('sgd', 'binary_crossentropy', jit_compile=True)
      model.fit(dataset, verbose=0)
    else:
      tf.function(layer.preprocess, jit_compile=True)(tf.constant(PAIRS))
  # Of another class: AutoGraph and Keras put where it happened around the message.
  assert 'dataset.map(lambda text, label: (layer.preprocess(text), label))\n' in f'{error.value}\n'


def test_encoder_inputs_train_under_xla(make, tf_keras_alone, dataset):
  layer = make(inputs='encoder_inputs', pooling='cls', trainable_layers=1)
  model = tf_keras_alone.token_model(layer)
  model.compile('sgd', 'binary_crossentropy', jit_compile=True)
  before = values(layer)
  model.fit(dataset.map(lambda text, label: (layer.preprocess(text), label)), verbose=0)
  assert len(changed(before, layer)) >= A_BLOCK


def values(layer):
  return {name: variable.numpy() for name, variable in layer.exported.variables.items()}


def changed(before, layer):
  return {name for name, value in values(layer).items() if not np.array_equal(value, before[name])}


@pytest.mark.parametrize('pooling, trainable_layers, count', [
    ('cls', None, EMBEDDINGS + 2 * A_BLOCK),
    ('pooled', None, EMBEDDINGS + 2 * A_BLOCK + POOLER),
    ('default', 1, A_BLOCK + POOLER),
    (('cls', 'mean'), 1, A_BLOCK),
    (('mean', 'pooled'), 2, 2 * A_BLOCK + POOLER),
    ('pooled', 0, 0),
])
def test_what_trains(make, pooling, trainable_layers, count):
  layer = make(pooling=pooling, trainable_layers=trainable_layers)
  assert len(layer.trainable_weights) == count
  total = EMBEDDINGS + 2 * A_BLOCK + POOLER + 2  # Dropout's state and do_lower_case.
  assert len(layer.weights) == total
  layer.trainable = False
  assert not layer.trainable_weights and len(layer.non_trainable_weights) == total


def test_fit_changes_the_last_block_and_nothing_else(either, make_either, dataset):
  layer = make_either(pooling='cls', trainable_layers=1)
  model, before = either.text_model(layer), values(layer)
  history = model.fit(dataset, epochs=12, verbose=0).history
  assert history['loss'][-1] < 0.9 * history['loss'][0]
  moved = changed(before, layer)
  assert moved == {name for name in before if '/layer_1/' in name} | {'dropout_state'}
  assert len(moved) == A_BLOCK + 1


@pytest.mark.extra
def test_fit_changes_everything_that_the_vector_depends_on(either, make_either, dataset):
  layer = make_either(pooling='mean')
  model, before = either.text_model(layer), values(layer)
  model.fit(dataset, verbose=0)
  unmoved = before.keys() - changed(before, layer)
  assert unmoved == {'do_lower_case', 'pooler_transform/kernel', 'pooler_transform/bias'}


def products_in_a_step(layer) -> int:
  """Matrix products of a compiled training step: forward, and back to what trains."""
  trained = [layer.exported.variables[name] for name in sorted(layer.exported.trained)]
  inputs = layer.preprocess(tf.constant(PAIRS))

  @tf.function
  def step(head):
    with tf.GradientTape() as tape:
      tape.watch(head)
      loss = tf.reduce_sum(tf.matmul(layer(inputs, training=False), head))
    return tape.gradient(loss, [*trained, head])

  # Functions are put in place and what no output needs is left out, as before every execution.
  concrete = step.get_concrete_function(tf.TensorSpec([16, 1]))
  frozen = convert_to_constants.convert_variables_to_constants_v2(concrete)
  needed = graph_util.extract_sub_graph(
      frozen.graph.as_graph_def(), [tensor.op.name for tensor in frozen.outputs])
  return sum('MatMul' in node.op or 'Einsum' in node.op for node in needed.node)


def test_no_gradient_is_computed_for_what_is_frozen(make):
  last, both = (
      products_in_a_step(make(pooling='cls', inputs='encoder_inputs', trainable_layers=count))
      for count in (1, 2))
  # Query, key, value, output, two of attention and two of the feed-forward part.
  a_block = 8
  # Forward through both blocks and the head, back through the head and the last block: a product
  # forward is two backward, one for each of its factors.
  assert last == 2 * a_block + 2 + 2 * a_block
  assert both == last + 2 * a_block  # Control: the frozen block has cost nothing.


def test_dropout_is_for_training_alone(make):
  layer, texts = make(pooling='cls'), tf.constant(PAIRS)
  first, second = layer(texts, training=True), layer(texts, training=True)
  assert np.abs(first - second).max() > 1e-3
  np.testing.assert_array_equal(layer(texts), layer(texts, training=False))
  layer.trainable = False
  np.testing.assert_array_equal(layer(texts, training=True), layer(texts))
  frozen = make(pooling='cls', trainable_layers=0)
  np.testing.assert_array_equal(frozen(texts, training=True), layer(texts))


def test_more_layers_than_there_are_cannot_train(make):
  with pytest.raises(RequestError) as error:
    make(trainable_layers=3)
  assert str(error.value).endswith('it has 2. Lower trainable_layers')
