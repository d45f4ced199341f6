"""The vectors of a text layer are those of the export, whichever way a text gets in."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from nlp_export import files, names, poolings
from nlp_export.errors import RequestError
from tests.text_layers.conftest import PAIRS, keras_by_name

TEXTS = ('the cat sat on the mat', 'hello', 'a dog of the world, and a bank')
WIDTH = 16


@pytest.fixture(scope='module')
def model(uncased_exports):
  return tf.saved_model.load(uncased_exports['model'])


@pytest.fixture(scope='module')
def preprocessor(uncased_exports):
  import tensorflow_text  # noqa: F401

  return tf.saved_model.load(uncased_exports['preprocessing'])


@pytest.fixture
def make(tf_keras_alone, uncased_exports):
  """A function for a layer over the exports."""

  def layer(**settings):
    return tf_keras_alone.layer(
        uncased_exports['model'], uncased_exports['preprocessing'], **settings)

  return layer


@pytest.mark.parametrize('pooling', ['pooled', 'max', ('cls', 'mean'), 'default', None])
def test_vectors_are_those_of_the_export(make, model, preprocessor, pooling):
  inputs = preprocessor(tf.constant(TEXTS), seq_length=128)  # As its users call it: padded.
  outputs = model(inputs)
  vectors = make(pooling=pooling)(tf.constant(TEXTS)).numpy()
  if pooling is None:
    assert vectors.shape == (3, 11, WIDTH)  # As long as the longest text, not 128.
    mask = inputs['input_mask'].numpy()[:, :11].astype(bool)
    np.testing.assert_allclose(vectors[mask], outputs['sequence_output'][:, :11][mask], atol=1e-5)
    return
  if pooling == 'default':
    expected = outputs['default']
  else:
    expected = poolings.pool(pooling, outputs, inputs['input_mask'])
  assert vectors.shape == (3, poolings.dim(pooling, WIDTH) if pooling != 'default' else WIDTH)
  np.testing.assert_allclose(vectors, expected, atol=1e-5)
  assert np.abs(vectors[0] - vectors[1]).max() > 1e-2  # Control: texts differ.


def test_a_separator_makes_pairs_of_some(make, model, preprocessor):
  tokens = [preprocessor.tokenize(tf.constant(side)) for side in (
      ['the cat sat', 'the cat'], ['a dog', 'the cat'])]
  pairs = model(preprocessor.bert_pack_inputs(tokens, seq_length=16))['pooled_output']
  single = model(preprocessor(['hello world'], seq_length=16))['pooled_output']
  layer = make(pooling='pooled', separator='|||')
  found = layer(tf.constant(PAIRS[:3]))
  np.testing.assert_allclose(tf.gather(found, [0, 2]), pairs, atol=1e-5)
  np.testing.assert_allclose(found[1:2], single, atol=1e-5)  # [CLS] text [SEP], one segment.
  whole = make(pooling='pooled')
  assert np.abs(whole(tf.constant(PAIRS[:1])) - pairs[:1]).max() > 1e-3  # Control: no separator.
  two = whole([tf.constant(['the cat sat', 'the cat']), tf.constant(['a dog', 'the cat'])])
  np.testing.assert_allclose(two, pairs, atol=1e-5)


def test_a_pair_is_cut_as_the_preprocessor_cuts(make, preprocessor):
  layer = make(separator='|||', max_seq_length=8)
  long = 'the cat sat on the mat ||| a dog', 'the cat sat on the mat and a dog'
  pair, single = layer.preprocess(tf.constant(long))['input_word_ids'].numpy()
  tokens = [preprocessor.tokenize(tf.constant([text.strip()])) for text in long[0].split('|||')]
  expected = preprocessor.bert_pack_inputs(tokens, seq_length=8)['input_word_ids'][0]
  np.testing.assert_array_equal(pair, expected)
  np.testing.assert_array_equal(single, preprocessor([long[1]], seq_length=8)['input_word_ids'][0])


def test_tokens_made_in_the_dataset_give_the_same(make):
  layer = make(inputs='encoder_inputs', separator='|||')
  dataset = tf.data.Dataset.from_tensor_slices(list(PAIRS)).batch(2).map(layer.preprocess)
  lengths = [batch['input_mask'].shape[1] for batch in dataset]
  assert lengths == [8, 9]
  found = np.concatenate([layer(batch) for batch in dataset])
  np.testing.assert_allclose(found, make(separator='|||')(tf.constant(PAIRS)), atol=1e-5)
  spec = dataset.element_spec
  assert {name: value.shape.rank for name, value in spec.items()} == dict.fromkeys(spec, 2)


def test_shapes_are_known_before_there_is_text(either, uncased_exports):
  keras = either.keras
  exports = uncased_exports['model'], uncased_exports['preprocessing']
  for pooling, shape in ((None, (None, None, WIDTH)), (('cls', 'max'), (None, 2 * WIDTH))):
    layer = either.layer(*exports, pooling=pooling)
    assert tuple(layer(keras.Input((), dtype='string')).shape) == shape
    assert layer(tf.constant(TEXTS)).shape.rank == len(shape)
    column = layer(keras.Input((1,), dtype='string'))  # As document 002 has it.
    assert tuple(column.shape) == shape
    assert layer(tf.constant([['hello'], ['world']])).shape[0] == 2


@pytest.mark.parametrize('separator', [None, '|||'])
def test_where_padding_counts_a_vector_does_not_depend_on_the_other_texts(
    tf_keras_alone, uncased_exports, separator, tmp_path):
  from tests.saved_models import other_networks

  path = other_networks.Made(tmp_path, 'mobilebert', with_mlm=False).path

  def difference() -> float:
    layer = tf_keras_alone.layer(path, uncased_exports['preprocessing'], pooling='mean',
                                 max_seq_length=16, separator=separator)
    alone = np.concatenate([layer(tf.constant([text])) for text in TEXTS])
    return float(np.abs(layer(tf.constant(TEXTS)) - alone).max())

  assert difference() > 1e-3  # Control: a stranger's has no record.
  files.write_json(files.join(path, names.EXTRA_DIR, names.PROVENANCE_FILE),
                   {'encoder': {'sequence': {'inexact_padding': 'neighbours'}}})
  assert difference() < 1e-5


@pytest.mark.parametrize('other', ['cased', 'uncased'])
def test_a_preprocessing_of_another_vocabulary_is_refused(
    tf_keras_alone, uncased_exports, cased_exports, other):
  model, others = uncased_exports['model'], {'cased': cased_exports, 'uncased': uncased_exports}
  preprocessing = others[other]['preprocessing']
  if other == 'uncased':  # Control.
    assert tf_keras_alone.layer(model, preprocessing).exported.width == WIDTH
    return
  with pytest.raises(RequestError, match='do not belong together') as error:
    tf_keras_alone.layer(model, preprocessing)
  assert str(error.value).endswith('Give the preprocessing that was exported with it')
  assert '--set' not in str(error.value)


def test_the_input_of_the_other_keras_is_refused(either, uncased_exports):
  other, instead, own = {
      'tf_keras': ('keras3', 'nlp_export.keras3.TextEncoder', 'tf_keras'),
      'keras3': ('tf_keras', 'nlp_export.TextEncoder', 'keras')}[either.name]
  layer = either.layer(uncased_exports['model'], uncased_exports['preprocessing'])
  with pytest.raises(RequestError) as error:
    layer(keras_by_name(other).keras.Input((), dtype='string'))
  assert str(error.value).endswith(
      f'Use {instead} there, or make the whole model with {own}')


def test_no_text_gives_no_vectors(make):
  assert make(separator='|||')(tf.constant([], tf.string)).shape == (0, WIDTH)


def test_what_does_not_fit_is_refused(tf_keras_alone, make, uncased_exports):
  texts, tokens = make(), make(inputs='encoder_inputs', separator='|||')
  for call, inputs, cure in (
      (texts.exported, {'input_word_ids': 1}, "Make it with inputs='encoder_inputs'"),
      (tokens.exported, tf.constant(['a']), "Make it with inputs='text'"),
      (texts.preprocess, tf.constant([['a', 'b']]),
       'Give two texts of a pair as a list of two such tensors'),
      (tokens.preprocess, [tf.constant(['a']), tf.constant(['b'])],
       'Give pairs as one string each, or leave the separator out')):
    with pytest.raises(RequestError) as error:
      call(inputs)
    assert str(error.value).endswith(cure)
  with pytest.raises(RequestError) as error:
    tf_keras_alone.layer(uncased_exports['model'])
  assert str(error.value).endswith("or write inputs='encoder_inputs'")
  with pytest.raises(RequestError) as error:
    tf_keras_alone.layer(uncased_exports['preprocessing'], uncased_exports['preprocessing'])
  assert str(error.value).endswith('for example .../exports/keep/model')
  alone = tf_keras_alone.layer(uncased_exports['model'], inputs='encoder_inputs')
  with pytest.raises(RequestError) as error:
    alone.preprocess(tf.constant(['a']))
  assert str(error.value).endswith(f'that belongs to {uncased_exports["model"]}')


def test_numpy_s_strings_are_a_batch(make):
  layer = make()
  expected = layer(tf.constant(TEXTS[:2]))
  for texts in (TEXTS[:2], np.array(TEXTS[:2]), np.array(TEXTS[:2], np.bytes_)):
    np.testing.assert_array_equal(layer.exported(list(texts)), expected)
  two = [np.array([text]) for text in TEXTS[:2]]  # Control: arrays are the texts of a pair.
  assert layer.exported(two).shape[0] == 1


def test_a_policy_that_has_no_effect_is_said(make):
  with pytest.warns(UserWarning, match='which rewrites graphs'):
    layer = make(dtype='mixed_bfloat16')
  assert layer(tf.constant(['hello'])).dtype == tf.float32


@pytest.fixture(scope='module')
def dangerous(tmp_path_factory) -> str:
  """A stranger's SavedModel, string [batch] -> float32 [batch, 2], that writes a file."""
  directory = tmp_path_factory.mktemp('dangerous')

  class Spy(tf.Module):

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, texts):
      tf.io.write_file(str(directory / 'seen'), tf.strings.reduce_join(texts))
      return tf.fill([tf.size(texts), 2], 1.0)

  path = str(directory / 'model')
  tf.saved_model.save(Spy(), path)
  return path


def test_a_savedmodel_that_writes_files_is_not_loaded(either, dangerous):
  with pytest.raises(RequestError, match='WriteFile'):
    either.layer(dangerous, trainable_layers=0)


@pytest.mark.extra
def test_another_backend_of_keras_is_refused(uncased_exports):
  code = """
import keras, nlp_export
try:
  nlp_export.keras3.TextEncoder('model', 'preprocessing')
except nlp_export.errors.RequestError as error:
  print(error)
"""
  done = subprocess.run(
      [sys.executable, '-c', code], env={**os.environ, 'KERAS_BACKEND': 'jax'},
      capture_output=True, text=True, timeout=300)
  assert done.stdout.strip().endswith('KERAS_BACKEND=tensorflow before Keras is imported')
