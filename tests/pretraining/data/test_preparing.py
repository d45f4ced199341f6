"""Prepared text: whole, the same whoever makes it, and refused when it is not what it says."""

from __future__ import annotations

import errno
import os
import signal
import struct
import time
import uuid

import numpy as np
import pytest

from nlp_export import files, tokenizers
from nlp_export.corpora import text_files
from nlp_export.corpora.text_files import Document
from nlp_export.errors import RequestError
from nlp_export.pretraining.data import preparing, shards
from nlp_export.pretraining.data.tokens import TokenisedCorpus
from tests import tiny
from tests.pretraining.data import text_lab

TRAIN_0, TRAIN_1 = 'train-00000-of-00004.tfrecord', 'train-00001-of-00004.tfrecord'
HELD_OUT = 'held_out-00000-of-00001.tfrecord'


@pytest.fixture(scope='module')
def texts(tmp_path_factory):
  return text_lab.write_texts(tmp_path_factory.mktemp('text'))


@pytest.fixture(scope='module')
def tokenizer(tiny_vocab):
  return tokenizers.wordpiece(tiny_vocab, True)


@pytest.fixture(scope='module')
def once_made(tmp_path_factory, tiny_vocab, texts):
  """Shards made by one process. Shared: copy what you mean to change."""
  directory = str(tmp_path_factory.mktemp('made') / 'shards')
  text_lab.prepare(directory, tiny_vocab, texts)
  return directory


@pytest.fixture
def copy(once_made, tmp_path):
  files.copy_tree(once_made, str(tmp_path / 'copy'))
  return tmp_path / 'copy'


def in_documents(corpus):
  """source -> its tokens and sentence lengths."""
  found = {}
  for n, source in enumerate(corpus.sources):
    splits = corpus.sentence_splits[corpus.document_splits[n]:corpus.document_splits[n + 1] + 1]
    found[source] = (corpus.tokens[splits[0]:splits[-1]].tolist(), np.diff(splits).tolist())
  return found


def test_shards_hold_every_document_of_the_text_once(once_made, texts, tokenizer):
  train, held_out = shards.open_prepared(once_made, tokenizer)
  whole = TokenisedCorpus.tokenised(text_files.read(texts), tokenizer)
  assert train.documents + held_out.documents == whole.documents == 24
  assert in_documents(train) | in_documents(held_out) == in_documents(whole)
  assert not set(train.sources) & set(held_out.sources)
  assert held_out.documents > 0 and train.tokens.dtype == np.int32
  in_order = [source for source in whole.sources if source in train.sources]
  assert list(train.sources) == in_order
  assert 'b.txt:1' in whole.sources and any(s.startswith('c.gz:') for s in whole.sources)


def test_the_index_has_counts_and_hashes(once_made, texts, tokenizer):
  index = files.read_json(files.join(once_made, shards.INDEX))
  train, held_out = shards.open_prepared(once_made, tokenizer)
  assert sorted(index['shards']) == sorted(
      name for name in files.list_dir(once_made) if name.endswith('.tfrecord'))
  for split, corpus in (('train', train), ('held_out', held_out)):
    found = index['splits'][split]
    assert (found['documents'], found['sentences'], found['tokens']) == (
        corpus.documents, corpus.sentences, len(corpus.tokens))
    assert found['unknown_tokens'] == (corpus.tokens == 1).sum() > 0
    assert found['longest_sentence'] == np.diff(corpus.sentence_splits).max()
  assert [text['sha256'] for text in index['texts']] == [files.sha256(path) for path in texts]
  assert [text['documents'] for text in index['texts']] == [9, 6, 9]
  assert index['tokenizer']['sha256'] == files.sha256(tokenizer.vocab_file)
  assert index['shards'][TRAIN_0]['sha256'] == files.sha256(files.join(once_made, TRAIN_0))


def wait_until(condition, seconds=300.0):
  deadline = time.monotonic() + seconds
  while not condition():
    assert time.monotonic() < deadline
    time.sleep(0.02)


