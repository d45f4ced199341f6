"""Each check of preprocessing fails on an export that is wrong in its way, and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nlp_export.saved_models.verification import Job, registry
from nlp_export.saved_models.verification import report as reports
from tests.saved_models import encoder_mutants
from tests.saved_models import preprocessing_mutants as mutants

# What is wrong -> the checks that must see it. All others must not.
FAULTS = {
    'int64_mask': {'preprocessing.root'},
    'no_seq_length': {'preprocessing.root_seq_length'},
    'shape_lost': {'preprocessing.static_shapes', 'preprocessing.dataset'},
    'words_joined': {'preprocessing.tokenize'},
    'blank_is_a_word': {'preprocessing.empty_text'},
    'no_empty_batch': {'preprocessing.empty_batch'},
    'no_unknown': {'preprocessing.id_range'},
    'special_from_text': {'preprocessing.literal_special_tokens',
                          'preprocessing.equals_training_tokenizer'},
    'long_words': {'preprocessing.long_word'},
    'training_matters': {'preprocessing.training'},
    'lower_case': {'preprocessing.equals_training_tokenizer'},
    'int64_special': {'preprocessing.special_tokens'},
    'wrong_mask_id': {'preprocessing.special_token_ids'},
    'captured_state': {'preprocessing.special_tokens_in_graph'},
    'no_offsets': {'preprocessing.offsets'},
    'int32_offsets': {'preprocessing.offsets'},
    'offsets_shifted': {'preprocessing.ascii_offsets', 'preprocessing.byte_offsets'},
    'characters_counted': {'preprocessing.byte_offsets'},
    'own_special_tokens': {'preprocessing.offsets_special_tokens'},
    'ranks_differ': {'preprocessing.pack_ranks'},
    'other_default': {'preprocessing.pack_seq_length'},
    'types_forgotten': {'preprocessing.pack_layout', 'preprocessing.truncation',
                        'preprocessing.pack_by_hand'},
    'other_padding': {'preprocessing.pack_layout', 'preprocessing.truncation',
                      'preprocessing.pack_by_hand'},
    'waterfall': {'preprocessing.truncation'},
    'root_types': {'preprocessing.pack_equals_root'},
    'third_segment_taken': {'preprocessing.pack_wrong_inputs'},
    'tiny_lengths': {'preprocessing.tiny_seq_length'},
    'trainable': {'preprocessing.no_training'},
    'assert_nodes': {'preprocessing.assert_nodes'},
    'reads_first_copy': {'files.resaved'},
}
MORE_SEGMENTS = {'third_cut_otherwise': {'preprocessing.more_segments'}}
PAIRS = {'': set(), 'short_encoder': {'pair.feeds_encoder'},
         'other_vocabulary': {'pair.same_tokenizer'}, 'other_case': {'pair.same_tokenizer'}}


@pytest.fixture(scope='module', autouse=True)
def unoptimised_graphs():
  """Optimising a graph costs more than running it once, for exports as small as these."""
  import tensorflow as tf

  tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': True})
  yield
  tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': False})


def check(path: Path, expected: Any, partner: Any = None,
          known: Any = None) -> reports.VerificationReport:
  """All checks, in this process, but for answers that are known."""
  from nlp_export.saved_models.verification import checking

  subject = checking.load(Job('/elsewhere', 'x', expected), str(path), partner=partner)
  return checking.run_checks(subject, known)


def names_of(results: Any) -> set[str]:
  return {c.name for c in results}


def export(directory: Path, bad: str = '', **told: Any) -> tuple[Path, Any]:
  """A SavedModel and its expectation."""
  directory.mkdir(exist_ok=True)
  size = {k: told[k] for k in ('num_segments', 'default_seq_length') if k in told}
  obj = mutants.TinyPreprocessing(directory, bad, **size)
  mutants.save(obj, str(directory / 'model'))
  return directory / 'model', mutants.expectation(obj, directory, **told)


@pytest.fixture(scope='module')
def right(tmp_path_factory):
  """An export without a fault, and its expectation. Shared: do not change it."""
  return export(tmp_path_factory.mktemp('right'), no_assert=True)


def test_a_right_export_passes_every_check(right):
  report = check(*right)
  assert report.passed and not report.failed, '\n'.join(report.lines())
  not_applicable = {c.name for c in report.checks if c.status != reports.PASSED}
  assert not_applicable == {'preprocessing.more_segments', *names_of(PAIR_CHECKS)}


PAIR_CHECKS = [c for c in registry.all_checks() if c.name.startswith('pair.')]


@pytest.fixture(scope='module')
def resaved(right):
  """The answer on saving the right export again, which takes as long as all other checks."""
  return {c.name: c for c in check(*right).checks if c.name == 'files.resaved'}


@pytest.mark.parametrize('bad', FAULTS)
def test_each_fault_is_seen_by_its_checks_alone(tmp_path, resaved, bad):
  known = None if bad == 'reads_first_copy' else resaved
  report = check(*export(tmp_path, bad, no_assert=bad == 'assert_nodes'), known=known)
  assert names_of(report.failed) == FAULTS[bad], '\n'.join(report.lines())
  assert not report.passed


def test_three_segments_follow_the_law_of_two(tmp_path, resaved):
  report = check(*export(tmp_path / 'right', num_segments=3), known=resaved)
  assert report.passed and not report.failed, '\n'.join(report.lines())
  report = check(*export(tmp_path / 'wrong', 'third_cut_otherwise', num_segments=3), known=resaved)
  assert names_of(report.failed) == MORE_SEGMENTS['third_cut_otherwise']


def test_waterfall_is_right_where_it_was_asked_for(tmp_path, resaved):
  report = check(*export(tmp_path, 'waterfall', truncator='waterfall'), known=resaved)
  assert report.passed and not report.failed, '\n'.join(report.lines())


@pytest.fixture(scope='module')
def encoders(tmp_path_factory):
  """Loaded encoders: the one that belongs to the tiny preprocessing, and others."""
  from nlp_export.saved_models.verification import checking

  found = {}
  for name, bad in (('right', 'lower_case'), ('other_case', ''),
                    ('other_vocabulary', 'long_vocabulary')):
    directory = tmp_path_factory.mktemp('encoder')
    obj = encoder_mutants.TinyEncoder(directory, bad)
    obj.do_lower_case.assign(name == 'other_case')
    encoder_mutants.save(obj, str(directory / 'model'))
    found[name] = checking.load(Job('/elsewhere', name), str(directory / 'model'))
  return found


@pytest.mark.parametrize('bad', PAIRS)
def test_an_encoder_and_its_preprocessing_belong_together(tmp_path, right, resaved, encoders, bad):
  one_more = encoder_mutants.POSITIONS + 1
  path, told = export(tmp_path, default_seq_length=one_more) if bad == 'short_encoder' else right
  report = check(path, told, partner=encoders.get(bad, encoders['right']), known=resaved)
  assert names_of(report.failed) == PAIRS[bad], '\n'.join(report.lines())


def test_every_check_of_preprocessing_has_a_fault_that_it_sees():
  seen = set().union(*FAULTS.values(), *MORE_SEGMENTS.values(), *PAIRS.values())
  # The same functions on the same files as those of an encoder: test_verification_encoder.py.
  files = {c.name for c in registry.all_checks()
           if c.name.startswith('files.') and registry.Kind.ENCODER in c.kinds}
  assert seen | files == {c.name for c in registry.checks_for(registry.Kind.PREPROCESSING)}
