"""Checkpoints whose values are a function of the step, and processes that write them for ever.

    python -m tests.pretraining.saving.saving_lab train ROOT   goes on from ROOT until it is killed
    python -m tests.pretraining.saving.saving_lab fill ROOT    saves more than there is room for
    python -m tests.pretraining.saving.saving_lab fill_limited ROOT    the same by a limit on files
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from nlp_export import files
from nlp_export.checkpoints.orbax_layout import UNFINISHED
from nlp_export.errors import RequestError
from nlp_export.pretraining.saving import resume
from nlp_export.pretraining.saving.metadata import Metadata
from nlp_export.pretraining.saving.tree import Trees

ROOT = Path(__file__).resolve().parents[3]
ITEMS = ('encoder', 'masked_lm', 'next_sentence.pooler_dense', 'optimizer', 'state')
METADATA = Metadata(
    {'encoder': {'hidden_size': 16, 'num_layers': 2}, 'recipe': {'learning_rate': 1e-4}},
    {'threads': {'inter_op': 1}}, 'gelu',
    {'vocab.txt': b'[PAD]\n', 'encoder.yaml': b'type: bert\n'})
PROGRESS = {'seeds': [2**63 + 5, 7], 'epoch': 0.25}


def arrays(step: int, megabytes: float = 0.0) -> dict[str, Any]:
  """Item -> nested dict of arrays; of every dtype that a run has, large numbers included."""
  rng = np.random.default_rng(step)
  filling = {}
  if megabytes:
    count = int(megabytes * (1 << 20)) // 4 // 4
    filling = {'filling': {str(i): np.full(count, step + i, np.float32) for i in range(4)}}
  kernel = rng.standard_normal((64, 32), np.float32)
  return {
      'encoder': {'layer': {'0': {'kernel': kernel, 'bias': kernel[0].copy()}},
                  'half': kernel.astype(ml_dtypes.bfloat16)},
      'masked_lm': {'bias': rng.standard_normal(5, np.float32)},
      'next_sentence.pooler_dense': {'kernel': rng.standard_normal((4, 4), np.float32)},
      'optimizer': {'iterations': np.asarray(step, np.int64), 'slots': {'m': {'encoder': filling}}
                    if filling else {'m': {'encoder': {'half': kernel}}}},
      'state': {'dropout_state': np.asarray([2**62 + step, step], np.int64),
                'flags': np.asarray([True, step % 2 == 0]), 'bytes': np.arange(7, dtype=np.uint8)},
  }


def trees(step: int, megabytes: float = 0.0) -> Trees:
  """What a run would save at a step."""
  return Trees(arrays(step, megabytes), {'encoder': {'half': 'half/kernel'}})


def save(writer: Any, step: int, megabytes: float = 0.0, loss: float | None = None) -> None:
  """Saves a step; with metrics if there is a loss."""
  metrics = None if loss is None else {'masked_lm_loss': loss}
  writer.save(step, trees(step, megabytes), PROGRESS, METADATA, metrics)


def write(root: Path | str, *steps: int, **options: Any) -> str:
  """Saves steps to their ends."""
  with open_writer(root, **options) as writer:
    for step in steps:
      save(writer, step)
  return str(root)


def open_writer(root: Path | str, **options: Any) -> Any:
  """A writer for these items."""
  from nlp_export.pretraining.saving.writer import CheckpointWriter

  return CheckpointWriter(str(root), ITEMS, **options)


def assert_is(stored: Any, step: int, megabytes: float = 0.0) -> None:
  """Every value and dtype is that of the step."""
  wanted = trees(step, megabytes).values()
  assert stored.step == step
  assert stored.progress == {**PROGRESS, 'step': step}
  assert {i: set(a) for i, a in stored.values.items()} == {i: set(a) for i, a in wanted.items()}
  for item, values in wanted.items():
    for path, value in values.items():
      found = stored.values[item][path]
      assert (found.dtype, found.shape) == (value.dtype, value.shape), f'{item}/{path}'
      np.testing.assert_array_equal(found, value, f'{item}/{path}')


def names_in(root: Path | str) -> list[str]:
  """Names in a directory, sorted."""
  return sorted(os.listdir(root))


def largest_file(directory: Path | str) -> Path:
  """The largest file below a directory."""
  return max((p for p in Path(directory).rglob('*') if p.is_file()), key=lambda p: p.stat().st_size)


def command(*arguments: str) -> list[str]:
  """The command line of this module."""
  return [sys.executable, '-m', 'tests.pretraining.saving.saving_lab', *arguments]


def train(root: str) -> None:
  """Saves every step until killed, from where it was; says each line at once."""
  resumed = resume.newest_readable(root, METADATA)
  first = 1
  if resumed.stored:
    assert_is(resumed.stored, resumed.stored.step, megabytes=8)
    first = resumed.stored.step + 1
  print('from', first - 1, flush=True)
  with open_writer(root, say=lambda line: print(line, flush=True)) as writer:
    for step in range(first, first + 10_000):
      save(writer, step, megabytes=8)


def fill(root: str) -> None:
  """Saves two steps, then some that are too large, each time another way; prints what was raised.

  The steps before must stay, and be whole, and a small one must fit again.
  """
  raised: dict[str, list[Any]] = {}
  writer = open_writer(root, keep_last=9)

  def attempt(how: str, step: int, surface: Callable[[], None]) -> None:
    try:
      save(writer, step, megabytes=24)
      surface()
    except RequestError as error:
      raised[how] = [error.message, names_in(root), list(writer.steps)]

  def poll() -> None:
    for _ in range(2000):
      time.sleep(0.01)
      writer.check()

  save(writer, 1)
  save(writer, 2)
  attempt('wait', 3, writer.wait)
  attempt('check', 4, poll)
  attempt('save', 5, lambda: save(writer, 6))
  save(writer, 7)
  attempt('close', 8, writer.close)
  stored = resume.newest_readable(root).stored
  assert_is(stored, 7)
  for step in (1, 2):
    assert_is(resume.read_step(root, step), step)
  print(json.dumps({'raised': raised, 'left': names_in(root)}))


def fill_limited(root: str) -> None:
  """As `fill`, with a limit on the size of files: a failure that needs no small file system."""
  resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, 4 << 20))
  fill(root)


def unfinished(root: Path | str) -> list[str]:
  """Saves that are going on, or were cut off."""
  return [name for name in files.list_dir(str(root)) if UNFINISHED in name]


if __name__ == '__main__':
  {'train': train, 'fill': fill, 'fill_limited': fill_limited}[sys.argv[1]](sys.argv[2])
