"""A matrix that looks like a real one: three poolers, three tasks, five seeds, trouble."""

from __future__ import annotations

import math

import numpy as np

from nlp_export.glue.cells import CellResult
from nlp_export.glue.published import Setting
from nlp_export.glue.published_rows import Recipe
from nlp_export.glue.statistics import Settings, analyse, scores
from nlp_export.reports import Report

METRIC = {'cola': 'matthews_correlation', 'mrpc': 'f1', 'rte': 'accuracy', 'wnli': 'accuracy'}
EXAMPLES = {'cola': 1043, 'mrpc': 408, 'rte': 277, 'wnli': 71}
SKILL = {'keep': 0.62, 'random': 0.42, 'identity': 0.7}
STEPS = {'cola': 804, 'mrpc': 345, 'rte': 234, 'wnli': 60}
SETTINGS = Settings(replicates=100)
SETTING = Setting('bert-base-cased', recipe=Recipe(3, 5e-5, 32, 128))


class Matrix:
  """Cells with the predictions that their scores come from."""

  def __init__(self):
    self.cells: list[CellResult] = []
    self.predictions: dict[str, np.ndarray] = {}
    self.labels: dict[str, np.ndarray] = {}
    self.easy: dict[str, np.ndarray] = {}

  def gold(self, task):
    if task not in self.labels:
      generator = np.random.default_rng(len(task))
      self.labels[task] = (generator.random(EXAMPLES[task]) < 0.66).astype(int)
      self.easy[task] = generator.normal(0, 1, EXAMPLES[task])
    return self.labels[task]

  def add(self, task, pooler, arm, seed, *, constant=False, entries=12, **changes):
    gold = self.gold(task)
    own = np.random.default_rng([seed, len(task), *pooler.encode()])
    latent = (self.easy[task] + SKILL[pooler] + own.normal(0, 0.08 if pooler == 'random' else 0.04)
              + own.normal(0, 0.5, len(gold)))
    guessed = np.ones_like(gold) if constant else np.where(latent > 0, gold, 1 - gold)
    if arm == 'baseline':
      guessed[seed % 3] = 1 - guessed[seed % 3]  # One example, now and then the other way.
    cell = CellResult(**{
        'task': task, 'arm': arm, 'pooler': pooler, 'seed': seed, 'init_seed': 1000 + seed,
        'data_seed': 2000 + seed, 'pooler_seed': seed if pooler == 'random' else None,
        'config_hash': f'{seed:x}' * 64, 'status': 'degenerate' if constant else 'ok',
        'degenerate': ('constant prediction: always equivalent',) if constant else (),
        'metrics': self.metrics(task, guessed), 'main_metric': METRIC[task],
        'train_seconds': STEPS[task] * own.uniform(0.31, 0.36),
        'examples_per_second': 32 / own.uniform(0.31, 0.36),
        'tokens_per_second': own.uniform(1750, 2050),
        'padding_share': {'cola': 0.06, 'mrpc': 0.11}.get(task, 0.16) + own.uniform(0, 0.01),
        'history': history(task, self.metrics(task, guessed), own, constant, entries),
        'predictions_file': f'glue/predictions/{task}/{pooler}/{arm}/seed_{seed}.npz',
        'gold_sha256': f'{len(task):x}' * 64, 'labels': ('no', 'yes')} | changes)
    self.cells.append(cell)
    self.predictions[cell.name] = guessed

  def metrics(self, task, guessed):
    names = {METRIC[task], 'accuracy'} if task == 'mrpc' else {METRIC[task]}
    return {name: scores.compute(name, guessed, self.labels[task]) for name in sorted(names)}

  def fail(self, task, pooler, arm, seed, cause):
    self.cells.append(CellResult(
        task=task, arm=arm, pooler=pooler, seed=seed, init_seed=1, data_seed=2, pooler_seed=seed,
        config_hash='f' * 64, status='failed', cause=cause))

  def of(self, cell):
    name = f'{cell["task"]}/{cell["pooler"]}/{cell["arm"]}/seed_{cell["seed"]}'
    return self.predictions.get(name)

  def analysis(self, **more):
    return analyse([cell.to_json() for cell in self.cells], predictions=self.of,
                   labels=self.labels, **({'settings': SETTINGS, 'setting': SETTING} | more))


