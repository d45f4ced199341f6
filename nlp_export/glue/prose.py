"""Which English sentences does every Python installation carry?

The docstrings and comments of the standard library, and the language reference behind `help()`.
They are read as text at run time, so none of it is in this repository. The wording changes a
little from one Python version to the next; its SHA-256 goes into every record.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
import sysconfig
from collections.abc import Iterator, Sequence

from nlp_export import files
from nlp_export.corpora import help_topics
from nlp_export.errors import RequestError

# Packages that Linux distributions, too, ship with every Python. Single modules are all taken.
_PACKAGES = (
    'asyncio', 'collections', 'concurrent', 'ctypes', 'curses', 'email', 'encodings', 'html',
    'http', 'importlib', 'json', 'logging', 'multiprocessing', 'sqlite3', 'unittest', 'urllib',
    'wsgiref', 'xml', 'xmlrpc', 'zoneinfo',
)  # fmt: skip
# Not English ('this' is in rot13), or written by the machine it is installed on.
_LEFT_OUT = ('this', '_sysconfigdata', '_sysconfig_vars')

_DOCSTRING = re.compile(r'"""(.*?)"""|\'\'\'(.*?)\'\'\'', re.DOTALL)
_PARAGRAPH_END = re.compile(r'\n\s*\n')
_SENTENCE_END = re.compile(r'(?<=[.?!])\s+(?=[A-Z])')
_PROSE = re.compile(r"[A-Z][A-Za-z0-9 ,;:'()/\"-]*[a-z)]\.")
_MIN_WORDS, _MAX_WORDS = 5, 28
_PLAIN_SHARE = 0.7


@dataclasses.dataclass(frozen=True)
class Document:
  """Prose of one module or of one topic of help().

  Attributes:
    name: 'email/message.py' or 'topic:lambda'.
    passages: runs of sentences that follow each other in the text, in order. No sentence is in
      two passages of any document.
  """

  name: str
  passages: tuple[tuple[str, ...], ...]


@functools.cache
def documents() -> tuple[Document, ...]:
  """The documents of this Python, in the order of their names.

  Raises:
    RequestError: the standard library is not there as text.
  """
  seen: set[str] = set()
  found = []
  for name, blocks in _sources():
    passages = [run for block in blocks for run in _passages(block, seen)]
    if passages:
      found.append(Document(name, tuple(passages)))
  return tuple(found)


@functools.cache
def sha256() -> str:
  """SHA-256 of all sentences in their order."""
  digest = hashlib.sha256()
  for document in documents():
    for passage in document.passages:
      digest.update(('\n'.join(passage) + '\n\n').encode())
  return digest.hexdigest()


def _sources() -> Iterator[tuple[str, list[str]]]:
  """Names and blocks of text, the modules first."""
  root = sysconfig.get_paths()['stdlib']
  paths = files.glob(files.join(root, '*.py'))
  for package in _PACKAGES:
    folder = files.join(root, package)
    if files.is_dir(folder):
      paths += [files.join(folder, name) for name in files.list_tree(folder)
                if name.endswith('.py')]
  paths = [path for path in paths if not files.basename(path).startswith(_LEFT_OUT)]
  if not paths:
    raise RequestError(
        f'The builtin tasks are made from the texts of the standard library, but {root} has no '
        '.py files. Use a Python that has them, or a task of GLUE with GLUE_DIR.')
  for path in paths:
    source = files.read_bytes(path).decode('utf-8', 'replace')
    docstrings = [double or single for double, single in _DOCSTRING.findall(source)]
    yield path[len(root) + 1:].replace('\\', '/'), docstrings + list(_comments(source))
  yield from _topics()


def _topics() -> Iterator[tuple[str, list[str]]]:
  found = help_topics.topics(
      'The builtin tasks use the texts behind help()', 'use a task of GLUE with GLUE_DIR.')
  for name, text in sorted(found.items()):
    yield f'topic:{name}', [text]


def _comments(source: str) -> Iterator[str]:
  """Comments of more than one line."""
  block: list[str] = []
  for line in [*source.split('\n'), '']:
    stripped = line.strip()
    if stripped.startswith('# '):
      block.append(stripped[2:])
      continue
    if len(block) > 1:
      yield '\n'.join(block)
    block = []


def _passages(block: str, seen: set[str]) -> Iterator[tuple[str, ...]]:
  """Runs of neighbouring sentences of prose, all new; a run may go on in the next paragraph."""
  run: list[str] = []
  for paragraph in _PARAGRAPH_END.split(block):
    for sentence in _SENTENCE_END.split(' '.join(paragraph.split())):
      key = sentence.lower()
      if _is_prose(sentence) and key not in seen:
        seen.add(key)
        run.append(sentence)
      elif run:
        yield tuple(run)
        run = []
  if run:
    yield tuple(run)


def _is_prose(sentence: str) -> bool:
  """True for a sentence that is mostly plain words: no code, no headings, no tables."""
  words = sentence.split()
  if not _MIN_WORDS <= len(words) <= _MAX_WORDS or not _PROSE.fullmatch(sentence):
    return False
  return plain_words(words) >= _PLAIN_SHARE * len(words)


def plain_words(words: Sequence[str]) -> int:
  """How many are lower-case words, perhaps with a comma or full stop."""
  return sum(word.strip(',;:.').isalpha() and word.islower() for word in words)
