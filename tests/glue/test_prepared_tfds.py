"""Data that the real tensorflow_datasets builder of GLUE prepared from synthetic official files.

The same files are read by our TSV reader: two readers, one of them not ours, must agree.
"""

from __future__ import annotations

import importlib.resources.abc
import importlib.util
import json
import shutil
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from nlp_export.errors import RequestError
from nlp_export.glue import tasks
from nlp_export.glue.data import GlueDirectory, TfdsDirectory, load
from tests.glue import official_layout

GLUE = [task for task in tasks.TASKS.values() if not task.is_builtin]
COUNT = 8


def prepare(layout: Path, data_dir: Path, name: str, monkeypatch) -> Path:
  """Runs the real builder on the files of `layout` in place of its downloads."""
  import tensorflow_datasets as tfds

  mrpc = {'dev_ids': layout / 'dev_ids.tsv', 'train': layout / 'msr_paraphrase_train.txt',
          'test': layout / 'MRPC/test.tsv'}
  # tensorflow_datasets 4.9.10 prepares with importlib_resources without requiring it.
  if importlib.util.find_spec('importlib_resources') is None:
    monkeypatch.setitem(sys.modules, 'importlib_resources', importlib.resources)
  manager = 'tensorflow_datasets.core.download.DownloadManager'
  with (
      mock.patch(f'{manager}.download_and_extract', lambda self, url: str(layout)),
      mock.patch(f'{manager}.download', lambda self, url: (
          {key: str(path) for key, path in mrpc.items()} if isinstance(url, dict)
          else str(layout / 'diagnostic/diagnostic.tsv'))),
  ):
    builder = tfds.builder(f'glue/{name}', data_dir=str(data_dir))
    builder.download_and_prepare()
  return Path(builder.data_dir)


@pytest.fixture(scope='module')
def layout(tmp_path_factory):
  root = official_layout.write(tmp_path_factory.mktemp('official'), COUNT)
  # The builder makes MRPC of its original form: one file, and the ids of the dev rows in another.
  train = official_layout.rows('MRPC/train.tsv', COUNT)
  dev = [[row[0], f'd{row[1]}', *row[2:]] for row in official_layout.rows('MRPC/dev.tsv', COUNT)]
  (root / 'msr_paraphrase_train.txt').write_text(
      official_layout.content('MRPC/train.tsv', dev + train), encoding='utf-8')
  (root / 'dev_ids.tsv').write_text(''.join(f'{row[1]}\t{row[2]}\n' for row in dev))
  return root


@pytest.fixture(scope='module')
def data_dir(layout, tmp_path_factory):
  directory = tmp_path_factory.mktemp('tfds')
  with pytest.MonkeyPatch.context() as monkeypatch:
    for task in GLUE:
      prepare(layout, directory, task.name, monkeypatch)
  return directory


@pytest.mark.parametrize('task', GLUE, ids=lambda task: task.name)
def test_prepared_data_is_what_the_tsv_files_say(task, layout, data_dir):
  for split in task.splits:
    theirs = load(task, split.name, TfdsDirectory(str(data_dir)))
    ours = load(task, split.name, GlueDirectory(str(layout)))
    assert theirs.texts == ours.texts
    assert len(theirs) == COUNT + split.is_test
    if split.is_test:
      assert theirs.labels is None and ours.labels is None
      assert theirs.ids.tolist() == ours.ids.tolist()
    else:
      np.testing.assert_array_equal(theirs.labels, ours.labels)
      assert theirs.labels.dtype == ours.labels.dtype
      assert theirs.gold_sha256() == ours.gold_sha256()


def test_the_order_is_not_that_of_the_prepared_files(data_dir):
  import tensorflow_datasets as tfds

  builder = tfds.builder_from_directory(str(data_dir / 'glue/rte/2.0.0'))
  stored = [int(row['idx']) for row in tfds.as_numpy(builder.as_dataset(split='train'))]
  assert stored != sorted(stored)  # Control: without sorting, the rows are shuffled.
  examples = load(tasks.get('rte'), 'train', TfdsDirectory(str(data_dir)))
  assert examples.ids.tolist() == sorted(stored)
  assert examples.origin['name'] == 'glue/rte/2.0.0'
  assert examples.where(3).endswith('glue/rte/2.0.0 (train), example 3')


def test_the_directory_is_an_input_of_the_plan(data_dir):
  source = TfdsDirectory(str(data_dir))
  assert source.inputs(tasks.get('rte'), ['train']) == (str(data_dir / 'glue/rte/2.0.0'),)


