"""Each check of a text embedding fails on an export that is wrong in its way, and no other does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nlp_export.saved_models.verification import Job, registry
from nlp_export.saved_models.verification import report as reports
from tests.saved_models import text_embedding_mutants as mutants

# What is wrong -> the checks that must see it, 'text_embedding.' before each. All others must not.
FAULTS = {
    'no_empty_batch': {'call'},
    'float64': {'call'},
    'trains_by_default': {'plain_inputs', 'inference_repeats', 'dataset'},
    'scalar_taken': {'plain_inputs', 'traces'},
    'shape_lost': {'dataset'},
    'position_matters': {'batch', 'equals_source', 'embed_tokens', 'signatures'},
    'padding_seen': {'batch', 'equals_source'},
    'nan': {'finite', 'equals_source', 'batch', 'dataset', 'inference_repeats', 'embed_tokens',
            'signatures'},
    'perturbed_weight': {'weights', 'equals_source'},
    'no_training_trace': {'traces', 'dropout', 'dropout_state'},
    'other_ids': {'tokenize'},
    'other_special_tokens': {'tokenize'},
    'padded': {'encoder_inputs'},
    'not_cut': {'encoder_inputs', 'equals_source'},
    'other_embed_tokens': {'embed_tokens'},
    'no_embed_tokens': {'embed_tokens'},
    'signature_values': {'signatures'},
    'no_tokens_signature': {'signatures'},
    'not_in_variables': {'trainable'},
    'extra_trainable': {'weights', 'gradients'},
    'strange_variable': {'other_variables'},
    'vector_loss': {'regularization_losses'},
    'stopped_gradient': {'gradients'},
    'no_dropout': {'dropout'},
    'state_stands_still': {'dropout_state'},
}
# Faults that are seen by different checks are looked for in one export, to save time.
TOGETHER = (
    ('no_empty_batch', 'other_ids', 'padded', 'vector_loss', 'strange_variable',
     'no_tokens_signature', 'state_stands_still', 'not_in_variables'),
    ('float64', 'other_special_tokens', 'other_embed_tokens', 'stopped_gradient', 'no_dropout'),
    ('trains_by_default', 'signature_values', 'extra_trainable'),
    ('scalar_taken', 'shape_lost', 'perturbed_weight', 'no_embed_tokens'),
    ('padding_seen', 'no_training_trace'), ('position_matters',), ('nan',), ('not_cut',),
)
NORMALIZED = {'not_normalized': {'normalized', 'equals_source'}}


@pytest.fixture(scope='module', autouse=True)
def unoptimised_graphs():
  """Optimising a graph costs more than running it once, for exports as small as these."""
  import tensorflow as tf

  tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': True})
  yield
  tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': False})


def check(path: Path, expected: Any, known: Any = None) -> reports.VerificationReport:
  """All checks, in this process, but for answers that are known."""
  from nlp_export.saved_models.verification import checking

  return checking.run_checks(checking.load(Job('/elsewhere', 'x', expected), str(path)), known)


def names_of(results: Any) -> set[str]:
  return {c.name.removeprefix('text_embedding.') for c in results}


def export(directory: Path, *bad: str, normalize: bool = False) -> Path:
  mutants.save(mutants.TinyTextEmbedding(directory, bad, normalize), str(directory / 'model'))
  return directory / 'model'


@pytest.fixture(scope='module')
def told(tmp_path_factory) -> dict[bool, Any]:
  """The expectation, without and with normalisation."""
  found = {}
  for normalize in (False, True):
    directory = tmp_path_factory.mktemp('told')
    source = mutants.TinyTextEmbedding(directory, normalize=normalize)
    found[normalize] = mutants.expectation(source, directory)
  return found


@pytest.fixture(scope='module')
def right(tmp_path_factory) -> Path:
  """An export without a fault. Shared: do not change it."""
  return export(tmp_path_factory.mktemp('right'))


@pytest.fixture(scope='module')
def resaved(right, told):
  """The answer on saving the right export again, which takes as long as all other checks."""
  return {c.name: c for c in check(right, told[False]).checks if c.name == 'files.resaved'}


def test_a_right_export_passes_every_check(right, told):
  report = check(right, told[False])
  assert report.kind == 'text_embedding'
  assert report.passed and not report.failed, '\n'.join(report.lines())
  assert names_of(c for c in report.checks if c.status != reports.PASSED) == {'normalized'}


@pytest.mark.conformance(109, 110, 111, 112, 113, 114, 115, 116, 117, 119, 120, 121, 122)
@pytest.mark.parametrize('faults', TOGETHER)
def test_each_fault_is_seen_by_its_checks_alone(tmp_path, told, resaved, faults):
  report = check(export(tmp_path, *faults), told[False], resaved)
  expected = [name for fault in faults for name in FAULTS[fault]]
  assert len(set(expected)) == len(expected), 'two faults for one check: it may have missed one'
  assert names_of(report.failed) == set(expected), '\n'.join(report.lines())
  assert not report.passed


@pytest.mark.conformance(118)
@pytest.mark.parametrize('faults', [(), tuple(NORMALIZED)])
def test_the_length_of_vectors(tmp_path, told, resaved, faults):
  report = check(export(tmp_path, *faults, normalize=True), told[True], resaved)
  expected = set().union(*(NORMALIZED[fault] for fault in faults))
  assert names_of(report.failed) == expected, '\n'.join(report.lines())


def test_one_that_reads_its_first_copy_cannot_be_saved_again(tmp_path, told):
  (tmp_path / 'assets').mkdir()
  (tmp_path / 'model' / 'assets').mkdir(parents=True)
  path = export(tmp_path, 'reads_first_copy')
  (path / 'assets' / 'vocab.txt').write_text('x')
  report = check(path, None)
  assert 'files.resaved' in {c.name for c in report.failed}, '\n'.join(report.lines())


def test_a_strangers_text_embedding_needs_the_api_only(tmp_path):
  import tensorflow as tf

  table = tf.Variable(tf.random.stateless_normal([50, 4], [1, 2]), name='table')

  class Stranger(tf.train.Checkpoint):  # As TF Hub's nnlm is: no `training`, one signature.

    def __init__(self):
      super().__init__()
      self.table = table
      self.variables = self.trainable_variables = [table]
      self.regularization_losses = []
      self.__call__ = tf.function(
          lambda texts: tf.gather(table, tf.strings.to_hash_bucket_fast(texts, 50)),
          input_signature=[tf.TensorSpec([None], tf.string)])

  root = Stranger()
  tf.saved_model.save(root, str(tmp_path / 'model'), signatures=root.__call__)
  report = check(tmp_path / 'model', None)
  assert report.kind == 'text_embedding' and report.passed, '\n'.join(report.lines())
  assert not report.failed
  other = {c.name: c.status for c in report.checks if c.status != reports.PASSED}
  assert other == {
      **{f'text_embedding.{name}': reports.NOT_RUN for name in ('equals_source', 'weights')},
      **{f'text_embedding.{name}': reports.NOT_APPLICABLE for name in (
          'normalized', 'traces', 'tokenize', 'encoder_inputs', 'embed_tokens', 'dropout',
          'dropout_state')}}


def test_every_check_of_a_text_embedding_has_a_fault_that_it_sees():
  assert sorted(fault for faults in TOGETHER for fault in faults) == sorted(FAULTS)
  seen = set().union(*FAULTS.values(), *NORMALIZED.values())
  checks = names_of(registry.checks_for(registry.Kind.TEXT_EMBEDDING))
  assert seen == {name for name in checks if not name.startswith('files.')}
