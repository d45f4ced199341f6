"""How does tokenised text lie on disk, and is it complete, unchanged and of this tokenizer?

    index.json                              counts, sizes and hashes of all that follows
    train-00000-of-00006.tfrecord ...       a record for each document: a tf.Example with
    held_out-00000-of-00001.tfrecord          tokens: int64 list, without special tokens
                                              sentence_lengths: int64 list, tokens in each sentence
                                              source: bytes, file and line, for messages

No pairs, no masks, no lengths: these are functions of seed and step and stay free. A TFRecord file
that is cut behind a record reads without an error, so only the index tells that it is whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.pretraining.data.tokens import TokenisedCorpus
from nlp_export.tokenization import tokenizer_types
from nlp_export.tokenization.tokenizer_types import SentencePiece, WordPiece

INDEX = 'index.json'
TRAIN, HELD_OUT = 'train', 'held_out'
SUFFIX = '.tfrecord'
FORMAT = 'nlp_export.pretraining_shards'
SCHEMA_VERSION = 1

_TOKENS, _LENGTHS, _SOURCE = 'tokens', 'sentence_lengths', 'source'
_BATCH = 256  # Records parsed at once.
_PREPARE = 'gin/runs/prepare_pretraining_data.gin'


def shard_name(split: str, number: int, total: int) -> str:
  """'train-00000-of-00006.tfrecord'."""
  return f'{split}-{number:05d}-of-{total:05d}{SUFFIX}'


def split_of(name: str) -> str:
  """'train' or 'held_out', of a shard's name."""
  return name.partition('-')[0]


def tokenizer_record(tokenizer: Any) -> dict[str, Any]:
  """What makes the ids: kind, options, SHA-256 of the vocabulary. 'file' is for the reader only."""
  options = {}
  if isinstance(tokenizer, WordPiece | SentencePiece):
    options = tokenizer_types.settings(tokenizer)
  asset = tokenizer.asset_file
  return {
      'kind': tokenizer.kind, 'vocab_size': tokenizer.vocab_size,
      'lower_case': tokenizer.lower_case, 'file': files.basename(asset) if asset else None,
      'sha256': files.sha256(asset) if asset else None, **options}


def write(path: str, corpus: TokenisedCorpus) -> None:
  """Writes a shard; the same corpus gives the same bytes.

  Raises:
    RequestError: it cannot be written; nothing is left then.
  """
  import tensorflow as tf

  files.remove_stale_staging(path)
  lengths = np.diff(corpus.sentence_splits)
  with files.replacing(path) as temporary, tf.io.TFRecordWriter(temporary) as writer:
    for number in range(corpus.documents):
      first, last = corpus.document_splits[number:number + 2]
      source = corpus.sources[number] if corpus.sources else ''
      example = tf.train.Example(features=tf.train.Features(feature={
          _TOKENS: _integers(corpus.tokens[corpus.sentence_splits[first]:
                                           corpus.sentence_splits[last]]),
          _LENGTHS: _integers(lengths[first:last]),
          _SOURCE: tf.train.Feature(bytes_list=tf.train.BytesList(value=[source.encode()]))}))
      writer.write(example.SerializeToString(deterministic=True))


def _integers(values: np.ndarray) -> Any:
  import tensorflow as tf

  return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def read(path: str) -> TokenisedCorpus:
  """The documents of a shard.

  Raises:
    RequestError: it is damaged, or no shard.
  """
  import tensorflow as tf

  features = {_TOKENS: tf.io.RaggedFeature(tf.int64), _LENGTHS: tf.io.RaggedFeature(tf.int64),
              _SOURCE: tf.io.FixedLenFeature([], tf.string)}
  records = tf.data.TFRecordDataset(path).batch(_BATCH).map(
      lambda batch: tf.io.parse_example(batch, features))
  tokens, lengths = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
  counts, sources = [np.zeros(0, np.int64)], []
  try:
    for batch in records:
      tokens.append(batch[_TOKENS].values.numpy().astype(np.int32))
      lengths.append(batch[_LENGTHS].values.numpy())
      counts.append(batch[_LENGTHS].row_lengths().numpy().astype(np.int64))
      sources += [source.decode() for source in batch[_SOURCE].numpy().tolist()]
  except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
    raise _damaged(path, f'its records cannot be read ({str(error)[:80]} ...)') from error
  return TokenisedCorpus.of_lengths(
      np.concatenate(tokens), np.concatenate(lengths), np.concatenate(counts), sources)


