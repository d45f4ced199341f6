"""Each check of preprocessing fails on an export that is wrong in its way, and no other check does."""

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
    'words_joined': {'preprocessing.tokenize', 'preprocessing.static_shapes',
                     'preprocessing.offsets'},
    'blank_is_a_word': {'preprocessing.empty_text', 'preprocessing.equals_training_tokenizer',
                        'preprocessing.offsets'},
    'no_empty_batch': {'preprocessing.empty_batch'},
    'no_unknown': {'preprocessing.id_range'},
    'special_from_text': {'preprocessing.literal_special_tokens',
                          'preprocessing.equals_training_tokenizer',
                          'preprocessing.ascii_offsets'},
    'long_words': {'preprocessing.long_word', 'preprocessing.equals_training_tokenizer'},
    'training_matters': {'preprocessing.training'},
    'lower_case': {'preprocessing.equals_training_tokenizer', 'preprocessing.byte_offsets'},
    'int64_special': {'preprocessing.special_tokens'},
    'wrong_mask_id': {'preprocessing.special_token_ids'},
    'captured_state': {'preprocessing.special_tokens_in_graph'},
    'no_offsets': {'preprocessing.offsets'},
    'int32_offsets': {'preprocessing.offsets'},
    'offsets_shifted': {'preprocessing.ascii_offsets', 'preprocessing.byte_offsets'},
    'characters_counted': {'preprocessing.byte_offsets'},
    'own_special_tokens': {'preprocessing.offsets_special_tokens'},
    'ranks_differ': {'preprocessing.pack_ranks'},
    'other_default': {'preprocessing.pack_seq_length', 'preprocessing.pack_equals_root',
                      'preprocessing.dataset', 'files.resaved'},
    'types_forgotten': {'preprocessing.pack_layout', 'preprocessing.truncation',
                        'preprocessing.pack_by_hand'},
    'other_padding': {'preprocessing.pack_layout', 'preprocessing.truncation',
                      'preprocessing.pack_by_hand', 'preprocessing.pack_equals_root',
                      'preprocessing.empty_text', 'preprocessing.root_seq_length'},
    'waterfall': {'preprocessing.truncation'},
    'root_types': {'preprocessing.pack_equals_root'},
    'third_segment_taken': {'preprocessing.pack_wrong_inputs'},
    'tiny_lengths': {'preprocessing.tiny_seq_length'},
    'trainable': {'preprocessing.no_training'},
}
OTHERS = {'third_cut_otherwise': {'preprocessing.more_segments'},
          'assert_nodes': {'preprocessing.assert_nodes'},
          'short_encoder': {'pair.feeds_encoder'},
          'other_vocabulary': {'pair.same_tokenizer'}}


def check(path: Path, expected: Any, partner: Any = None) -> reports.VerificationReport:
  """All checks, in this process."""
  from nlp_export.saved_models.verification import checking

  subject = checking.load(Job('/elsewhere', 'x', expected), str(path), partner=partner)
  return checking.run_checks(subject)


def names_of(results: Any) -> set[str]:
  return {c.name for c in results}


def export(directory: Path, bad: str = '', num_segments: int = 2, **changes: Any) -> Any:
  """A SavedModel and its expectation."""
  directory.mkdir(exist_ok=True)
  obj = mutants.TinyPreprocessing(directory, bad, num_segments)
  mutants.save(obj, str(directory / 'model'))
  return directory / 'model', mutants.expectation(obj, num_segments=num_segments, **changes)


@pytest.mark.parametrize('bad', ['', *FAULTS])
def test_each_fault_is_seen_by_its_checks_alone(tmp_path, bad):
  report = check(*export(tmp_path, bad))
  assert names_of(report.failed) == FAULTS.get(bad, set()), '\n'.join(report.lines())
  assert report.passed == (not bad)


def test_three_segments_follow_the_law_of_two(tmp_path):
  right = check(*export(tmp_path / 'a', '', 3))
  assert right.passed, '\n'.join(right.lines())
  wrong = check(*export(tmp_path / 'b', 'third_cut_otherwise', 3))
  assert names_of(wrong.failed) == OTHERS['third_cut_otherwise']


def test_assert_nodes_are_a_fault_where_they_were_not_wanted(tmp_path):
  report = check(*export(tmp_path, no_assert=True))
  assert names_of(report.failed) == OTHERS['assert_nodes']


def test_ids_that_no_reference_value_has(tmp_path):
  from nlp_export.saved_models.verification import reference

  path, expected = export(tmp_path)
  values = str(tmp_path / 'ids.npz')
  for ids, failed in ((5, set()), (6, {'preprocessing.equals_training_tokenizer'})):
    reference.save_token_ids(values, ['a', ''], [[ids], []])
    told = mutants.expectation(mutants.TinyPreprocessing(tmp_path), reference_file=values)
    assert names_of(check(path, told).failed) == failed
  assert expected.reference_file == ''


def test_a_stranger_without_unknown_token_shows_known_defect_13(tmp_path):
  path, _ = export(tmp_path, 'no_unknown')
  report = check(path, None)
  assert report.passed and list(report.known_defects) == [13]


@pytest.fixture(scope='module')
def partner(tmp_path_factory):
  """A loaded encoder with 12 positions and a vocabulary of its own."""
  from nlp_export.saved_models.verification import checking

  directory = tmp_path_factory.mktemp('encoder')
  encoder_mutants.save(encoder_mutants.TinyEncoder(directory), str(directory / 'model'))
  return checking.load(Job('/elsewhere', 'encoder'), str(directory / 'model'))


def test_a_pair_that_does_not_belong_together(tmp_path, partner):
  report = check(*export(tmp_path), partner=partner)
  expected = OTHERS['short_encoder'] | OTHERS['other_vocabulary']
  assert names_of(report.failed) == expected, '\n'.join(report.lines())


def test_every_check_of_preprocessing_has_a_fault_that_it_sees():
  seen = set().union(*FAULTS.values(), *OTHERS.values())
  files = {c.name for c in registry.all_checks() if c.name.startswith('files.')}
  assert seen | files == {c.name for c in registry.checks_for(registry.Kind.PREPROCESSING)}
