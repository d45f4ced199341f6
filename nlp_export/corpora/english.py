"""Which English text needs no download? The language reference behind `help()`, as documents.

Python carries it as `pydoc_data.topics`, 460 to 510 KB; its wording changes with the version, also
from one 3.11 to another, so `sha256` goes into every record. The topics repeat each other: a fifth
of the bytes, and "special method names" contains three others whole. A sentence is kept where it
comes first, in the order of the topics' sizes, so that text held out of training is not trained on.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence

from nlp_export.corpora import help_topics
from nlp_export.corpora.text_files import Document, Run

_PARAGRAPH_END = re.compile(r'\n[ \t]*\n')
_SENTENCE_END = re.compile(
    r'(?<=[.?!:])\s+(?=["\'(]?[A-Z])|(?<=[.?!:]["\')])\s+(?=["\'(]?[A-Z])')
_WORD = re.compile(r'\w+')

# Grammar, sessions, tables.
_NO_PROSE = ('::=', '>>>', '+--')
_MIN_WORDS = 4
_LETTERS_SHARE = 0.8
_MIN_SENTENCES = 2


@functools.cache
def documents(prose_only: bool = True) -> tuple[Document, ...]:
  """A document for each topic, in the order of their names; no sentence is in it twice.

  Args:
    prose_only: leaves out paragraphs of code, grammar and tables. About 270 KB are left, in 77
      documents of 2,600 sentences (Python 3.11); with them it is 340 KB.

  Raises:
    RequestError: this Python has no `pydoc_data`.
  """
  seen: set[str] = set()
  found = []
  for name, text in sorted(_topics().items(), key=lambda item: (len(item[1]), item[0])):
    sentences = []
    for paragraph in _PARAGRAPH_END.split(text):
      flat = ' '.join(paragraph.split())
      if prose_only and not _is_prose(flat):
        continue
      for sentence in _SENTENCE_END.split(flat):
        key = ' '.join(_WORD.findall(sentence.lower()))
        if key and key not in seen:
          seen.add(key)
          sentences.append(sentence)
    if len(sentences) >= _MIN_SENTENCES:
      found.append(Document(tuple(sentences), f'topic:{name}'))
  return tuple(sorted(found, key=lambda document: document.source))


@functools.cache
def sha256(prose_only: bool = True) -> str:
  """SHA-256 of the text as a file of it would be: a sentence a line, blank lines between."""
  return hashlib.sha256(as_text(prose_only).encode()).hexdigest()


def as_text(prose_only: bool = True) -> str:
  """The documents as a text file has them."""
  return '\n'.join('\n'.join((*document.sentences, '')) for document in documents(prose_only))


def read_runs(runs: Sequence[Run] = (Run(),)) -> Iterator[tuple[Run, Document]]:
  """As `text_files.read_runs`, of the prose; a document's place is its number."""
  found = documents()
  for run in runs:
    end = len(found) if run.count is None else run.offset + run.count
    for number in range(run.offset, end):
      yield Run(number, 1, 1), found[number]


def _topics() -> Mapping[str, str]:
  return help_topics.topics(
      'The embedded corpus is the text behind help()',
      "give text of your own: --set TEXT_FILES='text/*.txt'")


def _is_prose(paragraph: str) -> bool:
  plain = sum(c.isalpha() or c == ' ' for c in paragraph)
  return (len(paragraph.split()) >= _MIN_WORDS and plain >= _LETTERS_SHARE * len(paragraph)
          and not any(mark in paragraph for mark in _NO_PROSE))
