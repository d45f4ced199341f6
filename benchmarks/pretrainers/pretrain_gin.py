"""How fast does gin/runs/pretrain.gin pre-train, save and resume, and as two processes?"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.pretrainers import FLOAT32, Resumed, Setting, Trained, commands, curve
from benchmarks.pretrainers.train_py import measured

_LOSS = 'training/masked_lm_loss'
_FOREVER = 1_000_000  # Steps.
_INTERRUPTED = 3
_POLL_SECONDS = 0.1
_FIRST_STEP_TIMEOUT_SECONDS = 600.0


def measure(
    setting: Setting, directory: Path, precision: str = FLOAT32, saves: bool = False) -> Trained:
  """One training.

  Args:
    setting: of it.
    directory: scratch.
    precision: FLOAT32 or BFLOAT16.
    saves: whether checkpoints are written every `setting.save_every` steps, not at the end alone.
  """
  return train(setting, macros(setting, precision, saves), directory)


def train(setting: Setting, values: Mapping[str, Any], directory: Path) -> Trained:
  """Runs pretrain.gin with macros; see `measure`."""
  shutil.rmtree(directory, ignore_errors=True)
  started = time.time()
  commands.call(command(values, directory / 'out'), directory / 'log.txt')
  return _of(setting, directory / 'out', started)


def measure_two_processes(setting: Setting, directory: Path, precision: str = FLOAT32) -> Trained:
  """The same training by two processes on this machine, each with half of the cores.

  Args:
    setting: of it; its batch is divided.
    directory: scratch.
    precision: FLOAT32 or BFLOAT16.
  """
  cores = sorted(os.sched_getaffinity(0))
  assert len(cores) > 1, 'Two processes need two cores.'
  halves = cores[:len(cores) // 2], cores[len(cores) // 2:]
  addresses = [f'127.0.0.1:{port}' for port in _free_ports(2)]
  shutil.rmtree(directory, ignore_errors=True)
  logs = [directory / f'log_{index}.txt' for index in range(2)]
  line = command(macros(setting, precision), directory / 'out', 'gin/runtime/multi_worker.gin')
  started = time.time()
  with contextlib.ExitStack() as stack:
    processes = [
        stack.enter_context(commands.started(
            line, log, {'TF_CONFIG': json.dumps({
                'cluster': {'worker': addresses}, 'task': {'type': 'worker', 'index': index}})},
            cores=halves[index]))
        for index, log in enumerate(logs)]
    for process, log in zip(processes, logs, strict=True):
      commands.finish(process, log)
  return _of(setting, directory / 'out', started)


def measure_resuming(setting: Setting, directory: Path, precision: str = FLOAT32) -> Resumed:
  """How soon an interrupted training takes a step. The first call begins the training.

  Args:
    setting: of it; it has no end.
    directory: kept from one call to the next.
    precision: FLOAT32 or BFLOAT16.
  """
  if not (directory / 'out').exists():
    _until_interrupted(setting, directory, precision)
  found = _until_interrupted(setting, directory, precision)
  if found.step < 2:
    raise commands.CommandFailed(f'{directory}/out was started anew instead of resumed')
  return found


def _until_interrupted(setting: Setting, directory: Path, precision: str) -> Resumed:
  """Starts the run, interrupts it after its first step."""
  values = macros(setting, precision) | dict.fromkeys(
      ('TRAIN_STEPS', 'SAVE_EVERY_STEPS', 'EVALUATE_EVERY_STEPS'), _FOREVER)
  events, log = directory / 'out' / 'tensorboard', directory / 'log.txt'
  started = time.time()
  with commands.started(command(values, directory / 'out'), log) as process:
    points: list[curve.Point] = []
    while not points:
      if process.poll() is not None or time.time() - started > _FIRST_STEP_TIMEOUT_SECONDS:
        raise commands.failed(process, log, 'took no step')
      time.sleep(_POLL_SECONDS)
      points = [point for point in curve.points(events, _LOSS) if point.time > started]
    stopping = time.time()
    process.send_signal(signal.SIGTERM)
    commands.finish(process, log, _INTERRUPTED)
  return Resumed(first_step_seconds=points[0].time - started, step=points[0].step,
                 stop_seconds=time.time() - stopping)


def macros(setting: Setting, precision: str, saves: bool = False) -> dict[str, Any]:
  """What `--set` gives to gin/runs/pretrain.gin; see `measure`."""
  return {
      'ENCODER': '@encoders.bert', 'encoders.bert.vocab_size': setting.vocab_size,
      'encoders.bert.hidden_size': setting.hidden_size,
      'encoders.bert.num_layers': setting.num_layers,
      'encoders.bert.num_attention_heads': setting.num_attention_heads,
      'encoders.bert.intermediate_size': 4 * setting.hidden_size,
      'encoders.bert.max_position_embeddings': setting.seq_length,
      'encoders.bert.dropout_rate': setting.dropout_rate,
      'encoders.bert.attention_dropout_rate': setting.dropout_rate,
      'next_sentence_head.dropout_rate': setting.dropout_rate,
      'VOCAB_FILE': setting.vocab_file, 'DO_LOWER_CASE': True,
      'TEXT_FILES': setting.text_files,
      'SEQ_LENGTH': setting.seq_length, 'MAX_PREDICTIONS': setting.max_predictions,
      'data_recipe.data_seed': setting.seed,
      'TRAIN_STEPS': setting.total_steps, 'GLOBAL_BATCH_SIZE': setting.batch_size,
      'STEPS_PER_LOOP': setting.steps_per_loop,
      'SAVE_EVERY_STEPS': setting.save_every if saves else setting.total_steps,
      'EVALUATE_EVERY_STEPS': setting.total_steps,
      'train_recipe.learning_rate': setting.learning_rate,
      'train_recipe.warmup_steps': setting.steps_per_loop,
      'train_recipe.precision': precision,
      'train_recipe.init_seed': setting.seed, 'train_recipe.dropout_seed': setting.seed}


def command(values: Mapping[str, Any], out_dir: Path, *gin_files: str) -> list[str]:
  """The command line of gin/runs/pretrain.gin with macros; those that are None are left out."""
  return [sys.executable, 'run.py', 'gin/runs/pretrain.gin', *gin_files,
          *(f'--set={name}={value}' for name, value in values.items() if value is not None),
          '--out_dir', str(out_dir)]


def _of(setting: Setting, out_dir: Path, started: float) -> Trained:
  """What a finished out_dir says; it is removed."""
  summary = json.loads((out_dir / 'pretraining' / 'summary.json').read_text())
  points = curve.points(out_dir / 'tensorboard', _LOSS)
  saves = [save for save in summary['saves']
           if setting.steps_per_loop <= save['step'] < setting.total_steps]
  found = measured(setting, points, started, saves=tuple(saves))
  shutil.rmtree(out_dir)
  return found


def _free_ports(count: int) -> Sequence[int]:
  with contextlib.ExitStack() as stack:
    sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
    for one in sockets:
      one.bind(('127.0.0.1', 0))
    return [one.getsockname()[1] for one in sockets]
