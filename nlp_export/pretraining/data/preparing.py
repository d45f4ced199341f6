"""How is text prepared once, by several processes, any of which may be killed?

Below the directory that shards.py describes, preparing/ keeps what has been done: a scan of each
text, plan.json, and for each finished shard its entry in the index. Each file appears whole and is
a function of text and request alone, so whoever makes it makes the same bytes. Who makes what is
settled by claims; index.json comes last.
"""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from nlp_export import files, names
from nlp_export.corpora import english, text_files
from nlp_export.corpora.text_files import Document, Run
from nlp_export.errors import RequestError
from nlp_export.pretraining.data import repeats, shard_plan, shards
from nlp_export.pretraining.data.tokens import TokenisedCorpus
from nlp_export.pretraining.data.unknown import count_unknown
from nlp_export.running.once import POLL_SECONDS, each_once, once

WORK_DIR = 'preparing'
_PLAN = 'plan.json'
_HELD_OUT_SENTENCES = 'held_out_sentences.npy'
# Usual lengths of a row; a sentence that is longer loses its end to the row's.
_LENGTHS = (128, 512)


@dataclasses.dataclass(frozen=True)
class Preparation:
  """What is asked for.

  Attributes:
    texts: files, as `text_files.expand` gives them; none for the embedded corpus.
    tokenizer: a `tokenizers.Tokenizer`.
    num_shards: files of training text; a process works on one at a time.
    held_out_share: of the bytes of text.
  """

  texts: tuple[str, ...]
  tokenizer: Any
  num_shards: int
  held_out_share: float

  def __post_init__(self) -> None:
    shards_, share = self.num_shards, self.held_out_share
    if isinstance(shards_, bool) or not isinstance(shards_, int) or not 0 < shards_ < 100_000:
      raise RequestError(f'SHARDS is {shards_!r}, but it has to be a number of files from 1. '
                         'Write for example --set SHARDS=8')
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 0.5:
      raise RequestError(f'HELD_OUT_SHARE is {share!r}, but it has to be above 0 and at most 0.5. '
                         'Write --set HELD_OUT_SHARE=0.05')


def prepare(
    asked: Preparation,
    directory: str,
    *,
    hashes: Mapping[str, str] | None = None,
    say: Callable[[str], None] = print,
    poll_seconds: float = POLL_SECONDS,
) -> Mapping[str, Any]:
  """Makes what is not there yet of the shards and their index; several processes may do so at once.

  Args:
    asked: the request. The directory may hold what an earlier call with an equal one has made.
    directory: of index.json; made if missing.
    hashes: SHA-256 of texts that are known already.
    say: shows a line.
    poll_seconds: between two looks while other processes are at work.

  Returns:
    The index.

  Raises:
    RequestError: the text or the vocabulary is not fit, or the directory holds another request's.
  """
  job = _Job(asked, directory, dict(hashes or {}), say)
  waits: dict[str, Any] = {'say': say, 'poll_seconds': poll_seconds}
  claims = files.join(directory, names.CLAIMS)
  each_once(claims, [job.scan_name(i) for i in range(len(job.texts))], job.is_there, job.scan,
            **waits)
  once(claims, 'plan', lambda: job.is_there(_PLAN), job.plan, **waits)
  rows = job.read_plan()['shards']
  held_out, *others = sorted(rows, key=lambda name: shards.split_of(name) == shards.TRAIN)
  for group in ([held_out], others):  # Training is compared with what is held out.
    each_once(claims, group, job.is_made, lambda name: job.make(name, rows[name]), **waits)
  once(claims, 'index', lambda: files.exists(job.index), job.write_index, **waits)
  return files.read_json(job.index)


