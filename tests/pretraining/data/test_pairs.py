"""Segments and labels, by hand and against TF-NLP's own script."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from nlp_export.pretraining.data import pairs
from nlp_export.pretraining.data.draws import draws
from nlp_export.pretraining.data.pairs import Places
from nlp_export.pretraining.data.spans import Plan
from tests.pretraining.data import corpus_lab

TRIES = 4_000


def places(corpus, document=0, target=20, tries=TRIES, first=None):
  """The same place of a document many times, each with draws of its own."""
  begin = corpus.document_splits[document] if first is None else first
  end = corpus.document_splits[document + 1]
  return Places(*(np.full(tries, value) for value in (document, begin, end, target)),
                key=draws(1, np.arange(tries)))


def share(values) -> float:
  return float(np.mean(values))


def test_next_sentence_takes_the_rest_or_another_document():
  corpus = corpus_lab.of_sizes([4, 5, 6, 7, 8], [3, 3, 3], [2, 9])
  made = pairs.next_sentence(corpus, places(corpus), 100)
  label = made.rows[:, 4] == 1
  assert (made.sentences == 4).all()  # 4 + 5 + 6 + 7 is the first that reaches 20.
  assert abs(share(label) - 0.5) < 0.04
  a, b = made.rows[:, :2], made.rows[:, 2:4]
  assert (a[:, 0] == 0).all() and set(a[:, 1]) == {4, 9, 15}
  np.testing.assert_allclose([share(a[:, 1] == n) for n in (4, 9, 15)], 1 / 3, atol=0.04)
  # Label 0: what follows, up to the end of the chunk, behind which the document goes on.
  assert (b[~label, 0] == a[~label, 1]).all() and (b[~label].sum(axis=1) == 22).all()
  assert (made.following[~label] == 4).all()
  # Label 1: another document, and the sentences of b are used by the next chunk.
  assert (b[label, 0] >= 30).all()
  ends = np.array([0, 4, 9, 15])
  assert (ends[made.following[label]] == a[label, 1]).all()
  begins = [30, 33, 36, 39, 41]
  assert set(b[label, 0]) == set(begins)
  np.testing.assert_allclose([share(b[label, 0] == n) for n in begins],
                             [1 / 6, 1 / 6, 1 / 6, 1 / 4, 1 / 4], atol=0.04)
  # As many sentences of it as reach the target, at least one: from 30 on 3, 6 or 9 of 9 tokens.
  for length, wanted in ((4, 9), (9, 9), (15, 6)):
    assert set(b[label & (a[:, 1] == length) & (b[:, 0] == 30), 1]) == {wanted}


def test_one_sentence_alone_gets_another_document():
  corpus = corpus_lab.of_sizes([25, 5], [3, 3])
  made = pairs.next_sentence(corpus, places(corpus), 100)
  assert (made.rows[:, 4] == 1).all() and (made.sentences == 1).all()
  assert (made.following == 1).all() and set(made.rows[:, 2]) == {30, 33}
  assert (made.rows[:, :2] == [0, 25]).all()


def test_sentence_order_swaps_half_of_them():
  corpus = corpus_lab.of_sizes([4, 5, 6, 7, 8], [3, 3, 3])
  made = pairs.sentence_order(corpus, places(corpus), 100)
  label = made.rows[:, 4] == 1
  assert abs(share(label) - 0.5) < 0.04 and (made.following == 4).all()
  a, b = made.rows[:, :2], made.rows[:, 2:4]
  assert (a[~label].sum(axis=1) == b[~label, 0]).all() and (a[~label, 0] == 0).all()
  assert (b[label].sum(axis=1) == a[label, 0]).all() and (b[label, 0] == 0).all()
  assert (a[:, 1] + b[:, 1] == 22).all()


def test_sentence_order_takes_two_sentences_where_there_are_two():
  corpus = corpus_lab.of_sizes([25, 5, 2], [3])
  made = pairs.sentence_order(corpus, places(corpus), 28)
  assert (made.sentences == 2).all() and (made.following == 2).all()
  assert (made.rows[:, [1, 3]].sum(axis=1) == 28).all()  # 30 tokens, cut to fit.
  alone = pairs.sentence_order(corpus, places(corpus, first=2), 28)
  assert (alone.sentences == 1).all() and (alone.following == 3).all()


def test_single_segments_are_whole_sentences_that_fit():
  corpus = corpus_lab.of_sizes([4, 5, 6, 7, 8], [3])
  made = pairs.single(corpus, places(corpus), 20)
  assert (made.rows == [0, 15, 0, 0, 0]).all() and (made.following == 3).all()
  exact = pairs.single(corpus, places(corpus, target=22), 22)
  assert (exact.rows == [0, 22, 0, 0, 0]).all() and (exact.following == 4).all()
  # A short target is not exceeded either, unless by the first sentence.
  assert (pairs.single(corpus, places(corpus, target=2), 22).rows[:, 1] == 4).all()


def test_a_sentence_longer_than_the_row_gives_a_random_window_of_it():
  corpus = corpus_lab.of_sizes([3, 30, 3], [3])
  made = pairs.single(corpus, places(corpus, first=1), 20)
  assert (made.rows[:, 1] == 20).all() and (made.following == 2).all()
  counts = np.bincount(made.rows[:, 0] - 3, minlength=11)
  assert len(counts) == 11
  np.testing.assert_allclose(counts / TRIES, 1 / 11, atol=0.025)


def tokens_by_tf_nlp(length_a, length_b, room, rng):
  from official.nlp.data import create_pretraining_data

  a, b = list(range(length_a)), list(range(100, 100 + length_b))
  create_pretraining_data.truncate_seq_pair(a, b, room, rng)
  return a, b


def test_truncated_as_tf_nlp_does():
  rng = random.Random(1)
  cases = [*itertools.product((1, 2, 7, 20, 33), (1, 2, 9, 20, 32), (2, 5, 20, 29, 64))]
  for length_a, length_b, room in cases:
    many = 400
    a, b = pairs.truncated(
        np.tile([0, length_a], (many, 1)), np.tile([100, length_b], (many, 1)), room,
        draws(2, np.arange(many)))
    # Their lengths are not random: TF-NLP's are equal for any seed.
    theirs = [tokens_by_tf_nlp(length_a, length_b, room, rng) for _ in range(40)]
    assert {(len(x), len(y)) for x, y in theirs} == {
        (int(x), int(y)) for x, y in zip(a[:, 1], b[:, 1])}
    # What is cut at the front is: halves, and all that is left is in one piece.
    for span, first, length, of in ((a, 0, length_a, 0), (b, 100, length_b, 1)):
      cut = length - span[0, 1]
      front = span[:, 0] - first
      assert front.min() >= 0 and front.max() <= cut
      assert abs(front.mean() - cut / 2) <= 5 * (cut / 4 / many) ** 0.5
      their_front = np.mean([one[of][0] - first for one in theirs])
      assert abs(their_front - cut / 2) <= 5 * (cut / 4 / 40) ** 0.5


# TF-NLP's function on the same documents: ten statistics of an epoch, means over epochs.
EPOCHS = 24
STATISTICS = ('instances', 'label 1', 'length', 'length of a', 'length of b', 'full rows',
              'length under label 1', 'length of a under label 0', 'shorter than 10', 'variance')


def statistics(length_a, length_b, label, room):
  a, b, label = np.array(length_a), np.array(length_b), np.array(label, bool)
  total = a + b
  return (len(a), label.mean(), total.mean(), a.mean(), b.mean(), (total == room).mean(),
          total[label].mean(), a[~label].mean(), (total < 10).mean(), total.var())


@pytest.fixture(scope='module')
def documents():
  return corpus_lab.corpus(50, sentences=(1, 16), tokens=(1, 16), seed=3)


@pytest.fixture(scope='module')
def by_tf_nlp(documents):
  """[EPOCHS, statistics]."""
  from official.nlp.data import create_pretraining_data

  splits = documents.sentence_splits
  texts = [[[str(token) for token in documents.tokens[splits[i]:splits[i + 1]]]
            for i in range(*documents.document_splits[number:number + 2])]
           for number in range(documents.documents)]
  rng = random.Random(5)
  found = []
  for _ in range(EPOCHS):
    made = [instance for number in range(len(texts))
            for instance in create_pretraining_data.create_instances_from_document(
                texts, number, 48, 0.1, 0.15, 1, ['x'], rng)]
    b = [sum(instance.segment_ids) - 1 for instance in made]
    a = [len(instance.tokens) - 3 - length for instance, length in zip(made, b)]
    found.append(statistics(a, b, [instance.is_random_next for instance in made], 45))
  return np.array(found)


def ours(documents, **values):
  """[EPOCHS, statistics] of ours."""
  recipe = corpus_lab.recipe(seq_length=48, **values)
  epochs = [Plan(documents, recipe).epoch(number)[0] for number in range(EPOCHS)]
  return np.array([statistics(*rows[:, [1, 3, 4]].T, 45) for rows in epochs])


def distance(first, second):
  """Differences of means in standard errors, [statistics]."""
  error = ((first.var(axis=0, ddof=1) + second.var(axis=0, ddof=1)) / EPOCHS) ** 0.5
  return (first.mean(axis=0) - second.mean(axis=0)) / error


def test_instances_are_distributed_as_tf_nlps(documents, by_tf_nlp):
  far = distance(ours(documents, per_chunk=False), by_tf_nlp)
  assert (abs(far) < 4).all(), dict(zip(STATISTICS, far.round(1)))


@pytest.mark.parametrize('values', [
    {'short_seq_probability': 0.3}, {'short_seq_probability': 0.0}, {'pairs': 'sentence_order'}])
def test_another_distribution_would_be_seen(documents, by_tf_nlp, values):  # Control.
  assert abs(distance(ours(documents, per_chunk=False, **values), by_tf_nlp)).max() > 6
