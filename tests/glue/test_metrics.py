"""GLUE's metrics, on numbers a reader can check and on the counted baselines of the real files."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nlp_export.glue import data, metrics, tasks


def scores(name, predictions, labels, **options):
  return metrics.compute(tasks.get(name), np.array(predictions), np.array(labels), **options)


def test_accuracy_and_f1_by_hand():
  # Of four positives two are found, with one false alarm: precision 2/3, recall 1/2.
  found = scores('mrpc', [1, 1, 0, 0, 1, 0], [1, 1, 1, 1, 0, 0])
  assert found == pytest.approx({'accuracy': 3 / 6, 'f1': 2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2)})


def test_matthews_by_hand():
  # tp 2, tn 1, fp 1, fn 0.
  expected = (2 * 1 - 1 * 0) / math.sqrt((2 + 1) * (2 + 0) * (1 + 1) * (1 + 0))
  assert scores('cola', [1, 1, 1, 0], [1, 1, 0, 0]) == pytest.approx(
      {'matthews_correlation': expected})


def test_correlations_by_hand():
  found = scores('stsb', [1.0, 2.0, 3.0, 100.0], [0.0, 1.0, 2.0, 5.0])
  assert found['spearman'] == pytest.approx(1.0)
  assert found['pearson'] == pytest.approx(np.corrcoef([1, 2, 3, 100], [0, 1, 2, 5])[0, 1])


def test_over_the_whole_set_and_not_the_mean_over_batches():
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 2, 64)
  predictions = np.where(rng.random(64) < 0.7, labels, 1 - labels)
  whole = scores('mrpc', predictions, labels)['f1']
  batches = np.mean([scores('mrpc', predictions[at:at + 8], labels[at:at + 8])['f1']
                     for at in range(0, 64, 8)])
  tp = int(np.sum(predictions & labels))
  assert whole == pytest.approx(2 * tp / (predictions.sum() + labels.sum()))
  assert abs(whole - batches) > 1e-3


def test_mnli_names_its_two_sets():
  found = {
      **scores('mnli', [0, 1, 2, 2], [0, 1, 2, 0], split='dev_matched'),
      **scores('mnli', [0, 0], [0, 1], split='dev_mismatched'),
  }
  assert found == {'accuracy_matched': 0.75, 'accuracy_mismatched': 0.5}
  assert metrics.task_score(tasks.get('mnli'), found) == pytest.approx(0.625)
  with pytest.raises(ValueError, match='say which one'):
    scores('mnli', [0], [0])


def test_the_diagnostic_set_has_a_three_class_matthews():
  found = scores('ax', [0, 1, 2, 0], [0, 1, 2, 1])
  assert 0 < found['matthews_correlation'] < 1


def test_a_task_score_is_the_mean_of_its_metrics():
  found = scores('mrpc', [1, 0], [1, 1])
  assert metrics.task_score(tasks.get('mrpc'), found) == pytest.approx((1 / 2 + 2 / 3) / 2)


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('predictions', [[2.5, 2.5, 2.5], [1.0, math.nan, 2.0], [1, math.inf, 2]])
def test_undefined_correlations_are_nan(predictions):
  found = scores('stsb', predictions, [1.0, 2.0, 3.0])
  assert all(math.isnan(value) for value in found.values())


@pytest.mark.filterwarnings('error')
def test_constant_classes_score_zero_and_do_not_warn():
  assert scores('cola', [1, 1, 1], [1, 0, 1]) == {'matthews_correlation': 0.0}
  assert scores('mrpc', [0, 0, 0], [1, 1, 0])['f1'] == 0.0


@pytest.mark.parametrize(('predictions', 'labels'), [
    (np.zeros((4, 1)), np.zeros(4)), (np.zeros(3), np.zeros(4)), (np.zeros(0), np.zeros(0))])
def test_shapes_that_would_broadcast_are_refused(predictions, labels):
  with pytest.raises(ValueError, match=r'not both \[N\]'):
    metrics.compute(tasks.get('stsb'), predictions, labels)


@pytest.mark.parametrize('predictions', [[0, 2], [-1, 0], [0.0, 1.0]])
def test_values_that_are_no_labels_are_refused(predictions):
  with pytest.raises(ValueError, match='predictions of rte are no integers below 2'):
    scores('rte', predictions, [0, 1])


# Counted from the dev files: what always saying the majority label scores.
MAJORITY = {'cola': {'matthews_correlation': 0.0}, 'sst2': {'accuracy': 0.5092},
            'mrpc': {'accuracy': 0.6838, 'f1': 0.8122}, 'rte': {'accuracy': 0.5271}}


@pytest.mark.parametrize('name', MAJORITY)
def test_the_majority_scores_of_the_real_files(glue_dir, name):
  task = tasks.get(name)
  dev = data.load(task, 'dev', data.GlueDirectory(glue_dir))
  assert metrics.constant_scores(task, dev.labels) == pytest.approx(MAJORITY[name], abs=5e-5)
  if name == 'cola':
    assert max(dev.label_counts().values()) / len(dev) == pytest.approx(0.6913, abs=5e-5)


def test_a_constant_regression_scores_nan():
  found = metrics.constant_scores(tasks.get('stsb'), np.array([1.0, 2.0], np.float32))
  assert all(math.isnan(value) for value in found.values())
