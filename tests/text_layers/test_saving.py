"""A fine-tuned text layer comes back by Keras' own means, or says why it does not."""

from __future__ import annotations

import json
import shutil
import warnings

import numpy as np
import pytest
import tensorflow as tf

from nlp_export.errors import RequestError
from nlp_export.text_layers.identity import moved_exports
from tests.text_layers.conftest import PAIRS


@pytest.fixture(scope='module')
def saved(either, uncased_exports, tmp_path_factory):
  """A fine-tuned model over a copy of the exports: (directory, what it predicts)."""
  directory = tmp_path_factory.mktemp('saved')
  for name in ('model', 'preprocessing'):
    shutil.copytree(uncased_exports[name], directory / name)
  layer = either.layer(str(directory / 'model'), str(directory / 'preprocessing'),
                       pooling=('cls', 'mean'), separator='|||', trainable_layers=1)
  model = either.text_model(layer)
  texts = tf.constant(PAIRS)
  model.fit(texts, np.array([1.0, 0.0, 1.0, 0.0]), epochs=3, verbose=0)
  model.save(directory / 'model.keras')
  model.save_weights(directory / 'model.weights.h5')
  (directory / 'model.json').write_text(model.to_json())
  return directory, np.asarray(model(texts))


def predicted(model) -> np.ndarray:
  return np.asarray(model(tf.constant(PAIRS)))


def test_a_model_comes_back_and_trains_on(either, saved):
  directory, expected = saved
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    model = either.keras.models.load_model(directory / 'model.keras')
  np.testing.assert_allclose(predicted(model), expected, atol=1e-6)
  layer = model.layers[1]
  assert len(layer.trainable_weights) == 16 and layer.get_config()['trainable_layers'] == 1
  state = layer.exported.variables['dropout_state'].numpy()
  assert state[1] == 3  # One training call an epoch: dropout goes on where it was.
  model.fit(tf.constant(PAIRS), np.zeros(4), epochs=3, verbose=0)
  assert np.abs(predicted(model) - expected).max() > 1e-3


def test_a_model_is_rebuilt_from_json_and_gets_its_weights(either, saved):
  directory, expected = saved
  model = either.keras.models.model_from_json((directory / 'model.json').read_text())
  assert np.abs(predicted(model) - expected).max() > 1e-3  # Control: as exported, another head.
  model.load_weights(directory / 'model.weights.h5')
  np.testing.assert_allclose(predicted(model), expected, atol=1e-6)


@pytest.mark.extra
def test_weights_do_not_depend_on_what_trains(either, saved):
  directory, expected = saved
  config = json.loads((directory / 'model.json').read_text())
  config['config']['layers'][1]['config']['trainable_layers'] = None
  model = either.keras.models.model_from_json(json.dumps(config))
  assert len(model.layers[1].trainable_weights) > 16
  model.load_weights(directory / 'model.weights.h5')
  np.testing.assert_allclose(predicted(model), expected, atol=1e-6)


def test_a_model_comes_back_though_the_values_in_the_export_have_changed(
    either, saved, tmp_path):
  directory, expected = saved
  moved = tmp_path / 'model'
  shutil.copytree(directory / 'model', moved)
  prefix = str(moved / 'variables' / 'variables')
  reader = tf.train.load_checkpoint(prefix)
  keys = sorted(reader.get_variable_to_shape_map())
  tensors = [tf.constant(reader.get_tensor(key)) for key in keys]
  tensors = [value * 2 if value.dtype == tf.float32 else value for value in tensors]
  tf.raw_ops.SaveV2(prefix=prefix, tensor_names=keys, shape_and_slices=[''] * len(keys),
                    tensors=tensors)
  with moved_exports({str(directory / 'model'): str(moved)}), \
       pytest.warns(UserWarning, match='a model that is rebuilt from its JSON alone starts with'):
    model = either.keras.models.load_model(directory / 'model.keras')
  np.testing.assert_allclose(predicted(model), expected, atol=1e-6)


def test_another_vocabulary_is_refused(either, saved, tmp_path):
  directory, _ = saved
  moved = tmp_path / 'preprocessing'
  shutil.copytree(directory / 'preprocessing', moved)
  (asset,) = (moved / 'assets').iterdir()
  asset.write_text(asset.read_text().replace('cat', 'cow'))
  old = str(directory / 'preprocessing')
  with moved_exports({old: str(moved)}), pytest.raises(Exception) as error:
    either.keras.models.load_model(directory / 'model.keras')
  message = str(error.value)
  assert 'has another graph or other assets than when this layer was saved' in message
  assert f'moved_exports({{{old!r}: ...}})' in message


def test_weights_of_another_encoder_are_refused_whole(either, saved, uncased_exports):
  layer = either.layer(uncased_exports['model'], uncased_exports['preprocessing'])
  store = {}
  layer.save_own_variables(store)
  before = {key: np.array(value) for key, value in store.items()}
  wrong = {key: value + 1 for key, value in before.items() if key != 'dropout_state'}
  wrong['extra'] = np.zeros(1)
  with pytest.raises(RequestError) as error:
    layer.load_own_variables(wrong)
  assert '1 are missing (dropout_state); 1 have no variable (extra); 0 have' in str(error.value)
  assert str(error.value).endswith('Rebuild the layer from the encoder that it was saved with')
  after = {}
  layer.save_own_variables(after)
  assert all(np.array_equal(after[key], value) for key, value in before.items())


@pytest.mark.extra
def test_a_model_over_the_layer_is_a_savedmodel_for_everyone(either, saved, tmp_path):
  directory, expected = saved
  model = either.keras.models.load_model(directory / 'model.keras')
  path = str(tmp_path / 'everyone')
  if either.name == 'keras3':
    model.export(path, verbose=False)
  else:
    model.save(path)
  served = tf.saved_model.load(path).signatures['serving_default'](tf.constant(PAIRS))
  np.testing.assert_allclose(next(iter(served.values())), expected, atol=1e-5)
