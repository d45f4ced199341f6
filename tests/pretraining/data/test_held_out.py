"""The same batches at every evaluation, with fair labels, intervals over documents, baselines."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nlp_export import tokenizers
from nlp_export.errors import RequestError
from nlp_export.pretraining.data import unigram
from nlp_export.pretraining.data.held_out import HeldOut, mean_interval
from tests.pretraining.data import corpus_lab
from tests.pretraining.data.corpus_lab import digest, joined, same

SIZE = 8
GOLDEN = '06a84b48cebb1675'


@pytest.fixture(scope='module')
def tokenizer(tiny_vocab):
  return tokenizers.wordpiece(tiny_vocab, True)


@pytest.fixture(scope='module')
def corpus(tokenizer):
  return corpus_lab.corpus(7, vocab_size=tokenizer.vocab_size)


@pytest.fixture(scope='module')
def make(tokenizer, corpus):
  def held_out(passes=1, size=SIZE, text=corpus, **values):
    return HeldOut(text, tokenizer, corpus_lab.recipe(**values), size, passes)

  return held_out


@pytest.fixture(scope='module')
def whole(make):
  """Three passes."""
  return make(passes=3, data_seed=1)


def test_the_same_at_every_evaluation_in_every_run(make, whole):
  batches = whole.batches()
  again = make(passes=3, data_seed=2).batches()
  assert len(batches) == len(again) and all(same(a, b) for a, b in zip(batches, again))
  assert all(a is b for a, b in zip(batches, whole.batches()))
  assert digest(joined(batches)) == GOLDEN


def test_every_row_is_full_and_belongs_to_its_document(whole, corpus):
  batches = joined(whole.batches())
  rows = len(batches['input_mask'])
  assert rows % SIZE == 0 and len(whole.documents) == rows
  assert (batches['masked_lm_weights'].sum(axis=1) > 0).all()
  text, types = corpus_lab.original(batches), batches['input_type_ids']
  for row in range(rows):
    document = whole.documents[row]
    own = corpus.tokens[slice(*corpus.token_splits[document:document + 2])].tolist()
    a = text[row][(types[row] == 0) & (batches['input_mask'][row] == 1)][1:-1].tolist()
    assert any(own[at:at + len(a)] == a for at in range(len(own)))
  assert set(whole.documents) == set(range(7))
  assert (batches['next_sentence_labels'][:, 0] == whole.labels).all()


def test_labels_are_fair_coins(make):
  held_out = make(passes=40)
  share = held_out.labels.mean()
  assert abs(share - 0.5) < 4 * 0.5 / len(held_out.labels) ** 0.5
  assert held_out.majority_share == max(share, 1 - share) >= 0.5
  assert make(pairs=None).majority_share is None and make(pairs=None).labels is None


def test_more_passes_begin_with_the_fewer(make, whole):
  one, rows = make()._rows.all, whole._rows.all
  assert len(rows) > 2.5 * (len(one) - SIZE)
  np.testing.assert_array_equal(rows[:len(one)], one)
  # Control: what the rows depend on, besides the text.
  assert not np.array_equal(make(short_seq_probability=0.5)._rows.all[:SIZE], one[:SIZE])


def test_fewer_rows_than_a_batch_are_filled_up(make):
  large = make(size=64)
  assert len(large.documents) == len(large.labels) == large.describe()['rows'] == 64


def test_what_it_is_as_json(make, corpus):
  described = make().describe()
  assert json.loads(json.dumps(described)) == described
  assert described['documents'] == 7 and described['tokens'] == len(corpus.tokens)


def test_text_without_instances_is_refused(make):
  for text in (corpus_lab.of_sizes([3, 4]), corpus_lab.of_sizes([3], [4]), corpus_lab.of_sizes()):
    with pytest.raises(RequestError, match='^Of the held-out text no instances can be made. .*'
                       'or hold out more of it, held_out_share = 0.2$'):
      make(text=text)
  long = corpus_lab.of_sizes([40, 40], [50, 40])
  with pytest.raises(RequestError, match='a line each, or write pairs = None$'):
    make(text=long, short_seq_probability=0.0)
  assert make(text=long, pairs=None).documents.max() == 1
  for passes in (0, 1.5, True):
    with pytest.raises(RequestError, match='a whole number from 1, such as 4$'):
      make(passes=passes)


def test_the_interval_covers_as_often_as_it_says():
  rng = np.random.default_rng(0)
  documents = np.repeat(np.arange(30), rng.integers(3, 9, 30))
  misses = naive_misses = 0
  for _ in range(100):
    level = rng.normal(0.6, 0.15, 30).clip(0, 1)  # Rows of a document are alike.
    values = (rng.random(len(documents)) < level[documents]).astype(float)
    low, high = mean_interval(values, documents, 0.9)
    misses += not low <= 0.6 <= high
    wide = 1.645 * (values.mean() * (1 - values.mean()) / len(values)) ** 0.5
    naive_misses += abs(values.mean() - 0.6) > wide
  assert 4 <= misses <= 22
  assert naive_misses > misses  # Control: rows taken for independent.


def test_intervals_at_the_edges():
  values = np.array([1.0, 0.0, 1.0, 1.0])
  assert mean_interval(values, np.array([5, 5, 9, 9])) == mean_interval(
      values, np.array([0, 0, 1, 1]))
  low, high = mean_interval(values, np.array([0, 0, 1, 1]))
  assert (low, high) == (0.5, 1.0)
  assert np.isnan(mean_interval(values, np.zeros(4, int))).all()
  assert mean_interval(np.ones(4), np.arange(4)) == (1.0, 1.0)


def test_unigram_by_hand():
  train = np.array([[5, 5, 5, 6], [0, 2, 3, 7]])
  # Of 8 ids: 5 three times, 6 and 7 once; add one each: (4, 2, 2) of 5 + 8.
  expected = -(np.log(4 / 13) + np.log(2 / 13) + np.log(1 / 13)) / 3
  found = unigram.cross_entropy(train, np.array([5, 6, 4, 0, 3]), {0, 2, 3}, 8)
  assert found == pytest.approx(expected)
  assert unigram.cross_entropy(train, np.array([5]), {0, 2, 3}, 8) == pytest.approx(np.log(13 / 4))


def test_unigram_is_a_distribution_over_the_vocabulary():
  rng = np.random.default_rng(0)
  train = rng.integers(0, 50, 500)
  log = [unigram.cross_entropy(train, np.array([token]), (), 50) for token in range(50)]
  assert np.exp(-np.array(log)).sum() == pytest.approx(1)
  # Uniform tokens cannot be predicted better than by their number.
  assert unigram.cross_entropy(rng.integers(0, 50, 10**6), rng.integers(0, 50, 10**5), (), 50) == (
      pytest.approx(np.log(50), abs=1e-3))


def test_unigram_of_corpora_and_of_masked_tokens(whole, corpus, tokenizer):
  size, special = tokenizer.vocab_size, (0, 2, 3, 4)
  train = corpus_lab.corpus(40, vocab_size=size, seed=2)
  every = unigram.cross_entropy(train, corpus, special, size)
  masked = whole.masked_tokens()
  assert masked.ndim == 1 and not np.isin(masked, special).any()
  assert unigram.cross_entropy(train, masked, special, size) == pytest.approx(every, abs=0.1)
  assert unigram.cross_entropy(corpus, corpus, special, size) < every
  with pytest.raises(RequestError, match='or give held-out text$'):
    unigram.cross_entropy(train, np.array([0, 2]), special, size)
