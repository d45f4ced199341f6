"""The packages, fetched and sent by the hubs' own clients, from servers on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from nlp_export.handles import resolved
from tests import tiny
from tests.publishing import hosts

pytestmark = pytest.mark.extra


@pytest.fixture
def outside(tmp_path):
  """Environment of a user's process: no settings of ours, nothing but the loopback."""
  kept = {name: value for name, value in os.environ.items()
          if not name.startswith(('HF_', 'KAGGLE_', 'TFHUB_', 'PYTEST'))}
  return {**kept, 'no_proxy': '127.0.0.1', 'HF_HUB_DISABLE_TELEMETRY': '1',
          'HF_HOME': str(tmp_path / 'hf'), 'TFHUB_CACHE_DIR': str(tmp_path / 'tfhub'),
          'TMPDIR': str(tmp_path)}


def python(code: str, env, cwd, *arguments: str) -> subprocess.Popen:
  return subprocess.Popen([sys.executable, '-c', code, *arguments], env=env, cwd=cwd, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finished(process: subprocess.Popen) -> str:
  stdout, stderr = process.communicate(timeout=240)
  assert process.returncode == 0, stderr
  return stdout


# TF Hub.


def test_any_web_server_will_do_and_the_cache_can_be_moved(
    packages, tmp_path, monkeypatch, tiny_pretrainer
):
  import tensorflow_hub as hub

  monkeypatch.setenv('no_proxy', '127.0.0.1')
  monkeypatch.setenv('TFHUB_CACHE_DIR', str(tmp_path / 'cache'))
  inputs = tiny.encoder_inputs()
  expected = tiny_pretrainer(inputs)['sequence_output']
  with hosts.serving(hosts.static(packages / 'tf_hub')) as (url, requests):
    handle = f'{url}/bert_tiny_1.tar.gz'
    loaded = hub.load(handle)
    np.testing.assert_allclose(loaded(inputs)['sequence_output'], expected, atol=1e-5)
    assert resolved(handle) == hub.resolve(handle)  # It is none that is refused.
    fetched = len(requests)
    assert fetched
    (tmp_path / 'cache').rename(tmp_path / 'moved')
    monkeypatch.setenv('TFHUB_CACHE_DIR', str(tmp_path / 'moved'))
    again = hub.load(handle)
    assert len(requests) == fetched
    np.testing.assert_array_equal(again(inputs)['sequence_output'],
                                  loaded(inputs)['sequence_output'])
    asset = Path(again.vocab_file.asset_path.numpy().decode())
    assert asset.is_relative_to(tmp_path / 'moved') and asset.exists()
    monkeypatch.setenv('TFHUB_CACHE_DIR', str(tmp_path / 'another'))  # Control.
    hub.load(handle)
    assert len(requests) > fetched


LOAD = """
import sys
import tensorflow_hub as hub
import tensorflow_text
print(hub.load(sys.argv[1])(['hello world'])['input_word_ids'].numpy()[0, :4].tolist())
"""


def test_two_processes_at_once_fetch_it_once(packages, outside, tmp_path):
  with hosts.serving(hosts.static(packages / 'tf_hub')) as (url, requests):
    handle = f'{url}/bert_tiny_preprocess_1.tar.gz'
    both = [python(LOAD, outside, tmp_path, handle) for _ in range(2)]
    answers = [json.loads(finished(process).splitlines()[-1]) for process in both]
  words = tiny.wordpiece_tokens()
  assert [words[i] for i in answers[0]] == ['[CLS]', 'hello', 'world', '[SEP]']
  assert answers[1] == answers[0]
  assert sum(request.startswith('GET') for request in requests) == 1
  left = [p.name for p in (tmp_path / 'tfhub').iterdir()]
  assert len([name for name in left if not name.endswith('.descriptor.txt')]) == 1, left


# Hugging Face.


def test_a_snapshot_of_the_repository_is_the_export(packages, outside, tmp_path, tiny_pretrainer):
  import tensorflow as tf

  repositories = {'ann/bert_tiny': packages / 'hugging_face' / 'bert_tiny'}
  code = 'from huggingface_hub import snapshot_download; print(snapshot_download("ann/bert_tiny"))'
  with hosts.serving(hosts.hugging_face(repositories)) as (url, requests):
    env = {**outside, 'HF_ENDPOINT': url}
    place = finished(python(code, env, tmp_path)).strip()
    asked = len(requests)
    missing = python(code.replace('bert_tiny', 'bert_huge'), env, tmp_path)  # Control.
    assert 'RepositoryNotFound' in missing.communicate()[1] and missing.returncode
    assert any('saved_model.pb' in request for request in requests[:asked])
  assert Path(place).is_relative_to(tmp_path / 'hf')
  loaded = tf.saved_model.load(resolved(place))
  inputs = tiny.encoder_inputs()
  np.testing.assert_allclose(loaded(inputs)['sequence_output'],
                             tiny_pretrainer(inputs)['sequence_output'], atol=1e-5)


# Kaggle.

KAGGLE = """
import sys
from kagglesdk import kaggle_env

# Its client has no setting for another address.
kaggle_env._env_to_endpoint[kaggle_env.KaggleEnv.PROD] = sys.argv.pop(1)
from kaggle.cli import main
main()
"""


def test_kaggle_s_client_takes_the_folders(packages, outside, tmp_path):
  created: list[dict] = []
  uploaded: dict[str, bytes] = {}
  model = packages / 'kaggle' / 'bert-tiny'
  env = {**outside, 'KAGGLE_CONFIG_DIR': str(tmp_path), 'KAGGLE_USERNAME': 'ann',
         'KAGGLE_KEY': 'none'}
  with hosts.serving(hosts.kaggle(created, uploaded)) as (url, _):
    said = finished(python(KAGGLE, env, tmp_path, url, 'models', 'create', '-p', str(model)))
    assert 'Your model was created' in said
    for variation in ('encoder', 'preprocess'):
      said = finished(python(KAGGLE, env, tmp_path, url, 'models', 'instances', 'create', '-r',
                             'tar', '-p', str(model / variation)))
      assert 'Your model instance was created' in said
      assert {'saved_model.pb', 'README.md', 'variables.tar', 'assets.tar'} <= uploaded.keys()
      assert uploaded['saved_model.pb'] == (model / variation / 'saved_model.pb').read_bytes()
      with tarfile.open(fileobj=BytesIO(uploaded.pop('variables.tar'))) as archive:
        assert any(name.endswith('variables.index') for name in archive.getnames())
  about, encoder, preprocess = created
  assert (about['ownerSlug'], about['slug'], about['isPrivate']) == ('ann', 'bert-tiny', True)
  assert '- `preprocess`: Preprocessing with uncased_vocab.txt' in about['description']
  assert encoder['body']['licenseName'] == 'Apache 2.0' and encoder['body']['fineTunable']
  assert encoder['body']['trainingData'] == ['wikipedia', 'Letters of 1900']
  assert 'FRAMEWORK_TENSOR_FLOW_2' in encoder['body']['framework']
  assert preprocess['body']['instanceSlug'] == 'preprocess'
  assert not preprocess['body'].get('fineTunable')