def test_two_processes_one_of_them_killed_make_the_same_bytes(
    once_made, texts, tiny_vocab, tmp_path):
  out = tmp_path / 'shards'
  both = [text_lab.start(out, tiny_vocab, texts, 0.5) for _ in range(2)]
  try:
    entries = out / preparing.WORK_DIR
    wait_until(lambda: len(list(entries.glob('train-*.json'))) >= 1)
    os.kill(both[0].pid, signal.SIGKILL)
    both[0].wait()
    screen, _ = both[1].communicate(timeout=300)
  finally:
    for process in both:
      process.kill()
      process.communicate()
  assert (both[0].returncode, both[1].returncode) == (-9, 0), screen
  made = {n: d for n, d in text_lab.made(out).items() if '.partial-' not in n}
  assert made == text_lab.made(once_made)


def test_what_is_made_stays_and_the_rest_is_made_by_the_next(
    once_made, texts, tiny_vocab, tmp_path, monkeypatch):
  written, write = [], shards.write

  def fail_at_the_third(path, corpus):
    if len(written) == 2:
      raise KeyboardInterrupt
    written.append(files.basename(path))
    write(path, corpus)

  monkeypatch.setattr(shards, 'write', fail_at_the_third)
  with pytest.raises(KeyboardInterrupt):
    text_lab.prepare(tmp_path, tiny_vocab, texts)
  assert written == [HELD_OUT, TRAIN_0] and not (tmp_path / 'index.json').exists()
  with pytest.raises(RequestError, match='Repeat the command that prepares it; it goes on: gin/.*'):
    shards.open_prepared(str(tmp_path), tokenizers.wordpiece(tiny_vocab, True))
  second = []
  monkeypatch.setattr(shards, 'write', lambda p, c: (second.append(files.basename(p)), write(p, c)))
  text_lab.prepare(tmp_path, tiny_vocab, texts)
  assert second == [TRAIN_1, 'train-00002-of-00004.tfrecord', 'train-00003-of-00004.tfrecord']
  assert text_lab.made(tmp_path) == text_lab.made(once_made)
  assert text_lab.prepare(tmp_path, tiny_vocab, texts) and len(second) == 3  # Nothing to do.


def test_a_shard_that_was_removed_is_made_again(copy, once_made, texts, tiny_vocab, tokenizer):
  (copy / TRAIN_1).unlink()
  with pytest.raises(RequestError, match='it is missing.*makes what is missing$'):
    shards.open_prepared(str(copy), tokenizer)
  text_lab.prepare(copy, tiny_vocab, texts)
  assert text_lab.made(copy) == text_lab.made(once_made)


def test_a_full_disk_leaves_what_was_made_and_says_so(texts, tiny_vocab, tmp_path, monkeypatch):
  import tensorflow as tf

  true, opened = tf.io.TFRecordWriter, []

  def writer(path):
    opened.append(path)
    if len(opened) == 3:
      raise OSError(errno.ENOSPC, 'No space left on device')
    return true(path)

  monkeypatch.setattr(tf.io, 'TFRecordWriter', writer)
  with pytest.raises(RequestError, match='the disk is full. Free some space or write elsewhere: '
                                         '--out_dir DIR.$'):
    text_lab.prepare(tmp_path, tiny_vocab, texts)
  assert [n for n in files.list_dir(str(tmp_path)) if n != 'claims'] == [
      HELD_OUT, 'preparing', TRAIN_0]
  text_lab.prepare(tmp_path, tiny_vocab, texts)  # Control: with space it goes on.
  assert (tmp_path / 'index.json').exists()


def test_it_works_on_an_object_store(texts, tiny_vocab, tokenizer, once_made):
  place = f'ram://shards/{uuid.uuid4().hex}'
  text_lab.prepare(place, tiny_vocab, texts)
  assert text_lab.made(place) == text_lab.made(once_made)
  assert shards.open_prepared(place, tokenizer)[0].documents > 0


def test_another_request_for_the_same_directory_is_refused(copy, texts, tiny_vocab):
  with pytest.raises(RequestError, match='num_shards 4, and now it is 3.*another directory$'):
    text_lab.prepare(copy, tiny_vocab, texts, num_shards=3)


def test_the_embedded_corpus_can_be_prepared(tiny_vocab, tmp_path, tokenizer):
  index = text_lab.prepare(tmp_path, tiny_vocab, (), num_shards=2)
  assert index['held_out_sentences_in_training']['seen'] == 0
  assert index['held_out_sentences_in_training']['sentences'] > 100
  train, held_out = shards.open_prepared(str(tmp_path), tokenizer)
  assert train.sources[0].startswith('topic:')
  assert 0.05 < len(held_out.tokens) / len(train.tokens) < 0.2


