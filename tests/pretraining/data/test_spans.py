"""The endless sequence of instances: random access, epochs, threads."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from concurrent import futures

import numpy as np
import pytest

from nlp_export.errors import RequestError
from nlp_export.pretraining.data import spans
from nlp_export.pretraining.data.spans import Plan, ShuffledRows
from nlp_export.pretraining.data.tokens import TokenisedCorpus
from tests.pretraining.data import corpus_lab

KINDS = ('next_sentence', 'sentence_order', None)
GOLDEN = {'next_sentence': 'ce605255eeb8c590', 'sentence_order': 'a0a5c8c011a8dad5',
          None: 'ec1270ceeeb5278e'}


@pytest.fixture(scope='module')
def corpus():
  return corpus_lab.corpus()


def plan(corpus, **values):
  return Plan(corpus, corpus_lab.recipe(**values))


@pytest.mark.parametrize('kind', KINDS)
def test_any_instance_at_once(corpus, kind):
  whole = plan(corpus, pairs=kind)
  count = 5 * whole.instances_per_epoch
  rows = whole.rows(0, count)
  assert rows.shape == (count, 5) and rows.dtype == np.int64
  fresh = plan(corpus, pairs=kind)
  for first in (count - 7, 3, count // 2, 0):
    np.testing.assert_array_equal(fresh.rows(first, 7), rows[first:first + 7])
  assert not np.array_equal(plan(corpus, pairs=kind, data_seed=1).rows(0, 20), rows[:20])
  np.testing.assert_array_equal(
      Plan(corpus, corpus_lab.recipe(pairs=kind, data_seed=5), seed=0).rows(0, 20), rows[:20])
  assert fresh.rows(10**12, 3).shape == (3, 5)


@pytest.mark.parametrize('kind', KINDS)
def test_the_order_of_years_ago(corpus, kind):
  rows = plan(corpus, pairs=kind, data_seed=11).rows(1_000, 200)
  found = hashlib.sha256(np.ascontiguousarray(rows, '<i8').tobytes()).hexdigest()[:16]
  assert found == GOLDEN[kind]


@pytest.mark.parametrize('kind', KINDS)
def test_segments_fit_and_lie_in_their_documents(corpus, kind):
  recipe = corpus_lab.recipe(pairs=kind)
  for epoch in range(10):
    rows, sentences = Plan(corpus, recipe).epoch(epoch)
    assert len(rows) == len(sentences) and (rows[:, 1] >= 1).all()
    assert (rows[:, 1] + rows[:, 3]).max() == recipe.room
    first = corpus.document_of(rows[:, 0])
    assert (corpus.document_of(rows[:, 0] + rows[:, 1] - 1) == first).all()
    if kind is None:
      assert (rows[:, 2:] == 0).all()
      continue
    assert (rows[:, 3] >= 1).all()
    second = corpus.document_of(rows[:, 2])
    assert (corpus.document_of(rows[:, 2] + rows[:, 3] - 1) == second).all()
    random = (rows[:, 4] == 1) & (kind == 'next_sentence')
    assert (second == first)[~random].all()
    assert (second != first)[random].all()
    if kind == 'next_sentence':
      assert (rows[sentences == 1, 4] == 1).all()


def test_labels_are_fair_where_there_is_a_choice(corpus):
  made = [plan(corpus).epoch(epoch) for epoch in range(60)]
  labels = np.concatenate([rows[sentences > 1, 4] for rows, sentences in made])
  assert abs(labels.mean() - 0.5) < 4 * 0.5 / len(labels) ** 0.5
  # BERT's rule as it is has more random ones: of one sentence no true pair can be made.
  every = np.concatenate([rows[:, 4] for rows, _ in made])
  assert every.mean() - 0.5 > 4 * 0.5 / len(every) ** 0.5


def test_every_token_is_used_and_single_segments_repeat_none(corpus):
  rows, _ = plan(corpus, pairs=None).epoch(0)
  used = np.zeros(len(corpus.tokens), int)
  for first, length, *_ in rows:
    used[first:first + length] += 1
  assert (used == 1).all()  # No sentence of these is longer than a row.
  tokens = np.zeros(len(corpus.tokens), int)
  for epoch in range(30):
    for first, length, *_ in plan(corpus).epoch(epoch)[0]:
      tokens[first:first + length] += 1
  assert (tokens > 0).all()


def test_epochs_differ_and_each_is_mixed(corpus):
  one, two = (plan(corpus).epoch(number)[0] for number in (0, 1))
  as_sets = [{tuple(row) for row in rows.tolist()} for rows in (one, two)]
  assert len(as_sets[0] & as_sets[1]) < 0.2 * len(one)
  for rows in (one, two):  # No order of the text is left.
    assert abs(np.corrcoef(np.arange(len(rows)), rows[:, 0])[0, 1]) < 4 / len(rows) ** 0.5


def test_an_epoch_is_as_many_rows_as_its_tokens_fill(corpus):
  for kind, room, least in ((KINDS[0], 29, 1.2), (KINDS[1], 29, 0.8), (None, 30, 1)):
    made = plan(corpus, pairs=kind)
    assert made.instances_per_epoch == len(corpus.tokens) // room
    assert len(made.epoch(0)[0]) > least * made.instances_per_epoch
    np.testing.assert_array_equal(
        made.rows(made.instances_per_epoch, 3), made.epoch(1)[0][:3])


def test_where_the_rules_make_fewer_rows_an_epoch_starts_over():
  long = corpus_lab.corpus(6, sentences=(2, 2), tokens=(200, 200))
  made = plan(long)
  count = len(made.epoch(0)[0])
  assert count < made.instances_per_epoch
  np.testing.assert_array_equal(made.rows(0, 3), made.rows(count, 3))


def test_a_document_without_blank_lines_is_no_worse(monkeypatch):
  one, other = corpus_lab.corpus(1, sentences=(400, 400)), corpus_lab.corpus(1, seed=9)
  both = TokenisedCorpus.joined([one, other])
  whole = plan(both).epoch(0)[0]
  monkeypatch.setattr(spans, '_PART_SENTENCES', 50)
  parts, _ = plan(both).epoch(0)
  # As many rows, but for one more that is short at the end of each part.
  assert abs(len(parts) - len(whole)) < 0.25 * len(whole)
  random = parts[:, 4] == 1
  first, second = both.document_of(parts[:, 0]), both.document_of(parts[:, 2])
  assert (first[~random] == second[~random]).all()
  assert (first[random] != second[random]).all()  # Another document, not another part.
  covered = np.zeros(len(both.tokens), bool)
  for begin, length, *_ in plan(both, pairs=None).epoch(0)[0]:
    covered[begin:begin + length] = True
  assert covered.all()


def test_short_rows_come_as_often_as_asked(corpus):
  def short(**values):
    rows = [plan(corpus, pairs=None, **values).epoch(epoch)[0] for epoch in range(10)]
    return np.mean(np.concatenate(rows)[:, 1] < 15)

  none, some, all_ = (short(short_seq_probability=p) for p in (0.0, 0.1, 1.0))
  assert none < some < all_ and all_ > 0.5


def slow_plan(corpus):
  """A plan that counts how often an epoch is made, slowly."""
  made = plan(corpus)
  counts, make = [], made.epoch

  def epoch(number):
    counts.append(number)
    time.sleep(0.05)
    return make(number)

  made.epoch = epoch
  return made, counts


def ask_from_threads(made, threads=6):
  start = threading.Barrier(threads)

  def ask(number):
    start.wait()
    return made.rows(number * 5, 5)

  with futures.ThreadPoolExecutor(threads) as pool:
    return list(pool.map(ask, range(threads)))


def test_threads_get_the_same_rows_and_plan_an_epoch_once(corpus):
  made, counts = slow_plan(corpus)
  found = ask_from_threads(made)
  np.testing.assert_array_equal(np.concatenate(found), plan(corpus).rows(0, 30))
  assert counts == [0]
  unlocked, counts = slow_plan(corpus)  # Control.
  unlocked._lock = contextlib.nullcontext()
  ask_from_threads(unlocked)
  assert len(counts) > 1


def test_only_two_epochs_are_kept(corpus):
  made = plan(corpus)
  for number in (0, 1, 2, 7, 6, 6):
    made.rows(number * made.instances_per_epoch, 1)
  assert sorted(made._epochs) == [6, 7]


def test_rows_that_are_there_already_come_in_another_order_each_epoch():
  rows = np.arange(50).reshape(10, 5)
  made = ShuffledRows(rows, 3)
  assert made.instances_per_epoch == 10
  found = made.rows(0, 40)
  for epoch in range(4):
    assert sorted(found[10 * epoch:10 * epoch + 10, 0]) == rows[:, 0].tolist()
  assert len({tuple(found[at:at + 10, 0]) for at in range(0, 40, 10)}) == 4
  np.testing.assert_array_equal(ShuffledRows(rows, 3).rows(17, 9), found[17:26])
  assert (ShuffledRows(rows, 4).rows(0, 40) != found).any()


REFUSED = [
    (corpus_lab.of_sizes(), 'next_sentence', 'and a blank line between documents'),
    (corpus_lab.of_sizes(), None, 'and a blank line between documents'),
    (corpus_lab.of_sizes([3], [4], [9]), 'next_sentence', 'or write pairs = None'),
    (corpus_lab.of_sizes([3], [4], [9]), 'sentence_order', 'or write pairs = None'),
    (corpus_lab.of_sizes([3, 5]), 'next_sentence', "or write pairs = 'sentence_order' or None"),
]


@pytest.mark.parametrize(('corpus', 'kind', 'end'), REFUSED)
def test_text_that_gives_no_instances_is_refused(corpus, kind, end):
  with pytest.raises(RequestError) as error:
    plan(corpus, pairs=kind)
  assert error.value.message.endswith(end)


def test_how_many_sentences_were_empty_is_said():
  empty = TokenisedCorpus.of_lengths(np.zeros(0, np.int32), np.array([0, 0]), [2])
  with pytest.raises(RequestError, match=r'\(2 sentences without a token were left out\)'):
    plan(empty)


def test_the_nearest_texts_are_taken():  # Control of the refusals.
  plan(corpus_lab.of_sizes([3]), pairs=None).rows(0, 2)
  plan(corpus_lab.of_sizes([3, 5]), pairs='sentence_order').rows(0, 2)
  plan(corpus_lab.of_sizes([3, 5], [1])).rows(0, 2)
  smallest = plan(corpus_lab.of_sizes([1, 1], [1]), seq_length=5, max_predictions=1)
  assert (smallest.rows(0, 50)[:, [1, 3]] == 1).all()
