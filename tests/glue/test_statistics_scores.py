"""Metrics from sums, resamples of examples and seeds, permutations, Holm: against the libraries."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from nlp_export.errors import RequestError
from nlp_export.glue.statistics import permutation, resampling, scores

PEER = {
    'accuracy': metrics.accuracy_score,
    'accuracy_matched': metrics.accuracy_score,
    'f1': metrics.f1_score,
    'matthews_correlation': metrics.matthews_corrcoef,
    'pearson': lambda gold, p: stats.pearsonr(gold, p).statistic,
    'spearman': lambda gold, p: stats.spearmanr(gold, p).statistic,
}


def example(metric, count=60, seed=0):
  """Gold labels and three runs' predictions."""
  generator = np.random.default_rng(seed)
  if metric in scores.CORRELATIONS:
    gold = np.round(generator.uniform(0, 5, count), 1)  # With ties, as STS-B has.
    return gold, [gold + generator.normal(0, 1, count) for _ in range(3)]
  gold = generator.integers(0, 2, count)
  return gold, [np.where(generator.random(count) < 0.75, gold, 1 - gold) for _ in range(3)]


@pytest.mark.parametrize('metric', PEER)
def test_a_metric_from_sums_is_that_of_scikit_learn_and_scipy(metric):
  gold, runs = example(metric)
  for run in runs:
    assert scores.compute(metric, run, gold) == pytest.approx(PEER[metric](gold, run), abs=1e-12)


def test_mcc_of_three_classes_and_of_one():
  gold, run = np.array([0, 1, 2, 2, 1, 0, 1]), np.array([0, 2, 2, 2, 1, 1, 1])
  assert scores.compute('matthews_correlation', run, gold) == pytest.approx(
      metrics.matthews_corrcoef(gold, run))
  assert scores.compute('matthews_correlation', np.ones(7, int), gold) == 0


def test_an_unknown_metric_says_which_are_known():
  with pytest.raises(RequestError, match='Name one of them as the main metric of the task'):
    scores.compute('rouge', np.ones(3), np.ones(3))


@pytest.mark.parametrize('metric', PEER)
def test_a_resample_is_the_metric_of_the_repeated_examples(metric):
  gold, runs = example(metric)

  class Fixed:  # The weights that the bootstrap is about to draw.
    drawn = np.random.default_rng(1).multinomial(60, np.full(60, 1 / 60), size=5)

    def multinomial(self, *_, size):
      return self.drawn[:size]

  found = resampling.bootstrap_scores(metric, runs, gold, 5, Fixed())
  assert found.shape == (5, 3)
  for (b, weights), (r, run) in itertools.product(enumerate(Fixed.drawn), enumerate(runs)):
    expected = PEER[metric](np.repeat(gold, weights), np.repeat(run, weights))
    assert found[b, r] == pytest.approx(expected, abs=1e-9)


def test_a_class_that_only_one_run_predicts_changes_nothing():
  gold, runs = example('matthews_correlation')
  odd = runs[0].copy()
  odd[0] = 2
  generator = np.random.default_rng
  alone = resampling.bootstrap_scores('matthews_correlation', runs, gold, 20, generator(0))
  beside = resampling.bootstrap_scores(
      'matthews_correlation', [*runs, odd], gold, 20, generator(0))
  np.testing.assert_allclose(beside[:, :3], alone, atol=1e-12)


def test_the_bootstrap_over_examples_is_that_of_scipy():
  gold, runs = example('f1', 300)
  ours = resampling.bootstrap_scores('f1', runs[:1], gold, 2000, np.random.default_rng(0))
  theirs = stats.bootstrap(
      (gold, runs[0]), metrics.f1_score, paired=True, vectorized=False, n_resamples=500,
      method='percentile', rng=np.random.default_rng(0))
  assert ours.std() == pytest.approx(theirs.standard_error, rel=0.1)


def test_the_multibootstrap_has_the_variance_of_both_sources():
  generator = np.random.default_rng(0)
  examples, seeds = generator.normal(0, 3, (20000, 1)), np.array([-2.0, -1.0, 0.0, 3.0])
  both = resampling.multibootstrap(examples + seeds, generator)
  assert both.var() == pytest.approx(9 + seeds.var() / 4, rel=0.05)
  alone = resampling.multibootstrap(examples + np.zeros(4), generator)  # Control.
  assert alone.var() == pytest.approx(9, rel=0.05)


def test_sign_permutations_by_hand():
  # Of 8 patterns, the observed one and its mirror image are the most extreme: 2 / 8.
  assert permutation.over_seeds(np.array([1.0, 2.0, 3.0])) == 0.25
  # |1 + 2 - 3| = 0: every pattern is as extreme.
  assert permutation.over_seeds(np.array([1.0, 2.0, -3.0])) == 1.0
  assert [permutation.smallest(n) for n in (1, 2, 3, 6)] == [1.0, 1.0 / 2, 0.25, 1 / 32]
  assert permutation.over_seeds(np.array([1.0])) == 1.0
  assert permutation.over_seeds(np.arange(1.0, 7.0)) == pytest.approx(permutation.smallest(6))


def test_exchanging_examples_agrees_with_scipy():
  gold, (first, second, _) = example('accuracy', 80, seed=3)
  ours = permutation.over_examples('accuracy', [first], [second], gold, 5000)
  one, other = (first == gold).astype(float), (second == gold).astype(float)
  theirs = stats.permutation_test(
      (one, other), lambda x, y, axis: x.mean(axis) - y.mean(axis), permutation_type='samples',
      vectorized=True, n_resamples=5000, rng=np.random.default_rng(5)).pvalue
  assert ours == pytest.approx(theirs, abs=0.04)


@pytest.mark.parametrize('metric', ['f1', 'matthews_correlation', 'pearson', 'spearman'])
def test_exchanging_examples_finds_a_planted_difference_only(metric):
  gold, (first, second, _) = example(metric, 300)
  generator = np.random.default_rng(0)
  worse = (gold[generator.permutation(300)] if metric in scores.CORRELATIONS
           else generator.integers(0, 2, 300))
  assert permutation.over_examples(metric, [first], [worse], gold, 500) < 0.01
  assert permutation.over_examples(metric, [first], [second], gold, 500) > 0.05
  assert permutation.over_examples(metric, [first], [first], gold, 100) == 1.0


def test_holm_by_hand():
  # 0.01 * 3; 0.02 * 2; 0.04 * 1, and never below an earlier one.
  assert permutation.holm([0.04, 0.01, None, 0.02]) == pytest.approx([0.04, 0.03, None, 0.04])
  assert permutation.holm([None]) == [None]
