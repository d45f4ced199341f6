"""The whole analysis on made-up matrices whose truth is known: verdicts, honesty, refusals."""

from __future__ import annotations

import dataclasses
import gc
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from nlp_export.errors import RequestError
from nlp_export.glue.published import Setting
from nlp_export.glue.published_rows import Recipe
from nlp_export.glue.statistics import Settings, analyse, scores, verdicts

SETTINGS = Settings(replicates=300)
METRIC = {'rte': 'accuracy', 'mrpc': 'f1', 'cola': 'matthews_correlation', 'wnli': 'accuracy'}


class Matrix:
  """Cells with predictions: each pooler has its own chance to be right."""

  def __init__(self, skills, tasks=('rte', 'mrpc'), seeds=5, arms=('export',), examples=400,
               spread=0.05):
    self.labels, self.predictions, self.cells = {}, {}, []
    for place, task in enumerate(tasks):
      generator = np.random.default_rng(place)
      gold = self.labels[task] = generator.integers(0, 2, examples)
      easy = generator.normal(0, 1, examples)
      for pooler, skill in skills.items():
        for seed in range(seeds):
          own = np.random.default_rng([place, seed, *pooler.encode()])
          latent = easy + skill + own.normal(0, spread) + own.normal(0, 0.5, examples)
          guessed = np.where(latent > 0, gold, 1 - gold)
          for arm in arms:
            self.add(task, pooler, arm, seed, guessed)

  def add(self, task, pooler, arm, seed, guessed, **changes):
    metric = METRIC.get(task, 'accuracy')
    self.predictions[task, pooler, arm, seed] = guessed
    self.cells.append({
        'task': task, 'pooler': pooler, 'arm': arm, 'seed': seed, 'init_seed': seed,
        'data_seed': seed, 'pooler_seed': seed if pooler == 'random' else None, 'status': 'ok',
        'metrics': {metric: scores.compute(metric, guessed, self.labels[task])},
        'main_metric': metric, 'history': [], 'notes': []} | changes)

  def of(self, cell):
    return self.predictions[cell['task'], cell['pooler'], cell['arm'], cell['seed']]

  def analysis(self, **more):
    return analyse(self.cells, predictions=self.of, labels=self.labels,
                   **({'settings': SETTINGS} | more))


@pytest.fixture(scope='module')
def clear():
  """One pooler is much better; eight seeds."""
  return Matrix({'keep': 0.5, 'random': 0.4, 'identity': 1.3}, seeds=8)


@pytest.fixture(scope='module', autouse=True)
def objects_of_other_tests_are_no_garbage():
  """statsmodels' multipletests collects at every call: TensorFlow's objects make that slow."""
  gc.freeze()
  yield
  gc.unfreeze()


@pytest.fixture(scope='module')
def clear_analysis(clear):
  """What is found in it: seconds of resampling."""
  return clear.analysis()


def test_a_clear_winner_is_chosen_and_shown(clear_analysis):
  found = clear_analysis
  (verdict,) = found.verdicts
  assert (verdict.answer, verdict.sure) == ('identity', 'shown')
  assert verdict.sentence.startswith('Choose identity: identity has the highest average over rte')
  assert found.passed and found.counts == {'ok': 48, 'degenerate': 0, 'failed': 0}
  wins = [c for c in found.comparisons if 'identity' in (c.first, c.second)]
  assert len(wins) == 4 and all(c.p_holm <= 0.05 and c.p_examples < 0.05 for c in wins)
  for c in wins:  # first minus second, whichever was first.
    assert c.verdict == ('first' if c.first == 'identity' else 'second')


def test_the_same_analysis_twice_and_as_json(clear, clear_analysis):
  one, other = clear_analysis, clear.analysis()
  assert json.dumps(one.to_json(), allow_nan=False) == json.dumps(other.to_json(), allow_nan=False)


def test_three_seeds_can_only_suggest():
  few = Matrix({'keep': 0.2, 'identity': 1.5}, seeds=3, spread=0.02).analysis()
  (verdict,) = few.verdicts
  assert (verdict.answer, verdict.sure) == ('identity', 'suggested')
  assert 'rests on 3 seeds' in verdict.sentence and 'cannot confirm it' in verdict.sentence
  (overall,) = few.average_comparisons
  assert overall.p_permutation == overall.p_permutation_smallest == 0.25
  assert '3 seeds give 0.25 at best' in overall.sentence


