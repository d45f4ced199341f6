"""The draw's part of the variance: found where the design can tell, left open where it cannot."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from nlp_export.glue.statistics.pooler_draw import pooler_draw
from nlp_export.glue.statistics.results import Settings
from nlp_export.glue.statistics.runs import Run

SETTINGS = Settings()


def run(value, seed, draw, training=None, pooler='random'):
  training = seed if training is None else training
  return Run('rte', pooler, 'export', seed, training, training, draw, 'accuracy', 'ok', (), value,
             None)


def test_repeated_draws_by_hand():
  # Means 0.60 and 0.70, each from two runs 0.02 apart: MS between 0.01, within 0.0002.
  values = {1: (0.59, 0.61), 2: (0.69, 0.71)}
  runs = [run(v, 10 * draw + i, draw) for draw, pair in values.items() for i, v in enumerate(pair)]
  found = pooler_draw(runs, [], SETTINGS)
  assert found.design == 'repeated'
  assert found.draw_sd == pytest.approx(np.sqrt((0.01 - 0.0002) / 2))
  assert found.rest_sd == pytest.approx(np.sqrt(0.0002))
  assert found.p_value == pytest.approx(stats.f_oneway(*values.values()).pvalue)
  assert found.share_interval.low < found.share < found.share_interval.high


def grid(draw_sd, training_sd, rest_sd, draws, trainings, generator):
  by_draw, by_training = generator.normal(0, draw_sd, draws), generator.normal(0, training_sd,
                                                                               trainings)
  return [run(0.6 + by_draw[d] + by_training[t] + generator.normal(0, rest_sd), 100 * d + t, d, t)
          for d in range(draws) for t in range(trainings)]


def test_crossed_draws_take_the_training_seeds_out():
  found = [pooler_draw(grid(0.02, 0.03, 0.01, 6, 4, np.random.default_rng(i)), [], SETTINGS)
           for i in range(200)]
  assert {f.design for f in found} == {'crossed'}
  assert np.mean([f.draw_sd**2 for f in found]) == pytest.approx(0.02**2, rel=0.15)
  assert np.mean([f.rest_sd**2 for f in found]) == pytest.approx(0.03**2 + 0.01**2, rel=0.15)
  share = 0.02**2 / (0.02**2 + 0.03**2 + 0.01**2)
  assert np.median([f.share for f in found]) == pytest.approx(share, abs=0.08)


def test_no_draw_variance_is_rarely_found():
  ps = [pooler_draw(grid(0.0, 0.03, 0.02, 5, 3, np.random.default_rng(i)), [], SETTINGS).p_value
        for i in range(300)]
  assert np.mean(np.array(ps) <= 0.05) == pytest.approx(0.05, abs=0.03)


def test_one_draw_a_seed_is_not_told_apart_from_training():
  runs = [run(0.6 + 0.01 * i, i, draw=i) for i in range(4)]
  found = pooler_draw(runs, [], SETTINGS)
  assert found.design == 'confounded'
  assert found.draw_sd is found.share is found.p_value is None
  assert 'these runs alone cannot tell them apart' in found.sentence


def test_beside_a_fixed_draw_it_is():
  generator = np.random.default_rng(0)
  varying = [run(v, i, draw=i) for i, v in enumerate(generator.normal(0.6, 0.05, 30))]
  fixed = [run(v, i, draw=0, pooler='fixed.random')
           for i, v in enumerate(generator.normal(0.6, 0.02, 30))]
  keep = [run(v, i, draw=None, pooler='keep') for i, v in enumerate(generator.normal(0.6, 1, 30))]
  found = pooler_draw(varying, [keep, fixed], SETTINGS)
  assert found.design == 'against a fixed draw'
  assert found.share == pytest.approx(1 - 0.02**2 / 0.05**2, abs=0.1)
  assert found.p_value < 0.001
  assert pooler_draw(fixed, [varying], SETTINGS).design == 'fixed'
  assert pooler_draw(keep, [varying], SETTINGS) is None


def test_beside_other_poolers_it_is_an_assumption():
  generator = np.random.default_rng(0)
  varying = [run(0.6 + v, i, draw=i) for i, v in enumerate((-0.06, -0.02, 0.01, 0.03, 0.07))]
  keep = [run(v, i, draw=None, pooler='keep')
          for i, v in enumerate(generator.normal(0.6, 0.02, 5))]
  found = pooler_draw(varying, [keep], SETTINGS)
  assert found.design == 'against other poolers' and '(an assumption)' in found.sentence
  assert found.share_interval.low < found.share < found.share_interval.high
  still = [run(0.6, i, draw=None, pooler='keep') for i in range(3)]
  assert pooler_draw(varying, [still], SETTINGS).design == 'confounded'
