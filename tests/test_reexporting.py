"""An encoder that was loaded and trained is exported again: its own graph, its new values."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from nlp_export import files, reexporting
from nlp_export.errors import CheckError, RequestError
from nlp_export.reexporting import Score, Tuning
from nlp_export.saved_models import model_card
from nlp_export.saved_models.verification import report as reports

TUNING = Tuning(
    'fine-tuned on cats', how='All layers were trained.', data={'cats.csv': 'ab12'},
    scores=(Score('accuracy', 0.75, 'dev, 8 examples'), Score('mlm_loss', 1.5, 'dev', 2.5)),
    notes=('It was a small set',))

# The checks that compare with what was in memory, and those of the files.
CHECKS = ('files.layout', 'files.moved', 'files.assets', 'files.no_build_paths', 'encoder.weights',
          'encoder.pooler', 'encoder.equals_source', 'encoder.dropout_state', 'mlm.present',
          'mlm.weights', 'mlm.equals_source', 'mlm.formula')


def moved(export: str, amount: float = 0.1):
  """The loaded encoder, each of its trainable variables changed, as training does."""
  import tensorflow as tf

  root = reexporting.load(export)
  for i, variable in enumerate(root.trainable_variables):
    variable.assign_add(amount * tf.random.stateless_normal(variable.shape, [7, i]))
  return root


def written(export, root, directory, preprocessing=None):
  import tensorflow as tf
  import tensorflow_text  # noqa: F401  Registers the ops of preprocessing.

  preprocessor = preprocessing and tf.saved_model.load(preprocessing)
  work = directory / 'work'
  work.mkdir(parents=True)
  return reexporting.write(export, root, TUNING, str(directory / 'model'), str(work),
                           label='x/model', preprocessor=preprocessor)


def check(item, elsewhere, wanted=CHECKS) -> reports.VerificationReport:
  """Some checks, in this process, on a copy at another place."""
  from nlp_export.saved_models.verification import checking, registry

  shutil.copytree(item.path, elsewhere)
  subject = checking.load(item.job, str(elsewhere))
  results = tuple(checking.run_check(c, subject) for c in registry.checks_for(subject.kind)
                  if c.name in wanted)
  return reports.VerificationReport(item.job.label, subject.kind, item.job.ours, results)


@pytest.fixture(scope='module')
def ours(tmp_path_factory, uncased_exports):
  """The re-export of an export with .mlm, the object in memory, and the checks' answers."""
  directory = tmp_path_factory.mktemp('ours')
  export = uncased_exports['model_with_mlm']
  root = moved(export)
  root({name: np.ones([2, 4], np.int32) for name in (
      'input_word_ids', 'input_mask', 'input_type_ids')}, training=True)
  item = written(export, root, directory, uncased_exports['preprocessing'])
  return item, root, check(item, directory / 'moved')


def test_every_check_passes(ours):
  _, _, report = ours
  assert {c.status for c in report.checks} == {'passed'}, '\n'.join(report.lines())
  assert {c.name for c in report.checks} == set(CHECKS)


def test_root_and_mlm_have_the_new_values_and_share_them(ours, uncased_exports):
  import tensorflow as tf

  item, root, _ = ours
  again = tf.saved_model.load(item.path)
  source = tf.saved_model.load(uncased_exports['model_with_mlm'])
  for mine, theirs, old in zip(again.mlm.trainable_variables, root.mlm.trainable_variables,
                               source.mlm.trainable_variables, strict=True):
    np.testing.assert_array_equal(mine, theirs)
    head = not any(old is v for v in source.trainable_variables)
    assert np.array_equal(mine, old) == head  # Control: the head's own five were not trained.
  assert all(any(v is w for w in again.mlm.trainable_variables)
             for v in again.trainable_variables)


def test_graph_and_assets_are_the_export_s_own_and_dropout_starts_again(ours, uncased_exports):
  import tensorflow as tf

  item, _, _ = ours
  for part in ('saved_model.pb', 'assets'):
    assert files.sha256(f'{item.path}/{part}') == files.sha256(
        f'{uncased_exports["model_with_mlm"]}/{part}')
  assert tf.saved_model.load(item.path).dropout_state.numpy().tolist() == [0, 0]


