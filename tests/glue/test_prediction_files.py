"""What a cell predicted: written, read back, handed to the statistics, refused when it is wrong."""

from __future__ import annotations

import io

import numpy as np
import pytest

from nlp_export.errors import RequestError
from nlp_export.glue import cell_files, metrics, prediction_files, tasks
from nlp_export.glue.cells import Cell, CellResult
from nlp_export.glue.prediction_files import Predictions
from nlp_export.glue.statistics import Settings, analyse

RTE, STSB, MNLI = (tasks.get(name) for name in ('rte', 'stsb', 'mnli'))


def made(task, count=40, seed=0, labelled=True):
  """Predictions that are right about three times of four."""
  gold, own = np.random.default_rng(7), np.random.default_rng(seed)
  if task.is_regression:
    labels = gold.uniform(0, 5, count).astype(np.float32)
    outputs = (labels + own.normal(0, 1, count))[:, None].astype(np.float32)
  else:
    labels = gold.integers(0, task.outputs, count).astype(np.int32)
    outputs = np.eye(task.outputs, dtype=np.float32)[labels]
    outputs += own.normal(0, 0.6, outputs.shape).astype(np.float32)
  return Predictions(outputs, np.arange(count, dtype=np.int32), labels if labelled else None)


def store(out_dir, task, seed=0, splits=None, **changes):
  """A cell's predictions on disk, and its entry in results.json."""
  cell = Cell(task.name, 'export', 'keep', seed)
  main = next(s for s in task.dev_splits if task.main_metric in task.metric_names(s))
  splits = splits or {name: made(task, seed=10 * seed + i)
                      for i, name in enumerate(task.dev_splits)}
  path = cell_files.predictions_file(cell)
  prediction_files.write(f'{out_dir}/{path}', splits)
  scores = {}
  for name, predictions in splits.items():
    if predictions.labels is not None:
      scores |= metrics.compute(task, predictions.values(task), predictions.labels, name)
  result = CellResult.of(
      cell, status='ok', metrics=scores, main_metric=task.main_metric, predictions_file=path,
      gold_sha256=splits[main].gold_sha256() if splits[main].labels is not None else '')
  return {**result.to_json(), **changes}


def test_what_is_read_is_what_was_written(tmp_path):
  path = str(tmp_path / 'deep' / 'seed_0.npz')
  splits = {'dev_matched': made(MNLI), 'test_matched': made(MNLI, 9, labelled=False)}
  prediction_files.write(path, splits)
  found = prediction_files.read(path)
  assert set(found) == set(splits)
  for name, predictions in splits.items():
    for part in ('outputs', 'ids', 'labels'):
      before, after = getattr(predictions, part), getattr(found[name], part)
      if before is None:
        assert after is None
      else:
        assert before.dtype == after.dtype and np.array_equal(before, after)
  first = (tmp_path / 'deep' / 'seed_0.npz').read_bytes()
  prediction_files.write(path, dict(reversed(splits.items())))
  assert (tmp_path / 'deep' / 'seed_0.npz').read_bytes() == first


def test_values_are_classes_or_scores():
  logits = np.array([[0, 2, 1], [3, 3, 3], [-1, -2, 0]], np.float32)
  ids = np.arange(3, dtype=np.int32)
  values = Predictions(logits, ids).values(MNLI)
  assert values.tolist() == [1, 0, 2] and values.dtype == np.int32
  scores = Predictions(logits[:, :1], ids).values(STSB)
  assert scores.tolist() == [0, 3, -1] and scores.dtype == np.float32
  with pytest.raises(ValueError, match='rte has 2 outputs, not 3'):
    Predictions(logits, ids).values(RTE)


@pytest.mark.parametrize('wrong', [
    {'outputs': np.zeros(3, np.float32)}, {'outputs': np.zeros((3, 2))},
    {'ids': np.arange(4, dtype=np.int32)}, {'ids': np.arange(3)},
    {'labels': np.zeros((3, 1), np.int32)}, {'labels': np.zeros(3, np.int64)}])
def test_shapes_and_dtypes_are_held_to(wrong):
  right = {'outputs': np.zeros((3, 2), np.float32), 'ids': np.arange(3, dtype=np.int32),
           'labels': np.zeros(3, np.int32)}
  Predictions(**right)
  with pytest.raises(ValueError, match=' are '):
    Predictions(**{**right, **wrong})


def test_gold_labels_have_the_hash_of_the_examples(glue_dir):
  from nlp_export.glue import data

  dev = data.load(RTE, 'dev', data.GlueDirectory(glue_dir))
  outputs = np.zeros((len(dev), 2), np.float32)
  assert Predictions(outputs, dev.ids, dev.labels).gold_sha256() == dev.gold_sha256()
  assert Predictions(outputs, dev.ids, 1 - dev.labels).gold_sha256() != dev.gold_sha256()
  with pytest.raises(ValueError, match='no labels'):
    Predictions(outputs, dev.ids).gold_sha256()


def npz(digest=True, **arrays):
  """A file of these arrays, as `write` would make it if they were right."""
  data = io.BytesIO()
  extra = {'content_sha256': np.array(prediction_files._sha256(arrays))} if digest else {}
  np.savez(data, **arrays, **extra)
  return data.getvalue()


