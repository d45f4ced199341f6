"""Which documents do text files hold, and where in the file does each begin?

BERT's format: UTF-8, one sentence a line, a blank line between documents. Besides that a file's end
ends a document (TF-NLP's create_pretraining_data.py lets it run on into the next file); a line ends
at a line feed alone, whatever Unicode says; white space around it and a byte-order mark are
dropped. Files compressed with gzip are known by their first bytes. What is not UTF-8 is an error,
with file and line. Files are read as streams.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from nlp_export import files
from nlp_export.errors import RequestError

_BYTE_ORDER_MARK = b'\xef\xbb\xbf'
_GZIP = b'\x1f\x8b'


@dataclasses.dataclass(frozen=True)
class Document:
  """Sentences that follow each other.

  Attributes:
    sentences: at least one, none empty.
    source: where it comes from: 'wiki_00.txt:12' (file and line), or 'topic:lambda'.
  """

  sentences: tuple[str, ...]
  source: str


@dataclasses.dataclass(frozen=True)
class Run:
  """Neighbouring documents of a file.

  Attributes:
    offset: of the first one's first sentence [bytes]; in a gzip file, of the text in it.
    line: of that sentence, from 1.
    count: number of documents; None for all that follow.
  """

  offset: int = 0
  line: int = 1
  count: int | None = None


def read(patterns: str | Sequence[str]) -> Iterator[Document]:
  """The documents of all files that patterns name, in the order of `expand`.

  Raises:
    RequestError: see `expand` and `read_runs`; or there is no sentence in any of them.
  """
  paths, found = expand(patterns), False
  for path in paths:
    for _, document in read_runs(path):
      found = True
      yield document
  if not found:
    raise no_text(paths)


def no_text(paths: Sequence[str]) -> RequestError:
  """The error for files without a single sentence."""
  listed = ', '.join(paths[:3]) + (' ...' if len(paths) > 3 else '')
  return RequestError(
      f'TEXT_FILES: there is no text in {listed}: {sum(map(files.size, paths))} bytes, and every '
      'line is blank. Give files with one sentence a line, a blank line between documents.')


def expand(patterns: str | Sequence[str]) -> tuple[str, ...]:
  """The files that paths and shell patterns name: pattern after pattern, each one's sorted.

  Raises:
    RequestError: a pattern matches nothing, a directory, or a file that another one matches too.
  """
  patterns = (patterns,) if isinstance(patterns, str) else tuple(patterns)
  if not patterns:
    raise RequestError('TEXT_FILES is empty. Write for example '
                       "--set TEXT_FILES='text/*.txt', or leave it out for the embedded corpus.")
  found: list[str] = []
  for pattern in patterns:
    paths = files.glob(pattern)
    if not paths:
      raise RequestError(f'TEXT_FILES: no file matches {pattern}. '
                         'Give paths or patterns of UTF-8 text files: text/*.txt')
    for path in paths:
      if files.is_dir(path):
        raise RequestError(f'TEXT_FILES: {pattern} matches the directory {path}. '
                           f'Name the files in it: {files.join(path, "*")}')
      if path in found:
        raise RequestError(f'TEXT_FILES: {path} is named twice, so its text would count twice. '
                           'Write patterns that do not overlap')
      found.append(path)
  return tuple(found)


def read_runs(path: str, runs: Sequence[Run] = (Run(),)) -> Iterator[tuple[Run, Document]]:
  """Documents of one file, each with its own place.

  Args:
    path: a text file, plain or gzip.
    runs: which documents, by the places of an earlier reading, in the order of the file.

  Yields:
    The place (`count` 1) and the document.

  Raises:
    RequestError: not UTF-8, damaged gzip (each with the line), or fewer documents than a run has.
  """
  with _text(path) as stream:
    for run in runs:
      count = 0
      for place, sentences in _documents(stream, path, run):
        yield place, Document(sentences, f'{files.basename(path)}:{place.line}')
        count += 1
        if count == run.count:
          break
      if run.count is not None and count < run.count:
        raise RequestError(f'{path}, from line {run.line}: {count} documents where there were '
                           f'{run.count}: it was changed while it was read. Start again, with '
                           'another --out_dir')


@contextlib.contextmanager
def _text(path: str) -> Iterator[BinaryIO]:
  """The file's bytes, decompressed."""
  with files.open_binary(path) as stream:
    head = stream.read(2)
    stream.seek(0)
    if head == _GZIP:
      with gzip.GzipFile(fileobj=stream) as inner:
        yield inner  # type: ignore[misc]
    else:
      yield stream


def _documents(
    stream: BinaryIO, path: str, run: Run
) -> Iterator[tuple[Run, tuple[str, ...]]]:
  sentences: list[str] = []
  place, offset, number = run, run.offset, run.line
  for line in _lines(stream, path, run):
    text = _decoded(line, path, number)
    if text and not sentences:
      place = Run(offset, number, 1)
    if text:
      sentences.append(text)
    elif sentences:
      yield place, tuple(sentences)
      sentences = []
    offset += len(line)
    number += 1
  if sentences:
    yield place, tuple(sentences)


def _lines(stream: BinaryIO, path: str, run: Run) -> Iterator[bytes]:
  number = run.line
  try:
    stream.seek(run.offset)
    for line in stream:
      yield line
      number += 1
  except (EOFError, gzip.BadGzipFile, zlib.error) as error:
    raise RequestError(f'{path}, line {number}: damaged gzip ({error}). Copy the file again, or '
                       f'see how far it is good: gzip -t {path}') from error


def _decoded(line: bytes, path: str, number: int) -> str:
  if number == 1 and line.startswith(_BYTE_ORDER_MARK):
    line = line[len(_BYTE_ORDER_MARK):]
  if b'\0' in line:
    raise RequestError(f'{path}, line {number}: has a zero byte, so it is no text, or UTF-16. '
                       'Convert it with iconv -f UTF-16 -t UTF-8')
  try:
    return line.decode('utf-8').strip()
  except UnicodeDecodeError as error:
    raise RequestError(
        f'{path}, line {number}: not UTF-8 (byte {error.start + 1} of the line is '
        f'{line[error.start]:#04x}). Convert it with iconv -f <its encoding> -t UTF-8') from error