def test_seeds_that_could_confirm_and_do_not_are_not_called_too_few():
  skills = {'keep': 0.8, 'identity': 0.82, 'random': -0.6}
  for seeds, told in ((6, 'cannot confirm it with so few'), (8, 'does not confirm it')):
    made = Matrix(skills, seeds=seeds, spread=0.15)
    averages = made.analysis()
    comparisons = [dataclasses.replace(c, p_permutation_holm=0.2, verdict='first' if
                                       c.first == 'keep' else 'second')
                   for c in averages.average_comparisons]
    verdict = verdicts.which_pooler('export', averages.averages, comparisons, averages.groups,
                                    SETTINGS)
    assert (verdict.answer, verdict.sure) == ('keep', 'suggested')
    assert told in verdict.sentence and 'p < 0.001' in verdict.sentence


def test_no_difference_is_left_open_with_the_seeds_it_would_take():
  even = Matrix({'keep': 0.5, 'random': 0.5}, seeds=3, spread=0.15)
  (verdict,) = even.analysis().verdicts
  assert (verdict.answer, verdict.sure) == ('open', 'open')
  assert verdict.sentence.startswith('This does not decide it')
  assert 'seeds would show a difference of this size' in verdict.sentence
  assert 'is the best guess, and nothing was shown against' in verdict.sentence
  assert 'behind it' not in verdict.sentence
  told = r'it leads (keep|random) by \d+\.\d\d points \(95 % interval -'  # No sign: a lead is one.
  assert re.search(told, verdict.sentence)


def test_an_open_verdict_says_which_poolers_are_out():
  made = Matrix({'keep': 0.8, 'identity': 0.82, 'random': -0.6}, seeds=5, spread=0.1)
  (verdict,) = made.analysis().verdicts
  assert verdict.answer == 'open' and 'random is behind it at 95 %.' in verdict.sentence
  best = 'keep' if 'keep has the highest' in verdict.sentence else 'identity'
  other = {'keep': 'identity', 'identity': 'keep'}[best]
  assert verdict.sentence.endswith(
      f'{best} is the best guess, and nothing was shown against {other}.')


def test_no_pooler_wins_where_none_is_better():
  decided = 0
  for trial in range(20):
    even = Matrix({f'a{trial}': 0.5, f'b{trial}': 0.5, f'c{trial}': 0.5}, tasks=('rte',), seeds=4,
                  examples=150)
    decided += even.analysis(settings=Settings(replicates=100)).verdicts[0].sure != 'open'
  assert decided <= 4  # 5 % of 20, and chance.


def test_equal_poolers_do_not_matter():
  same = Matrix({'keep': 0.5}, seeds=4)
  for cell in list(same.cells):
    same.add(cell['task'], 'identity', 'export', cell['seed'], same.of(cell))
  (verdict,) = same.analysis(settings=Settings(margin_points=2, replicates=200)).verdicts
  assert verdict.answer == 'any' and 'does not matter' in verdict.sentence


def test_one_seed_says_to_run_more():
  (verdict,) = Matrix({'keep': 0.5, 'identity': 1.5}, seeds=1).analysis().verdicts
  assert verdict.answer == 'open' and 'Run at least 3' in verdict.sentence


def test_intervals_cover_examples_too_where_predictions_are_known(clear, clear_analysis):
  group = clear_analysis.groups[0]
  assert group.without_degenerate.interval.covers == 'seeds and examples'
  assert group.noise_floor_from == 'binomial'
  assert [dot.seed for dot in group.runs] == list(range(8))
  bare = analyse(clear.cells, settings=SETTINGS)
  narrow = bare.groups[0].without_degenerate.interval
  assert narrow.covers == 'seeds' and narrow.low > group.without_degenerate.interval.low
  assert bare.comparisons[0].p_examples is None
  assert any('not the choice of dev examples' in remark for remark in bare.remarks)


