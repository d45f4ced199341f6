"""gin/runs/embed.gin: part by part, killed and repeated, by one process or two."""

from __future__ import annotations

import dataclasses
import json
import threading
import time

import numpy as np
import pyarrow.parquet
import pytest

from nlp_export import files, names
from nlp_export.embedding import embedder, executing
from nlp_export.embedding import request as requests
from nlp_export.errors import RequestError
from nlp_export.experiment import Run
from nlp_export.handles import resolved
from nlp_export.publishing import packing
from nlp_export.running.claims import Claims
from tests.publishing import hosts


@pytest.fixture(scope='module')
def request_(uncased_exports, some_texts, tmp_path_factory):
  path = tmp_path_factory.mktemp('texts') / 'texts.txt'
  path.write_text('\n'.join(some_texts) + '\n')
  model = requests.Model(uncased_exports['model'], uncased_exports['preprocessing'], 'mean',
                         max_seq_length=24)
  return requests.Request(model, str(path), None, 'npy', 'float32', 20, ())


@pytest.fixture
def run(tmp_path) -> Run:
  return Run(str(tmp_path))


def execute(request, run):
  return executing.execute(request, request.model, run)


def test_the_command_writes_parquet_and_says_done_again(
    run_py, request_, expected, tmp_path):
  settings = {'EXPORT': request_.model.export, 'PREPROCESSING': request_.model.preprocessing,
              'POOLING': 'mean', 'MAX_SEQ_LENGTH': 24, 'TEXT_FILE': request_.text_file,
              'PART_TEXTS': 20}
  arguments = ['gin/runs/embed.gin', *(f'--set={name}={value}' for name, value in settings.items()),
               f'--out_dir={tmp_path / "out"}']
  done = run_py(*arguments)
  assert done.status == 0, done.output
  assert '50 texts in 3 parts' in done.output
  table = pyarrow.parquet.read_table(tmp_path / 'out' / 'embeddings.parquet')
  vectors = table['embedding'].combine_chunks().flatten().to_numpy().reshape(50, 16)
  np.testing.assert_allclose(vectors, expected(), atol=1e-5)
  assert str(table.schema.field('embedding').type).startswith('fixed_size_list<')
  summary = json.loads((tmp_path / 'out' / 'embeddings.json').read_text())
  assert summary['texts'] == 50 and summary['dim'] == 16 and summary['pooling'] == ['mean']
  assert summary['texts_of_max_seq_length'] > 0 and summary['longest_text'] == 24
  assert ('note: texts with 24 tokens (MAX_SEQ_LENGTH), or that had more and were cut: '
          in done.output)
  assert summary['sha256'] == files.sha256(str(tmp_path / 'out' / 'embeddings.parquet'))
  assert not (tmp_path / 'out' / 'parts').exists()
  again = run_py(*arguments)
  assert again.status == 0 and 'done' in again.output
  assert 'part-' not in again.output


def test_a_text_embedding_s_own_length_is_told(run_py, uncased_exports, tmp_path):
  texts = tmp_path / 'texts.txt'
  texts.write_text('the cat sat on the mat\n' + 'the cat ' * 400 + '\n')
  done = run_py('gin/runs/embed.gin', f'--set=EXPORT={uncased_exports["text_embedding"]}',
                f'--set=TEXT_FILE={texts}', f'--out_dir={tmp_path / "out"}')
  assert done.status == 0, done.output
  summary = json.loads((tmp_path / 'out' / 'embeddings.json').read_text())
  assert summary['longest_text'] == summary['max_seq_length']
  assert summary['texts_of_max_seq_length'] == 1  # Not both.


def test_a_killed_run_goes_on_where_it_was(request_, run, expected, monkeypatch):
  calls = []
  whole = embedder.Embedder.embed

  def counted(self, texts, progress):
    if len(calls) == 2:
      raise KeyboardInterrupt
    calls.append(len(texts))
    return whole(self, texts, progress)

  monkeypatch.setattr(embedder.Embedder, 'embed', counted)
  with pytest.raises(KeyboardInterrupt):
    execute(request_, run)
  assert calls == [20, 20] and not files.exists(files.join(run.out_dir, executing.SUMMARY))
  calls[:] = [0]  # One more may run.
  summary = execute(request_, run)
  assert calls == [0, 10]
  vectors = np.load(files.join(run.out_dir, 'embeddings.npy'), mmap_mode='r')
  np.testing.assert_allclose(vectors, expected(), atol=1e-5)
  assert summary['texts'] == 50
  assert files.list_dir(run.out_dir) == ['embeddings.json', 'embeddings.npy']
  assert execute(request_, run) == summary and calls == [0, 10]  # Nothing is left to do.