def test_card_and_record_say_what_was_done(ours):
  item, _, report = ours
  card = model_card.render(item.provenance, report.to_json())
  assert '# bert_L-2_H-16_A-2 from bert_tiny-1, pooler keep, fine-tuned on cats\n' in card
  assert '- **Tuned:** fine-tuned on cats; see "Tuning".' in card
  assert 'accuracy 0.7500 on dev, 8 examples.' in card
  assert 'mlm_loss 1.5000 on dev (2.5000 before).' in card
  assert 'Data: cats.csv, SHA-256 `ab12`.' in card
  assert 'It was a small set.' in card
  assert 'Outputs equal those of the tuned model in memory, on real sentences, to 1e-05.' in card
  (step,) = item.provenance['tuning']
  assert step['variables_changed'] == 39
  assert item.provenance['pooler']['name'] == reexporting.TUNED_POOLER
  assert '../../preprocessing' not in card  # Where the source lay, not the copy.
  json.dumps(item.provenance)


def test_the_record_of_restored_values_says_which_are_others_now(ours, uncased_exports, tmp_path):
  """Also of an encoder that is tuned twice, the second time in its pooler alone."""
  import tensorflow as tf

  item, _, _ = ours
  source = files.read_json(f'{uncased_exports["model_with_mlm"]}/assets.extra/restore.json')
  found = item.restore
  assert 'tuned_since' not in source
  assert found['tuned_since'] == ['fine-tuned on cats'] and found['note'].endswith('value now.')
  assert [{k: v for k, v in match.items() if k != 'tuned'}
          for match in found['matched']] == source['matched']
  tuned = {match['item']: set() for match in found['matched']}
  for match in found['matched']:
    tuned[match['item']].add(match['tuned'])
  # Control: the head's variables were not trained, and are what was restored.
  assert tuned == {'encoder': {True}, 'masked_lm': {False}}

  path = shutil.copytree(uncased_exports['model'], tmp_path / 'first')
  for number, ending in enumerate(('pooler_transform/kernel:0', 'word_embeddings/embeddings:0')):
    root = reexporting.load(str(path))
    variable, = (v for v in root.trainable_variables if v.name == ending)
    variable.assign_add(tf.ones_like(variable))
    item = written(str(path), root, tmp_path / str(number))
    assert {match['variable'] for match in item.restore['matched'] if match['tuned']} == {
        'pooler_transform/kernel', *['word_embeddings/embeddings'] * number}
    files.write_json(f'{path}/assets.extra/restore.json', item.restore)
  assert item.restore['tuned_since'] == ['fine-tuned on cats'] * 2
  shutil.rmtree(path / 'assets.extra')
  assert written(str(path), root, tmp_path / 'strange').restore is None  # Of a stranger.


def test_a_second_tuning_is_added_to_the_first(ours, tmp_path):
  first, _, _ = ours
  path = tmp_path / 'again'
  shutil.copytree(first.path, path)
  files.write_json(f'{path}/assets.extra/provenance.json', first.provenance)
  item = written(str(path), moved(str(path)), tmp_path / 'out')
  assert [step['what'] for step in item.provenance['tuning']] == ['fine-tuned on cats'] * 2
  assert item.provenance['pooler']['origin'].count('stands under "Tuning"') == 1


def test_equal_trainings_give_equal_bytes(ours, uncased_exports, tmp_path):
  item, _, _ = ours
  export = uncased_exports['model_with_mlm']
  again = written(export, moved(export), tmp_path)
  for part in ('saved_model.pb', 'variables', 'assets', 'fingerprint.pb'):
    assert files.sha256(f'{item.path}/{part}') == files.sha256(f'{again.path}/{part}')
  other = written(export, moved(export, 0.2), tmp_path / 'other')  # Control.
  assert files.sha256(f'{item.path}/variables') != files.sha256(f'{other.path}/variables')


