"""Published scores stand beside ours only where encoder and recipe are comparable."""

from __future__ import annotations

import json
import math

import pytest

from nlp_export.errors import RequestError
from nlp_export.glue.published import COMPARABLE, OTHER_RECIPE, SAME_SIZE, Setting, beside
from nlp_export.glue.published_rows import ENCODERS, ROWS, Recipe

OURS = Recipe(3, 2e-5, 32, 128)


def test_the_same_encoder_and_recipe_make_a_band():
  found = beside('rte', 'accuracy', Setting('bert-base-cased', recipe=OURS))
  assert (found.low, found.high) == pytest.approx((0.6534, 0.6570))
  assert [score.relation for score in found.scores] == [COMPARABLE, COMPARABLE, OTHER_RECIPE]
  assert 'text-classification/README.md' in found.scores[0].source
  assert 'epochs not stated' in found.scores[2].why
  json.dumps(found.to_json(), allow_nan=False)


def test_another_recipe_makes_none_and_says_why():
  found = beside('rte', 'accuracy', Setting('bert-base-cased', recipe=Recipe(20, 1e-4, 32, 128)))
  assert found.low is None
  assert 'epochs 3 there, 20 here, learning rate 2e-05 there, 0.0001 here' in found.scores[0].why
  unknown = beside('rte', 'accuracy', Setting('bert-base-cased'))
  assert unknown.low is None and 'of this run not known' in unknown.scores[0].why


def test_the_same_size_is_for_orientation():
  found = beside('rte', 'accuracy', Setting(None, 6, 384, OURS))
  assert found.low is None and 'orientation only' in found.note
  (score,) = found.scores
  assert (score.encoder, score.relation, score.low) == (
      'minilm-l6-h384-uncased-distilled', SAME_SIZE, pytest.approx(0.688))


def test_metrics_splits_and_encoders_do_not_mix():
  setting = Setting('bert-base-cased', recipe=OURS)
  f1, accuracy = beside('mrpc', 'f1', setting), beside('mrpc', 'accuracy', setting)
  assert f1.low > 0.88 and accuracy.high < 0.85
  assert beside('mrpc', 'f1', Setting('distilbert-base-cased', recipe=OURS)).scores == ()
  tiny = Setting('bert-tiny-uncased', recipe=OURS)
  assert beside('rte', 'accuracy', tiny).scores == ()  # Only a test score is known.
  assert beside('rte', 'accuracy', tiny, 'test').scores[0].low == pytest.approx(0.572)
  nothing = beside('builtin_word_order', 'accuracy', setting)
  assert nothing.scores == () and nothing.note.startswith('No published dev score')


def test_a_range_and_a_spread_become_bands():
  found = beside('mrpc', 'accuracy', Setting('bert-base-uncased', recipe=OURS))
  assert (found.low, found.high) == pytest.approx((0.84, 0.88))
  assert (found.scores[0].relation, found.scores[0].chosen) == (COMPARABLE, 'range of re-runs')
  stable = Setting('bert-large-uncased', recipe=Recipe(20, 2e-5, 16, 128))
  found = beside('rte', 'accuracy', stable)
  assert (found.low, found.high) == pytest.approx((0.677, 0.725))
  assert 'standard deviation' in found.scores[0].chosen


def test_an_unknown_encoder_is_refused():
  with pytest.raises(RequestError, match='if the weights are just these, else None'):
    Setting('my-bert')


def test_every_row_is_sound():
  assert len(ROWS) >= 17
  for row in ROWS:
    assert row.encoder in ENCODERS and row.source and row.split in ('dev', 'test')
    assert all(0 <= value <= 100 and math.isfinite(value) for value in row.scores.values())
    assert set(row.sds) <= set(row.scores) and set(row.highs) <= set(row.scores)
