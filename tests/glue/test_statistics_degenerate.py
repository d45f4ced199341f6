"""Runs that learned nothing are seen by value, by their predictions and by their history."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from nlp_export.glue.degenerate import CONSTANT_SCORES, reasons


@pytest.mark.parametrize(('task', 'found'), [
    ('mrpc', {'accuracy': 0.6838, 'f1': 0.8122}),
    ('mrpc', {'accuracy': 279 / 408, 'f1': 0.81222707}),
    ('cola', {'matthews_correlation': 0.0}),
    ('rte', {'accuracy': 0.5271}),
    ('rte', {'accuracy': 0.4729}),
    ('wnli', {'accuracy': 0.5634}),
    ('sst2', {'accuracy': 0.5092}),
    ('qnli', {'accuracy': 0.5054}),
])
def test_the_majoritys_scores_are_seen_by_value(task, found):
  assert reasons(task, found)[0].startswith('majority score')


@pytest.mark.parametrize(('task', 'found'), [
    ('mrpc', {'accuracy': 0.6838, 'f1': 0.80}),
    ('mrpc', {'accuracy': 0.775, 'f1': 0.849}),
    ('cola', {'matthews_correlation': 0.01}),
    ('rte', {'accuracy': 0.5307}),  # One example more.
    ('builtin_word_order', {'accuracy': 0.5}),
])
def test_scores_beside_the_majoritys_are_not(task, found):
  assert reasons(task, found) == ()


def test_constant_scores_are_those_of_the_counts():
  gold = np.r_[np.ones(279, int), np.zeros(129, int)]
  for constant, expected in zip((1, 0), CONSTANT_SCORES['mrpc']):
    guessed = np.full(408, constant)
    assert expected['accuracy'] == metrics.accuracy_score(gold, guessed)
    assert expected['f1'] == pytest.approx(metrics.f1_score(gold, guessed))


def test_constant_scores_are_those_of_the_files(glue_dir):
  for task, name, column, positive in (
      ('mrpc', 'MRPC', 0, '1'), ('rte', 'RTE', -1, 'entailment'), ('sst2', 'SST-2', -1, '1')):
    lines = (Path(glue_dir) / name / 'dev.tsv').read_text(encoding='utf-8').splitlines()[1:]
    share = np.mean([line.split('\t')[column] == positive for line in lines])
    assert CONSTANT_SCORES[task][0]['accuracy'] == share


def test_predictions_decide_where_they_are_known():
  gold = np.r_[np.zeros(146, int), np.ones(131, int)]
  majority = {'accuracy': 146 / 277}
  assert 'every example gets label 0' in reasons('rte', majority, np.zeros(277, int), gold)[0]
  named = reasons('own', majority, np.zeros(277, int), gold, names=('yes', 'no'))
  assert named == ('constant prediction: every example gets label 0 (yes)',)
  guessing = np.r_[np.ones(40, int), np.zeros(106, int), np.zeros(91, int), np.ones(40, int)]
  assert (guessing == gold).sum() == 146
  assert reasons('rte', majority, guessing, gold) == ()  # By chance: 146 right, both labels used.
  nearly = np.zeros(277, int)
  nearly[0] = 1
  assert 'nearly constant' in reasons('rte', {'accuracy': 145 / 277}, nearly, gold)[0]
  named = reasons('own', {}, nearly, gold, names=('yes', 'no'))
  assert named[0].endswith('get label 0 (yes)')


def test_nan_is_seen_wherever_it_is():
  assert 'pearson' in reasons('stsb', {'pearson': float('nan'), 'spearman': None})[0]
  values = np.array([1.0, np.nan])
  assert reasons('stsb', {'pearson': 0.5}, values, values) == ('NaN: a prediction is not a number',)
  history = [{'step': 1, 'loss': 0.7}, {'step': 2, 'loss': float('nan')}]
  assert reasons('rte', {'accuracy': 0.6}, history=history) == ('NaN: loss at step 2',)
  assert reasons('rte', {'accuracy': 0.6}, history=history[:1]) == ()


def test_constant_values_of_a_regression_are_seen():
  constant = np.float32(2.7) + np.random.default_rng(0).normal(0, 1e-7, 50).astype(np.float32)
  assert 'every example gets 2.7' in reasons('stsb', {'pearson': 0.02}, constant)[0]
  varied = constant + np.linspace(0, 0.1, 50)
  assert reasons('stsb', {'pearson': 0.02}, varied) == ()


def history_of(norms, losses):
  return [{'step': step, 'gradient_norm': norm, 'loss': loss}
          for step, (norm, loss) in enumerate(zip(norms, losses))]


def test_a_vanished_gradient_is_one_that_left_the_loss_where_it_was():
  falls = np.geomspace(2, 1e-6, 20)
  found = reasons('rte', {'accuracy': 0.53}, history=history_of(falls, np.full(20, 0.69)))
  assert found[0].startswith('vanishing gradient: its norm fell from')
  learned = history_of(falls, np.geomspace(0.69, 0.001, 20))  # Small since the loss is.
  assert reasons('rte', {'accuracy': 0.7}, history=learned) == ()
  assert reasons('rte', {'accuracy': 0.7}, history=history_of(np.full(20, 2.0), np.full(20, 0.69))
                 ) == ()
