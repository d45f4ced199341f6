"""Studies: arms, exports they share, cells, previews; what is refused, before any work."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import types
from pathlib import Path

import pytest

from nlp_export import encoders
from nlp_export.ablation import comparing, executing, planning
from nlp_export.ablation.arms import EXPORT_KEYS, read_arms
from nlp_export.ablation.study import Study
from nlp_export.errors import RequestError
from nlp_export.glue import curves
from nlp_export.glue.cells import OK, Cell, CellResult
from nlp_export.glue.fine_tuning import recipe as recipes
from nlp_export.glue.fine_tuning.recipe import Recipe
from tests.glue import official_layout
from tests.in_process import run_main, settings


@pytest.fixture(scope='module')
def glue(tmp_path_factory) -> str:
  return str(official_layout.write(tmp_path_factory.mktemp('glue')))


def study(**others) -> Study:
  return Study(**{'tasks': ('builtin_word_order',), 'seeds': (0, 1), 'recipe': Recipe(),
                  'arms': {'export': {}}, **others})


# Arms.


def test_an_arm_is_what_differs_from_the_common_recipe_and_export():
  export, slow, step, baseline = read_arms({
      'export': {}, 'slow': {'learning_rate': 2e-5, 'best_or_last': 'best'},
      'step_500': {'checkpoint': 'bert/ckpt-500', 'epochs': 1},
      'baseline': {'built': 'baseline', 'poolers': ('keep',)}}, Recipe())
  assert (export.built, export.recipe, export.export, export.poolers) == (
      'export', Recipe(), {}, None)
  assert slow.recipe == Recipe(learning_rate=2e-5, checkpoint='best')
  assert (step.export, step.recipe) == ({'checkpoint': 'bert/ckpt-500'}, Recipe(epochs=1))
  assert (baseline.built, baseline.poolers) == ('baseline', ('keep',))


def test_every_key_of_an_export_is_one_of_its_parameters():
  import inspect

  from experiments.export import export

  assert set(EXPORT_KEYS) <= set(inspect.signature(export).parameters)


@pytest.mark.parametrize(('arms', 'end'), [
    ({}, "Write ARMS = {'export': {}}"),
    ({'a': {'learning_rat': 1}}, 'best_or_last, held_out_share, precision'),
    ({'a': {'built': 'python'}}, "'built': 'export' (the default) or 'built': 'baseline'"),
    ({'a': {'learning_rate': -1}}, 'a positive number such as 5e-5'),
    ({'a': {'steps': 3}}, 'Set the other to None'),
])
def test_a_wrong_arm_is_refused(arms, end):
  with pytest.raises(RequestError) as raised:
    read_arms(arms, Recipe())
  assert raised.value.message.endswith(end)


def test_a_misspelt_key_is_named_with_what_was_meant():
  with pytest.raises(RequestError, match=r"Arm 'a' has the key 'learning_rat', which nothing reads"
                                         r"\. Did you mean 'learning_rate'\?"):
    read_arms({'a': {'learning_rat': 1}}, Recipe())


# Studies.


@pytest.mark.parametrize(('wrong', 'end'), [
    ({'tasks': ()}, '--set "TASKS=(\'cola\', \'rte\')"'),
    ({'tasks': ('rte', 'rte')}, '--set "TASKS=(\'cola\', \'rte\')"'),
    ({'tasks': ('rtee',)}, 'builtin_next_sentence.'),
    ({'tasks': ('ax',)}, "Put 'mnli' into TASKS."),
    ({'seeds': (1, 1)}, '--set "SEEDS=(0, 1, 2)"'),
    ({'seeds': (0, -1)}, 'but seeds are 0, 1, 2 ...'),
    ({'pooler_seed': -1}, 'but seeds are 0, 1, 2 ...'),
    ({'margin_points': 0}, 'Give points: --set MARGIN=1'),
    ({'published_encoder': 'bert'}, 'electra-base'),
])
def test_a_wrong_study_is_refused(wrong, end):
  study()  # Control.
  with pytest.raises(RequestError) as raised:
    study(**wrong)
  assert raised.value.message.endswith(end)


def test_every_field_of_the_recipe_can_be_set(tiny_uncased, glue, tmp_path):
  values = {field.name: field.default for field in dataclasses.fields(Recipe)}
  assert set(values) == set(recipes.fields())
  arguments = [f'--set=recipe.{name}={value}' for name, value in values.items()]
  done = run_main('gin/runs/pooler_ablation.gin', *settings(**tiny_uncased, GLUE_DIR=glue),
                  *arguments, '--dry_run', '--out_dir', tmp_path / 'out')
  assert done.status == 0, done.output
  wrong = run_main('gin/runs/pooler_ablation.gin', *settings(**tiny_uncased, GLUE_DIR=glue),
                   '--set=recipe.clip_nrm=1', '--dry_run', '--out_dir', tmp_path / 'out')
  assert wrong.status == 2 and 'clip_norm' in wrong.stderr  # Control.


@pytest.mark.parametrize('name', ['bert', 'mosbach', 'zhang'])
def test_a_published_recipe_can_follow_a_run_file(name, tiny_uncased, glue, tmp_path):
  done = run_main('gin/runs/pooler_ablation.gin', f'gin/glue/recipes/{name}.gin',
                  *settings(**tiny_uncased, GLUE_DIR=glue), '--dry_run', '--out_dir',
                  tmp_path / 'out')
  assert done.status == 0, done.output
  rate = {'bert': '3 epochs at 5e-05, batch 32', 'mosbach': '20 epochs at 2e-05, batch 16',
          'zhang': '3 epochs at 2e-05, batch 32'}[name]
  assert rate in done.stdout
  assert 'note:' not in done.stdout


# Plans.


def dry_run(tmp_path, text: str, *more: str, **macros):
  path = tmp_path / 'study.gin'
  path.write_text("# What?\ninclude 'gin/runs/pooler_ablation.gin'\n" + text)
  return run_main(path, *settings(**macros), *more, '--dry_run', '--out_dir', tmp_path / 'out')


def test_arms_share_an_export_if_they_differ_in_nothing_of_it(tiny_uncased, tmp_path, glue):
  arms = {'export': {}, 'slow': {'learning_rate': 1e-5},
          'upper': {'do_lower_case': False, 'poolers': ('keep',)},
          'upper_slow': {'do_lower_case': False, 'learning_rate': 1e-5, 'poolers': ('random',)},
          'base': {'built': 'baseline', 'poolers': ('identity',)}}
  done = dry_run(tmp_path, f'ARMS = {arms!r}\nSEEDS = (4, 7)\n', **tiny_uncased, GLUE_DIR=glue,
                 TASKS="('rte', 'stsb')")
  assert done.status == 0, done.output
  lines = done.stdout.splitlines()
  assert [line for line in lines if line.startswith('write and verify')] == [
      f'write and verify exports/{name}' for name in (
          'keep/model', 'random/model', 'identity/model', 'preprocessing', 'upper/keep/model',
          'upper/random/model', 'upper/preprocessing')]
  assert 'on rte, stsb with seeds 4, 7: 36 fine-tunings' in lines
  assert 'cells: 36 in all: 36 to do' in lines
  assert 'to do: stsb/identity/base, seeds 4, 7' in lines
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(('text', 'end'), [
    ("ARMS = {'a': {'poolers': ('other',)}}\n", 'It has keep, random, identity'),
    ("ARMS = {'a': {'checkpoint': 'none/ckpt-1'}}\n", 'Correct CHECKPOINT.'),
    ("EXPORT_TYPES = ('model',)\n", 'or leave it out'),
    ("ARMS = {'a b': {}, 'a': {}}\n", "'_', '-' and '.', not first"),
    ("TASKS = ('mrpc',)\nTFDS_DATA_DIR = 'x'\n", 'Leave out the other.'),
    ("TASKS = ('mrpc',)\nGLUE_DIR = None\n", "'builtin_next_sentence')\""),
    ("study.arms = 3\n", 'Give ablation.study.arms another value.'),
])
def test_a_study_that_cannot_be_planned_is_refused(text, end, tiny_uncased, tmp_path, glue):
  done = dry_run(tmp_path, f'GLUE_DIR = {glue!r}\n{text}', **tiny_uncased)
  assert done.status == 2, done.output
  assert done.stderr.splitlines()[-1].endswith(end)


def test_a_missing_value_is_asked_for_by_its_macro(tiny_uncased, tmp_path, glue):
  prefix = Path(tiny_uncased['CHECKPOINT'])
  alone = tmp_path / 'alone'  # Beside it lie files that would be named.
  alone.mkdir()
  for path in prefix.parent.glob(f'{prefix.name}.*'):
    shutil.copy(path, alone)
  done = dry_run(tmp_path, '', CHECKPOINT=str(alone / prefix.name), GLUE_DIR=glue)
  assert done.status == 2
  assert '--set VOCAB_FILE=... or --set SP_MODEL_FILE=... or --set TOKENIZER=...' in done.stderr


def test_a_plan_may_be_executed_by_several_processes():
  made = planning.plan(study(), _no_export, title='t', question='q',
                       given=planning.Given('model', 'preprocessing'))
  assert made.shared
  assert 'report.html' in made.outputs


def _no_export(**options):
  raise AssertionError('EXPORT is given')


# Before training.


@pytest.mark.parametrize(('names', 'compared'), [
    (('cola', 'rte', 'mrpc'), 'rte'), (('mrpc', 'cola'), 'mrpc'), (('sst2', 'cola'), 'sst2')])
def test_pairs_are_compared_before_training_where_there_are_some(names, compared):
  assert comparing.compared_task(names).name == compared


# Curves.


def read_curves(place: str) -> dict[str, list[tuple[int, float]]]:
  import tensorflow as tf
  from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

  events = EventAccumulator(place)
  events.Reload()
  return {tag: [(event.step, float(tf.make_ndarray(event.tensor_proto)))
                for event in events.Tensors(tag)] for tag in events.Tags()['tensors']}


def test_curves_of_a_cell_are_written_once_however_often_it_is(tmp_path):
  cell = Cell('rte', 'export', 'keep', 3)
  result = CellResult.of(
      cell, status=OK, metrics={'accuracy': 0.75}, main_metric='accuracy', history=(
          {'step': 10, 'epoch': 0.5, 'loss': 0.5},
          {'step': 20, 'epoch': 1.0, 'loss': math.nan, 'accuracy': 0.75}))
  for _ in range(2):
    curves.write(str(tmp_path), cell, result)
  place = tmp_path / 'glue/curves/rte/keep/export/seed_3'
  assert len(list(place.iterdir())) == 1
  assert read_curves(str(place)) == {
      'epoch': [(10, 0.5), (20, 1.0)], 'loss': [(10, 0.5)], 'accuracy': [(20, 0.75)]}
  curves.write(str(tmp_path), cell, dataclasses.replace(result, history=()))
  assert not place.exists()


def test_a_report_tells_what_an_arm_changes():
  changed = study(glue_dir='glue', arms={
      'export': {}, 'step': {'checkpoint': 'ckpt-5', 'encoder': encoders.bert, 'epochs': 1.0}})
  told = executing._changed(types.SimpleNamespace(study=changed, arms=changed.named_arms))
  assert {entry['name']: entry['value'] for entry in told} == {
      'study.glue_dir': 'glue', 'arm step: epochs': 1.0, 'arm step: checkpoint': 'ckpt-5',
      'arm step: encoder': 'bert'}
  json.dumps(told)  # Goes into results.json.
  with pytest.raises(TypeError):  # Control: gin's own value would not.
    json.dumps(encoders.bert)