def changed(data_dir: Path, tmp_path: Path, name: str, change) -> TfdsDirectory:
  """A copy of one prepared task, with its features.json or dataset_info.json changed."""
  place = tmp_path / 'glue' / name / '2.0.0'
  shutil.copytree(data_dir / 'glue' / name / '2.0.0', place)
  change(place)
  return TfdsDirectory(str(tmp_path))


def test_other_label_names_are_refused(data_dir, tmp_path):
  def swap(place):
    (place / 'label.labels.txt').write_text('contradiction\nentailment\nneutral\n')

  source = changed(data_dir, tmp_path, 'mnli', swap)
  with pytest.raises(RequestError) as caught:
    load(tasks.get('mnli'), 'dev_matched', source)
  assert "its labels are ('contradiction', 'entailment', 'neutral')" in caught.value.message
  assert caught.value.message.endswith('with the tensorflow_datasets that is installed.')


def test_another_data_set_under_the_name_is_refused(data_dir, tmp_path):
  shutil.copytree(data_dir / 'glue/sst2', tmp_path / 'glue/rte')
  with pytest.raises(RequestError) as caught:
    load(tasks.get('rte'), 'train', TfdsDirectory(str(tmp_path)))
  assert 'the features are idx, label, sentence; missing: sentence1, sentence2' in str(caught.value)
  assert caught.value.message.endswith('Name another TFDS_DATA_DIR.')


def test_a_missing_split_is_refused(data_dir, tmp_path):
  def drop(place):
    info = json.loads((place / 'dataset_info.json').read_text())
    info['splits'] = [split for split in info['splits'] if split['name'] != 'validation']
    (place / 'dataset_info.json').write_text(json.dumps(info))

  source = changed(data_dir, tmp_path, 'rte', drop)
  with pytest.raises(RequestError) as caught:
    load(tasks.get('rte'), 'dev', source)
  assert "no split 'validation', only test, train" in caught.value.message
  assert caught.value.message.endswith(f'tfds build glue/rte --overwrite --data_dir {tmp_path}')


def test_an_empty_split_is_refused(data_dir, tmp_path):
  def empty(place):
    info = json.loads((place / 'dataset_info.json').read_text())
    for split in info['splits']:
      split['shardLengths'] = ['0']
    (place / 'dataset_info.json').write_text(json.dumps(info))

  source = changed(data_dir, tmp_path, 'rte', empty)
  with pytest.raises(RequestError) as caught:
    load(tasks.get('rte'), 'dev', source)
  assert "the split 'validation' holds no examples; the official one has 277" in str(caught.value)
  assert caught.value.message.endswith(f'tfds build glue/rte --overwrite --data_dir {tmp_path}')


def put_test_for_dev(place):
  (test,), (dev,) = place.glob('glue-test*'), place.glob('glue-validation*')
  shutil.copy(test, dev)


def test_a_file_of_another_length_is_refused(data_dir, tmp_path):
  source = changed(data_dir, tmp_path, 'rte', put_test_for_dev)
  with pytest.raises(RequestError, match='expected to contain 8 elements.* Check the path.$'):
    load(tasks.get('rte'), 'dev', source)


def test_a_damaged_file_is_refused(data_dir, tmp_path):
  def damage(place):
    (dev,) = place.glob('glue-validation*')
    dev.write_bytes(dev.read_bytes()[:-40])

  source = changed(data_dir, tmp_path, 'rte', damage)
  with pytest.raises(RequestError, match=r'Cannot read .*rte/2.0.0 \(validation\): '):
    load(tasks.get('rte'), 'dev', source)


def test_labels_out_of_range_are_refused(data_dir, tmp_path):
  def hidden_labels(place):  # The test set, whose labels are all -1.
    put_test_for_dev(place)
    info = json.loads((place / 'dataset_info.json').read_text())
    for split in info['splits']:
      split['shardLengths'] = [str(COUNT + 1)]
    (place / 'dataset_info.json').write_text(json.dumps(info))

  source = changed(data_dir, tmp_path, 'rte', hidden_labels)
  with pytest.raises(RequestError, match='example 0: label -1 is not from 0 to 1. .* --overwrite$'):
    load(tasks.get('rte'), 'dev', source)


def test_an_unprepared_task_is_told_how(tmp_path):
  with pytest.raises(RequestError) as caught:
    TfdsDirectory(str(tmp_path)).inputs(tasks.get('cola'), ['train'])
  assert caught.value.message.endswith(f'tfds build glue/cola --data_dir {tmp_path}')