def test_export_against_baseline():
  same = Matrix({'keep': 0.5, 'random': 0.4}, seeds=2, arms=('export', 'baseline'))
  found = same.analysis()
  assert found.verdicts[0].answer == 'equivalent' and found.passed
  assert len(found.equivalence) == 4
  assert all(c.kind == 'pooler' for c in found.comparisons)
  assert [v.question for v in found.verdicts[1:]] == ['Which pooler should be chosen (export)?']


def test_a_worse_export_does_not_pass():
  broken = Matrix({'keep': 0.5}, seeds=5, arms=('baseline',))
  for cell in list(broken.cells):
    guessed = broken.of(cell).copy()
    guessed[:40 + cell['seed']] = 1 - broken.labels[cell['task']][:40 + cell['seed']]
    broken.add(cell['task'], 'keep', 'export', cell['seed'], guessed)
  found = broken.analysis()
  assert not found.passed and found.verdicts[0].answer == 'different'


def test_other_arms_are_compared_like_poolers():
  rates = Matrix({'keep': 0.5}, seeds=3, arms=('lr_2e-5', 'lr_5e-5'))
  found = rates.analysis()
  assert {(c.kind, c.first, c.second) for c in found.comparisons} == {
      ('arm', 'lr_5e-5', 'lr_2e-5')}


def test_degenerate_runs_are_never_averaged_in_silence():
  mixed = Matrix({'keep': 0.5, 'random': 0.6}, seeds=5)
  for cell in mixed.cells:
    if cell['pooler'] == 'random' and cell['seed'] < 2:
      mixed.predictions[cell['task'], 'random', 'export', cell['seed']] = np.ones(400, int)
      metric = cell['main_metric']
      cell['metrics'] = {metric: scores.compute(metric, np.ones(400, int),
                                                mixed.labels[cell['task']])}
  found = mixed.analysis()  # The cells call themselves ok.
  group = next(g for g in found.groups if (g.task, g.pooler) == ('rte', 'random'))
  assert group.counts == {'ok': 3, 'degenerate': 2, 'failed': 0}
  assert len(group.without_degenerate.seeds) == 3 and len(group.with_degenerate.seeds) == 5
  assert group.with_degenerate.mean < group.without_degenerate.mean
  assert 'constant prediction' in group.runs[0].reasons[0]
  (verdict,) = found.verdicts
  assert 'Degenerate runs, left out above: 4 of random.' in verdict.sentence
  # Random leads only among the runs that learned: that decides nothing.
  assert verdict.answer == 'open' and 'why they learn nothing' in verdict.sentence


def test_a_rival_that_degenerates_does_not_hide_a_winner():
  mixed = Matrix({'keep': 1.5, 'random': 0.4}, seeds=8)
  for cell in mixed.cells:
    if cell['pooler'] == 'random' and cell['seed'] < 2:
      key = cell['task'], 'random', 'export', cell['seed']
      mixed.predictions[key] = np.ones(400, int)
      cell['metrics'] = {cell['main_metric']: scores.compute(
          cell['main_metric'], mixed.predictions[key], mixed.labels[cell['task']])}
  (verdict,) = mixed.analysis().verdicts
  assert verdict.answer == 'keep'


def test_a_constant_regression_counts_as_nothing_learned():
  cells = [{'task': 'stsb', 'pooler': 'keep', 'arm': 'export', 'seed': s, 'status': 'ok',
            'metrics': {'pearson': v}, 'main_metric': 'pearson'}
           for s, v in enumerate([0.88, 0.87, None])]
  (group,) = analyse(cells, settings=SETTINGS).groups
  assert group.counts['degenerate'] == 1
  assert group.with_degenerate.values == (0.88, 0.87, 0.0)


def test_failed_cells_are_counted_and_named():
  matrix = Matrix({'keep': 0.5, 'random': 0.5}, seeds=3)
  matrix.cells[0] = matrix.cells[0] | {
      'status': 'failed', 'metrics': {}, 'main_metric': '', 'cause': 'out of memory\ntrace'}
  found = matrix.analysis()
  assert found.counts['failed'] == 1 and found.groups[0].runs[0].reasons == ('out of memory',)
  assert found.groups[0].without_degenerate.seeds == (1, 2)
  assert any('1 of 12 cells failed' in remark for remark in found.remarks)