# Text that is not as it should be.


def corpus_of(tmp_path, documents):
  path = tmp_path / 'text.txt'
  path.write_text(text_lab.as_text([Document(tuple(d), '') for d in documents]))
  return [str(path)]


def test_held_out_sentences_that_stand_in_training_are_counted(tmp_path, tiny_vocab):
  quoted = 'It is said that all of this has been written before.'
  documents = [[f'Number {n} has a sentence that no other document has at all.', quoted, 'Short.']
               for n in range(20)]
  index = text_lab.prepare(tmp_path / 'a', tiny_vocab, corpus_of(tmp_path, documents), 2)
  found, held_out = index['held_out_sentences_in_training'], index['splits']['held_out']
  assert (found['seen'], found['sentences']) == (1, held_out['documents'] + 1)
  assert any('stand in the training text too' in line for line in preparing.lines(index, 'a'))
  plain = [[s for s in document if s != quoted] for document in documents]  # Control.
  index = text_lab.prepare(tmp_path / 'b', tiny_vocab, corpus_of(tmp_path, plain), 2)
  assert index['held_out_sentences_in_training']['seen'] == 0
  assert not any('note' in line for line in preparing.lines(index, 'b'))


def test_of_long_documents_and_sentences_nothing_is_lost(tmp_path, tiny_vocab, tokenizer):
  long = [['cat sat on the mat ' * 400], *[[f'dog {n} sat.'] * 30 for n in range(200)]]
  texts = corpus_of(tmp_path, [*long, [s for d in long[1:] for s in d], ['\u0301']])
  index = text_lab.prepare(tmp_path / 'out', tiny_vocab, texts, 3)
  train, held_out = shards.open_prepared(str(tmp_path / 'out'), tokenizer)
  whole = TokenisedCorpus.tokenised(text_files.read(texts), tokenizer)
  assert len(train.tokens) + len(held_out.tokens) == len(whole.tokens)
  both = index['splits']['train'], index['splits']['held_out']
  assert max(split['longest_sentence'] for split in both) == 2000
  assert sum(split['sentences_longer_than_512'] for split in both) == 1
  assert max(split['longest_document'] for split in both) > 20_000
  assert sum(split['dropped_documents'] for split in both) == 1  # An accent alone has no token.


def test_text_that_the_vocabulary_does_not_know_is_refused(tmp_path, texts):
  path = tmp_path / 'uncased.txt'
  whole = [t for t in tiny.wordpiece_tokens() if not t.startswith('##')]  # No pieces of words.
  path.write_text('\n'.join(whole) + '\n')
  with pytest.raises(RequestError, match=r'\d\d% of the \d+ tokens of held_out-.* are unknown to .*'
                                         'build one: gin/runs/build_vocabulary.gin$'):
    text_lab.prepare(tmp_path / 'out', str(path), texts)
  assert not list((tmp_path / 'out').glob('*.tfrecord'))


def test_fewer_documents_than_shards_are_refused(tmp_path, tiny_vocab):
  texts = corpus_of(tmp_path, [[f'Document {n}.'] for n in range(3)])
  with pytest.raises(RequestError, match='Write --set SHARDS=2, or fewer$'):
    text_lab.prepare(tmp_path / 'out', tiny_vocab, texts, 6, 0.3)
  assert text_lab.prepare(tmp_path / 'out2', tiny_vocab, texts, 2, 0.3)['shards']  # Control.


def test_text_without_a_sentence_is_refused(tmp_path, tiny_vocab):
  (tmp_path / 'text.txt').write_text('\n \n')
  with pytest.raises(RequestError, match='every line is blank. .* between documents.$'):
    text_lab.prepare(tmp_path / 'out', tiny_vocab, [str(tmp_path / 'text.txt')])


@pytest.mark.parametrize(('given', 'last'), [
    ({'num_shards': 0}, 'Write for example --set SHARDS=8'),
    ({'num_shards': 2.5}, 'Write for example --set SHARDS=8'),
    ({'held_out_share': 0}, 'Write --set HELD_OUT_SHARE=0.05'),
    ({'held_out_share': 0.7}, 'Write --set HELD_OUT_SHARE=0.05'),
])
def test_numbers_that_cannot_be_are_refused(given, last, tokenizer):
  with pytest.raises(RequestError) as error:
    preparing.Preparation((), tokenizer, **{'num_shards': 2, 'held_out_share': 0.1, **given})
  assert str(error.value).endswith(last)


