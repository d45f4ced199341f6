"""Real encoders: export and baseline train alike, and again in another process, killed or not."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from nlp_export import poolers
from nlp_export.errors import CheckError, RequestError
from nlp_export.glue import prediction_files
from nlp_export.glue.cells import Cell
from nlp_export.glue.fine_tuning import batches, runtime
from nlp_export.glue.fine_tuning.arms import ExportArm, PoolerStart
from nlp_export.glue.fine_tuning.classifier import Classifier
from nlp_export.glue.fine_tuning.finetune import FineTuning
from nlp_export.glue.fine_tuning.trainable_encoder import NOT_REPRODUCIBLE
from nlp_export.glue.fine_tuning.trainer import Trainer
from tests.conftest import ROOT
from tests.glue import fine_tuning_lab as lab

KERNEL = 'pooler_transform/kernel'


@pytest.fixture(scope='module')
def arms(uncased_exports, tiny_uncased):
  """Export and baseline, keeping the pooler or drawing it."""
  paths = uncased_exports['model'], uncased_exports['preprocessing']
  return {('export', 'keep'): ExportArm(*paths),
          ('export', 'random'): ExportArm(*paths, lab.RANDOM),
          ('baseline', 'keep'): lab.baseline_arm(tiny_uncased),
          ('baseline', 'random'): lab.baseline_arm(tiny_uncased, lab.RANDOM)}


@pytest.fixture(scope='module')
def by_arm(arms):
  """A FineTuning for each arm, so that each compiles once."""
  return {name: FineTuning(arms, lab.load_task, save_every_seconds=0)
          for name in ('export', 'baseline')}


def cell(arm='export', pooler='keep', seed=1, pooler_seed=None, **recipe) -> Cell:
  return Cell('mrpc', arm, pooler, seed, pooler_seed, lab.recipe(**recipe))


@pytest.fixture(scope='module')
def run(by_arm, tmp_path_factory):
  """A function from a cell to its result and the outputs on dev; each cell runs once."""
  directory, done = tmp_path_factory.mktemp('cells'), {}

  def run_once(one):
    if one.config_hash not in done:
      result = lab.run_cell(by_arm[one.arm], one, directory / one.config_hash)
      place = directory / one.config_hash
      path = str(place / result.predictions_file)
      done[one.config_hash] = (
          result, prediction_files.read(path)['dev'].outputs, lab.outcome(result, place))
    return done[one.config_hash]

  return run_once


@pytest.fixture(scope='module')
def encoders(by_arm):
  return [by_arm[name].encoder(name, 'keep') for name in ('export', 'baseline')]


def losses(result) -> np.ndarray:
  return np.array([entry['loss'] for entry in result.history])


@pytest.mark.parametrize(('seed', 'pooler', 'pooler_seed'), [
    (1, 'keep', None), (2, 'keep', None), (1, 'random', 5)])
def test_export_and_baseline_train_alike(run, seed, pooler, pooler_seed):
  first, second = (run(cell(arm, pooler, seed, pooler_seed)) for arm in ('export', 'baseline'))
  assert first[0].metrics == second[0].metrics
  assert first[0].padding_share == second[0].padding_share
  assert first[0].notes == second[0].notes == runtime.notes()
  np.testing.assert_allclose(losses(first[0]), losses(second[0]), atol=1e-5)
  np.testing.assert_allclose(first[1], second[1], atol=1e-4)


def test_other_seeds_are_far_from_rounding(run):
  base = run(cell())
  for other in (cell(seed=2), cell(pooler='random', pooler_seed=5),
                cell(pooler='random', pooler_seed=6), cell(head_dropout=0.0)):
    assert np.abs(losses(base[0]) - losses(run(other)[0])).max() > 1e-3


def test_both_arms_have_the_same_texts_start_and_masks(encoders):
  export, baseline = encoders
  assert list(export.variables) == list(baseline.variables)
  texts = lab.load_task('mrpc')['train'].texts
  tokens = [encoder.tokenise(texts, 8) for encoder in encoders]
  assert tokens[0].sha256() == tokens[1].sha256() != export.tokenise(texts, 6).sha256()
  recipe = dataclasses.replace(lab.RECIPE, reinit_top_layers=1)
  heads = [Classifier(encoder, 2, False, recipe) for encoder in encoders]
  inputs = {name: tf.constant(x) for name, x in tokens[0].padded(np.arange(6), 8).items()}
  logits = {}
  for head in heads:
    head.reset(7)
    head.head['head/kernel'].assign(head.head['head/kernel'] * 50)
    logits[head] = head.logits(inputs, training=True).numpy()
  for one, other in zip(*(head.variables().values() for head in heads), strict=True):
    assert one.numpy().tobytes() == other.numpy().tobytes()
  np.testing.assert_allclose(*logits.values(), atol=1e-5)
  without = heads[0].logits(inputs, training=False).numpy()
  assert np.abs(without - logits[heads[0]]).max() > 1e-2  # Control: there were masks.
  again = heads[0].logits(inputs, training=True).numpy()
  assert np.abs(again - logits[heads[0]]).max() > 1e-2
  for head in heads:
    head.encoder.reset()
  assert (export.variables[KERNEL].numpy() == baseline.variables[KERNEL].numpy()).all()


# Another process.


@pytest.fixture(scope='module')
def other_process(uncased_exports, tmp_path_factory):
  """What a process of its own got for two cells, and where it was killed in a third."""
  directory = tmp_path_factory.mktemp('other_process')
  cells = [dataclasses.asdict(cell(precision=name)) for name in ('float32', 'mixed_bfloat16')]
  settings = {'cells': cells, 'directory': str(directory), 'kill_at': 6, **uncased_exports}
  path = directory / 'settings.json'
  path.write_text(json.dumps(settings))
  done = subprocess.run([sys.executable, '-m', 'tests.glue.fine_tuning_lab', path], cwd=ROOT,
                        capture_output=True, text=True, timeout=300)
  assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
  return directory


@pytest.mark.parametrize('precision', ['float32', 'mixed_bfloat16'])
def test_the_same_bits_in_two_processes(run, other_process, precision):
  number = ['float32', 'mixed_bfloat16'].index(precision)
  theirs = json.loads((other_process / str(number) / 'outcome.json').read_text())
  assert json.loads(json.dumps(run(cell(precision=precision))[2])) == theirs


def test_bfloat16_is_another_arithmetic_or_says_that_it_is_not(run):
  result, outputs, _ = run(cell(precision='mixed_bfloat16'))
  exact = run(cell())[1]
  if runtime.has_bfloat16():
    assert 0 < np.abs(outputs - exact).max() < 0.1
    assert runtime.NO_BFLOAT16 not in result.notes
  else:
    assert outputs.tobytes() == exact.tobytes() and runtime.NO_BFLOAT16 in result.notes


def test_a_killed_cell_goes_on_to_the_same_bits(by_arm, run, other_process):
  directory = other_process / 'killed'
  progress = json.loads((directory / 'work' / 'progress.json').read_text())
  assert progress['step'] == 5
  assert not (directory / 'glue').exists()
  lab.run_cell(by_arm['export'], cell(), directory)
  result = lab.run_cell(by_arm['export'], cell(), directory)
  whole = run(cell())[2]
  assert lab.outcome(result, directory) == whole
  # Control: it did go on, with what it found there.
  progress = json.loads((directory / 'work' / 'progress.json').read_text())
  progress['history'][0]['loss'] = 9.0
  (directory / 'work' / 'progress.json').write_text(json.dumps(progress))
  assert lab.run_cell(by_arm['export'], cell(), directory).history[0]['loss'] == 9.0


# Steps and predictions.


def test_rows_that_fill_up_a_batch_change_nothing(encoders):
  quiet = copy.copy(encoders[1])
  quiet.outputs = lambda inputs, training: encoders[1].outputs(inputs, False)  # No dropout.
  recipe = dataclasses.replace(lab.RECIPE, head_dropout=0.0)
  trained = Trainer(Classifier(quiet, 2, False, recipe), recipe)
  trained.reset(1, None)
  data = lab.load_task('mrpc')['train']
  texts, rows = quiet.tokenise(data.texts, 8), np.array([0, 1, 2])
  loss, norm = trained.step(texts, data.labels, batches.Batch(rows, 8), 0, 0.0)
  head = trained.classifier
  with tf.GradientTape() as tape:
    inputs = texts.padded(rows, int(texts.lengths[rows].max()))
    logits = head.logits({name: tf.constant(x) for name, x in inputs.items()}, training=False)
    expected = head.loss(logits, tf.constant(data.labels[rows]))
  gradients = tape.gradient(expected, list(head.variables().values()))
  assert loss == pytest.approx(float(expected), rel=1e-5)
  dense = [tf.convert_to_tensor(gradient) for gradient in gradients]
  assert norm == pytest.approx(float(tf.linalg.global_norm(dense)), rel=1e-4)
  # Predictions of rows alone, without padding, are those of filled-up batches.
  found = trained.predict(texts)
  for row in range(3):
    inputs = texts.padded(np.array([row]), int(texts.lengths[row]))
    alone = head.logits({name: tf.constant(x) for name, x in inputs.items()}, training=False)
    np.testing.assert_allclose(found[row], alone[0], atol=1e-6)
  assert np.ptp(found[:, 0]) > 1e-4


# Sharing.


def with_another_pooler(model, directory):
  """A copy of an export whose variables alone differ, as that of another strategy does."""
  path = directory / 'model'
  shutil.copytree(model, path)
  prefix = str(path / 'variables' / 'variables')
  reader = tf.train.load_checkpoint(prefix)
  tensors = {key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map()}
  loaded = tf.saved_model.load(model)
  kernel = next(v for v in loaded.trainable_variables if v.name.startswith(KERNEL)).numpy()
  (key,) = [key for key, value in tensors.items()
            if getattr(value, 'shape', None) == kernel.shape and (value == kernel).all()]
  tensors[key] = poolers.random(len(kernel), 9).kernel
  shutil.rmtree(path / 'variables')
  tf.raw_ops.SaveV2(prefix=prefix, tensor_names=list(tensors), shape_and_slices=[''] * len(tensors),
                    tensors=list(tensors.values()))
  return str(path)


def test_exports_of_one_graph_share_it(uncased_exports, tmp_path):
  kept = ExportArm(uncased_exports['model'], uncased_exports['preprocessing'])
  other = dataclasses.replace(kept, model=with_another_pooler(kept.model, tmp_path))
  assert kept.key() == other.key()
  assert kept.content_hashes() != other.content_hashes()
  encoder, fresh = kept.load(), other.load()
  before = {name: np.array(encoder.initial(name)) for name in encoder.variables}
  other.put_into(encoder)
  encoder.reset()
  for name, variable in encoder.variables.items():
    assert variable.numpy().tobytes() == fresh.variables[name].numpy().tobytes()
  assert (before[KERNEL] != encoder.initial(KERNEL)).any()
  kept.put_into(encoder)
  assert all((before[name] == encoder.initial(name)).all() for name in before)


def test_baselines_share_an_encoder_and_start_as_their_own(arms, tiny_uncased):
  keep, random = arms['baseline', 'keep'], arms['baseline', 'random']
  none = lab.baseline_arm(tiny_uncased, PoolerStart(poolers.none, 'none'))
  assert keep.key() == random.key() == none.key()
  encoder = keep.load()
  kept = np.array(encoder.initial(KERNEL))
  random.put_into(encoder)
  assert (encoder.initial(KERNEL) == poolers.random(16, 0, 0.5).kernel).all()
  none.put_into(encoder)
  assert not encoder.has_pooled_output  # As its export.
  with pytest.raises(RequestError, match='has no pooled_output'):
    Classifier(encoder, 2, False, lab.RECIPE)
  keep.put_into(encoder)
  assert encoder.has_pooled_output and (encoder.initial(KERNEL) == kept).all()


def test_what_sets_arms_apart(arms, tiny_uncased, uncased_exports, tmp_path):
  baseline, export = arms['baseline', 'keep'], arms['export', 'keep']
  same_name = tmp_path / os.path.basename(tiny_uncased['VOCAB_FILE'])
  lines = open(tiny_uncased['VOCAB_FILE'], encoding='utf-8').read().splitlines()
  same_name.write_text('\n'.join([*lines[:5], *reversed(lines[5:])]) + '\n', encoding='utf-8')
  other = lab.baseline_arm({**tiny_uncased, 'VOCAB_FILE': str(same_name)})
  assert other.tokenizer.description() == baseline.tokenizer.description()
  assert other.key() != baseline.key()
  assert other.content_hashes()['tokenizer'] != baseline.content_hashes()['tokenizer']
  assert other.content_hashes()['checkpoint'] == baseline.content_hashes()['checkpoint']
  assert dataclasses.replace(baseline, item_names={'encoder': 'x'}).key() != baseline.key()
  with_mlm = dataclasses.replace(export, model=uncased_exports['model_with_mlm'])
  assert with_mlm.key() != export.key()


# Strangers.


def test_an_export_of_another_tool_trains_with_a_note(tfhub_export, uncased_exports, tmp_path):
  arm = ExportArm(tfhub_export, uncased_exports['preprocessing'])
  finetune = FineTuning({('export', 'keep'): arm}, lab.load_task)
  result = lab.run_cell(finetune, cell(epochs=1.0), tmp_path)
  assert NOT_REPRODUCIBLE in result.notes
  assert np.isfinite(losses(result)).all() and len(result.history) == 5
  encoder = finetune.encoder('export', 'keep')
  assert encoder.dropout_state is None
  unmoved = [name for name, v in encoder.variables.items()
             if v.numpy().tobytes() == encoder.initial(name).tobytes()]
  # What is added to every key alike changes no attention: its gradient is rounding.
  assert all(name.endswith('key/bias') for name in unmoved), unmoved
  assert encoder.last_layers(1) and all('layer_1' in name for name in encoder.last_layers(1))


def test_what_cannot_be_trained_is_refused(uncased_exports, tmp_path):
  with pytest.raises(CheckError, match='cannot be loaded'):
    ExportArm(str(tmp_path), uncased_exports['preprocessing']).load()
  with pytest.raises(CheckError, match="export it with TensorFlow 2's tools$"):
    ExportArm(uncased_exports['preprocessing'], uncased_exports['preprocessing']).load()
