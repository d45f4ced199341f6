"""A user's files as train and dev examples."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.glue import data, tasks
from nlp_export.tuning.examples import GlueData, OwnData


def write(path, rows, header=('text', 'label')):
  with open(path, 'w', newline='') as f:
    csv.writer(f).writerows([header, *rows])
  return str(path)


@pytest.fixture
def reviews(tmp_path):
  """60 rows, of which 20 are of class b."""
  return write(tmp_path / 'reviews.csv',
               [(f'text {i}', 'b' if i % 3 == 0 else 'a') for i in range(60)])


def own(path, dev=None, **options):
  options = {'second_text_column': None, **options}
  return OwnData(path, dev, 'text', options.pop('second_text_column'), 'label', **options)


def test_the_same_share_of_each_class_is_kept_out(reviews):
  loaded = own(reviews, dev_share=0.25).load()
  train, dev = loaded.splits['train'], loaded.splits['dev']
  assert train.label_counts() == {'a': 30, 'b': 15}
  assert dev.label_counts() == {'a': 10, 'b': 5}
  assert not set(train.texts[0]) & set(dev.texts[0])
  assert set(train.texts[0]) | set(dev.texts[0]) == {f'text {i}' for i in range(60)}
  assert loaded.dev == '25 % of reviews.csv, kept out'
  assert dev.where(0).endswith(f'reviews.csv, line {dev.lines[0]}')
  texts = open(reviews).read().split('\n')
  assert texts[dev.lines[0] - 1].split(',')[0] == dev.texts[0][0]


def test_the_seed_alone_decides_which_rows_are_kept_out(reviews):
  first, again, other = (own(reviews, seed=seed).load().splits['dev'].ids.tolist()
                         for seed in (0, 0, 1))
  assert first == again
  assert first != other


def test_a_dev_file_is_scored_on_whole(reviews, tmp_path):
  dev = write(tmp_path / 'dev.csv', [('new', 'a'), ('text 3', 'b')])
  loaded = own(reviews, dev).load()
  assert len(loaded.splits['train']) == 60
  assert loaded.splits['dev'].labels.tolist() == [0, 1]
  assert list(loaded.data) == ['reviews.csv', 'dev.csv']
  # 'text 3' was trained on, which its reader should know; of 'new' there is nothing to say.
  (note,) = loaded.splits['dev'].notes
  assert note.startswith('1 of the 2 examples to score on have texts that are among those')


def test_files_of_one_name_are_told_apart(tmp_path):
  paths = []
  for split, label in (('train', 'a'), ('dev', 'b')):
    (tmp_path / split).mkdir()
    rows = [('', 'a'), *((f'{split} {i}', 'ab'[i % 2]) for i in range(9)), ('x', label)]
    paths.append(write(tmp_path / split / 'data.csv', rows))
  loaded = own(*paths).load()
  assert loaded.data == {'train/data.csv': files.sha256(paths[0]),
                         'dev/data.csv': files.sha256(paths[1])}
  assert loaded.dev == 'dev/data.csv'
  notes = [note for examples in loaded.splits.values() for note in examples.notes]
  assert [note.partition(':')[0] for note in notes if 'empty' in note] == [
      'train/data.csv', 'dev/data.csv']


def test_pairs_and_numbers_are_a_regression_of_two_segments(tmp_path):
  path = write(tmp_path / 'pairs.csv', [(f'a{i}', f'b{i}', i / 10) for i in range(30)],
               ('text', 'other', 'label'))
  loaded = own(path, second_text_column='other').load()
  task = loaded.task
  assert task.is_regression
  assert (task.features, task.main_metric) == (('text', 'other'), 'spearman')
  assert loaded.splits['dev'].labels.dtype == np.float32
  row = loaded.splits['train']
  assert [t[0] for t in row.texts] == [f'a{row.ids[0]}', f'b{row.ids[0]}']


def test_empty_texts_are_noted(tmp_path):
  path = write(tmp_path / 'a.csv', [('', 'a'), *((f't{i}', 'ab'[i % 2]) for i in range(30))])
  notes = own(path).load().splits['train'].notes
  assert notes == ('a.csv: a text is empty in 1 row (the first is line 2)',)


@pytest.mark.parametrize(('options', 'where', 'ends'), [
    ({'dev_share': 0.0}, 'DEV_SHARE is 0.0', '--set DEV_SHARE=0.1'),
    ({'dev_share': 0.001}, 'are 0 to score on', 'a DEV_FILE, or another DEV_SHARE'),
    ({'own_name': 'my data'}, "'my data' cannot name a directory", '--set NAME=reviews'),
])
def test_what_cannot_be_divided_is_refused(reviews, options, where, ends):
  with pytest.raises(RequestError) as caught:
    own(reviews, **options).load()
  assert where in str(caught.value)
  assert str(caught.value).endswith(ends)


def test_one_class_to_score_on_is_refused(reviews, tmp_path):
  dev = write(tmp_path / 'dev.csv', [('x', 'a'), ('y', 'a')])
  with pytest.raises(RequestError, match='or another DEV_FILE or DEV_SHARE$'):
    own(reviews, dev).load()


def test_a_text_that_is_none_is_refused_by_line(tmp_path):
  path = tmp_path / 'a.jsonl'
  path.write_text('{"text": "a", "label": "x"}\n{"text": 3, "label": "y"}\n')
  with pytest.raises(RequestError, match=r'a\.jsonl, line 2: 3 is no text.*remove that row$'):
    own(str(path)).load()


def test_a_missing_file_is_refused(tmp_path):
  with pytest.raises(RequestError, match='as TRAIN_FILE or DEV_FILE$'):
    own(str(tmp_path / 'nothing.csv')).inputs()


def test_a_task_of_glue_is_read_as_it_is_for_the_checks():
  task = tasks.get('builtin_word_order')
  loaded = GlueData(task, data.source_for(task)).load()
  assert loaded.dev == 'dev'
  assert loaded.description == 'builtin_word_order: classes shuffled, intact'
  assert set(loaded.splits) == {'train', 'dev'}
