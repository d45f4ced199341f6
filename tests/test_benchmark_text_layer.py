"""The benchmark of frozen layers: what it feeds, and what it makes of its figures."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras

import nlp_export
from benchmarks import text_layer
from benchmarks.contestants import Given
from tests.glue import official_layout


def test_counting_products():
  # Six blocks forward, and twice as much back through those that train.
  assert [text_layer.expected(count) for count in (None, 3, 0)] == [1.0, 1.5, 3.0]


def test_the_table_has_ratios_within_rounds():
  seconds = {'all': [4.0, 8.0, 6.0], '3': [2.0, 4.0, 4.0], '1': [4.0, 4.0, 4.0], '0': [1.0] * 3}
  busy = {**seconds, '3': [1.0, 2.0, 1.5]}
  lines = text_layer.table({'wall': seconds, 'processor': busy}).split('\n')
  assert lines[2] == '| all | 1500 | 1.00 | 1.00 to 1.00 | 1.00 | 1.00 |'
  assert lines[3] == '| 3 | 1000 | 2.00 | 1.50 to 2.00 | 4.00 | 1.50 |'


@pytest.mark.extra
def test_a_round_trains_what_it_says(uncased_exports, tmp_path, monkeypatch):
  monkeypatch.setattr(text_layer, 'COUNTS', (None, 1, 0))  # The tiny encoder has two layers.
  given = Given(model=uncased_exports['model'], preprocessing=uncased_exports['preprocessing'],
                glue_dir=str(official_layout.write(tmp_path / 'glue', 128)))
  model, layer = text_layer.model_of(tf_keras, nlp_export.TextEncoder, given, 1)
  data = text_layer.batches(layer, given.glue_dir)
  assert len(data) == 4 and all(len(labels) == 32 for _, labels in data)
  before = {name: value.numpy() for name, value in layer.exported.variables.items()}
  model.train_on_batch(*data[0])
  moved = {name for name, value in layer.exported.variables.items()
           if not np.array_equal(value, before[name])}
  assert len(moved) == 16 + 1
  seconds = text_layer.measure('tf_keras', given, 2)
  for clock in ('wall', 'processor'):
    assert {name: len(values) for name, values in seconds[clock].items()} == {
        'all': 2, '1': 2, '0': 2}