# Shards that are not as they should be.


def first_records(data: bytes, count: int) -> bytes:
  """The file cut behind a record: TensorFlow reads it without an error."""
  at = 0
  for _ in range(count):
    at += struct.unpack_from('<Q', data, at)[0] + 16
  return data[:at]


def flipped(data: bytes) -> bytes:
  return data[:50] + bytes([data[50] ^ 1]) + data[51:]


@pytest.mark.parametrize(('change', 'says'), [
    (lambda data: first_records(data, 2), 'it has .* bytes, and'),
    (flipped, 'its SHA-256 is'),
    (lambda data: b'', 'it has 0 bytes, and'),
])
def test_a_damaged_shard_is_refused(copy, tokenizer, change, says):
  import tensorflow as tf

  path = copy / TRAIN_0
  before = path.read_bytes()
  path.write_bytes(change(before))
  if says == 'it has .* bytes, and':  # Why the index has sizes: no error without it.
    assert sum(1 for _ in tf.data.TFRecordDataset(str(path))) == 2
  with pytest.raises(RequestError, match=f'{TRAIN_0} is damaged: {says}.*makes what is missing$'):
    shards.open_prepared(str(copy), tokenizer)
  path.write_bytes(before)  # Control.
  shards.open_prepared(str(copy), tokenizer)


def test_an_index_that_does_not_fit_its_records_is_refused(copy, tokenizer):
  path = str(copy / 'index.json')
  index = files.read_json(path)
  index['shards'][TRAIN_0]['documents'] += 1
  files.write_json(path, index)
  with pytest.raises(RequestError, match=r'it has \d+ documents, and \d+ in index.json.*missing$'):
    shards.open_prepared(str(copy), tokenizer)


def test_a_record_of_something_else_is_refused(copy, tokenizer):
  import tensorflow as tf

  path = str(copy / TRAIN_0)
  with tf.io.TFRecordWriter(path) as writer:
    writer.write(b'something else')
  with pytest.raises(RequestError, match='its records cannot be read .*makes what is missing$'):
    shards.read(path)


def test_shards_of_two_preparations_are_not_mixed(copy, tokenizer):
  (copy / 'train-00000-of-00008.tfrecord').write_bytes(b'')
  with pytest.raises(RequestError) as error:
    shards.open_prepared(str(copy), tokenizer)
  assert 'train-*-of-00004.tfrecord: shards of two preparations are mixed' in str(error.value)
  assert str(error.value).endswith('not in the index: train-00000-of-00008.tfrecord')


def test_another_tokenizer_is_refused_with_both_hashes(once_made, tiny_vocab, tmp_path):
  other = tmp_path / 'other_uncased.txt'
  other.write_text('\n'.join([*tiny.wordpiece_tokens(), 'more']) + '\n')
  with pytest.raises(RequestError) as error:
    shards.open_prepared(once_made, tokenizers.wordpiece(str(other), True))
  said = str(error.value)
  assert files.sha256(tiny_vocab) in said and files.sha256(str(other)) in said
  assert said.endswith('prepare the text again with gin/runs/prepare_pretraining_data.gin')
  with pytest.raises(RequestError, match='lower_case: True then, False now'):
    shards.open_prepared(once_made, tokenizers.wordpiece(tiny_vocab, False))
  renamed = tmp_path / 'renamed.txt'  # Control: the name does not count.
  files.copy(tiny_vocab, str(renamed))
  shards.open_prepared(once_made, tokenizers.wordpiece(str(renamed), True))


@pytest.mark.parametrize(('text', 'last'), [
    (None, 'give the directory shards/ in its out_dir'),
    ('{"format": "other"}', 'Give the directory shards/ that gin/runs/prepare_pretraining_data.gin '
                            'makes'),
    ('{"format": "nlp_export.pretraining_shards", "schema_version": 9}',
     'Prepare the text again with gin/runs/prepare_pretraining_data.gin'),
])
def test_a_directory_of_something_else_is_refused(tmp_path, tokenizer, text, last):
  if text is not None:
    (tmp_path / 'index.json').write_text(text)
  with pytest.raises(RequestError) as error:
    shards.open_prepared(str(tmp_path), tokenizer)
  assert str(error.value).endswith(last)