def open_prepared(
    index_dir: str, tokenizer: Any
) -> tuple[TokenisedCorpus, TokenisedCorpus]:
  """Prepared text, checked against its index and the tokenizer.

  Args:
    index_dir: directory with index.json and the shards.
    tokenizer: a `tokenizers.Tokenizer`, the one it was prepared with.

  Returns:
    What is trained on, and what is held out.

  Raises:
    RequestError: it is incomplete, damaged, mixed with other shards, or another tokenizer's.
  """
  index = check_prepared(index_dir, tokenizer)
  parts: dict[str, list[TokenisedCorpus]] = {TRAIN: [], HELD_OUT: []}
  for name, entry in sorted(index['shards'].items()):
    path = files.join(index_dir, name)
    digest = files.sha256(path)
    if digest != entry['sha256']:
      raise _damaged(path, f'its SHA-256 is {digest[:12]}..., and {entry["sha256"][:12]}... in '
                           f'{INDEX}')
    corpus = read(path)
    for what, found in (('documents', corpus.documents), ('sentences', corpus.sentences),
                        ('tokens', len(corpus.tokens))):
      if found != entry[what]:
        raise _damaged(path, f'it has {found} {what}, and {entry[what]} in {INDEX}')
    parts[split_of(name)].append(corpus)
  return TokenisedCorpus.joined(parts[TRAIN]), TokenisedCorpus.joined(parts[HELD_OUT])


def check_prepared(index_dir: str, tokenizer: Any) -> Mapping[str, Any]:
  """The index, after all checks that read no shard: light, for plans.

  Raises:
    RequestError: as `open_prepared`.
  """
  index = _read_index(index_dir)
  _check_tokenizer(index_dir, index['tokenizer'], tokenizer)
  there = {name for name in files.list_dir(index_dir) if name.endswith(SUFFIX)}
  named = set(index['shards'])
  if there - named:
    raise RequestError(
        f'{index_dir} holds {min(there - named)}, but its {INDEX} has {_total(named)}: shards of '
        'two preparations are mixed. Move away those that are not in the index: '
        f'{" ".join(sorted(there - named)[:3])}')
  for name in sorted(named):
    path = files.join(index_dir, name)
    if name not in there:
      raise _damaged(path, 'it is missing')
    size = files.size(path)
    if size != index['shards'][name]['bytes']:
      raise _damaged(path, f'it has {size} bytes, and {index["shards"][name]["bytes"]} in {INDEX}')
  return index


def _read_index(index_dir: str) -> Mapping[str, Any]:
  path = files.join(index_dir, INDEX)
  if not files.exists(path):
    begun = files.exists(index_dir) and any(
        name.endswith(SUFFIX) for name in files.list_dir(index_dir))
    found = ('it has shards, but no' if begun else 'it has no') + f' {INDEX}'
    raise RequestError(
        f'{index_dir} is no prepared text: {found}, which is written last. '
        + (f'Repeat the command that prepares it; it goes on: {_PREPARE}' if begun else
           f'Prepare text with {_PREPARE} and give the directory shards/ in its out_dir'))
  index = files.read_json(path)
  if not isinstance(index, dict) or index.get('format') != FORMAT:
    raise RequestError(f'{path} is not the index of prepared text. '
                       f'Give the directory shards/ that {_PREPARE} makes')
  if index['schema_version'] != SCHEMA_VERSION:
    raise RequestError(f'{path} has schema_version {index["schema_version"]}, and this program '
                       f'reads {SCHEMA_VERSION}. Prepare the text again with {_PREPARE}')
  return index


def _check_tokenizer(index_dir: str, before: Mapping[str, Any], tokenizer: Any) -> None:
  now = tokenizer_record(tokenizer)
  differ = [f'{key}: {before.get(key)!r} then, {now.get(key)!r} now'
            for key in sorted({*before, *now} - {'file'}) if before.get(key) != now.get(key)]
  if differ:
    raise RequestError('\n'.join([
        f'{index_dir} was prepared with another tokenizer ({before["file"]} then, {now["file"]} '
        'now), so its ids mean other tokens:', *(f'  {line}' for line in differ),
        f'Give the tokenizer it was prepared with, or prepare the text again with {_PREPARE}']))


def _total(names: set[str]) -> str:
  found = sorted({re.sub(r'-\d+-of', '-*-of', name) for name in names})
  return ' and '.join(found)


def _damaged(path: str, why: str) -> RequestError:
  return RequestError(
      f'{path} is damaged: {why}. Copy it again; or remove it and repeat the command that made '
      f'it ({_PREPARE}), which makes what is missing')
