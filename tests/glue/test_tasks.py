"""The table of tasks, held against the installed tensorflow_datasets and the published facts."""

from __future__ import annotations

import pytest

from nlp_export.errors import RequestError
from nlp_export.glue import tasks

GLUE = [task for task in tasks.TASKS.values() if not task.is_builtin]


def test_all_nine_tasks_and_the_diagnostic_set():
  assert ' '.join(task.name for task in GLUE) == 'cola sst2 mrpc stsb qqp mnli qnli rte wnli ax'
  assert [task.directory for task in GLUE] == [
      'CoLA', 'SST-2', 'MRPC', 'STS-B', 'QQP', 'MNLI', 'QNLI', 'RTE', 'WNLI', 'diagnostic']


@pytest.fixture(scope='module')
def tfds_configs():
  from tensorflow_datasets.text import glue

  return {config.name: config for config in glue.Glue.BUILDER_CONFIGS}


@pytest.mark.parametrize('task', GLUE, ids=lambda task: task.name)
def test_labels_and_columns_are_those_of_tensorflow_datasets(task, tfds_configs):
  config = tfds_configs[task.name]
  assert task.labels == (tuple(config.label_classes) if config.label_classes else None)
  assert task.features == tuple(config.text_features)
  if task.name not in ('cola', 'mrpc'):  # It reads those by position and by hand.
    for split in task.splits:
      assert split.text_columns == tuple(config.text_features.values())
      if not split.is_test:
        assert split.label_column == config.label_column


def test_mnli_labels_are_not_in_the_order_of_peers():
  assert tasks.get('mnli').labels == ('entailment', 'neutral', 'contradiction')
  assert tasks.get('mnli').features == ('premise', 'hypothesis')  # And not the reverse.
  assert tasks.get('rte').labels == ('entailment', 'not_entailment')
  assert tasks.get('wnli').labels == ('not_entailment', 'entailment')


def test_metrics_are_those_of_glue():
  metrics = {task.name: task.metrics for task in GLUE}
  assert metrics['cola'] == ('matthews_correlation',)
  assert metrics['mrpc'] == metrics['qqp'] == ('accuracy', 'f1')
  assert metrics['stsb'] == ('pearson', 'spearman')
  mnli = tasks.get('mnli')
  assert [mnli.metric_names(split) for split in mnli.dev_splits] == [
      ('accuracy_matched',), ('accuracy_mismatched',)]
  for task in tasks.TASKS.values():
    names = {name for split in task.splits for name in task.metric_names(split.name)}
    assert task.main_metric in names


def test_heads_have_as_many_outputs_as_the_task():
  outputs = {task.name: task.outputs for task in GLUE}
  assert outputs['stsb'] == 1 and tasks.get('stsb').is_regression
  assert outputs['mnli'] == outputs['ax'] == 3
  assert outputs['cola'] == 2


def test_wnli_and_ax_stay_out_of_averages_with_a_reason():
  assert [task.name for task in GLUE if task.not_averaged] == ['wnli', 'ax']
  assert 'majority label' in tasks.get('wnli').not_averaged


def test_the_diagnostic_set_is_predicted_by_the_mnli_model():
  ax = tasks.get('ax')
  assert (ax.model_task, ax.has_train, ax.dev_splits) == ('mnli', False, ())
  assert ax.labels == tasks.get('mnli').labels
  assert all(task.model_task == task.name for task in tasks.TASKS.values() if task is not ax)


def test_an_unknown_task_is_told_the_nearest():
  with pytest.raises(RequestError, match="no task 'SST-2'. Did you mean 'sst2'"):
    tasks.get('SST-2')
  with pytest.raises(RequestError, match='builtin_word_order, builtin_next_sentence.$'):
    tasks.get('xyz')


def test_an_unknown_split_is_told_which_there_are():
  with pytest.raises(RequestError, match='It has train, dev_matched, test_matched'):
    tasks.get('mnli').split('dev')
