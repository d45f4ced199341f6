"""Who takes part in the benchmark of pre-training, and what is each given?

    train_py_*            TF-NLP's own official/nlp/train.py (train_py.py)
    here_*                gin/runs/pretrain.gin (pretrain_gin.py): alone, with checkpoints, as two
                          processes of half the cores each
    here_resuming         the same run, interrupted before: how soon it takes a step
    here_input            no training: the batches of the training alone (data.py)

Each is a command that runs as its user would run it, in a process of its own, once a round. All
train the same model on the same batches in the same order.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FLOAT32, BFLOAT16 = 'float32', 'mixed_bfloat16'

TRAIN_PY_FLOAT32_1 = 'train_py_float32_1_thread'
TRAIN_PY_FLOAT32_2 = 'train_py_float32_2_threads'
TRAIN_PY_BFLOAT16_1 = 'train_py_bfloat16_1_thread'
TRAIN_PY_BFLOAT16_2 = 'train_py_bfloat16_2_threads'
HERE_FLOAT32 = 'here_float32'
HERE_BFLOAT16 = 'here_bfloat16'
HERE_SAVING = 'here_saving'
HERE_TWO_PROCESSES = 'here_two_processes'
HERE_RESUMING = 'here_resuming'
HERE_INPUT = 'here_input'

# Precision -> what trains in it: there with one and with two threads between operations.
TRAIN_PY: Mapping[str, Sequence[str]] = {
    FLOAT32: (TRAIN_PY_FLOAT32_1, TRAIN_PY_FLOAT32_2),
    BFLOAT16: (TRAIN_PY_BFLOAT16_1, TRAIN_PY_BFLOAT16_2)}
HERE: Mapping[str, str] = {FLOAT32: HERE_FLOAT32, BFLOAT16: HERE_BFLOAT16}
TRAININGS = (*TRAIN_PY[FLOAT32], *TRAIN_PY[BFLOAT16], HERE_FLOAT32, HERE_BFLOAT16, HERE_SAVING,
             HERE_TWO_PROCESSES)
NAMES = (*TRAININGS, HERE_RESUMING, HERE_INPUT)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
  """What all of them train, on what, how long.

  Attributes:
    num_layers, hidden_size: of the BERT encoder; heads of 64, the inner layer four times as wide.
    dropout_rate: everywhere.
    batch_size: rows of a step.
    seq_length: tokens of a row, padding counted.
    max_predictions: masked ones, at most.
    vocabulary_tokens: of the vocabulary that is learned from the embedded corpus, at most.
    steps: that are measured.
    steps_per_loop: without Python in between. One such loop comes before what is measured: it
      compiles and warms up.
    save_every: steps between the checkpoints of the one that saves.
    learning_rate: AdamW's, after a warm-up of one loop; linear decay; gradients clipped at norm 1.
    input_seconds: for which the input alone is measured.
    seed: of everything here that draws.
    vocab_file: WordPiece, uncased.
    text_files: a pattern; None for the embedded corpus.
    records: the same batches in TF-NLP's format.
  """

  num_layers: int = 4
  hidden_size: int = 256
  dropout_rate: float = 0.1
  batch_size: int = 32
  seq_length: int = 128
  max_predictions: int = 20
  vocabulary_tokens: int = 2048
  steps: int = 50
  steps_per_loop: int = 10
  save_every: int = 20
  learning_rate: float = 5e-4
  input_seconds: float = 5.0
  seed: int = 0
  vocab_file: str = ''
  text_files: str | None = None
  records: str = ''

  @property
  def total_steps(self) -> int:
    """With those of the warm-up."""
    return self.steps_per_loop + self.steps

  @property
  def num_attention_heads(self) -> int:
    """Of 64 dimensions each."""
    return max(1, self.hidden_size // 64)

  @property
  def vocab_size(self) -> int:
    """Tokens in `vocab_file`."""
    return len(Path(self.vocab_file).read_text(encoding='utf-8').splitlines())

  @property
  def positions_per_step(self) -> int:
    """Tokens of a step, padding counted: all are computed."""
    return self.batch_size * self.seq_length

  def to_json(self) -> str:
    """For the command line of a process."""
    return json.dumps(dataclasses.asdict(self))

  def facts(self) -> dict[str, Any]:
    """What a reader should know: without paths."""
    values = dataclasses.asdict(self) | {'vocab_size': self.vocab_size}
    return {name: value for name, value in values.items()
            if name not in ('vocab_file', 'text_files', 'records')}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trained:
  """One measured training.

  Attributes:
    seconds: wall time of the measured steps with all that lies between them.
    steps: how many.
    positions: tokens of these steps, padding counted.
    losses: masked-LM loss [nats] of each measured loop, the mean over its steps.
    other_seconds: of the process: start, compiling, warm-up, end.
    saves: of the checkpoints within the measured steps: 'blocking_seconds' that training stood
      still, 'seconds' until it was on the disk.
  """

  seconds: float
  steps: int
  positions: int
  losses: tuple[float, ...]
  other_seconds: float
  saves: tuple[Mapping[str, float], ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resumed:
  """One start of an interrupted training.

  Attributes:
    first_step_seconds: from the start of the process to the end of its first step.
    step: number of that step; it is above 1, since others were done before.
    stop_seconds: from SIGTERM to the end of the process, with a save.
  """

  first_step_seconds: float
  step: int
  stop_seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Delivered:
  """What the input alone gave.

  Attributes:
    seconds: wall time.
    batches: in it.
    positions: tokens of these, padding counted.
  """

  seconds: float
  batches: int
  positions: int
