"""Each check of an encoder fails on an export that is wrong in its way, and no other check does."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from nlp_export.saved_models.verification import Job, registry
from nlp_export.saved_models.verification import report as reports
from tests.saved_models import encoder_mutants as mutants

# What is wrong -> the checks that must see it. All others must not.
MODEL = {
    'no_empty_batch': {'encoder.inputs'},
    'trains_by_default': {'encoder.plain_inputs', 'encoder.inference_repeats'},
    'list_inputs': {'encoder.wrong_inputs', 'encoder.traces'},
    'int64': {'encoder.int64_inputs', 'encoder.traces'},
    'float64_output': {'encoder.outputs'},
    'no_pooled_output': {'encoder.outputs'},
    'no_default': {'encoder.outputs'},
    'longer': {'encoder.longest'},
    'vector_dropped': {
        'encoder.sequence_length', 'encoder.static_shapes', 'encoder.encoder_outputs',
        'encoder.padding', 'encoder.equals_source'},
    'shape_lost': {'encoder.static_shapes'},
    'no_training_trace': {'encoder.traces', 'encoder.dropout', 'encoder.dropout_state'},
    'no_dropout': {'encoder.dropout'},
    'state_stands_still': {'encoder.dropout_state'},
    'no_xla': {'encoder.xla'},
    'default_is_cls': {'encoder.default'},
    'outputs_reversed': {'encoder.encoder_outputs', 'encoder.equals_source'},
    'pooler_without_tanh': {'encoder.pooler', 'encoder.equals_source'},
    'layer_order': {'encoder.equals_source'},
    'padding_seen': {'encoder.padding', 'encoder.equals_source'},
    'types_ignored': {'encoder.type_ids', 'encoder.equals_source'},
    'nan_output': {'encoder.finite'},
    'signature_names': {'encoder.signature'},
    'signature_values': {'encoder.signature'},
    'not_in_variables': {'encoder.trainable'},
    'weights_swapped': {'encoder.weights'},
    'perturbed_weight': {'encoder.weights', 'encoder.equals_source'},
    'extra_trainable': {'encoder.weights', 'encoder.gradients'},
    'strange_variable': {'encoder.other_variables'},
    'vector_loss': {'encoder.regularization_losses'},
    'stopped_gradient': {'encoder.gradients'},
    'two_tokenizers': {'encoder.tokenizer_file', 'files.assets'},
    'lower_case': {'encoder.do_lower_case'},
    'long_vocabulary': {'encoder.vocab_size', 'files.assets'},
    'python_op': {'files.no_bytecode'},
}
MLM = {
    'mlm_no_empty_positions': {'mlm.outputs'},
    'mlm_activation': {'mlm.formula', 'mlm.equals_source'},
    'mlm_perturbed_head': {'mlm.weights', 'mlm.equals_source'},
    'mlm_other_pooled': {'mlm.equals_root'},
    'mlm_layers_reversed': {'mlm.equals_root'},
    'mlm_positions_sorted': {'mlm.positions'},
    'mlm_extra_variable': {'mlm.weights'},
    'mlm_own_variables': {'mlm.shares_variables', 'mlm.weights'},
    'mlm_no_dropout': {'mlm.dropout'},
    'mlm_reads_first_copy': {'files.resaved'},
}
FILES = {
    'odd_name': {'files.layout'},
    'build_path': {'files.no_build_paths'},
    'surplus_asset': {'files.assets'},
    'missing_asset': {'files.assets'},
    'changed_asset': {'files.assets'},
    'not_moved': {'files.moved'},
    'not_isolated': {'files.loads_alone'},
    'mlm_not_asked_for': {'mlm.present'},
}

_MEMORY: dict[Any, Any] = {}  # As in the worker: equal graphs are compiled once.


@pytest.fixture(scope='module', autouse=True)
def unoptimised_graphs():
  """Optimising a graph costs more than running it once, for exports as small as these."""
  import tensorflow as tf

  tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': True})
  yield
  tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': False})


def check(place: Path, expected: Any, isolation: str = '', known: Any = None,
          **job: Any) -> reports.VerificationReport:
  """All checks, in this process, but for answers that are known."""
  from nlp_export.saved_models.verification import checking

  job = {'path': '/elsewhere', 'name': 'x', 'expected': expected,
         'build_paths': ('/build/here',), **job}
  subject = checking.load(Job(**job), str(place), isolation, memory=_MEMORY)
  return checking.run_checks(subject, known)


def names_of(results: Any) -> set[str]:
  return {c.name for c in results}


@pytest.fixture(scope='module')
def told(tmp_path_factory):
  """The expectations of the encoder without and with .mlm."""
  made = {}
  for with_mlm in (False, True):
    directory = tmp_path_factory.mktemp('source')
    made[with_mlm] = mutants.expectation(
        mutants.TinyEncoder(directory, with_mlm=with_mlm), directory)
  return made


def export(directory: Path, bad: str = '', with_mlm: bool = False) -> Path:
  source = directory / 'source'
  source.mkdir()
  mutants.save(mutants.TinyEncoder(source, bad, with_mlm), str(directory / 'model'))
  return directory / 'model'


@pytest.mark.parametrize('with_mlm', [False, True])
def test_a_right_export_passes_every_check(tmp_path, told, with_mlm):
  report = check(export(tmp_path, with_mlm=with_mlm), told[with_mlm])
  assert report.passed, '\n'.join(report.lines())
  assert not report.failed
  not_applicable = {c.name for c in report.checks if c.status != reports.PASSED}
  assert all(name.startswith('mlm.') for name in not_applicable)
  assert bool(not_applicable) == (not with_mlm)


@pytest.fixture(scope='module')
def right_model(tmp_path_factory):
  return export(tmp_path_factory.mktemp('right'))


@pytest.fixture(scope='module')
def resaved(right_model, told):
  """The answer on saving the right export again, which takes as long as all other checks."""
  report = check(right_model, told[False])
  return {c.name: c for c in report.checks if c.name == 'files.resaved'}


@pytest.mark.conformance(8, 23)
@pytest.mark.parametrize('bad', MODEL)
def test_each_fault_is_seen_by_its_checks_alone(tmp_path, told, resaved, bad):
  report = check(export(tmp_path, bad), told[False], known=resaved)
  assert names_of(report.failed) == MODEL[bad], '\n'.join(report.lines())
  assert not report.passed


@pytest.mark.conformance(51, 53)
@pytest.mark.parametrize('bad', MLM)
def test_each_fault_of_mlm_is_seen_by_its_checks_alone(tmp_path, told, resaved, bad):
  known = None if bad == 'mlm_reads_first_copy' else resaved
  report = check(export(tmp_path, bad, with_mlm=True), told[True], known=known)
  assert names_of(report.failed) == MLM[bad], '\n'.join(report.lines())


@pytest.mark.parametrize('bad', [b for b in FILES if b != 'mlm_not_asked_for'])
def test_each_fault_of_files_is_seen_by_its_checks_alone(tmp_path, told, right_model, bad):
  path = tmp_path / 'model'
  shutil.copytree(right_model, path)
  job: dict[str, str] = {}
  if bad == 'odd_name':
    (path / '-notes.txt').write_text('x')
  elif bad == 'build_path':
    (path / 'assets.extra').mkdir()
    (path / 'assets.extra' / 'provenance.json').write_text('{"vocab": "/build/here/vocab.txt"}')
  elif bad == 'surplus_asset':
    (path / 'assets' / 'stale.txt').write_text('x')
  elif bad == 'missing_asset':
    (path / 'assets' / 'vocab.txt').unlink()
    (path / 'assets').rmdir()
  elif bad == 'changed_asset':
    (path / 'assets' / 'vocab.txt').write_text('\n'.join(mutants.VOCAB).replace('Yes', 'yes'))
  elif bad == 'not_moved':
    job['path'] = str(path)
  elif bad == 'not_isolated':
    job['isolation'] = 'official could be imported'
  report = check(path, told[False], **job)
  assert names_of(report.failed) == FILES[bad], '\n'.join(report.lines())


def test_an_mlm_that_was_not_asked_for_is_a_fault(tmp_path, told):
  report = check(export(tmp_path, with_mlm=True), told[False])
  assert names_of(report.failed) == FILES['mlm_not_asked_for']


def test_the_first_layer_that_diverges_is_named(tmp_path, told):
  report = check(export(tmp_path, 'perturbed_weight'), told[False])
  why = next(c.why for c in report.failed if c.name == 'encoder.equals_source')
  assert why.startswith('layer 2 of 2: max difference 0.')
  assert why.endswith('at real positions')


def test_a_strangers_export_may_miss_goals_and_show_known_defects(tmp_path):
  report = check(export(tmp_path, 'signature_names'), None)
  assert report.passed and names_of(report.failed) == {'encoder.signature'}
  assert list(report.known_defects) == [9]
  assert 'known defect 9 of the reference exporter' in report.lines()[1]


@pytest.mark.parametrize(('bad', 'broken'), [
    ('default_is_cls', 'encoder.default'),
    # Odd names in a signature are a known defect; other values under any name are not.
    ('signature_values', 'encoder.signature'),
])
def test_a_strangers_export_may_not_miss_what_the_api_says(tmp_path, bad, broken):
  report = check(export(tmp_path, bad), None)
  assert not report.passed and names_of(report.broken) == {broken}


def test_a_stranger_is_known_by_the_missing_reference_values(tmp_path):
  report = check(export(tmp_path, 'perturbed_weight'), None)
  assert report.passed  # Control: without the source nobody can tell.
  not_run = {c.name for c in report.checks if c.status == reports.NOT_RUN}
  assert not_run == {'encoder.equals_source', 'encoder.weights'}


def test_every_check_of_an_encoder_has_a_fault_that_it_sees():
  seen = set().union(*MODEL.values(), *MLM.values(), *FILES.values())
  assert seen == {c.name for c in registry.checks_for(registry.Kind.ENCODER)}
  assert os.path.sep not in ''.join(seen)
