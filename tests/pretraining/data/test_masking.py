"""Which tokens are masked, whole words whole, and what is put in their place."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text as tf_text
from scipy import stats

from nlp_export import tokenizers
from nlp_export.pretraining.data import masking
from nlp_export.pretraining.data.batches import Batches
from nlp_export.pretraining.data.words import starts_word
from tests.pretraining.data import corpus_lab
from tests.pretraining.data.corpus_lab import CLS, MASK, SEP

STEPS, ROWS, LENGTH, MOST = 40, 32, 40, 6


@pytest.fixture(scope='module')
def tokenizer(tiny_vocab):
  return tokenizers.wordpiece(tiny_vocab, True)


@pytest.fixture(scope='module', params=[True, False], ids=['words', 'tokens'])
def made(request, tokenizer):
  """Whether whole words are masked, and many batches as one."""
  recipe = corpus_lab.recipe(
      seq_length=LENGTH, max_predictions=MOST, whole_word=request.param, data_seed=3)
  corpus = corpus_lab.corpus(60, vocab_size=tokenizer.vocab_size)
  batches = Batches(corpus, tokenizer, recipe, ROWS)
  steps = [batches.batch(step) for step in range(STEPS)]
  return request.param, corpus_lab.joined(steps), recipe


def shares(batch):
  """Of the selected tokens: [MASK], kept, another one; and their number."""
  chosen = corpus_lab.selected(batch)
  shown, meant = batch['input_word_ids'][chosen], corpus_lab.original(batch)[chosen]
  mask, kept = shown == MASK, shown == meant
  return mask.sum(), kept.sum(), (~mask & ~kept).sum(), len(shown)


def within(count, total, expected):
  """Whether a share is possible for so many draws, in 9,999 of 10,000 cases."""
  low, high = stats.binomtest(int(count), int(total)).proportion_ci(0.9999)
  return low <= expected <= high


def test_80_10_10(made, tokenizer):
  mask, kept, other, total = shares(made[1])
  assert total > 5_000
  # A random id is [MASK], or the token itself, once in vocab_size.
  by_chance = 0.1 / tokenizer.vocab_size
  assert within(mask, total, 0.8 + by_chance)
  assert within(kept, total, 0.1 + by_chance)
  assert within(other, total, 0.1 - 2 * by_chance)
  for wrong in (0.75, 0.85):  # Control.
    assert not within(mask, total, wrong)
  assert not within(kept, total, 0.13)


def test_random_ids_are_of_the_whole_vocabulary(made, tokenizer):
  _, batch, _ = made
  chosen = corpus_lab.selected(batch)
  shown, meant = batch['input_word_ids'][chosen], corpus_lab.original(batch)[chosen]
  random = shown[(shown != MASK) & (shown != meant)]
  counts = np.bincount(random, minlength=tokenizer.vocab_size)
  counts = np.delete(counts, MASK)
  assert len(counts) == tokenizer.vocab_size - 1
  assert stats.chisquare(counts).pvalue > 1e-4


def test_the_budget_is_berts_and_never_exceeded(made):
  whole_word, batch, recipe = made
  lengths, chosen = batch['input_mask'].sum(axis=1), batch['masked_lm_weights'].sum(axis=1)
  budget = np.array([recipe.budget(length) for length in lengths.tolist()])
  assert set(budget) >= {1, 3, 6} and (lengths * 0.15 > 1).any()
  assert (chosen <= budget).all() and (chosen <= corpus_lab.selected(batch).sum(axis=1)).all()
  if whole_word:
    # What is left is smaller than any word of the row that could have been taken.
    assert (chosen == budget).mean() > 0.95
  else:
    assert (chosen == budget).all()


def test_rows_are_cls_text_sep_text_sep(made):
  _, batch, _ = made
  text, mask, types = corpus_lab.original(batch), batch['input_mask'], batch['input_type_ids']
  lengths = mask.sum(axis=1)
  assert lengths.max() == LENGTH and lengths.min() >= 5
  assert (mask == (np.arange(LENGTH) < lengths[:, None])).all()
  assert (text[mask == 0] == 0).all() and (types[mask == 0] == 0).all()
  assert (text[:, 0] == CLS).all() and ((text == CLS).sum(axis=1) == 1).all()
  assert (text[np.arange(len(text)), lengths - 1] == SEP).all()
  assert ((text == SEP).sum(axis=1) == 2).all()
  behind = np.cumsum(text == SEP, axis=1) - (text == SEP)  # [SEP]s before a position.
  assert (types == ((behind == 1) & (mask == 1))).all()
  for name in ('masked_lm_positions', 'masked_lm_ids'):
    assert (batch[name][batch['masked_lm_weights'] == 0] == 0).all()
  assert set(np.unique(batch['masked_lm_weights'])) == {0.0, 1.0}
  weights = batch['masked_lm_weights']
  assert (np.diff(weights, axis=1) <= 0).all()  # Used ones first, in the order of positions.
  rising = np.diff(batch['masked_lm_positions'], axis=1) > 0
  assert rising[weights[:, 1:] > 0].all()


def test_special_tokens_are_never_masked(made):
  _, batch, _ = made
  assert not np.isin(corpus_lab.original(batch)[corpus_lab.selected(batch)], (CLS, SEP, 0)).any()


def words_in_part(batch, starts):
  """How many words have masked and unmasked tokens, and how many have several masked ones."""
  text, chosen = corpus_lab.original(batch), corpus_lab.selected(batch)
  special = np.isin(text, (CLS, SEP))
  begins = starts[text] | special | np.roll(special, 1, axis=1)
  word = np.cumsum(begins, axis=1)
  part = whole = 0
  for row in range(len(text)):
    real = batch['input_mask'][row] > 0
    sizes = np.bincount(word[row][real])
    masked = np.bincount(word[row][real & chosen[row]], minlength=len(sizes))
    part += ((masked > 0) & (masked < sizes)).sum()
    whole += ((masked > 1) & (masked == sizes)).sum()
  return part, whole


def test_words_are_masked_whole(made, tokenizer):
  whole_word, batch, _ = made
  part, whole = words_in_part(batch, np.array(starts_word(tokenizer)))
  if whole_word:
    assert part == 0 and whole > 200
  else:
    assert part > 200  # Control.


# Positions in words are not alike: what exceeds the budget is passed over.
@pytest.mark.parametrize('made', [False], indirect=True, ids=['tokens'])
def test_every_position_has_its_turn(made):
  _, batch, _ = made
  full = batch['input_mask'].sum(axis=1) == LENGTH
  counts = corpus_lab.selected(batch)[full].sum(axis=0)[1:-1]
  text = corpus_lab.original(batch)[full][:, 1:-1]
  possible = (text != SEP).sum(axis=0)
  expected = possible * counts.sum() / possible.sum()
  assert stats.chisquare(counts, expected).pvalue > 1e-4


def rows_of(*rows):
  return tf.ragged.constant(rows, dtype=tf.int32)


def test_words_of_a_row(tokenizer):
  vocabulary = {token: number for number, token in enumerate(tokenizer.vocabulary)}
  text = '[CLS] cat ##ing dog [SEP] ##ed ##s the [SEP]'.split(), '[CLS] a [SEP]'.split()
  tokens = rows_of(*([vocabulary[token] for token in row] for row in text))
  words = masking.in_words(tokens, tf.constant(starts_word(tokenizer)), (CLS, SEP))
  sizes = [[len(word) for word in row] for row in words.to_list()]
  # '##ed' follows [SEP], so a word was cut before it: '##ed ##s' are what is left of it.
  assert sizes == [[1, 2, 1, 1, 2, 1, 1], [1, 1, 1]]
  assert words.merge_dims(1, 2).to_list() == tokens.to_list()


def select(sizes, bits, share, most):
  """Which words of one row are taken; the row has no special tokens."""
  words = tf.ragged.constant([[[9] * size for size in sizes]], dtype=tf.int32, ragged_rank=2)
  length = max(sum(sizes), len(bits))
  padded = np.zeros((1, length), np.uint32)
  padded[0, :len(bits)] = bits
  selector = masking.GivenBitsSelector(tf.constant(padded), share, most, [CLS, SEP])
  return np.flatnonzero(selector.get_selection_mask(words).to_list()[0]).tolist()


def test_words_that_do_not_fit_are_passed_over():
  # 10 tokens, budget 4; in the order of their bits: word 2 (3), 0 (2), 3 (4), 1 (1).
  assert select([2, 1, 3, 4], [20, 40, 10, 30], 0.4, 8) == [1, 2]
  assert select([2, 1, 3, 4], [10, 40, 20, 30], 0.4, 8) == [0, 1]
  assert select([2, 1, 3, 4], [20, 40, 30, 10], 0.4, 8) == [3]
  assert select([2, 1, 3, 4], [10, 40, 20, 30], 0.4, 2) == [0]
  assert select([3, 3, 3], [1, 2, 3], 0.2, 8) == []  # Budget 2: no word fits.
  assert select([1], [7], 0.01, 8) == [0]  # At least one.


def test_greedy_in_any_order():
  rng = np.random.default_rng(0)
  left = 0
  for _ in range(25):
    sizes = rng.integers(1, 5, 12).tolist()
    bits = rng.permutation(2**32 - np.arange(1, 13)).astype(np.uint32)
    budget, taken = min(7, max(1, round(sum(sizes) * 0.2))), []
    for word in np.argsort(bits):
      if sizes[word] <= budget:
        taken.append(int(word))
        budget -= sizes[word]
    found = select(sizes, bits, 0.2, 7)
    left += found != sorted(taken)
  assert left == 0


def test_a_word_with_a_special_token_is_left_out():
  words = tf.ragged.constant([[[9, SEP], [9], [CLS]]], dtype=tf.int32)
  bits = tf.constant([[0, 1, 2, 3]], tf.uint32)
  selector = masking.GivenBitsSelector(bits, 0.99, 8, [CLS, SEP])
  assert selector.get_selection_mask(words).to_list() == [[False, True, False]]


def test_rows_of_equal_length_get_other_positions():
  bits = masking.random_bits(1, 0, 20, 16, 3)[:, :16]
  rows = rows_of(*[[9] * 16] * 20)
  ours = masking.GivenBitsSelector(bits, 0.25, 4, [CLS]).get_selection_mask(rows).to_list()
  assert len({tuple(row) for row in ours}) > 15
  stock = tf_text.RandomItemSelector(  # Control: why the stock selector's hook is not enough.
      4, 0.25, [CLS], lambda x: tf.random.experimental.stateless_shuffle(x, seed=[1, 2]))
  assert len({tuple(row) for row in stock.get_selection_mask(rows, 1).to_list()}) == 1


def test_bits_are_a_function_of_seed_and_step():
  first = masking.random_bits(1, 5, 4, 8, 2).numpy()
  assert first.shape == (4, 12) and first.dtype == np.uint32
  np.testing.assert_array_equal(masking.random_bits(1, tf.constant(5, tf.int64), 4, 8, 2), first)
  for other in ((2, 5), (1, 6), (2**62, 5)):
    assert (masking.random_bits(*other, 4, 8, 2).numpy() != first).mean() > 0.9


def test_the_stock_ops_cannot_do_this():  # Why there are own ones.
  words = tf.ragged.constant([[[9] * 4] * 10], dtype=tf.int32)
  stock = tf_text.RandomItemSelector(6, 0.5, [CLS])
  chosen = np.sum(stock.get_selection_mask(words, 1).to_list())
  assert 4 * chosen > 6  # Its limit counts words: more tokens than max_predictions.
