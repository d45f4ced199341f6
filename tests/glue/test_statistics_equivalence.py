"""Two one-sided tests and numbers of seeds: against statsmodels and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from nlp_export.glue.statistics import equivalence_test as tests
from nlp_export.glue.statistics.equivalence import corrected, equivalence
from nlp_export.glue.statistics.paired import Replicates
from nlp_export.glue.statistics.results import Settings
from nlp_export.glue.statistics.runs import Run

SETTINGS = Settings(replicates=100)


def test_tost_is_two_one_sided_t_tests():
  values = np.array([0.002, -0.004, 0.001, 0.003, -0.001])
  found = tests.tost(values, 0.01)
  low = stats.ttest_1samp(values, -0.01, alternative='greater').pvalue
  high = stats.ttest_1samp(values, 0.01, alternative='less').pvalue
  assert found.p_equivalence == pytest.approx(max(low, high))
  assert found.p_difference == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
  ends = stats.ttest_1samp(values, 0).confidence_interval(0.9)
  assert (found.low, found.high) == pytest.approx(tuple(ends))
  assert (found.p_equivalence <= 0.05) == (found.low > -0.01 and found.high < 0.01)


def test_two_equal_differences_of_one_example_are_not_certain():
  one = np.array([1, 1]) / 277
  assert tests.tost(one, 0.01, step=1 / 277).p_equivalence > 0.05
  assert tests.tost(one, 0.01, step=1 / 277).p_difference > 0.3
  assert tests.tost(np.zeros(2), 0.01, step=0.0).p_equivalence == 0  # Every prediction is the same.
  assert tests.tost(np.zeros(2), 0.01, step=1 / 277).p_equivalence > 0.05


def test_error_rates_of_tost():
  generator = np.random.default_rng(0)

  def found(mean, sd, seeds, trials=400):
    drawn = generator.normal(mean, sd, (trials, seeds))
    return np.mean([tests.tost(row, 0.01).p_equivalence <= 0.05 for row in drawn])

  assert found(0.01, 0.004, 8) <= 0.08  # On the margin: the error rate.
  assert found(0.0, 0.004, 8) > 0.95
  assert found(0.0, 0.02, 3) < 0.1  # Three noisy seeds cannot show it.


def test_power_and_seeds_of_equivalence_agree_with_simulation():
  needed = tests.seeds_for_equivalence(0.01, 0.0, 0.01, 0.05, 0.8)
  drawn = np.random.default_rng(1).normal(0, 0.01, (1500, needed))
  power = np.mean([tests.tost(row, 0.01).p_equivalence <= 0.05 for row in drawn])
  assert power == pytest.approx(0.82, abs=0.04)
  fewer = tests.tost_power(np.array([needed - 2]), 0.01, 0.0, 0.01)[0]
  assert fewer < 0.8
  assert tests.seeds_for_equivalence(0.01, 0.011, 0.01, 0.05, 0.8) is None
  assert tests.seeds_for_equivalence(0.0, 0.0, 0.01, 0.05, 0.8) == 2
  assert tests.seeds_for_equivalence(1e-7, 0.0, 0.01, 0.05, 0.8) == 2
  assert tests.seeds_for_equivalence(3.0, 0.0, 0.01, 0.05, 0.8) is None


def test_seeds_of_a_difference_are_those_of_statsmodels():
  needed = tests.seeds_for_difference(0.02, 0.01, 0.05, 0.8)
  exact = TTestPower().solve_power(0.5, power=0.8, alpha=0.05)
  assert needed == int(np.ceil(exact)) == 34
  # Examples add to it, and may make it hopeless.
  assert tests.seeds_for_difference(0.02, 0.01, 0.05, 0.8, 0.002**2) > needed
  assert tests.seeds_for_difference(0.02, 0.01, 0.05, 0.8, 0.01**2) is None
  assert tests.seeds_for_difference(0.02, 0.0, 0.05, 0.8) is None


def arm_runs(arm, values, statuses=None, predictions=None, task='rte'):
  statuses = statuses or ['ok'] * len(values)
  return [
      Run(task, 'keep', arm, seed, seed, seed, None, 'accuracy', status, (), value,
          None if predictions is None else predictions[seed])
      for seed, (value, status) in enumerate(zip(values, statuses))]


def verdict_of(export, baseline, labels=None):
  replicates = Replicates(export + baseline, labels, SETTINGS)
  return corrected([equivalence(export, baseline, replicates, SETTINGS)], SETTINGS)[0]


def test_equal_predictions_are_equivalent():
  gold = np.random.default_rng(0).integers(0, 2, 277)
  guessed = [np.where(np.random.default_rng(s).random(277) < 0.6, gold, 1 - gold) for s in (0, 1)]
  values = [float((g == gold).mean()) for g in guessed]
  found = verdict_of(arm_runs('export', values, predictions=guessed),
                     arm_runs('baseline', values, predictions=guessed), gold)
  assert found.verdict == 'equivalent' and found.identical_predictions == 2
  assert found.sentence == (
      'export and baseline on rte with pooler keep are equivalent within 1 point over 2 seeds: '
      'every prediction is the same.')


def test_a_planted_defect_is_different():
  base = [0.62, 0.60, 0.61, 0.63, 0.59]
  found = verdict_of(arm_runs('export', [v - 0.05 + 0.002 * (-1)**i for i, v in enumerate(base)]),
                     arm_runs('baseline', base))
  assert found.verdict == 'different'
  assert 'are different over 5 seeds: mean difference -4.96 points' in found.sentence


def test_few_noisy_seeds_are_not_enough_and_it_says_how_many_would_do():
  found = verdict_of(arm_runs('export', [0.62, 0.60, 0.61]),
                     arm_runs('baseline', [0.60, 0.61, 0.61]))
  assert found.verdict == 'not enough seeds' and found.seeds_needed > 3
  assert f'about {found.seeds_needed} would do' in found.sentence


def test_one_seed_is_not_enough():
  found = verdict_of(arm_runs('export', [0.62]), arm_runs('baseline', [0.62]))
  assert found.verdict == 'not enough seeds' and 'Run at least 3.' in found.sentence


def test_pairs_of_degenerate_runs_say_nothing():
  dead = ['degenerate'] * 3
  found = verdict_of(arm_runs('export', [0.5271] * 3, dead),
                     arm_runs('baseline', [0.5271] * 3, dead))
  assert found.verdict == 'not enough seeds' and found.both_degenerate == (0, 1, 2)
  assert 'In 3 seeds both arms were degenerate' in found.sentence


def test_a_run_that_is_degenerate_in_one_arm_only_is_not_left_out():
  base = [0.62, 0.60, 0.61, 0.63, 0.59]
  clean = verdict_of(arm_runs('export', base), arm_runs('baseline', [v + 1e-5 * i for i, v in
                                                                      enumerate(base)]))
  assert clean.verdict == 'equivalent'  # Control.
  statuses = ['degenerate', *['ok'] * 4]
  found = verdict_of(arm_runs('export', [0.5271, *base[1:]], statuses),
                     arm_runs('baseline', [v + 1e-5 * i for i, v in enumerate(base)]))
  assert found.verdict == 'not enough seeds'
  assert found.with_degenerate.mean < -0.01 < found.differences.mean
  assert 'one run is degenerate' in found.sentence


def test_different_is_corrected_over_tasks():
  export, base = [0.620, 0.604, 0.617, 0.634], [0.60, 0.60, 0.61, 0.61]
  replicates = Replicates(arm_runs('export', export), None, SETTINGS)
  one = equivalence(arm_runs('export', export), arm_runs('baseline', base), replicates, SETTINGS)
  assert one.p_difference > 0.01
  alone = corrected([one], SETTINGS)[0].p_difference_holm
  assert corrected([one] * 5, SETTINGS)[0].p_difference_holm == pytest.approx(min(1, 5 * alone))