def test_values_that_are_not_those_in_memory_are_found(ours, uncased_exports, tmp_path):
  """The control of the checks above: the graph of the re-export with the source's values."""
  item, _, _ = ours
  shutil.copytree(item.path, tmp_path / 'old')
  shutil.rmtree(tmp_path / 'old' / 'variables')
  shutil.copytree(f'{uncased_exports["model_with_mlm"]}/variables', tmp_path / 'old' / 'variables')
  wrong = dataclasses.replace(
      item, path=str(tmp_path / 'old'),
      job=dataclasses.replace(item.job, path=str(tmp_path / 'old')))
  failed = {c.name for c in check(wrong, tmp_path / 'moved').failed}
  assert failed == {'encoder.weights', 'encoder.equals_source', 'mlm.equals_source'}


def test_what_was_not_trained_is_not_exported(uncased_exports, tmp_path):
  export = uncased_exports['model']
  with pytest.raises(CheckError, match='trained, and not those of a copy\\?$'):
    written(export, reexporting.load(export), tmp_path)
  assert not (tmp_path / 'model').exists()


def test_other_things_than_encoders_are_refused(uncased_exports, tmp_path):
  with pytest.raises(RequestError, match='such as exports/keep/model.$'):
    reexporting.load(uncased_exports['preprocessing'])
  with pytest.raises(CheckError, match='cannot be loaded'):
    reexporting.load(str(tmp_path))


def test_a_strangers_encoder_keeps_its_files_and_gets_a_card(tfhub_export, tmp_path):
  source = tmp_path / 'stranger'
  shutil.copytree(tfhub_export, source)
  (source / 'README.md').write_text('Of its maker.\n')
  item = written(str(source), moved(str(source)), tmp_path / 'out')
  assert Path(item.path, 'SOURCE_README.md').read_text() == 'Of its maker.\n'
  assert Path(item.path, 'keras_metadata.pb').exists()
  assert files.sha256(f'{item.path}/saved_model.pb') == files.sha256(f'{source}/saved_model.pb')
  # (Whether it holds a build path depends on where it was built.)
  wanted = [name for name in CHECKS if name != 'files.no_build_paths']
  report = check(item, tmp_path / 'moved', wanted)
  assert report.passed, '\n'.join(report.lines())
  assert {'encoder.weights', 'encoder.equals_source'} <= {
      c.name for c in report.checks if c.status == 'passed'}
  # What the reference exporter is known to do is named and does not stop the re-export.
  assert {c.name for c in report.failed} == {'encoder.dropout_state'}
  assert not dataclasses.replace(report, ours=True).passed  # Control: of our own it would.
  card = model_card.render(item.provenance, report.to_json())
  assert 'that of another maker with the values of 39 of its variables changed' in card
  assert 'known defects of the tool that wrote it: encoder.dropout_state.' in card


def test_a_checkpoint_with_more_than_variables_is_saved_anew(tmp_path):
  """A table whose content is in the checkpoint: document 003's tf.saved_model.save does it."""
  import tensorflow as tf

  from nlp_export.saved_models import writing

  module = tf.Module()
  module.weight = tf.Variable([1.0, 2.0])
  module.table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, 0.0)
  module.table.insert([3], [4.0])
  module.__call__ = tf.function(
      lambda x: module.weight * module.table.lookup(x),
      input_signature=[tf.TensorSpec([2], tf.int64)])
  tf.saved_model.save(module, str(tmp_path / 'first'))
  loaded = tf.saved_model.load(str(tmp_path / 'first'))
  loaded.weight.assign([5.0, 6.0])
  assert writing.values_missing(loaded, str(tmp_path / 'first'))
  changed, count = writing.changed_variables(loaded, str(tmp_path / 'first'))
  assert (len(changed), count) == (1, 1)
  writing.save_loaded(loaded, str(tmp_path / 'second'))
  shutil.rmtree(tmp_path / 'first')
  again = tf.saved_model.load(str(tmp_path / 'second'))
  assert again(tf.constant([3, 0], tf.int64)).numpy().tolist() == [20.0, 0.0]
  assert os.listdir(tmp_path) == ['second']