class _Job:
  """The pieces of the work; each may be done by another process."""

  def __init__(
      self, asked: Preparation, directory: str, hashes: dict[str, str], say: Callable[[str], None]):
    self._asked = asked
    self._hashes = hashes
    self._directory = directory
    self._say = say
    self.index = files.join(directory, shards.INDEX)
    self.texts: list[tuple[str, Callable[..., Iterator[tuple[Run, Document]]]]] = [
        (files.basename(path), functools.partial(text_files.read_runs, path))
        for path in asked.texts
    ] or [('the embedded corpus', english.read_runs)]

  # Places.

  def scan_name(self, number: int) -> str:
    return f'scan-{number:05d}-of-{len(self.texts):05d}.npy'

  def _work(self, name: str) -> str:
    return files.join(self._directory, WORK_DIR, name)

  def is_there(self, name: str) -> bool:
    return files.exists(self._work(name))

  def _entry(self, shard: str) -> str:
    return f'{shard.removesuffix(shards.SUFFIX)}.json'

  def is_made(self, shard: str) -> bool:
    path = files.join(self._directory, shard)
    if not (self.is_there(self._entry(shard)) and files.exists(path)):
      return False
    return files.size(path) == files.read_json(self._work(self._entry(shard)))['entry']['bytes']

  # Pieces.

  def scan(self, name: str) -> None:
    number = int(name.split('-')[1])
    text, read_runs = self.texts[number]
    _save(self._work(name), shard_plan.scan(read_runs()))
    self._say(f'read {text}')

  def plan(self) -> None:
    scans = [np.load(io.BytesIO(files.read_bytes(self._work(self.scan_name(number)))))
             for number in range(len(self.texts))]
    if not any(map(len, scans)):
      raise text_files.no_text(self._asked.texts)
    found = shard_plan.divide(scans, self._asked.num_shards, self._asked.held_out_share)
    files.write_json(self._work(_PLAN), {
        'schema_version': 1, 'request': self._request,
        'texts': [{**text, **shard_plan.facts(scanned)}
                  for text, scanned in zip(self._request['texts'], scans, strict=True)],
        'documents': found.documents, 'copies': found.copies, 'shards': found.shards})

  def read_plan(self) -> dict[str, Any]:
    """The plan.

    Raises:
      RequestError: it is another request's.
    """
    plan = files.read_json(self._work(_PLAN))
    now, before = self._request, plan['request']
    for key in now:
      if now[key] != before[key]:
        raise RequestError(
            f'{self._directory} holds text that was prepared, or begun, with {key} {before[key]}, '
            f'and now it is {now[key]}. Prepare it in another directory')
    return plan

  @functools.cached_property
  def _request(self) -> dict[str, Any]:
    """What everything depends on, as JSON."""
    hashes = [self._hashes.get(path) or files.sha256(path) for path in self._asked.texts]
    return {
        'texts': [{'name': name, 'sha256': digest} for (name, _), digest in zip(
            self.texts, hashes or [english.sha256()], strict=True)],
        'tokenizer': shards.tokenizer_record(self._asked.tokenizer),
        'num_shards': self._asked.num_shards, 'held_out_share': self._asked.held_out_share}

  def make(self, name: str, rows: list[list[int]]) -> None:
    """A shard, then its entry."""
    sentences = repeats.Sentences()
    corpus = TokenisedCorpus.tokenised(
        sentences.of(self._documents(rows)), self._asked.tokenizer)
    unknown = count_unknown(corpus.tokens, self._asked.tokenizer, name)
    if shards.split_of(name) == shards.HELD_OUT:
      _save(self._work(_HELD_OUT_SENTENCES), sentences.hashes())
      seen = []
    else:
      seen = repeats.seen(self._held_out_sentences(), sentences.hashes())
    path = files.join(self._directory, name)
    shards.write(path, corpus)
    files.write_json(self._work(self._entry(name)), {
        'schema_version': 1, 'held_out_sentences_seen': seen,
        'entry': {**_counts(corpus), 'unknown_tokens': unknown, 'bytes': files.size(path),
                  'sha256': files.sha256(path)}})
    self._say(f'wrote {name}: {corpus.documents} documents, {len(corpus.tokens)} tokens')

  def _documents(self, rows: list[list[int]]) -> Iterator[Document]:
    for text, runs in shard_plan.runs_by_text(rows):
      for _, document in self.texts[text][1](runs):
        yield document

  def _held_out_sentences(self) -> np.ndarray:
    return np.load(io.BytesIO(files.read_bytes(self._work(_HELD_OUT_SENTENCES))))

  def write_index(self) -> None:
    plan = self.read_plan()
    made = {name: files.read_json(self._work(self._entry(name))) for name in plan['shards']}
    entries = {name: found['entry'] for name, found in made.items()}
    held_out = len(self._held_out_sentences())
    seen = len({n for found in made.values() for n in found['held_out_sentences_seen']})
    files.write_json(self.index, {
        'schema_version': shards.SCHEMA_VERSION, 'format': shards.FORMAT,
        **plan['request'], 'texts': plan['texts'], 'copies_of_documents': plan['copies'],
        'held_out_sentences_in_training': {
            'min_words': repeats.MIN_WORDS, 'sentences': held_out, 'seen': seen,
            'share': round(seen / held_out, 6) if held_out else 0.0},
        'splits': {split: _sums([entry for name, entry in entries.items()
                                 if shards.split_of(name) == split])
                   for split in (shards.TRAIN, shards.HELD_OUT)},
        'shards': entries})


def _counts(corpus: TokenisedCorpus) -> dict[str, Any]:
  lengths = np.diff(corpus.sentence_splits)
  return {
      'documents': corpus.documents, 'sentences': corpus.sentences, 'tokens': len(corpus.tokens),
      'dropped_sentences': corpus.dropped_sentences, 'dropped_documents': corpus.dropped_documents,
      'longest_document': int(np.diff(corpus.token_splits).max(initial=0)),
      'longest_sentence': int(lengths.max(initial=0)),
      **{f'sentences_longer_than_{length}': int((lengths > length).sum()) for length in _LENGTHS}}


def _sums(entries: list[dict[str, Any]]) -> dict[str, Any]:
  """Counts of all shards of a split together."""
  found: dict[str, Any] = {}
  for key in entries[0]:
    if key not in ('sha256', 'bytes'):
      values = [entry[key] for entry in entries]
      if None in values:
        found[key] = None
      else:
        found[key] = max(values) if key.startswith('longest') else sum(values)
  return found


def _save(path: str, values: np.ndarray) -> None:
  written = io.BytesIO()
  np.save(written, values)
  files.write_bytes(path, written.getvalue())


def lines(index: Mapping[str, Any], directory: str) -> Iterable[str]:
  """What came out, for a human."""
  for split in (shards.TRAIN, shards.HELD_OUT):
    found = index['splits'][split]
    count = sum(shards.split_of(name) == split for name in index['shards'])
    unknown = found['unknown_tokens']
    share = '' if unknown is None else f', {unknown / max(1, found["tokens"]):.2%} unknown'
    yield (f'{split}: {found["documents"]} documents, {found["sentences"]} sentences, '
           f'{found["tokens"]} tokens{share}; {count} shard{"s"[:count != 1]} in {directory}')
  repeated = index['held_out_sentences_in_training']
  if repeated['seen']:
    yield (f'note: {repeated["seen"]} of {repeated["sentences"]} held-out sentences of '
           f'{repeats.MIN_WORDS} words or more stand in the training text too '
           f'({repeated["share"]:.1%}): scores on them are too good')
  if index['copies_of_documents']:
    yield f'note: {index["copies_of_documents"]} documents are copies of others'
