"""Sources, and the checks between the splits of a task."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nlp_export.errors import RequestError
from nlp_export.glue import data, tasks
from nlp_export.glue.data import Builtin, GlueDirectory, TfdsDirectory
from tests.glue import official_layout

RTE, MNLI, STSB = (tasks.get(name) for name in ('rte', 'mnli', 'stsb'))


@pytest.fixture
def layout(tmp_path):
  return official_layout.write(tmp_path / 'glue')


def message(call) -> str:
  with pytest.raises(RequestError) as caught:
    call()
  return caught.value.message


def test_training_data_of_every_task(layout):
  source = GlueDirectory(str(layout))
  for task in tasks.TASKS.values():
    if not task.is_builtin and task.has_train:
      assert list(data.load_for_training(task, source)) == ['train', *task.dev_splits]


def test_mnli_has_two_dev_sets(layout):
  splits = data.load_for_training(MNLI, GlueDirectory(str(layout)))
  assert list(splits) == ['train', 'dev_matched', 'dev_mismatched']


def test_the_diagnostic_set_has_no_training_data(layout):
  says = message(lambda: data.load_for_training(tasks.get('ax'), GlueDirectory(str(layout))))
  assert says.endswith("fine-tuned on mnli. Put 'mnli' into TASKS.")


def rewrite(layout, name, keep):
  body = [row for row in official_layout.rows(name, 8) if keep(row)]
  (layout / name).write_text(official_layout.content(name, body), encoding='utf-8')


def test_a_label_in_train_that_dev_lacks(layout):
  rewrite(layout, 'RTE/dev.tsv', lambda row: row[3] == 'entailment')
  says = message(lambda: data.load_for_training(RTE, GlueDirectory(str(layout))))
  assert says == (
      f"{layout}/RTE/dev.tsv: none of its 4 examples has the label 'not_entailment'; train has it "
       "4 "
      f'times, first in {layout}/RTE/train.tsv, line 3. Scores would say nothing about that label. '
      'Are the files of one download, and whole? Take both from it again.')


def test_a_label_in_dev_that_train_lacks(layout):
  rewrite(layout, 'MNLI/train.tsv', lambda row: row[-1] != 'contradiction')
  says = message(lambda: data.load_for_training(MNLI, GlueDirectory(str(layout))))
  assert says.startswith(f'{layout}/MNLI/train.tsv: none of its 6 examples has the label')
  assert f'first in {layout}/MNLI/dev_matched.tsv, line 4.' in says


def test_a_label_that_no_split_has(layout):
  for name in ('RTE/train.tsv', 'RTE/dev.tsv'):
    rewrite(layout, name, lambda row: row[3] == 'entailment')
  says = message(lambda: data.load_for_training(RTE, GlueDirectory(str(layout))))
  assert "the label 'not_entailment'; no split has it." in says


def test_scores_that_are_all_equal(layout):
  rewrite(layout, 'STS-B/dev.tsv', lambda row: row[-1] == '5.000')
  says = message(lambda: data.load_for_training(STSB, GlueDirectory(str(layout))))
  assert says == (f'{layout}/STS-B/dev.tsv: all 2 scores are 5, so the correlations of stsb dev '
                   'are '
                  'undefined. Take the file from the download again.')


def test_missing_files_are_named_before_any_work(layout):
  (layout / 'MNLI/dev_mismatched.tsv').unlink()
  source = GlueDirectory(str(layout))
  says = message(lambda: source.inputs(MNLI, data.training_splits(MNLI)))
  assert says == (
      f'GLUE_DIR={layout} has no MNLI/dev_mismatched.tsv (MNLI holds dev_matched.tsv, '
      'test_matched.tsv, test_mismatched.tsv, train.tsv). Task mnli needs it: unpack its official '
      "download there, give another GLUE_DIR, or leave 'mnli' out of TASKS.")
  assert len(source.inputs(RTE, data.training_splits(RTE))) == 2


def test_a_directory_that_is_not_there(tmp_path):
  says = message(lambda: GlueDirectory(str(tmp_path / 'no')).inputs(RTE, ['train']))
  assert '(there is no such directory)' in says


def test_the_source_of_a_task():
  builtin = tasks.get('builtin_word_order')
  assert data.source_for(builtin, glue_dir='x') == Builtin()
  assert data.source_for(RTE, glue_dir='x') == GlueDirectory('x')
  assert data.source_for(RTE, glue_dir='x', leave_out_malformed=True).leave_out_malformed
  assert data.source_for(RTE, tfds_data_dir='x') == TfdsDirectory('x')
  assert message(lambda: data.source_for(RTE, 'x', 'y')).endswith('Leave out the other.')
  assert message(lambda: data.source_for(RTE)).endswith(
      '--set "TASKS=(\'builtin_word_order\', \'builtin_next_sentence\')"')
  with pytest.raises(ValueError):
    data.load(RTE, 'train', Builtin())


def test_reading_from_elsewhere(layout):
  import tensorflow as tf

  for name in ('train.tsv', 'dev.tsv'):
    tf.io.gfile.makedirs('ram://glue_data/RTE')
    tf.io.gfile.copy(str(layout / 'RTE' / name), f'ram://glue_data/RTE/{name}', overwrite=True)
  local = data.load_for_training(RTE, GlueDirectory(str(layout)))
  remote = data.load_for_training(RTE, GlueDirectory('ram://glue_data'))
  assert remote['dev'].texts == local['dev'].texts
  assert remote['dev'].origin == local['dev'].origin


def test_data_needs_no_tensorflow():
  code = ("import sys; from nlp_export.glue import data, tasks, metrics, submission\n"
          "data.load(tasks.get('builtin_word_order'), 'dev', data.Builtin())\n"
          "print([m for m in ('tensorflow', 'sklearn', 'scipy') if m in sys.modules])\n")
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
  assert done.stdout == '[]\n'
