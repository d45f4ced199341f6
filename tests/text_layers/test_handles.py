"""A text layer over a handle, which tensorflow_hub fetches, and over path objects."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from nlp_export.errors import RequestError
from nlp_export.publishing import packing
from nlp_export.text_layers.identity import moved_exports
from tests.publishing import hosts

pytestmark = pytest.mark.extra

TEXTS = tf.constant(['the cat sat on the mat', 'hello world'])
ARCHIVE, PREPROCESSING = 'bert_tiny_1.tar.gz', 'bert_tiny_preprocess_1.tar.gz'


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
  """A function that gives tensorflow_hub a cache with nothing in it."""
  monkeypatch.setenv('no_proxy', '127.0.0.1')

  def empty(name: str) -> None:
    monkeypatch.setenv('TFHUB_CACHE_DIR', str(tmp_path / name))

  empty('cache')
  return empty


@pytest.fixture(scope='module')
def from_directories(either, uncased_exports):
  """What the layer over path objects says of TEXTS."""
  layer = either.layer(Path(uncased_exports['model']), Path(uncased_exports['preprocessing']),
                       pooling='mean')
  config = json.loads(json.dumps(layer.get_config()))
  assert config['encoder'] == uncased_exports['model']
  again = type(layer).from_config(config)
  np.testing.assert_array_equal(again(TEXTS), layer(TEXTS))
  return np.asarray(layer(TEXTS))


def test_an_archive_of_a_web_server_is_a_layer_and_comes_back(
    either, packages, from_directories, hub_cache, tmp_path, cased_exports):
  served = tmp_path / 'served'
  shutil.copytree(packages / 'tf_hub', served)
  with hosts.serving(hosts.static(served)) as (url, requests):
    handles = f'{url}/{ARCHIVE}', f'{url}/{PREPROCESSING}'
    layer = either.layer(*handles, pooling='mean')
    np.testing.assert_allclose(layer(TEXTS), from_directories, atol=1e-6)
    fetched = sum(request.startswith('GET') for request in requests)
    assert fetched == 2
    config = json.loads(json.dumps(layer.get_config()))
    assert (config['encoder'], config['preprocessing']) == handles
    again = type(layer).from_config(config)  # From the cache: nothing is asked for.
    np.testing.assert_array_equal(again(TEXTS), layer(TEXTS))
    assert len(requests) == fetched

    hub_cache('another')  # As on another machine.
    type(layer).from_config(config)
    assert len(requests) == 2 * fetched
    # Control: the maker has put another one at that address since.
    packing.pack(cased_exports['model'], str(served / ARCHIVE))
    hub_cache('later')
    with pytest.raises(Exception) as error:  # Keras 3 wraps it.
      type(layer).from_config(config)
    assert f'{handles[0]} has another graph or other assets than when' in str(error.value)
    (served / ARCHIVE).unlink()
    hub_cache('gone')
    with pytest.raises(RequestError) as error:
      either.layer(*handles)
    assert f'{handles[0]} cannot be fetched' in str(error.value)
    assert str(error.value).endswith('or give the directory of a copy')
  # Without the server: from where a copy lies now.
  with moved_exports({handles[0]: Path(packages) / 'hugging_face' / 'bert_tiny',
                      handles[1]: Path(packages) / 'hugging_face' / 'bert_tiny_preprocess'}):
    moved = type(layer).from_config(config)
  np.testing.assert_allclose(moved(TEXTS), from_directories, atol=1e-6)
  assert moved.get_config()['encoder'] == handles[0]
