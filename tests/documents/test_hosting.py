"""A packaged export over HTTP, as TF Hub's hosting protocol has it (loopback only).

Other servers, a moved cache and other clients: tests/publishing/test_clients.py.
"""

from __future__ import annotations

import functools
import http.server
import io
import tarfile
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from tests import tiny


class Host(http.server.BaseHTTPRequestHandler):
  """Serves archives by path to those who ask for the compressed format, and notes who asked."""

  def __init__(self, archives: dict[str, bytes], requests: list[str], *args):
    self.archives, self.requests = archives, requests
    super().__init__(*args)

  def do_GET(self):
    url = urlsplit(self.path)
    self.requests.append(self.path)
    data = self.archives.get(url.path)
    compressed = parse_qs(url.query).get('tf-hub-format') == ['compressed']
    self.send_response(200 if data and compressed else 404)
    self.end_headers()
    if data and compressed:
      self.wfile.write(data)

  do_HEAD = do_GET

  def log_message(self, *args):
    """Nothing on the screen."""


@pytest.fixture(scope='module')
def archives(packages):
  return {f'/bert/{name}/1': (packages / 'tf_hub' / file).read_bytes() for name, file in (
      ('model', 'bert_tiny_1.tar.gz'), ('preprocessing', 'bert_tiny_preprocess_1.tar.gz'))}


@pytest.fixture
def hub_with_cache(tmp_path, monkeypatch):
  import tensorflow_hub as hub

  monkeypatch.setenv('TFHUB_CACHE_DIR', str(tmp_path / 'cache'))
  monkeypatch.setenv('no_proxy', '127.0.0.1')
  return hub


@pytest.fixture
def host(archives):
  requests: list[str] = []
  server = http.server.ThreadingHTTPServer(
      ('127.0.0.1', 0), functools.partial(Host, archives, requests)
  )
  thread = threading.Thread(target=server.serve_forever, daemon=True)
  thread.start()
  yield f'http://127.0.0.1:{server.server_port}', requests
  server.shutdown()
  server.server_close()
  thread.join()


@pytest.mark.conformance(9)
def test_an_encoder_is_downloaded_once_and_equals_its_source(
    host, hub_with_cache, tmp_path, tiny_pretrainer
):
  url, requests = host
  loaded = hub_with_cache.load(f'{url}/bert/model/1')
  inputs = tiny.encoder_inputs()
  expected = tiny_pretrainer(inputs)['sequence_output']
  np.testing.assert_allclose(loaded(inputs)['sequence_output'], expected, atol=1e-5)
  asset = Path(loaded.vocab_file.asset_path.numpy().decode())
  assert asset.is_relative_to(tmp_path / 'cache') and asset.exists()
  assert any('tf-hub-format=compressed' in request for request in requests)
  asked = len(requests)
  hub_with_cache.load(f'{url}/bert/model/1')
  assert len(requests) == asked  # From TFHUB_CACHE_DIR.


@pytest.mark.conformance(9)
def test_a_preprocessor_is_served_too_and_cached_by_its_address(host, hub_with_cache):
  import tensorflow_text  # noqa: F401

  url, requests = host
  preprocessor = hub_with_cache.load(f'{url}/bert/preprocessing/1')
  words = tiny.wordpiece_tokens()
  packed = preprocessor(['hello world'])['input_word_ids'].numpy()[0, :4]
  assert [words[i] for i in packed] == ['[CLS]', 'hello', 'world', '[SEP]']
  asked = len(requests)
  with pytest.raises(Exception, match='404'):  # Control: another address is asked for.
    hub_with_cache.load(f'{url}/bert/preprocessing/2')
  assert len(requests) > asked


@pytest.mark.conformance(1)
def test_names_in_the_archive_are_fit_for_publication(archives):
  for data in archives.values():
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
      names = archive.getnames()
    assert 'saved_model.pb' in names
    parts = {part for name in names for part in name.split('/')}
    assert all(part[0].isalnum() or part[0] == '_' for part in parts)
