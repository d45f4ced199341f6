"""How is a file embedded part by part, by several processes, any of which may be killed?

Below out_dir, parts/ keeps what has been done: plan.json (where the parts begin) and for each part
its vectors. Each file appears whole; who makes which is settled by claims. At the end the parts
become one file, then comes embeddings.json, and the parts are removed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from nlp_export import files, handles, names, poolings
from nlp_export.embedding import request as requests
from nlp_export.embedding.text_file import Part, TextFile
from nlp_export.errors import RequestError
from nlp_export.running import interrupts
from nlp_export.running.durations import duration
from nlp_export.running.once import each_once, once
from nlp_export.running.progress_bar import ProgressBar
from nlp_export.running.run_context import Run

SUMMARY = 'embeddings.json'
SCHEMA_VERSION = 1
_PARTS_DIR = 'parts'
_PLAN = 'plan.json'
_LINE_SECONDS = 60.0  # Between two lines about one part where there is no bar.


def vectors_file(format_: str) -> str:
  """Name of the file with the vectors."""
  return f'embeddings.{format_}'


def execute(request: requests.Request, model: requests.Model, run: Run) -> dict[str, Any]:
  """Makes what is not there yet; several processes may do so at once.

  Args:
    request: what was asked for.
    model: `request.model` with directories that are safe to load.
    run: whose out_dir it is.

  Returns:
    The content of embeddings.json.
  """
  work = _Work(request, model, run)
  claims = files.join(run.out_dir, names.CLAIMS)
  done = work.is_finished
  once(claims, 'plan', lambda: done() or work.has_plan(), work.plan, say=run.say)
  work.check_handles()
  with run.step('embed'), work.showing():
    try:
      each_once(claims, work.names, work.has_part, work.embed, say=run.say)
    finally:
      work.close()
  with run.step('put together'):
    once(claims, 'file', work.is_tidy, work.put_together, say=run.say)
  return files.read_json(work.summary)


class _Work:
  """The pieces of the work; each may be done by another process."""

  def __init__(self, request: requests.Request, model: requests.Model, run: Run):
    self._request, self._model, self._run = request, model, run
    self.summary = files.join(run.out_dir, SUMMARY)
    self._directory = files.join(run.out_dir, _PARTS_DIR)
    self._vectors = files.join(run.out_dir, vectors_file(request.format))
    self._embedder: Any = None
    self._bar: ProgressBar | None = None
    self._parts: dict[str, Part] | None = None
    # What tensorflow_hub has fetched is no input that run.py knows: who serves it may change it.
    fetched = {given: found for given, found in (
        (request.model.export, model.export), (request.model.preprocessing, model.preprocessing))
               if given and found and handles.is_handle(given)}
    run.add_inputs(fetched.values())
    self._most = model.max_seq_length or _recorded_length(model.export)
    self._handles = {given: run.input_hashes[found] for given, found in fetched.items()}

  def is_finished(self) -> bool:
    """Whether nothing is left to do."""
    return files.exists(self.summary) and files.exists(self._vectors)

  def is_tidy(self) -> bool:
    """Whether the parts are gone, too: a process may be killed before it has removed them."""
    return self.is_finished() and not files.exists(self._directory)

  # The plan.

  def has_plan(self) -> bool:
    """Whether it is known where the parts begin."""
    return files.exists(self._path(_PLAN))

  def plan(self) -> None:
    """Finds the parts."""
    text_file = TextFile(self._request.text_file, self._request.text_column)
    parts = text_file.parts(self._request.part_texts)
    if not parts:
      raise RequestError(f'TEXT_FILE {self._request.text_file} holds no text. '
                         'Give a file with one text a line')
    files.write_json(self._path(_PLAN), {
        'schema_version': SCHEMA_VERSION, 'kind': text_file.kind, 'handles': self._handles,
        'parts': [dataclasses.astuple(part) for part in parts]})
    self._run.say(f'{sum(part.count for part in parts)} texts in {len(parts)} parts')

  def check_handles(self) -> None:
    """Refuses to go on with other SavedModels than those that the stored parts are made with.

    Raises:
      RequestError: a handle has another content now.
    """
    if self.is_finished() or not self.has_plan():
      return
    for handle, before in files.read_json(self._path(_PLAN)).get('handles', {}).items():
      now = self._handles.get(handle)
      if now != before:
        raise RequestError(
            f'{handle} holds another SavedModel than when this run began (SHA-256 {before[:12]} '
            f'then, {str(now)[:12]} now), so its vectors would be of two models. Give another '
            '--out_dir, or set TFHUB_CACHE_DIR to the directory that has the earlier one')

  def parts(self) -> dict[str, Part]:
    """Parts by name, in their order; none if all is finished."""
    if self._parts is None:
      # A plan that is gone has just been finished by another process.
      there = self.has_plan() and not self.is_finished()
      found = files.read_json(self._path(_PLAN))['parts'] if there else []
      self._parts = {f'part-{number:05d}-of-{len(found):05d}': Part(*values)
                     for number, values in enumerate(found)}
    return self._parts

  @property
  def names(self) -> tuple[str, ...]:
    """Of the parts."""
    return tuple(self.parts())

  def _path(self, name: str) -> str:
    return files.join(self._directory, name)

  # A part.

  def has_part(self, name: str) -> bool:
    """Whether a part's vectors are stored."""
    return files.exists(self._path(f'{name}.npy')) or self.is_finished()

  def embed(self, name: str) -> None:
    """Stores how long a part's texts are, then its vectors."""
    part = self.parts()[name]
    texts = TextFile(self._request.text_file, self._request.text_column).read(part)
    embedder = self._load()
    stored = self._stored_texts()  # Once a part: it asks the disk about every part.
    began = said = time.monotonic()

    def progress(done: int) -> None:
      nonlocal said
      speed = f'{done / (time.monotonic() - began):.0f} texts/s'
      if self._bar is not None:
        self._bar.update(stored + done, f'{name}, {speed}')
      if not (self._bar and self._bar.is_drawn) and time.monotonic() - said >= _LINE_SECONDS:
        said = time.monotonic()
        self._run.say(f'{name}: {done} of {part.count} texts, {speed}')

    vectors, lengths = embedder.embed(texts, progress)
    interrupts.check()
    if not np.isfinite(vectors).all():
      row = part.row + int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
      raise RequestError(
          f'The vector of text {row + 1} of {self._request.text_file} is not finite: '
          f'{texts[row - part.row][:80]!r}. Check the export: gin/runs/verify.gin')
    files.write_json(self._path(f'{name}.json'), {
        'tokens': int(lengths.sum()), 'longest': int(lengths.max()),
        'at_max_seq_length': int((lengths == self._most).sum())})
    files.write_bytes(self._path(f'{name}.npy'), _npy(vectors))
    seconds = time.monotonic() - began
    self._run.say(f'{name}: {part.count} texts, {int(lengths.sum())} tokens in '
                  f'{duration(seconds)}, {part.count / max(seconds, 1e-9):.0f} texts/s')

  def _load(self) -> Any:
    if self._embedder is None:
      from nlp_export.embedding import embedder

      embedder.use_cores()
      self._embedder = embedder.Embedder(self._model, self._request.precision)
      for note in self._embedder.notes:
        self._run.say(f'note: {note}')
    return self._embedder

  def close(self) -> None:
    """Ends the threads."""
    if self._embedder is not None:
      self._embedder.close()
      self._embedder = None

  def _stored_texts(self) -> int:
    return sum(part.count for name, part in self.parts().items() if self.has_part(name))

  @contextlib.contextmanager
  def showing(self) -> Iterator[None]:
    """A bar of all texts, of every process, where there is a terminal."""
    total = sum(part.count for part in self.parts().values())
    with ProgressBar(total, self._stored_texts()) as self._bar:
      yield
    self._bar = None

  # The end.

  def put_together(self) -> None:
    """One file of all parts, then the summary, if they are not there; the parts are removed."""
    if not self.is_finished():
      self._write_vectors()
    files.remove_tree(self._directory)

  def _write_vectors(self) -> None:
    parts = self.parts()
    files.remove_stale_staging(self._vectors)  # As large as the result, of a killed process.
    head = self._part_vectors(next(iter(parts)))
    count, dim = sum(part.count for part in parts.values()), head.shape[1]
    with _local(self._vectors) as path:
      _WRITERS[self._request.format](
          path, (self._part_vectors(name) for name in parts), count, dim)
    said = [files.read_json(self._path(f'{name}.json')) for name in parts]
    pooling, most = self._model.pooling, self._most
    files.write_json(self.summary, {
        'schema_version': SCHEMA_VERSION,
        'texts': count, 'dim': dim, 'file': vectors_file(self._request.format),
        'sha256': files.sha256(self._vectors),
        'text_file': files.basename(self._request.text_file),
        'text_column': self._request.text_column,
        'export': files.basename(self._request.model.export.rstrip('/')),
        'inputs_sha256': sorted(self._run.input_hashes.values()),
        'pooling': None if pooling is None else list(poolings.parts(pooling)),
        'normalize': self._model.normalize, 'precision': self._request.precision,
        'max_seq_length': most, 'tokens': sum(part['tokens'] for part in said),
        'longest_text': max(part['longest'] for part in said),
        'texts_of_max_seq_length': (
            None if most is None else sum(part['at_max_seq_length'] for part in said))})

  def _part_vectors(self, name: str) -> np.ndarray:
    return np.load(io.BytesIO(files.read_bytes(self._path(f'{name}.npy'))), allow_pickle=False)


