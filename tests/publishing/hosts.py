"""The hubs' servers, as far as their own clients ask, on this machine's loopback.

What they answer was taken from what the clients ask for: huggingface_hub 2.4, kaggle 2.2.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = '0' * 39 + '1'


class _Handler(http.server.BaseHTTPRequestHandler):
  """Notes who asked for what; `answer` does the rest."""

  def __init__(self, requests: list[str], *args):
    self.requests = requests
    super().__init__(*args)

  def do_GET(self):
    length = int(self.headers.get('Content-Length') or 0)
    body = self.rfile.read(length)
    self.requests.append(f'{self.command} {self.path}')
    status, headers, data = self.answer(unquote(urlsplit(self.path).path), body)
    self.send_response(status)
    for name, value in {'Content-Length': str(len(data)), **headers}.items():
      self.send_header(name, value)
    self.end_headers()
    if self.command != 'HEAD':
      self.wfile.write(data)

  do_HEAD = do_POST = do_PUT = do_GET

  def json(self, value, status=200):
    return status, {'Content-Type': 'application/json'}, json.dumps(value).encode()

  def log_message(self, *args):
    """Nothing on the screen."""


@contextlib.contextmanager
def serving(handler) -> Iterator[tuple[str, list[str]]]:
  """The address of a server on the loopback, and the requests it gets."""
  requests: list[str] = []
  server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(handler, requests))
  thread = threading.Thread(target=server.serve_forever, daemon=True)
  thread.start()
  try:
    yield f'http://127.0.0.1:{server.server_port}', requests
  finally:
    server.shutdown()
    server.server_close()
    thread.join()


def static(root: Path):
  """A web server that knows nothing of TF Hub: files by path, the query ignored."""

  class Static(_Handler):
    def answer(self, path, body):
      file = root / path.lstrip('/')
      return (200, {}, file.read_bytes()) if file.is_file() else (404, {}, b'')

  return Static


def hugging_face(repositories: dict[str, Path]):
  """The Hugging Face Hub's API for whole repositories."""

  class HuggingFace(_Handler):
    def answer(self, path, body):
      for name, root in repositories.items():
        files = sorted(p for p in root.rglob('*') if p.is_file())
        listed = {str(p.relative_to(root)): p for p in files}
        if path.startswith(f'/api/models/{name}/revision/') or path == f'/api/models/{name}':
          return self.json({
              'id': name, 'modelId': name, 'sha': COMMIT, 'private': False, 'gated': False,
              'disabled': False, 'downloads': 0, 'likes': 0, 'tags': [],
              'siblings': [{'rfilename': file} for file in listed]})
        if path.startswith(f'/api/models/{name}/tree/'):
          return self.json([
              {'type': 'file', 'path': file, 'size': p.stat().st_size, 'oid': oid(p)}
              for file, p in listed.items()])
        file = path.removeprefix(f'/{name}/resolve/{COMMIT}/')
        if file in listed:
          p = listed[file]
          return 200, {'ETag': f'"{oid(p)}"', 'X-Repo-Commit': COMMIT}, p.read_bytes()
      return 404, {'X-Error-Code': 'RepoNotFound'}, b''

  return HuggingFace


def oid(path: Path) -> str:
  """Git's name for a file's content."""
  data = path.read_bytes()
  return hashlib.sha1(b'blob %d\0' % len(data) + data, usedforsecurity=False).hexdigest()


def kaggle(created: list[dict], uploaded: dict[str, bytes]):
  """Kaggle's API for new models: takes everything, and keeps it in its arguments."""

  class Kaggle(_Handler):
    def answer(self, path, body):
      if path.endswith('/StartBlobUpload'):
        name = json.loads(body)['name']
        return self.json({'token': name, 'createUrl': f'http://{self.headers["Host"]}/put/{name}'})
      if path.startswith('/put/'):
        uploaded[path.rpartition('/')[2]] = body
        return 200, {}, b''
      if path.endswith(('/CreateModel', '/CreateModelInstance')):
        created.append(json.loads(body))
        return self.json({'id': 1, 'url': 'kaggle.com/models/1'})
      return self.json({'message': f'unexpected: {path}'}, 404)

  return Kaggle