def test_everything_failed_is_still_a_report():
  cells = [{'task': 'rte', 'pooler': p, 'arm': 'export', 'seed': 0, 'status': 'failed',
            'metrics': {}, 'main_metric': '', 'cause': 'no such file'}
           for p in ('keep', 'random')]
  found = analyse(cells)
  assert found.groups[0].without_degenerate is None
  assert 'nothing can be said' in found.verdicts[0].sentence
  assert analyse([]).verdicts == ()


def test_wnli_is_apart():
  with_it = Matrix({'keep': 0.5, 'random': 0.5}, tasks=('rte', 'wnli'), seeds=3)
  found = with_it.analysis()
  assert {g.task for g in found.apart} == {'wnli'} and {g.task for g in found.groups} == {'rte'}
  assert 'opposite' in found.apart_because['wnli']
  assert {a.tasks for a in found.averages} == {('rte',)}
  assert {c.task for c in found.comparisons} == {'rte'}
  assert 'wnli' not in Matrix({'keep': 0.5}, tasks=('rte',)).analysis().apart_because


def test_seeds_of_wnli_limit_nothing():
  made = Matrix({'keep': 0.5, 'random': 0.5}, tasks=('rte', 'wnli'), seeds=8)
  made.cells = [c for c in made.cells if c['task'] == 'rte' or c['seed'] < 2]
  assert not [remark for remark in made.analysis().remarks if 'rest on' in remark]
  made.cells = [c for c in made.cells if c['task'] == 'wnli' or c['seed'] < 3]  # Control.
  assert made.analysis().remarks[0].startswith('With 3 seeds the intervals rest on')


def test_averages_are_over_the_tasks_that_all_have():
  uneven = Matrix({'keep': 0.5, 'random': 0.5}, tasks=('rte', 'mrpc'), seeds=3)
  uneven.cells = [c for c in uneven.cells if (c['task'], c['pooler']) != ('mrpc', 'random')]
  assert {a.tasks for a in uneven.analysis().averages} == {('rte',)}


def test_published_scores_stand_beside(clear, clear_analysis):
  setting = Setting('bert-base-cased', recipe=Recipe(3, 2e-5, 32, 128))
  found = clear.analysis(setting=setting)
  assert found.groups[0].beside.low == pytest.approx(0.6534)
  assert clear_analysis.groups[0].beside is None


def test_notes_of_cells_are_handed_on():
  matrix = Matrix({'keep': 0.5}, seeds=2)
  matrix.cells[0]['notes'] = ['best checkpoint chosen on dev: biased']
  assert 'best checkpoint chosen on dev: biased (1 of 4 cells).' in matrix.analysis().remarks


@pytest.mark.parametrize(('change', 'message'), [
    (lambda m: m.cells.append(dict(m.cells[0])), 'without repeated cells'),
    (lambda m: m.cells[1].update(
        main_metric='f1', metrics={'f1': scores.compute('f1', m.of(m.cells[1]), m.labels['rte'])}),
     'with one main metric'),
    (lambda m: [c.update(gold_sha256=str(c['seed']) * 64) for c in m.cells],
     'Run all its cells on the same dev set'),
    (lambda m: m.cells[0]['metrics'].update(accuracy=0.123), 'Run the cell again'),
    (lambda m: m.labels.update(rte=np.ones(7, int)), 'not of the same examples'),
])
def test_cells_that_contradict_each_other_are_refused(change, message):
  matrix = Matrix({'keep': 0.5}, tasks=('rte',), seeds=2)
  matrix.analysis()  # Control.
  change(matrix)
  with pytest.raises(RequestError, match=message):
    matrix.analysis()


def test_importing_costs_no_scipy(repository):
  code = ('import sys, nlp_export.glue.statistics, nlp_export.glue.degenerate;'
          'print(sorted({"scipy", "statsmodels", "sklearn", "pandas", "tensorflow"} '
          '& set(sys.modules))); import scipy; print("scipy" in sys.modules)')
  done = subprocess.run([sys.executable, '-c', code], cwd=repository, capture_output=True,
                        text=True, check=True)
  assert done.stdout.split('\n')[:2] == ['[]', 'True']
