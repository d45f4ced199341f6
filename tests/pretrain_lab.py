"""A pre-training of a tiny encoder on a little text, by run.py in this process or another."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from pathlib import Path
from typing import ClassVar

import numpy as np

from nlp_export.pretraining.saving import resume
from tests import run_lab, tiny
from tests.in_process import settings

WORDS = ('the', 'a', 'of', 'and', 'cat', 'dog', 'sat', 'on', 'mat', 'hello', 'world', 'bank')
STEPS, SAVE_EVERY = 12, 4
# Trainings that last some seconds, so that something can happen to them.
SHORT = {'TRAIN_STEPS': 200, 'SAVE_EVERY_STEPS': 50, 'STEPS_PER_LOOP': 25,
         'EVALUATE_EVERY_STEPS': 200}
LONG = {'TRAIN_STEPS': 600, 'SAVE_EVERY_STEPS': 60, 'STEPS_PER_LOOP': 20,
        'EVALUATE_EVERY_STEPS': 300}


def write_text(path: Path, documents: int = 60, seed: int = 0) -> str:
  """Documents of six sentences in which the next word is one of three: there is something to learn.
  """
  draw = random.Random(seed)
  lines = []
  for _ in range(documents):
    for _ in range(6):
      place = draw.randrange(len(WORDS))
      words = []
      for _ in range(draw.randrange(3, 7)):
        words.append(WORDS[place])
        place = (place + draw.choice((1, 1, 2))) % len(WORDS)
      lines.append(' '.join(words) + '.')
    lines.append('')
  path.write_text('\n'.join(lines))
  return str(path)


def sizes(**values: object) -> dict[str, object]:
  """The macros of a run of seconds."""
  return {
      'TRAIN_STEPS': STEPS, 'GLOBAL_BATCH_SIZE': 4, 'SAVE_EVERY_STEPS': SAVE_EVERY,
      'SEQ_LENGTH': 16, 'MAX_PREDICTIONS': 3, 'STEPS_PER_LOOP': 2, 'ENCODER': '@encoders.bert',
      'encoders.bert.vocab_size': len(tiny.wordpiece_tokens()), 'encoders.bert.hidden_size': 16,
      'encoders.bert.num_layers': 1, 'encoders.bert.num_attention_heads': 2,
      'encoders.bert.intermediate_size': 24, 'encoders.bert.max_position_embeddings': 16,
      'train_recipe.learning_rate': 5e-3, 'train_recipe.warmup_steps': 0,
      'saving.tensorboard': False, **values}


def arguments(out: Path, *gin_files: str, **values: object) -> list[str]:
  """The command line of gin/runs/pretrain.gin."""
  return ['gin/runs/pretrain.gin', *gin_files, *settings(**sizes(**values)), '--out_dir', str(out)]


def weights(out: Path, step: int = STEPS) -> dict[str, np.ndarray]:
  """Every array of a checkpoint, the optimizer's too."""
  stored = resume.read_step(str(out / 'checkpoints'), step)
  return {f'{item}/{path}': value for item, arrays in stored.values.items()
          for path, value in arrays.items()}


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
  """To the last bit."""
  assert one.keys() == other.keys() and len(one) > 40
  differ = [name for name, value in one.items()
            if value.dtype != other[name].dtype or value.tobytes() != other[name].tobytes()]
  assert not differ


class Process:
  """run.py in a process group of its own.

  Attributes:
    screen: what it has shown so far.
    started: all of them, for `kill_survivors`.
  """

  started: ClassVar[list[Process]] = []

  def __init__(self, *command: object, env: dict[str, str] | None = None):
    self.process = subprocess.Popen(
        run_lab.command(*map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**run_lab.environment(), **(env or {})}, start_new_session=True, cwd=run_lab.REPO)
    self.screen = ''
    self.started.append(self)

  def wait_for(self, *texts: str) -> str:
    """Reads until one of the texts is on the screen, or the process has ended; which ('' then)."""
    assert self.process.stdout is not None
    while True:
      found = next((text for text in texts if text in self.screen), '')
      if found:
        return found
      more = os.read(self.process.stdout.fileno(), 4096).decode()
      if not more:
        return ''
      self.screen += more

  def end(self) -> int:
    """Reads the rest; the exit status."""
    rest, _ = self.process.communicate(timeout=120)
    self.screen += rest.decode()
    return self.process.returncode

  def kill(self) -> None:
    """SIGKILL for the whole group; nothing of it lives when it returns."""
    os.killpg(self.process.pid, signal.SIGKILL)
    self.end()
    assert not members(self.process.pid)


def kill_survivors() -> None:
  """What a test that failed, or took too long, has left running."""
  while Process.started:
    run = Process.started.pop()
    if members(run.process.pid):
      run.kill()


def members(group: int) -> list[int]:
  """Living processes of a process group."""
  found = []
  for stat in Path('/proc').glob('[0-9]*/stat'):
    try:
      fields = stat.read_text().rpartition(')')[2].split()
    except OSError:
      continue  # It has ended.
    if int(fields[2]) == group and fields[0] != 'Z':
      found.append(int(stat.parent.name))
  return found