def _recorded_length(export: str) -> int | None:
  """Tokens to which a text_embedding cuts texts, as its record says; None for a stranger's."""
  path = files.join(export, names.EXTRA_DIR, names.PROVENANCE_FILE)
  record = files.read_json(path) if files.exists(path) else {}
  return record.get(names.TEXT_EMBEDDING, {}).get('max_seq_length')


def _npy(vectors: np.ndarray) -> bytes:
  written = io.BytesIO()
  np.save(written, vectors, allow_pickle=False)
  return written.getvalue()


@contextlib.contextmanager
def _local(path: str) -> Iterator[str]:
  """A local path to write to, whose file becomes `path`."""
  with files.replacing(path) as temporary:
    if not files.is_remote(temporary):
      yield temporary
      return
    with tempfile.TemporaryDirectory(prefix='nlp_export_') as directory:
      yield files.join(directory, 'vectors')
      files.copy(files.join(directory, 'vectors'), temporary)


def _write_npy(path: str, parts: Iterator[np.ndarray], count: int, dim: int) -> None:
  out = np.lib.format.open_memmap(path, mode='w+', dtype=np.float32, shape=(count, dim))
  row = 0
  for vectors in parts:
    out[row:row + len(vectors)] = vectors
    row += len(vectors)
  out.flush()


def _write_parquet(path: str, parts: Iterator[np.ndarray], count: int, dim: int) -> None:
  import pyarrow
  import pyarrow.parquet

  del count
  schema = pyarrow.schema([('embedding', pyarrow.list_(pyarrow.float32(), dim))])
  # Numbers without repetition: dictionaries and compression only cost time.
  with pyarrow.parquet.ParquetWriter(
      path, schema, compression='none', use_dictionary=False) as writer:
    for vectors in parts:
      column = pyarrow.FixedSizeListArray.from_arrays(
          pyarrow.array(np.ascontiguousarray(vectors).reshape(-1)), dim)
      writer.write_table(pyarrow.table([column], schema=schema))


_WRITERS: dict[str, Callable[[str, Iterator[np.ndarray], int, int], None]] = {
    requests.NPY: _write_npy, requests.PARQUET: _write_parquet}
