"""Each contestant of the benchmark of fine-tuning trains, and on the same text as the others."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import contestants
from benchmarks.contestants import Given, samples, worker
from nlp_export.glue import tasks
from tests import tiny
from tests.checkpoints import hugging_face_bert

TASK = 'builtin_next_sentence'


@pytest.fixture
def few(monkeypatch):
  """Every contestant is given eight examples in each of 20 batches, and can learn them.

  They have one label: sorted by length, copies of one example make up whole batches, and with two
  labels the loss would go up and down with these.
  """
  draw = samples.draw

  def repeated(task, given):
    splits = draw(task, dataclasses.replace(given, steps=20))
    rows = np.flatnonzero(splits[tasks.TRAIN].labels == 1)[:8]
    return {name: samples.take(examples, np.tile(rows, 20) if name == tasks.TRAIN else np.arange(8))
            for name, examples in splits.items()}

  monkeypatch.setattr(samples, 'draw', repeated)
  return Given(steps=20, tf_hub_steps=20, batch_size=8, learning_rate=3e-3)


def test_the_draw_is_the_same_for_all():
  given = Given(steps=3, batch_size=4)
  first, again = (samples.draw(TASK, given)[tasks.TRAIN] for _ in range(2))
  assert len(first) == 12 and first.texts == again.texts
  np.testing.assert_array_equal(first.labels, again.labels)
  other = samples.draw(TASK, Given(steps=3, batch_size=4, seed=1))[tasks.TRAIN]
  assert other.texts != first.texts
  everything = samples.draw(TASK, Given(steps=10_000, batch_size=64))[tasks.TRAIN]
  assert len(everything) == tasks.get(TASK).split(tasks.TRAIN).rows // 64 * 64
  assert len(set(everything.ids)) == len(everything)


def check_learns(first, later):
  """The loss of a later training on the same examples is lower."""
  assert np.isfinite([*first.losses, *later.losses]).all()
  assert np.mean(later.losses) < np.mean(first.losses)
  assert first.seconds > 0 and first.steps == 20 and first.examples == 160
  assert first.tokens == later.tokens < first.positions


@pytest.fixture(scope='module')
def tiny_hugging_face(tmp_path_factory):
  """A tiny BERT as a Hugging Face directory with its vocabulary."""
  directory = tmp_path_factory.mktemp('hugging_face')
  size = tiny.Size()
  hugging_face_bert.write(
      directory, hugging_face_bert.draw(), vocab_size=size.vocab_size,
      hidden_size=size.hidden_size, num_hidden_layers=size.num_layers,
      intermediate_size=size.intermediate_size, type_vocab_size=2, hidden_act='gelu',
      max_position_embeddings=size.max_position_embeddings, hidden_dropout_prob=0.1,
      attention_probs_dropout_prob=0.1, initializer_range=0.02,
      architectures=['BertForPreTraining'])
  tiny.write_vocab(directory / 'vocab.txt', lower_case=True)
  return str(directory)


@pytest.mark.extra  # It traces for long.
def test_tf_hub_s_documented_flow(few, tiny_hugging_face, tmp_path):
  from benchmarks.contestants import tf_hub

  paths = tf_hub.write_exports(tiny_hugging_face, tmp_path)
  contestant = tf_hub.Contestant(dataclasses.replace(few, **paths))
  assert contestant.prepare(TASK)['other_seconds'].keys() == {'load', 'compile and warm up'}
  first, later = contestant.measure(TASK), contestant.measure(TASK)
  check_learns(first, later)
  assert first.positions == 160 * 128  # Always padded to 128.


def test_our_exports(few, uncased_exports, tmp_path):
  from benchmarks.contestants import exported

  contestant = exported.Contestant(dataclasses.replace(
      few, model=uncased_exports['model'], preprocessing=uncased_exports['preprocessing'],
      out_dir=str(tmp_path)))
  prepared = contestant.prepare(TASK)
  passed = contestant.measure(TASK, round=0)
  assert np.mean(passed.losses[-5:]) < np.mean(passed.losses[:5])
  assert (passed.steps, passed.examples) == (20, 160) and len(prepared['lengths']) == 160
  assert passed.tokens == sum(prepared['lengths']) < passed.positions
  until_first_step = passed.other_seconds['until the first step is done']
  # The second cell compiles nothing and loads nothing.
  assert until_first_step < prepared['other_seconds']['until the first step is done'] / 2
  assert not list(tmp_path.iterdir())


@pytest.mark.extra
@pytest.mark.parametrize('bfloat16', [False, True])
def test_pytorch(few, tiny_hugging_face, bfloat16):
  from benchmarks.contestants import pytorch

  given = dataclasses.replace(few, hugging_face=tiny_hugging_face)
  contestant = pytorch.Contestant(given, bfloat16)
  prepared = contestant.prepare(TASK)
  first, later = contestant.measure(TASK), contestant.measure(TASK)
  check_learns(first, later)
  assert sum(prepared['lengths']) == first.tokens


@pytest.mark.extra
def test_pytorch_groups_as_transformers_does_on_the_whole_training_set():
  from benchmarks.contestants import pytorch

  assert [pytorch.window(rows, 32) for rows in (8551, 3668, 2490, 64)] == [50, 28, 19, 1]


@pytest.mark.extra
def test_pytorch_s_weights_without_decay(tiny_hugging_face):
  import transformers

  from benchmarks.contestants import pytorch

  model = transformers.BertForSequenceClassification.from_pretrained(tiny_hugging_face)
  decayed, plain = pytorch._groups(model)
  assert all(p.ndim == 2 for p in decayed['params']) and decayed['weight_decay'] == 0.01
  assert all(p.ndim == 1 for p in plain['params']) and plain['weight_decay'] == 0.0
  assert len(decayed['params']) + len(plain['params']) == len(list(model.parameters()))


def test_matrix_products(monkeypatch):
  from benchmarks.contestants import matmul

  monkeypatch.setattr(matmul, '_SECONDS', 0.002)
  found = matmul.Contestant(Given(), shapes=((64, 32, 16),)).measure()
  assert found.keys() == {'float32', 'bfloat16'}
  assert all(0 < rates['64x32x16'] < 100_000 for rates in found.values())


class Echo:
  """A contestant that does nothing."""

  def measure(self, task, round=0):
    if task == 'broken':
      raise ValueError('the weights are gone')
    return contestants.Passed(seconds=1.0, steps=round, examples=1, tokens=1, positions=1,
                              losses=(0.5,))


def test_a_worker_answers_every_request(monkeypatch):
  monkeypatch.setattr(contestants, 'make', lambda name, given: Echo())
  requests = [{'method': 'measure', 'arguments': {'task': 'cola', 'round': 7}},
              {'method': 'measure', 'arguments': {'task': 'broken'}}]
  answers = io.StringIO()
  lines = io.StringIO('\n'.join(map(json.dumps, requests)) + '\n')
  assert worker.serve('echo', Given(), lines, answers) == 1
  ready, answered, failed = map(json.loads, answers.getvalue().splitlines())
  assert ready == {'result': None}
  assert answered['result']['steps'] == 7 and answered['result']['losses'] == [0.5]
  assert failed['error'].strip().endswith('ValueError: the weights are gone')
  assert worker.serve('echo', Given(), io.StringIO(), io.StringIO()) == 0  # Control.


def test_a_worker_in_its_process_that_fails(tmp_path: Path):
  with pytest.raises(worker.WorkerFailed, match="(?s)nobody failed:.*KeyError: 'nobody'"):
    worker.Worker('nobody', Given(), tmp_path / 'log')