def history(task, metrics, own, constant, entries):
  """Loss at every entry; metrics at the end of each of three epochs."""
  found = []
  for place in range(1, entries + 1):
    part = place / entries
    loss = 0.69 if constant else 0.28 + 0.42 * math.exp(-2.2 * part) + own.normal(0, 0.015)
    entry = {'step': round(STEPS[task] * part), 'epoch': 3 * part, 'loss': loss,
             'gradient_norm': 1.0 + own.random(), 'learning_rate': 5e-5 * (1 - part)}
    if place % (entries // 3) == 0:
      epoch = place // (entries // 3)
      entry |= {name: value * (1 if constant else 1 - 0.09 / epoch + 0.03 * (epoch == 3))
                for name, value in metrics.items()}
    found.append(entry)
  return tuple(found)


def matrix() -> Matrix:
  """The whole of it, with one failed cell, one degenerate, one long history, and WNLI."""
  made = Matrix()
  for task in ('cola', 'mrpc', 'rte'):
    for pooler in SKILL:
      for seed in range(5):
        if (task, pooler, seed) == ('cola', 'random', 4):
          made.fail(task, pooler, 'export', seed, 'ResourceExhaustedError: out of memory when '
                    'allocating tensor [32,12,128,128]\n  in transformer/layer_3/self_attention')
        else:
          made.add(task, pooler, 'export', seed,
                   constant=(task, pooler, seed) == ('mrpc', 'random', 2),
                   entries=1200 if (task, pooler) == ('cola', 'keep') else 12,
                   notes=('dropout not reproducible',) if task == 'rte' and seed == 4 else ())
  for seed in range(5):
    made.add('rte', 'keep', 'baseline', seed)
  for seed in range(2):
    made.add('wnli', 'keep', 'export', seed)
  return made


def agreement(pooler, passed=True):
  """The check before training of one pooler."""
  own = np.random.default_rng(len(pooler))
  names = ['token ids', 'embeddings', *(f'layer {n}' for n in range(6)), 'pooled_output', 'logits',
           'loss', *(f'gradient of transformer/layer_{n}/{part}' for n in range(6)
                     for part in ('attention/kernel', 'output/kernel', 'output_layer_norm/gamma'))]
  rows = [{'name': name, 'tolerance': 1e-5, 'passed': True,
           'difference': 0.0 if name in ('token ids', 'loss') else float(10 ** own.uniform(-8, -6))}
          for name in names]
  if not passed:
    rows[8] |= {'difference': 3.1e-3, 'passed': False}
    rows[9] |= {'difference': None, 'passed': False}
  return {'pooler': pooler, 'passed': passed, 'tolerance': 1e-5, 'rows': rows,
          'first_difference': None if passed else 'pooled_output'}


def report(made: Matrix, **changes) -> Report:
  """A whole report of a matrix."""
  if 'analysis' not in changes:
    changes['analysis'] = made.analysis()
  return Report(**{
      'title': 'Pooler ablation', 'question': 'Does the pooler’s start matter for fine-tuning?',
      'cells': made.cells,
      'agreement': [agreement(pooler) for pooler in SKILL],
      'config_text': "import experiments.pooler_ablation\n\nTASKS = ('cola', 'mrpc', 'rte')\n",
      'operative_config_text': 'pooler_ablation.epochs = 3.0\n',
      'changed_from_defaults': [
          {'name': 'SEEDS', 'value': '(0, 1, 2, 3, 4)', 'default': '(0, 1, 2)'},
          {'name': 'LEARNING_RATE', 'value': 5e-05, 'default': 3e-05}],
      'provenance': {
          'commit': '0123456789abcdef0123456789abcdef01234567', 'changed': False,
          'machine': 'Linux-6.1-x86_64', 'versions': {'python': '3.11.2', 'tensorflow': '2.20.0'},
          'exports': {'keep': {'title': 'bert_L-6_H-384', 'sha256': 'ab' * 32}},
          'inputs': {'rte/train.tsv': 'cd' * 32}},
      'commands': ['python run.py gin/runs/pooler_ablation.gin --set EPOCHS=3'],
  } | changes)
