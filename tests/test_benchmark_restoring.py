"""The benchmark of restores: equal weights from each format, and a report of what is missed."""

from __future__ import annotations

import pytest

from benchmarks import restoring


@pytest.fixture(scope='module')
def results(tmp_path_factory):
  directory = tmp_path_factory.mktemp('restoring')
  restoring.write_inputs(directory / 'written', 'tiny')
  return {name: [restoring.measure(name, directory / 'written')]
          for name in restoring.CONTESTANTS}


def test_every_contestant_restores_the_same_weights(results):
  restoring.check_equal(results)
  for name in restoring.CONTESTANTS:  # Control.
    other = {**results, name: [results[name][0] | {'mixed': 1.5}]}
    with pytest.raises(SystemExit, match='restored different weights'):
      restoring.check_equal(other)


def test_report(results):
  rows = restoring.summary(results)
  assert [row['name'] for row in rows] == list(restoring.CONTESTANTS)
  # The kernel counts a process's pages in batches.
  assert all(0 < row['imported_gb'] <= row['peak_gb'] + 0.01 for row in rows)
  times = {row['name']: row['times_tf2'] for row in rows}
  assert times[restoring.TF2] == 1
  slow = {**results, restoring.TF1: [results[restoring.TF2][0] | {
      'restore_seconds': 2 * results[restoring.TF2][0]['restore_seconds'], 'peak_gb': 99.0}]}
  lines = restoring.report(restoring.summary(slow)).split('\n')
  assert '| TF1: peak GB | 99.00 | 0.8 | **no** |' in lines
  assert '| TF1: seconds, times TF2 | 2.00 | 1.5 | **no** |' in lines
