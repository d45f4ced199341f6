"""TF-NLP's pre-training records: made by its code and read here, written here and read by it."""

from __future__ import annotations

import random

import numpy as np
import pytest

from nlp_export import tokenizers
from nlp_export.corpora.text_files import Document
from nlp_export.errors import RequestError
from nlp_export.pretraining.data import tfnlp_records
from tests import tiny
from tests.pretraining.data import text_lab

LENGTH, PREDICTIONS = 32, 5


@pytest.fixture(scope='module')
def instances(tmp_path_factory, tiny_vocab):
  """What TF-NLP's script makes of a text, before it writes it."""
  from official.nlp.data import create_pretraining_data as script
  from official.nlp.tools import tokenization

  path = tmp_path_factory.mktemp('tfnlp') / 'text.txt'
  path.write_text(text_lab.as_text([  # Short sentences: several fit into a row.
      Document(tuple(' '.join(s.split()[:4]) for s in d.sentences), '')
      for d in text_lab.short_documents(6)]))
  tokenizer = tokenization.FullTokenizer(tiny_vocab, do_lower_case=True)
  return script.create_training_instances(
      [str(path)], tokenizer, script.get_processor_text_fn(False, True), LENGTH, 2, 0.1, 0.15,
      PREDICTIONS, random.Random(1), do_whole_word_mask=True), tokenizer


@pytest.fixture(scope='module')
def records(instances, tmp_path_factory):
  """Paths of its records by version."""
  from official.nlp.data import create_pretraining_data as script

  made, tokenizer = instances
  directory = tmp_path_factory.mktemp('records')
  paths = {}
  for version in (1, 2):
    paths[version] = [str(directory / f'v{version}-{n}.tfrecord') for n in range(2)]
    script.write_instance_to_example_files(
        made, tokenizer, LENGTH, PREDICTIONS, paths[version], version == 2, version == 2)
  return paths


@pytest.fixture(scope='module')
def tokenizer(tiny_vocab):
  return tokenizers.wordpiece(tiny_vocab, True)


@pytest.fixture(scope='module')
def read(records):
  return tfnlp_records.read([records[1][0].replace('-0.', '-*.')])


def test_both_versions_give_the_same_rows(records, read):
  """The second one's files are compressed, too."""
  second = tfnlp_records.read(records[2])
  assert sorted(read.columns) == sorted(second.columns) == [
      'input_mask', 'input_type_ids', 'input_word_ids', 'masked_lm_ids', 'masked_lm_positions',
      'masked_lm_weights', 'next_sentence_labels']
  for name, column in read.columns.items():
    np.testing.assert_array_equal(column, second.columns[name])
    assert column.dtype == (np.float32 if name == 'masked_lm_weights' else np.int32)
  assert (read.seq_length, read.max_predictions, read.has_pairs) == (LENGTH, PREDICTIONS, True)
  assert len(read.columns['input_word_ids']) > 20


def test_masks_can_be_undone(read, instances, tokenizer):
  masked, found = read.columns['input_word_ids'], read.unmasked()
  mask = tokenizer.vocabulary.index('[MASK]')
  assert (masked == mask).sum() > 20 and (found == mask).sum() == 0
  originals = []  # Instances go to the files in turn.
  for first in range(2):
    for instance in instances[0][first::2]:
      tokens = list(instance.tokens)
      for place, label in zip(instance.masked_lm_positions, instance.masked_lm_labels):
        tokens[place] = label
      originals.append(tokens)
  assert [[tokenizer.vocabulary[i] for i in row[:n]] for row, n in zip(
      found.tolist(), read.columns['input_mask'].sum(1))] == originals


def test_segments_are_the_text_of_both_without_special_tokens(read, tokenizer):
  flat, unmasked = read.unmasked().reshape(-1), read.unmasked()
  special = {tokenizer.vocabulary.index(t) for t in ('[CLS]', '[SEP]')}
  segments = read.segments()
  for row, (a, length_a, b, length_b, _) in enumerate(segments.tolist()):
    first, second = flat[a:a + length_a].tolist(), flat[b:b + length_b].tolist()
    packed = [2, *first, 3, *second, 3]
    assert packed == unmasked[row][:len(packed)].tolist()
    assert not special & {*first, *second}
    assert sum(read.columns['input_mask'][row]) == len(packed)
  assert set(segments[:, 4]) == {0, 1}


def test_our_rows_are_read_by_tf_nlps_loader(read, tmp_path):
  from official.nlp.data import pretrain_dataloader

  path = str(tmp_path / 'ours.tfrecord')
  batches = [{name: column[start:start + 4] for name, column in read.columns.items()}
             for start in (0, 4, 8)]
  assert tfnlp_records.write(path, batches) == 12
  loader = pretrain_dataloader.BertPretrainDataLoader(pretrain_dataloader.BertPretrainDataConfig(
      input_path=path, global_batch_size=4, seq_length=LENGTH, is_training=False,
      max_predictions_per_seq=PREDICTIONS, use_v2_feature_names=True))
  for batch, ours in zip(loader.load(), batches):
    for name, column in batch.items():
      np.testing.assert_array_equal(column.numpy(), ours[name])
  np.testing.assert_array_equal(
      tfnlp_records.read(path).columns['input_word_ids'], read.columns['input_word_ids'][:12])


