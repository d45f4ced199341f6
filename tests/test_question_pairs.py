"""Document 002's experiment as a run: a few pairs, two poolings, and how it differs from there."""

from __future__ import annotations

import json

import pytest

from nlp_export.errors import RequestError
from nlp_export.question_pairs import reporting
from nlp_export.question_pairs.request import Request
from tests.glue import official_layout
from tests.in_process import run_main, settings

RUN = 'gin/runs/question_pairs.gin'


@pytest.fixture(scope='module')
def glue(tmp_path_factory):
  return str(official_layout.write(tmp_path_factory.mktemp('glue'), 16))


@pytest.fixture(scope='module')
def arguments(glue, uncased_exports):
  return settings(
      EXPORT=uncased_exports['model'], PREPROCESSING=uncased_exports['preprocessing'],
      GLUE_DIR=glue, POOLINGS="(('mean', 'max'),)", TRAINABLE_LAYERS=1, EPOCHS=1,
      TRAIN_EXAMPLES=8, MAX_SEQ_LENGTH=24, BATCH_SIZE=4)


@pytest.fixture(scope='module')
def finished(arguments, tmp_path_factory):
  out_dir = tmp_path_factory.mktemp('question_pairs') / 'out'
  done = run_main(RUN, *arguments, '--out_dir', out_dir)
  assert done.status == 0, done.output
  return out_dir, done


def test_each_pooling_gets_a_score_beside_the_documents(finished):
  out_dir, done = finished
  results = json.loads((out_dir / 'results.json').read_text())
  assert [one['pooling'] for one in results['poolings']] == ['mean+max']
  for one in results['poolings']:
    assert len(one['history']) == 1 and {'val_accuracy', 'val_loss'} < set(one['history'][0])
    assert set(one['metrics']) == {'accuracy', 'f1'}
    assert one['train_examples'] == 8
    assert 0 < one['trained_weights'] < one['weights'] / 2
  assert results['document']['accuracy'] == 0.8831
  assert '88.3 % (epoch 5: 0.8831)' in done.output
  assert 'differs: The encoder has 2 layers of width 16; BERT-base has 12 of 768.' in done.output
  report = (out_dir / 'report.md').read_text()
  assert '| mean+max |' in report and '| the document | 88.3 %' in report


def test_the_same_command_again_is_done_and_an_ended_one_goes_on(finished, arguments):
  out_dir, _ = finished
  assert 'done' in run_main(RUN, *arguments, '--out_dir', out_dir).output
  (out_dir / 'results.json').unlink()
  kept = (out_dir / 'poolings' / 'mean+max.json').read_bytes()
  again = run_main(RUN, *arguments, '--out_dir', out_dir)
  assert again.status == 0 and 'mean+max: done before' in again.output
  assert (out_dir / 'results.json').exists()
  assert (out_dir / 'poolings' / 'mean+max.json').read_bytes() == kept


def request_with(**changes):
  values = {'export': 'model', 'preprocessing': 'prep', 'poolings': ('cls',), 'task': 'qqp',
            'trainable_layers': 3, 'glue_dir': 'glue', 'train_examples': None,
            'dev_examples': None, 'epochs': 5, 'batch_size': 32, 'learning_rate': 2e-5,
            'max_seq_length': 128, 'seed': 0}
  return Request(**{**values, **changes})


@pytest.mark.parametrize('wrong, cure', [
    ({'poolings': 'cls'}, '--set POOLINGS="(\'cls\',)"'),
    ({'poolings': ('cls', 'cls')}, '--set POOLINGS="(\'cls\', \'mean\')"'),
    ({'task': 'sst2'}, 'write --set TASK=mrpc'),
    ({'task': 'mnli'}, 'write --set TASK=mrpc'),
])
def test_a_wrong_request_is_answered_with_a_right_one(wrong, cure):
  with pytest.raises(RequestError) as error:
    request_with(**wrong)
  assert str(error.value).endswith(cure)


def test_differences_from_the_document_are_all_named_and_no_others():
  as_there = {'num_layers': 12, 'width': 768, 'train_examples': 323_432, 'dev_examples': 80_858}
  (only,) = reporting.differences(request_with(), as_there)
  assert only.startswith('The document does not say its learning rate')
  other = reporting.differences(
      request_with(task='mrpc', epochs=1, trainable_layers=None),
      {'num_layers': 6, 'width': 384, 'train_examples': 10, 'dev_examples': 5})
  assert len(other) == 6


def test_a_text_with_the_separator_in_it_is_refused(glue, uncased_exports, tmp_path):
  import shutil

  from nlp_export.question_pairs import training

  shutil.copytree(glue, tmp_path / 'glue')
  train = tmp_path / 'glue' / 'QQP' / 'train.tsv'
  lines = train.read_text().split('\n')
  fields = lines[2].split('\t')
  fields[3] += ' ||| more'
  train.write_text('\n'.join([*lines[:2], '\t'.join(fields), *lines[3:]]))
  with pytest.raises(RequestError) as error:
    training.load(request_with(glue_dir=str(tmp_path / 'glue')))
  assert 'train.tsv, line 3' in str(error.value)
  assert str(error.value).endswith('Remove it from the text')