def test_damaged_files_are_refused(tmp_path):
  path = tmp_path / 'seed_0.npz'
  prediction_files.write(str(path), {'dev': made(RTE)})
  whole = path.read_bytes()
  ids, outputs = np.arange(2, dtype=np.int32), np.zeros((2, 2), np.float32)
  pickled = npz(digest=False, **{'dev.outputs': np.array([{}], object)})
  for data, why in (
      (b'', 'no whole'), (whole[:-30], 'no whole'), (whole[:100], 'no whole'),
      (b'PK\x03\x04' + bytes(50), 'no whole'), (b'no zip', 'no whole'), (pickled, 'no whole'),
      (npz(digest=False, **{'dev.outputs': outputs, 'dev.ids': ids}), 'does not fit'),
      (npz(other=ids), "an array 'other'"), (npz(**{'dev.else': ids}), "an array 'dev.else'"),
      (npz(**{'dev.outputs': outputs}), 'dev: .* missing'),
      (npz(**{'dev.outputs': outputs.astype(float), 'dev.ids': ids}), 'outputs are float64')):
    path.write_bytes(data)
    with pytest.raises(RequestError, match=f'seed_0.npz is damaged: .*{why}.* and the same '
                       'command runs the cell again$'):
      prediction_files.read(str(path))
  for good in (whole, npz(**{'dev.outputs': outputs, 'dev.ids': ids})):  # Control.
    path.write_bytes(good)
    assert len(prediction_files.read(str(path))['dev']) in (40, 2)
  with pytest.raises(RequestError, match='no such file or directory. Check the path.$'):
    prediction_files.read(str(tmp_path / 'seed_1.npz'))


def test_every_flipped_byte_is_noticed_or_harmless(tmp_path):
  path = tmp_path / 'seed_0.npz'
  prediction_files.write(str(path), {'dev': made(RTE)})
  whole, before = path.read_bytes(), made(RTE)
  refused = 0
  for place in range(0, len(whole), 3):
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1:])
    try:
      found = prediction_files.read(str(path))['dev']
    except RequestError:
      refused += 1
      continue
    assert np.array_equal(found.outputs, before.outputs)
    assert np.array_equal(found.ids, before.ids)
    assert np.array_equal(found.labels, before.labels)
  assert refused > 0.7 * len(whole) / 3


def test_the_statistics_take_them(tmp_path):
  cells = [store(tmp_path, task, seed) for task in (RTE, STSB, MNLI) for seed in range(2)]
  cells.append({**cells[0], 'pooler': 'random', 'status': 'failed', 'predictions_file': '',
                'cause': 'out of memory'})
  predictions, labels = prediction_files.for_statistics(str(tmp_path), cells)
  assert set(labels) == {'rte', 'stsb', 'mnli'} and predictions(cells[-1]) is None
  found = analyse(cells, predictions=predictions, labels=labels, settings=Settings(replicates=50))
  assert found.counts == {'ok': 6, 'degenerate': 0, 'failed': 1}


def test_mnli_is_scored_on_the_split_of_its_main_metric(tmp_path):
  splits = {'dev_mismatched': made(MNLI, 30), 'dev_matched': made(MNLI, 40)}
  cell = store(tmp_path, MNLI, splits=splits)
  predictions, labels = prediction_files.for_statistics(str(tmp_path), [cell])
  assert np.array_equal(labels['mnli'], splits['dev_matched'].labels)
  assert np.array_equal(predictions(cell), splits['dev_matched'].values(MNLI))
  other = {**cell, 'main_metric': 'accuracy_mismatched', 'gold_sha256': ''}
  assert len(predictions(other)) == 30


def test_other_gold_labels_are_refused(tmp_path):
  good = store(tmp_path, RTE, 0)
  bad = store(tmp_path, RTE, 1, gold_sha256='0' * 64)
  predictions, _ = prediction_files.for_statistics(str(tmp_path), [good, bad])
  assert len(predictions(good)) == 40
  path = f'{tmp_path}/glue/predictions/rte/keep/export/seed_1.npz'
  message = (r'^Cell rte/keep/export/seed_1 was scored on gold labels with SHA-256 000000000000, '
             rf'.*runs the cell again: rm {path}$')
  with pytest.raises(RequestError, match=message):
    predictions(bad)
  with pytest.raises(RequestError, match=message):
    prediction_files.for_statistics(str(tmp_path), [bad])


def test_files_without_what_the_cell_says_are_refused(tmp_path):
  with_test = {'dev': made(RTE), 'test': made(RTE, labelled=False)}
  cell = store(tmp_path, RTE, splits=with_test)
  assert set(prediction_files.for_statistics(str(tmp_path), [cell])[1]) == {'rte'}
  with pytest.raises(RequestError, match='f1.* does not have. Its main metric is accuracy$'):
    prediction_files.for_statistics(str(tmp_path), [{**cell, 'main_metric': 'f1'}])
  three = Predictions(np.zeros((4, 3), np.float32), np.arange(4, dtype=np.int32),
                      np.zeros(4, np.int32))
  for splits, why in (
      ({'dev': made(RTE, labelled=False)}, 'it has no dev with labels, only dev'),
      ({}, 'it has no dev with labels, only nothing'),
      ({'dev': three}, 'its model has 3 outputs, rte has 2')):
    prediction_files.write(f'{tmp_path}/{cell["predictions_file"]}', splits)
    with pytest.raises(RequestError, match=f'{why}. .*runs the cell again$'):
      prediction_files.for_statistics(str(tmp_path), [cell])