def test_rows_without_pairs_have_no_label(read, tmp_path):
  path = str(tmp_path / 'single.tfrecord')
  columns = {n: c for n, c in read.columns.items() if n != 'next_sentence_labels'}
  columns['input_type_ids'] = np.zeros_like(columns['input_type_ids'])
  tfnlp_records.write(path, [columns])
  found = tfnlp_records.read(path)
  assert not found.has_pairs
  segments = found.segments()
  assert (segments[:, 3:] == 0).all() and (segments[:, 1] == columns['input_mask'].sum(1) - 2).all()


def test_new_masks_are_drawn_over_the_same_rows(read, tokenizer):
  from nlp_export.pretraining.data import batches
  from tests.pretraining.data import corpus_lab

  recipe = corpus_lab.recipe(seq_length=LENGTH, max_predictions=PREDICTIONS)
  ours = batches.Batches.of_instances(
      read.unmasked().reshape(-1), read.segments(), tokenizer, recipe, 8)
  batch = {name: np.asarray(values) for name, values in ours.batch(3).items()}
  found = tfnlp_records.Instances(batch, ('ours',))
  found.check(tokenizer, LENGTH, PREDICTIONS)
  theirs = {(*words, *types, *label) for words, types, label in zip(
      read.unmasked().tolist(), read.columns['input_type_ids'].tolist(),
      read.columns['next_sentence_labels'].tolist())}
  rows = list(zip(found.unmasked().tolist(), batch['input_type_ids'].tolist(),
                  batch['next_sentence_labels'].tolist()))
  assert all((*words, *types, *label) in theirs for words, types, label in rows)
  masked = {tuple(row) for row in read.columns['input_word_ids'].tolist()}
  assert not all(tuple(row) in masked for row in batch['input_word_ids'].tolist())  # Control.


@pytest.mark.parametrize(('length', 'predictions', 'last'), [
    (64, PREDICTIONS, f'Write seq_length = {LENGTH}, or make the records anew with '
                      'official/nlp/data/create_pretraining_data.py'),
    (LENGTH, 20, f'Write max_predictions = {PREDICTIONS}, or make the records anew with '
                 'official/nlp/data/create_pretraining_data.py'),
])
def test_other_settings_than_the_records_are_refused(read, tokenizer, length, predictions, last):
  with pytest.raises(RequestError) as error:
    read.check(tokenizer, length, predictions)
  assert str(error.value).endswith(last)
  read.check(tokenizer, LENGTH, PREDICTIONS)  # Control.


@pytest.mark.parametrize('change', [
    lambda tokens: tokens[:50],  # Ids beyond its end.
    lambda tokens: ['[PAD]', '[UNK]', '[SEP]', '[CLS]', *tokens[4:]],
    lambda tokens: [*tokens[:4], 'x0', *tokens[5:], '[MASK]'],
    lambda tokens: [*tokens[:4], 'x0', *tokens[5:]],
])
def test_another_vocabulary_is_refused(read, tmp_path, change):
  path = tmp_path / 'uncased.txt'
  path.write_text('\n'.join(change(tiny.wordpiece_tokens())) + '\n')
  with pytest.raises(RequestError, match='the vocabulary that the records were made with$'):
    read.check(tokenizers.wordpiece(str(path), True), LENGTH, PREDICTIONS)


def test_files_of_something_else_are_refused(records, read, tmp_path):
  import tensorflow as tf

  last = 'Give the TFRecord files that official/nlp/data/create_pretraining_data.py writes$'
  other, empty, shorter = (str(tmp_path / name) for name in ('other', 'empty', 'shorter'))
  for path, data in ((other, [b'\x00\x01']), (empty, [])):
    with tf.io.TFRecordWriter(path) as writer:
      for record in data:
        writer.write(record)
    with pytest.raises(RequestError, match=last):
      tfnlp_records.read(path)
  with tf.io.TFRecordWriter(other) as writer:
    writer.write(tf.train.Example().SerializeToString())
  with pytest.raises(RequestError, match=f'has no input_mask, no .*{last}'):
    tfnlp_records.read(other)
  cut = tmp_path / 'cut'
  data = open(records[1][0], 'rb').read()
  cut.write_bytes(data[:-50])
  assert open(records[2][0], 'rb').read(2) == b'\x1f\x8b' != data[:2]
  with pytest.raises(RequestError, match=f'a record is damaged.*{last}'):
    tfnlp_records.read(str(cut))
  tfnlp_records.write(shorter, [{n: c[:3, :4] for n, c in read.columns.items()}])
  with pytest.raises(RequestError, match='Give files of one kind$'):
    tfnlp_records.read([records[2][0], shorter])
  with pytest.raises(RequestError, match='or a pattern for them$'):
    tfnlp_records.read(str(tmp_path / 'none-*'))
