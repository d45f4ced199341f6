"""Packing: counts, positions and types against TF-NLP's layer and a loop that anyone can read."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import tensorflow as tf
from official.nlp.modeling import layers

from nlp_export.saved_models import packing
from nlp_export.tokenization.row_splits import without_words

CLS, SEP, PAD = 2, 3, 0


def pack(segments, seq_length, truncator='round_robin', padding_id=PAD):
  """Our rows for segments given as lists of lists."""
  ragged = [without_words(tf.ragged.constant(s, tf.int32, ragged_rank=1)) for s in segments]
  packed = packing.Packing(CLS, SEP, padding_id, truncator)(ragged, seq_length)
  return {key: value.numpy() for key, value in packed.items()}


def reference(segments, seq_length, truncator='round_robin', padding_id=PAD):
  packed = layers.BertPackInputs.bert_pack_inputs(
      [tf.ragged.constant(s, tf.int32, ragged_rank=1) for s in segments], seq_length,
      CLS, SEP, padding_id, truncator)
  return {key: value.numpy() for key, value in packed.items()}


def same(a, b) -> bool:
  return all(a[key].dtype == np.int32 and np.array_equal(a[key], b[key])
             for key in ('input_word_ids', 'input_mask', 'input_type_ids'))


def dealt(lengths, budget):
  """Counts after dealing tokens one at a time, in turn."""
  kept = [0] * len(lengths)
  while budget and kept != list(lengths):
    for i, length in enumerate(lengths):
      if budget and kept[i] < length:
        kept[i] += 1
        budget -= 1
  return kept


def poured(lengths, budget):
  """Counts after filling from left to right."""
  kept = []
  for length in lengths:
    kept.append(min(length, budget))
    budget -= kept[-1]
  return kept


@pytest.mark.conformance(84)
@pytest.mark.parametrize('first, second, seq_length, row', [
    (range(100, 110), range(200, 203), 8, [2, 100, 101, 102, 3, 200, 201, 3]),
    (range(100, 110), range(200, 203), 9, [2, 100, 101, 102, 3, 200, 201, 202, 3]),
    (range(100, 110), range(200, 203), 6, [2, 100, 101, 3, 200, 3]),
    (range(200, 203), range(100, 110), 8, [2, 200, 201, 202, 3, 100, 101, 3]),
])
def test_round_robin_vectors(first, second, seq_length, row):
  packed = pack([[list(first)], [list(second)]], seq_length)
  assert packed['input_word_ids'].tolist() == [row]
  assert packed['input_mask'].tolist() == [[1] * seq_length]
  poured_row = pack([[list(first)], [list(second)]], seq_length, 'waterfall')['input_word_ids']
  assert seq_length == 9 or len(first) == 3 or poured_row.tolist() != [row]  # control


@pytest.mark.conformance(85, 86)
@pytest.mark.parametrize('truncator, law', [('round_robin', dealt), ('waterfall', poured)])
def test_counts_follow_the_law_for_all_small_lengths(truncator, law):
  for count, top in ((1, 9), (2, 9), (3, 5), (4, 3)):
    lengths = list(itertools.product(range(top), repeat=count))
    graph = packing.Packing(CLS, SEP, PAD, truncator)
    for budget in range(2 * top + 2):
      kept = graph._kept(tf.constant(lengths, tf.int64), tf.constant(budget, tf.int64)).numpy()
      assert kept.tolist() == [list(law(row, budget)) for row in lengths], (count, budget)


@pytest.mark.conformance(83, 84, 85, 86)
@pytest.mark.parametrize('truncator', ['round_robin', 'waterfall'])
@pytest.mark.parametrize('count', [1, 2, 3])
def test_rows_equal_the_layer_of_tf_nlp(truncator, count):
  rng = random.Random(count)
  for seq_length in (count + 1, count + 2, 5, 6, 8, 9, 16, 40):
    segments = [[[rng.randrange(4, 99) for _ in range(rng.choice([0, 0, 1, 2, 5, 9, 20]))]
                 for _ in range(30)] for _ in range(count)]
    ours = pack(segments, seq_length, truncator, padding_id=7)
    assert same(ours, reference(segments, seq_length, truncator, padding_id=7))
    other = {'round_robin': 'waterfall', 'waterfall': 'round_robin'}[truncator]
    if count == 2 and seq_length == 9:
      assert not same(ours, pack(segments, seq_length, other, padding_id=7))  # control


def test_three_segments_have_three_types():
  packed = pack([[[11, 12]], [[]], [[13]]], 9)
  assert packed['input_word_ids'].tolist() == [[2, 11, 12, 3, 3, 13, 3, 0, 0]]
  assert packed['input_type_ids'].tolist() == [[0, 0, 0, 0, 1, 2, 2, 0, 0]]
  assert packed['input_mask'].tolist() == [[1] * 7 + [0] * 2]


@pytest.mark.conformance(86)
def test_empty_segments():
  rows = pack([[[], [5], []], [[6], [], []]], 6)['input_word_ids'].tolist()
  assert rows == [[2, 3, 6, 3, 0, 0], [2, 5, 3, 3, 0, 0], [2, 3, 3, 0, 0, 0]]


@pytest.mark.conformance(65)
def test_no_rows():
  packed = pack([[]], 5)
  assert all(value.shape == (0, 5) and value.dtype == np.int32 for value in packed.values())


@pytest.mark.conformance(90)
def test_too_short_rows_are_an_error_or_cut_as_by_tf_nlp():
  segments = [without_words(tf.ragged.constant([[5, 6]], tf.int32))] * 2
  with pytest.raises(tf.errors.InvalidArgumentError, match='must be at least 3, not'):
    packing.Packing(CLS, SEP, PAD)(segments, tf.constant(2))
  for seq_length in (0, 1, 2):
    cut = packing.Packing(CLS, SEP, PAD, checks_seq_length=False)(
        segments, tf.constant(seq_length))
    assert cut['input_word_ids'].numpy().tolist() == [[CLS, SEP][:seq_length]]
