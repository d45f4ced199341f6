"""The head: what it reads, what it costs, what of the encoder is trained and starts anew."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from nlp_export import names, poolers
from nlp_export.errors import RequestError
from nlp_export.glue.fine_tuning.arms import PoolerStart
from nlp_export.glue.fine_tuning.classifier import HEAD_BIAS, HEAD_KERNEL, Classifier
from nlp_export.glue.fine_tuning.recipe import Recipe
from nlp_export.initial_values import truncated_normal
from tests.glue import fine_tuning_lab as lab


def classifier(encoder=None, outputs=3, is_regression=False, **recipe) -> Classifier:
  return Classifier(encoder or lab.toy_encoder(), outputs, is_regression, Recipe(**recipe))


def values(variables) -> dict[str, bytes]:
  return {name: variable.numpy().tobytes() for name, variable in variables.items()}


def inputs(rows=((1, 4, 5, 2), (1, 6, 2), (1, 7, 8, 9, 3, 2))):
  found = lab.packed([list(row) for row in rows]).padded(np.arange(len(rows)), 8)
  return {name: tf.constant(value) for name, value in found.items()}


# Loss.


def test_the_loss_of_a_regression_compares_rows_with_rows():
  labels = tf.constant([0.0, 5.0, 2.5, 4.0])
  head = classifier(outputs=1, is_regression=True)
  assert float(head.loss(labels[:, None], labels)) == 0.0
  # What it would be if [4, 1] met [4].
  broadcast = tf.reduce_mean(tf.math.squared_difference(labels[:, None], labels))
  assert float(broadcast) == pytest.approx(7.09375)
  wrong = tf.constant([[1.0], [5.0], [2.5], [1.0]])
  assert float(head.loss(wrong, labels)) == pytest.approx((1 + 9) / 4)
  with pytest.raises(tf.errors.InvalidArgumentError, match=r'expected shape \[4\]'):
    head.loss(labels[:, None], labels[:, None])


def test_the_loss_of_classes_is_the_cross_entropy():
  logits = np.array([[2.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
  labels = np.array([0, 2], np.int32)
  expected = -np.log(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))[[0, 1], labels]
  head = classifier()
  found = float(head.loss(tf.constant(logits, tf.float32), tf.constant(labels)))
  assert found == pytest.approx(expected.mean(), rel=1e-6)
  weighted = float(head.loss(tf.constant(logits, tf.float32), tf.constant(labels),
                             tf.constant([1.0, 0.0])))
  assert weighted == pytest.approx(expected[0], rel=1e-6) != found


# Pooling.


@pytest.mark.parametrize('pooling', ['pooled', 'cls', 'mean', 'max', ('pooled', 'mean'),
                                     ('max', 'cls', 'mean_sqrt_len', 'mean')])
def test_pooling_against_numpy(pooling):
  head = classifier(pooling=pooling)
  head.reset(5)
  given = inputs()
  outputs = head.encoder.outputs(given, training=False)
  tokens = outputs[names.SEQUENCE_OUTPUT].numpy()
  lengths = given[names.INPUT_MASK].numpy().sum(1)
  real = [row[:length] for row, length in zip(tokens, lengths, strict=True)]
  parts = {'pooled': outputs[names.POOLED_OUTPUT].numpy(), 'cls': tokens[:, 0],
           'mean': np.array([row.mean(0) for row in real]),
           'max': np.array([row.max(0) for row in real]),
           'mean_sqrt_len': np.array([row.sum(0) / np.sqrt(len(row)) for row in real])}
  chosen = (pooling,) if isinstance(pooling, str) else pooling
  joined = np.concatenate([parts[part] for part in chosen], axis=1)
  expected = joined @ head.head[HEAD_KERNEL].numpy() + head.head[HEAD_BIAS].numpy()
  np.testing.assert_allclose(head.logits(given, training=False), expected, atol=1e-6)
  # Controls: the ways of pooling differ, and padding would be seen.
  assert len({part.tobytes() for part in parts.values()}) == 5
  assert np.abs(tokens.mean(1) - parts['mean']).max() > 1e-2
  assert np.abs(tokens.max(1) - parts['max']).max() > 1e-2


def test_an_encoder_without_pooled_output_says_so_and_can_be_read_otherwise():
  encoder = lab.toy_encoder(with_pooler=False)
  assert not encoder.has_pooled_output
  with pytest.raises(RequestError, match='Use --set POOLING=cls or mean$'):
    classifier(encoder)
  assert classifier(encoder, pooling='cls').logits(inputs(), training=False).shape == (3, 3)


def test_an_encoder_that_lost_its_pooler_since_says_so():
  head = classifier(pooler := lab.toy_encoder(pooler=lab.RANDOM))
  head.reset(0)
  pooler.pooler = PoolerStart(poolers.none, 'none')
  pooler.take_pooler_weights()
  with pytest.raises(RequestError, match='Use --set POOLING=cls or mean$'):
    head.reset(0)


# Dropout.


def test_dropout_of_the_head_is_for_training_and_follows_its_seed():
  head = classifier(lab.toy_encoder(rate=0.0), head_dropout=0.5)

  def logits(init_seed, training=True):
    head.reset(init_seed)
    head.head[HEAD_KERNEL].assign(tf.ones_like(head.head[HEAD_KERNEL]))
    return head.logits(inputs(), training=training).numpy()

  assert logits(1).tobytes() == logits(1).tobytes() != logits(2).tobytes()
  assert logits(1, False).tobytes() == logits(2, False).tobytes() != logits(1).tobytes()
  second = head.logits(inputs(), training=True).numpy()  # The state has advanced.
  assert second.tobytes() != head.logits(inputs(), training=True).numpy().tobytes()


# What is trained.


@pytest.mark.parametrize(('recipe', 'frozen'), [
    ({}, []),
    ({'trainable_layers': 2}, ['word_embeddings/embeddings']),
    ({'trainable_layers': 1}, ['word_embeddings', 'layer_0']),
    ({'trainable_layers': 0}, ['word_embeddings', 'layer_0', 'layer_1']),
    ({'trainable_layers': 1, 'pooling': 'mean'}, ['word_embeddings', 'layer_0', 'pooler']),
])
def test_trainable_layers(recipe, frozen):
  head = classifier(**recipe)
  trained = head.trained()
  assert list(trained)[-2:] == [HEAD_KERNEL, HEAD_BIAS]
  assert set(head.variables()) - set(trained) == {
      name for name in head.encoder.variables if any(part in name for part in frozen)}


@pytest.mark.parametrize('recipe', [{'trainable_layers': 3}, {'reinit_top_layers': 3}])
def test_more_layers_than_there_are(recipe):
  with pytest.raises(RequestError) as error:
    head = classifier(**recipe)
    head.trained()
    head.reset(0)
  assert error.value.message.endswith('but it has 2. Lower trainable_layers or reinit_top_layers')


@pytest.mark.parametrize('name', ['common/kernel', 'bert/encoder/layer.0/output/dense/kernel'])
def test_layers_without_names_of_their_own(name):
  encoder = lab.toy_encoder()
  encoder.variables = {name: next(iter(encoder.variables.values()))}
  assert encoder.last_layers(0) == []
  with pytest.raises(RequestError) as error:
    encoder.last_layers(1)
  assert f'the first one is {name})' in error.value.message
  assert error.value.message.endswith(
      'tool has named them. Leave out trainable_layers and reinit_top_layers')


# Where it starts.


def test_reset_goes_back_to_the_start_of_a_seed():
  head = classifier()
  head.reset(3)
  start = values(head.variables())
  kernel = head.head[HEAD_KERNEL]
  assert kernel.numpy().tobytes() == truncated_normal(kernel.shape, 0.02, 3).tobytes()
  for variable in head.variables().values():
    variable.assign_add(tf.ones_like(variable))
  head.encoder.dropout_state.assign([9, 9])
  head.reset(3)
  assert values(head.variables()) == start
  assert head.encoder.dropout_state.numpy().tolist() == [3, 0]
  head.reset(4)
  assert {name for name, value in values(head.variables()).items() if value != start[name]} == {
      HEAD_KERNEL}
  assert head.encoder.dropout_state.numpy().tolist() == [4, 0]


def test_reinit_top_layers():
  plain, head = classifier(), classifier(reinit_top_layers=1, head_stddev=0.1)
  plain.reset(3)
  head.reset(3)
  start, found = plain.encoder.variables, head.encoder.variables
  changed = {name for name in start if start[name].numpy().tobytes()
             != found[name].numpy().tobytes()}
  assert changed == {name for name in start if 'layer_1' in name}
  kernel = found['transformer/layer_1/output/kernel'].numpy()
  assert 0.05 < kernel.std() < 0.12 and np.abs(kernel).max() <= 0.2
  assert (found['transformer/layer_1/output/bias'].numpy() == 0).all()
  assert (found['transformer/layer_1/output_layer_norm/gamma'].numpy() == 1).all()
  head.reset(4)
  assert (kernel != found['transformer/layer_1/output/kernel'].numpy()).any()


def test_reinit_knows_repeated_names():
  encoder = lab.toy_encoder()
  encoder.variables = {f'{name}#{i}': v for i, (name, v) in enumerate(encoder.variables.items())}
  encoder.reinitialise(1, 0.1, 0)
  parts = {name.rpartition('/')[2].partition('#')[0]: variable.numpy()
           for name, variable in encoder.variables.items() if 'layer_1' in name}
  assert parts['kernel'].std() > 0.05
  assert (parts['gamma'] == 1).all() and (parts['bias'] == 0).all()


def test_the_pooler_is_drawn_with_its_seed():
  encoder = lab.toy_encoder(pooler=lab.RANDOM)

  def kernel(seed):
    encoder.reset(seed)
    return encoder.variables['pooler_transform/kernel'].numpy()

  assert (kernel(3) == poolers.random(lab.WIDTH, 3, 0.5).kernel).all()
  assert (kernel(3) != kernel(4)).any()
  # Without a seed, as it was; and one that is not random has nothing to draw.
  assert (kernel(None) == encoder.initial('pooler_transform/kernel')).all()
  encoder.pooler = lab.KEEP
  assert (kernel(3) == kernel(None)).all()


def test_a_pooler_to_draw_without_variables_of_one():
  encoder = lab.toy_encoder(with_pooler=False, pooler=lab.RANDOM)
  encoder.reset(None)
  with pytest.raises(RequestError, match='to take the pooler as it was exported$'):
    encoder.reset(3)


def test_a_pooler_of_provenance_that_is_not_known():
  given = {'name': 'mine.special', 'arguments': {'seed': 1}}
  with pytest.raises(RequestError, match=r"--set POOLERS='\(@poolers.mine.special,\)'$"):
    PoolerStart.of_provenance(given)
  start = PoolerStart.of_provenance(given, {'mine.special': poolers.random})
  assert start.draws and (start.weights(4).kernel == poolers.random(4, 1).kernel).all()
  assert not PoolerStart.of_provenance({'name': 'poolers.identity'}).draws
