"""The benchmark of pre-training: contestants do equal work, tables say what was measured."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import machine, pretrainers, pretraining, pretraining_table
from benchmarks.pretrainers import (
    BFLOAT16,
    FLOAT32,
    HERE_BFLOAT16,
    HERE_FLOAT32,
    HERE_INPUT,
    HERE_RESUMING,
    HERE_SAVING,
    HERE_TWO_PROCESSES,
    TRAIN_PY_FLOAT32_1,
    TRAIN_PY_FLOAT32_2,
    Delivered,
    Resumed,
    Setting,
    Trained,
    commands,
    curve,
    data,
    pretrain_gin,
    train_py,
)
from nlp_export import encoders
from nlp_export.pretraining.heads import HeadSpec
from tests import pretrain_lab

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope='module')
def setting(tmp_path_factory, tiny_vocab) -> Setting:
  """Three steps of a tiny encoder on a little text, and one to warm up."""
  directory = tmp_path_factory.mktemp('benchmark')
  given = Setting(
      num_layers=1, hidden_size=16, dropout_rate=0.0, batch_size=4, seq_length=16,
      max_predictions=3, steps=3, steps_per_loop=1, save_every=2, learning_rate=1e-3,
      input_seconds=0.05, vocab_file=tiny_vocab, records=str(directory / 'train.tfrecord'),
      text_files=pretrain_lab.write_text(directory / 'text.txt'))
  assert data.write_records(given) == 4 * 4
  return given


def test_train_py_reads_our_batches_in_our_order(setting):
  from official.nlp.data import pretrain_dataloader

  config = train_py.configuration(setting, FLOAT32)['task']['train_data']
  theirs = pretrain_dataloader.BertPretrainDataLoader(
      pretrain_dataloader.BertPretrainDataConfig(**config)).load()
  ours = data.batches(setting).dataset(0)
  batches = list(zip(theirs.take(4).as_numpy_iterator(), ours.take(4).as_numpy_iterator()))
  for their, our in batches:
    assert their.keys() == our.keys() and our['input_word_ids'].shape == (4, 16)
    for name, values in our.items():
      assert their[name].dtype == values.dtype
      np.testing.assert_array_equal(their[name], values, err_msg=name)
  # Control: another step's batch would be seen.
  assert not np.array_equal(batches[0][0]['input_word_ids'], batches[1][1]['input_word_ids'])


def test_the_input_alone(setting):
  found = data.deliver(setting)
  assert found.seconds >= 0.05 and found.positions == found.batches * 4 * 16 > 0


@pytest.mark.parametrize('precision', [FLOAT32, BFLOAT16])
def test_train_py_trains_the_same_variables(setting, precision):
  from official.core import exp_factory
  from official.modeling import hyperparams
  from official.nlp.configs import pretraining_experiments  # noqa: F401
  from official.nlp.tasks import masked_lm

  from nlp_export.pretraining import model

  config = hyperparams.override_params_dict(
      exp_factory.get_exp_config(train_py.EXPERIMENT), train_py.configuration(setting, precision),
      is_strict=True)
  assert (config.runtime.mixed_precision_dtype == 'bfloat16') is (precision == BFLOAT16)
  task = masked_lm.MaskedLMTask(config.task)
  theirs = task.build_model()
  theirs(theirs.inputs)  # Makes the variables of the heads.
  ours = model.build(
      encoders.bert(
          vocab_size=setting.vocab_size, hidden_size=16, num_layers=1, num_attention_heads=1,
          intermediate_size=64, max_position_embeddings=16), (HeadSpec(name='next_sentence'),))

  def shapes(variables):
    return sorted(tuple(variable.shape) for variable in variables)

  assert shapes(theirs.trainable_variables) == shapes(ours.model.trainable_variables)
  assert len(shapes(ours.trained)) == len(shapes(theirs.trainable_variables)) - 2  # Its pooler.


@pytest.mark.extra  # Three processes that import TensorFlow and trace.
def test_train_py_takes_the_same_steps_from_the_same_weights(setting, tmp_path):
  """The losses agree step by step: encoder, masked LM, data, optimizer, schedule, clipping.

  Without dropout, and without the next-sentence head: its projection is no checkpoint item, so that
  theirs cannot begin with ours.
  """
  start = tmp_path / 'start'
  macros = pretrain_gin.macros(setting, FLOAT32) | {
      'HEADS': '()', 'next_sentence_head.dropout_rate': None}
  commands.call(pretrain_gin.command(
      macros | {'TRAIN_STEPS': 1, 'train_recipe.warmup_steps': 0, 'saving.tf_checkpoint': True,
                'train_recipe.learning_rate': 1e-30, 'train_recipe.weight_decay': 0.0}, start),
      tmp_path / 'start.log')
  ours = pretrain_gin.train(
      setting, macros | {'INITIAL_CHECKPOINT': start / 'checkpoints'}, tmp_path / 'ours')
  config = train_py.configuration(setting, FLOAT32)
  config['task']['init_checkpoint'] = str(start / 'tf_checkpoint/ckpt-1')
  config['task']['model']['cls_heads'] = []
  config['task']['train_data']['use_next_sentence_label'] = False
  theirs = train_py.train(setting, config, tmp_path / 'theirs', inter_op_threads=1)
  np.testing.assert_allclose(theirs.losses, ours.losses, atol=1e-4)
  assert (ours.steps, ours.positions) == (theirs.steps, theirs.positions) == (3, 3 * 4 * 16)
  assert ours.seconds > 0 and theirs.seconds > 0
  # Control: the next step has another loss.
  assert not np.allclose(theirs.losses[1:], ours.losses[:-1], atol=1e-2)


@pytest.mark.extra
def test_the_command(tmp_path):
  """A contestant of each kind in its processes, a step each."""
  done = subprocess.run(
      [sys.executable, '-m', 'benchmarks.pretraining', '--rounds', '1', '--steps', '2',
       '--steps_per_loop', '1', '--save_every', '2', '--num_layers', '1', '--hidden_size', '16',
       '--batch_size', '2', '--seq_length', '16', '--max_predictions', '2',
       '--vocabulary_tokens', '400', '--input_seconds', '0.1', '--json', tmp_path / 'result.json',
       '--only', TRAIN_PY_FLOAT32_2, HERE_SAVING, HERE_TWO_PROCESSES, HERE_RESUMING, HERE_INPUT],
      cwd=ROOT, capture_output=True, text=True)
  assert not done.returncode, done.stderr
  result = json.loads((tmp_path / 'result.json').read_text())
  assert done.stdout.strip() == pretraining_table.markdown(result).strip()
  rounds = result['rounds']
  assert {name: len(turns) for name, turns in rounds.items()} == dict.fromkeys(rounds, 1)
  for name in (TRAIN_PY_FLOAT32_2, HERE_SAVING, HERE_TWO_PROCESSES):
    assert rounds[name][0]['positions'] == 2 * 2 * 16 and rounds[name][0]['seconds'] > 0
  (save,) = rounds[HERE_SAVING][0]['saves']
  assert save['step'] == 2 and 0 < save['blocking_seconds'] <= save['seconds']
  assert rounds[HERE_RESUMING][0]['step'] > 1


def event(tag, step, seconds, value, content=True):
  """A record of an event file."""
  from tensorboard.compat.proto import event_pb2

  made = event_pb2.Event(wall_time=seconds, step=step)
  tensor = made.summary.value.add(tag=tag).tensor
  if content:
    tensor.tensor_content = struct.pack('<f', value)
  else:
    tensor.float_val.append(value)
  data = made.SerializeToString()
  return struct.pack('<Q', len(data)) + b'....' + data + b'....'


def test_points_are_read_while_the_file_grows(tmp_path):
  records = [event('loss', 1, 10.0, 0.5), event('accuracy', 1, 10.5, 0.1),
             event('loss', 2, 11.0, 0.25, content=False), event('loss', 3, 12.0, 0.125)]
  path = tmp_path / 'events.out.tfevents.1.host'
  path.write_bytes(b''.join(records))
  points = [curve.Point(1, 10.0, 0.5), curve.Point(2, 11.0, 0.25), curve.Point(3, 12.0, 0.125)]
  assert curve.points(tmp_path, 'loss') == points
  path.write_bytes(b''.join(records)[:-5])
  assert curve.points(tmp_path, 'loss') == points[:2]
  assert curve.points(tmp_path / 'none', 'loss') == []


def test_steps_of_the_warm_up_do_not_count():
  given = Setting(steps=4, steps_per_loop=2, batch_size=3, seq_length=5)
  points = [curve.Point(1, 7.0, 9.0), curve.Point(2, 8.0, 8.0), curve.Point(4, 10.0, 7.0),
            curve.Point(6, 13.0, 6.0)]
  found = train_py.measured(given, points, started=0.0)
  assert (found.seconds, found.steps, found.positions) == (5.0, 4, 60)
  assert found.losses == (7.0, 6.0)
  with pytest.raises(AssertionError):  # Control: a training that ended early.
    train_py.measured(given, points[:-1], started=0.0)


def trained(seconds, loss=5.0, positions=1000, **fields):
  return dataclasses.asdict(Trained(
      seconds=seconds, steps=10, positions=positions, losses=(7.0, loss), other_seconds=20.0,
      **fields))


@pytest.fixture
def result():
  """In the second round someone else computed: everything took twice as long."""
  save = {'step': 2, 'blocking_seconds': 0.1, 'seconds': 0.5}

  def twice(make):
    return [make(1.0), make(2.0)]

  return {
      'machine': machine.describe() | {'load_average_after': 0.0},
      'settings': dataclasses.asdict(Setting(save_every=5)) | {'vocab_size': 2000, 'rounds': 2},
      'rounds': {
          TRAIN_PY_FLOAT32_1: twice(lambda slow: trained(3.0 * slow)),
          TRAIN_PY_FLOAT32_2: twice(lambda slow: trained(2.0 * slow)),
          HERE_FLOAT32: twice(lambda slow: trained(1.0 * slow)),
          HERE_BFLOAT16: twice(lambda slow: trained(1.6 * slow)),
          HERE_SAVING: twice(lambda slow: trained(1.4 * slow, saves=(save, save))),
          HERE_TWO_PROCESSES: twice(lambda slow: trained(1.25 * slow)),
          HERE_RESUMING: [dataclasses.asdict(Resumed(
              first_step_seconds=seconds, step=2, stop_seconds=1.0)) for seconds in (9.0, 21.0)],
          HERE_INPUT: twice(lambda slow: dataclasses.asdict(Delivered(
              seconds=0.5 * slow, batches=9, positions=6000)))}}


def test_the_faster_train_py_counts_and_ratios_are_taken_within_a_round(result):
  assert pretraining_table.reference(result, FLOAT32) == TRAIN_PY_FLOAT32_2
  assert pretraining_table.reference(result, BFLOAT16) is None  # Not measured.
  found = {what: values for what, *values in pretraining_table.targets(result)}
  assert found['tokens/s here, float32, times train.py in float32'] == [2.0, 1.0, True]
  what = 'tokens/s here, `mixed_bfloat16`, times train.py in float32'
  assert found[what] == [1.25, 1.35, False]
  what = 'tokens/s of the input alone, times what training consumes here, float32'
  assert found[what] == [pytest.approx(12.0), 10.0, True]
  (slowest,) = (values for what, values in found.items() if 'resuming' in what)
  assert slowest == [21.0, 20.0, False]


def test_what_a_checkpoint_costs(result):
  cost = pretraining_table.saving(result)
  # 0.4 and 0.8 s for two of them; 0.1 and 0.2 s a step.
  assert (cost.checkpoints, cost.blocking_seconds, cost.seconds) == (2, 0.1, 0.5)
  assert cost.lost_seconds == pytest.approx(0.3) and cost.step_seconds == pytest.approx(0.15)
  assert cost.percent(2) == pytest.approx(50.0)
  assert cost.percent(1000) == pytest.approx(0.2, abs=1e-3)
  training = cost.shortest_seconds
  assert cost.lost_seconds / (training + cost.lost_seconds) == pytest.approx(0.02)
  result['rounds'][HERE_SAVING] = result['rounds'][HERE_FLOAT32]  # Control: nothing was saved.
  assert pretraining_table.saving(result) is None


def test_the_default_interval_is_that_of_the_run_file():
  text = (ROOT / 'gin/runs/pretrain.gin').read_text()
  (default,) = re.findall(r'^SAVE_EVERY_STEPS = (\d+)', text, re.M)
  assert int(default) == pretraining_table.SAVE_EVERY_STEPS


def test_the_table(result):
  text = pretraining_table.markdown(result)
  assert '| here, float32 | 750 | 150 | 2.00 | 2.00 | 5.00 | 20 |' in text
  assert '| here, `mixed_bfloat16` | 469 | 240 | 1.25 |  | 5.00 | 20 |' in text
  assert 'times train.py in float32 | 1.25 | 1.35 | **no** |' in text
  assert 'times those of one with all cores | 0.80 |' in text
  assert 'seconds | 15.0, at most 21.0 |' in text
  assert '| share of training, one every 1,000 steps (150 s), the default | 0.20 % |' in text
  about = result['machine']
  assert about['date'] in text and about['processor'] in text
  assert json.loads(json.dumps(result)).keys() == result.keys()


def test_the_table_of_a_part(result):
  result['rounds'] = {HERE_FLOAT32: result['rounds'][HERE_FLOAT32]}
  text = pretraining_table.markdown(result)
  assert '| here, float32 | 750 | 150 |  |  | 5.00 | 20 |' in text
  assert 'to reach' not in text and 'checkpoints' not in text


def test_every_contestant_has_a_name_in_the_table_and_is_measured():
  assert set(pretraining_table.CALLED) == set(pretrainers.NAMES) == set(pretraining.MEASURES)


@pytest.fixture
def take_turns(monkeypatch, tmp_path):
  """Measures contestants that are not there, for two rounds."""

  def take(**losses):
    turns = []

    def fake(name):
      def measured(setting, directory):
        turns.append(name)
        return Trained(seconds=1.0, steps=1, positions=8, losses=(losses[name],),
                       other_seconds=1.0)
      return measured

    monkeypatch.setattr(pretraining, 'MEASURES', {name: fake(name) for name in losses})
    pretraining.measure(list(losses), Setting(), 2, tmp_path, lambda line: None)
    return turns

  return take


def test_contestants_take_turns_in_alternating_order(take_turns):
  turns = take_turns(**{TRAIN_PY_FLOAT32_1: 5.0, HERE_FLOAT32: 5.1, HERE_BFLOAT16: 4.9})
  assert turns == [TRAIN_PY_FLOAT32_1, HERE_FLOAT32, HERE_BFLOAT16,
                   HERE_BFLOAT16, HERE_FLOAT32, TRAIN_PY_FLOAT32_1]


def test_contestants_that_learn_otherwise_end_the_run(take_turns):
  with pytest.raises(SystemExit, match='losses .* so no comparison of speed makes sense'):
    take_turns(**{TRAIN_PY_FLOAT32_1: 5.0, HERE_FLOAT32: 5.4})


def test_a_command_that_fails_says_what_it_printed(tmp_path):
  program = [sys.executable, '-c',
             'import os; print(len(os.sched_getaffinity(0))); raise SystemExit(4)']
  with pytest.raises(commands.CommandFailed, match=r'(?s)ended with status 4 instead of 0:\n\d'):
    commands.call(program, tmp_path / 'log')
  assert int((tmp_path / 'log').read_text()) == machine.cores()
  with commands.started(program, tmp_path / 'log', cores=[min(os.sched_getaffinity(0))]) as process:
    commands.finish(process, tmp_path / 'log', status=4)
  assert int((tmp_path / 'log').read_text()) == 1
  assert len(os.sched_getaffinity(0)) == machine.cores()  # This process keeps its own.