def test_what_a_process_left_that_was_killed_at_the_end_is_removed(request_, run):
  half = files.join(run.out_dir, '.embeddings.npy.partial-999999999-ab')
  files.write_bytes(half, b'half')
  summary = execute(request_, run)
  assert files.list_dir(run.out_dir) == ['embeddings.json', 'embeddings.npy']
  files.write_bytes(files.join(run.out_dir, 'parts', 'part-00000-of-00003.npy'), b'')
  assert execute(request_, run) == summary
  assert files.list_dir(run.out_dir) == ['embeddings.json', 'embeddings.npy']


def test_what_another_process_works_on_is_left_to_it(request_, run, expected):
  claims = Claims(files.join(run.out_dir, names.CLAIMS), machine='another machine')
  claim = claims.acquire('part-00001-of-00003')
  parts = files.join(run.out_dir, 'parts')
  seen = []

  def other_process():
    while not files.exists(files.join(parts, 'part-00002-of-00003.npy')):
      time.sleep(0.05)
    seen.append(files.exists(files.join(parts, 'part-00001-of-00003.npy')))
    files.write_bytes(files.join(parts, 'part-00001-of-00003.npy'),
                      executing._npy(np.full([20, 16], 7, np.float32)))
    files.write_json(files.join(parts, 'part-00001-of-00003.json'),
                     {'tokens': 1, 'longest': 1, 'at_max_seq_length': 0})
    claim.finish()

  other = threading.Thread(target=other_process)
  other.start()
  execute(request_, run)
  other.join()
  assert seen == [False]
  vectors = np.load(files.join(run.out_dir, 'embeddings.npy'))
  np.testing.assert_allclose(vectors[:20], expected()[:20], atol=1e-5)
  assert (vectors[20:40] == 7).all()  # What the other one made.


def test_a_vector_that_is_not_finite_names_its_text(request_, run, monkeypatch):
  def infinite(self, texts, progress):
    vectors = np.zeros([len(texts), 16], np.float32)
    vectors[3] = np.inf
    return vectors, np.full(len(texts), 2)

  monkeypatch.setattr(embedder.Embedder, 'embed', infinite)
  with pytest.raises(RequestError) as error:
    execute(request_, run)
  assert 'The vector of text 4 of' in str(error.value)
  assert str(error.value).endswith('Check the export: gin/runs/verify.gin')


def test_a_file_without_text_is_refused(request_, run, tmp_path):
  import dataclasses

  path = tmp_path / 'empty.txt'
  path.write_bytes(b'')
  with pytest.raises(RequestError) as error:
    execute(dataclasses.replace(request_, text_file=str(path)), run)
  assert str(error.value).endswith('Give a file with one text a line')


def test_a_resumed_run_sees_that_a_handle_s_content_has_changed(
    request_, run, uncased_exports, cased_exports, tmp_path_factory, monkeypatch):
  """A web server's archive is no input that run.py hashes; a new cache fetches what is there."""
  place = tmp_path_factory.mktemp('served')
  packing.pack(uncased_exports['model'], str(place / 'model.tar.gz'))
  monkeypatch.setenv('no_proxy', '127.0.0.1')
  whole, left = embedder.Embedder.embed, [1]

  def ending(self, texts, progress):
    if not left[0]:
      raise KeyboardInterrupt
    left[0] -= 1
    return whole(self, texts, progress)

  monkeypatch.setattr(embedder.Embedder, 'embed', ending)
  with hosts.serving(hosts.static(place)) as (url, _):
    given = dataclasses.replace(request_, model=dataclasses.replace(
        request_.model, export=f'{url}/model.tar.gz'))

    def execute_with_cache(name):
      monkeypatch.setenv('TFHUB_CACHE_DIR', str(place / name))
      found = dataclasses.replace(given.model, export=resolved(given.model.export))
      return executing.execute(given, found, Run(run.out_dir))

    with pytest.raises(KeyboardInterrupt):
      execute_with_cache('first')
    left[0] = 1
    packing.pack(cased_exports['model'], str(place / 'model.tar.gz'))
    with pytest.raises(RequestError) as error:
      execute_with_cache('second')
    assert str(error.value).startswith(f'{url}/model.tar.gz holds another SavedModel than when')
    assert str(error.value).endswith('TFHUB_CACHE_DIR to the directory that has the earlier one')
    assert left == [1]  # Nothing was embedded.
    left[0] = 2
    packing.pack(uncased_exports['model'], str(place / 'model.tar.gz'))
    summary = execute_with_cache('third')  # Control: the same one, fetched to another place.
  assert left == [0] and summary['texts'] == 50
  assert files.sha256(uncased_exports['model']) in summary['inputs_sha256']
