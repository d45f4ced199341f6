"""Encoders and examples to fine-tune in a moment; real ones, and a toy that compiles in 0.1 s.

Run as a script it is a process of its own: `python -m tests.glue.fine_tuning_lab SETTINGS.json`
trains each cell of SETTINGS to its end, and then one that kills the process (-9) at a step.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

from nlp_export import checkpoints, encoders, files, names, poolers
from nlp_export.glue import prediction_files, tasks
from nlp_export.glue.cells import Cell, CellResult
from nlp_export.glue.examples import Examples
from nlp_export.glue.fine_tuning.arms import BaselineArm, ExportArm, PoolerStart
from nlp_export.glue.fine_tuning.recipe import Recipe
from nlp_export.glue.work import Work
from nlp_export.tokenizers import WordPiece

WIDTH, VOCABULARY = 6, 12
WORDS = ('the', 'cat', 'dog', 'sat', 'on', 'mat')
KEEP = PoolerStart(poolers.keep, 'keep')
RANDOM = PoolerStart(poolers.random, 'random', {'seed': 0, 'stddev': 0.5})
# All rows are at most 8 tokens long, so that one length is compiled. 18 examples: 5 steps an epoch,
# the last one smaller.
RECIPE = Recipe(learning_rate=1e-3, batch_size=4, epochs=2.0, max_seq_length=8)


def recipe(**others: Any) -> dict[str, Any]:
  """RECIPE with something else, as a cell has it."""
  return {**RECIPE.to_json(), **others}


def examples(task: str, split: str, count: int, seed: int = 0) -> Examples:
  """Seeded texts of one to two words a segment; a label says whether a 'cat' is in it."""
  kind = tasks.get(task)
  rng = np.random.default_rng([seed, *split.encode()])
  texts = tuple(
      tuple(' '.join(rng.choice(WORDS, rng.integers(1, 3))) for _ in range(count))
      for _ in range(kind.segments))
  if kind.is_regression:
    labels = rng.uniform(0, 5, count).astype(np.float32)
  else:
    labels = np.array(['cat' in ' '.join(row) for row in zip(*texts, strict=True)], np.int32)
  return Examples(kind, split, texts, labels, np.arange(count, dtype=np.int32), {}, f'{split}.tsv')


def load_task(task: str) -> dict[str, Examples]:
  """18 examples to train on and 10 to score."""
  return {'train': examples(task, 'train', 18), 'dev': examples(task, 'dev', 10)}


def run_cell(finetune: Any, cell: Cell, directory: Path, work: Work | None = None) -> CellResult:
  """One training in a work directory of its own, or in that of `work`."""
  (directory / 'work').mkdir(parents=True, exist_ok=True)
  return finetune(cell, work or Work(str(directory / 'work'), False, str(directory)))


def outcome(result: CellResult, directory: Path) -> dict[str, Any]:
  """All that has to repeat to the last bit, as JSON; NaN is None."""
  found = prediction_files.read(files.join(str(directory), result.predictions_file))
  value = result.to_json()
  return {'history': value['history'], 'metrics': value['metrics'],
          'degenerate': value['degenerate'],
          'predictions': {split: part.outputs.tobytes().hex() for split, part in found.items()}}


class Killed(Exception):
  """Stands for the end of a process."""


class EndingWork(Work):
  """A cell's work that ends when a step is done: in an exception, or by killing the process."""

  def __init__(self, directory: str, out_dir: str, step: int, kill: bool = False):
    super().__init__(directory, False, out_dir)
    self._left = step
    self._kill = kill

  def progress(self, fraction: float, text: str = '') -> None:
    """Called after each step."""
    self._left -= 1
    if not self._left:
      if self._kill:
        os.kill(os.getpid(), signal.SIGKILL)
      raise Killed


# The toy.


def toy_encoder(rate: float = 0.1, pooler: PoolerStart | None = None, scale: float = 1.0,
                with_pooler: bool = True) -> Any:
  """A TrainableEncoder of two layers with names like TF-NLP's; tokens see the mean of their row."""
  import tensorflow as tf

  from nlp_export.dropout import DropoutState
  from nlp_export.glue.fine_tuning.trainable_encoder import TrainableEncoder

  rng = np.random.default_rng(0)

  def variable(name: str, *shape: int, around: float = 0.0) -> tf.Variable:
    return tf.Variable(scale * (around + rng.normal(0, 0.4, shape)).astype(np.float32), name=name)

  embeddings = variable('word_embeddings/embeddings', VOCABULARY, WIDTH)
  layers = [(variable(f'transformer/layer_{i}/output/kernel', WIDTH, WIDTH),
             variable(f'transformer/layer_{i}/output/bias', WIDTH),
             variable(f'transformer/layer_{i}/output_layer_norm/gamma', WIDTH, around=1.0))
            for i in range(2)]
  pooling = [variable('pooler_transform/kernel', WIDTH, WIDTH),
             variable('pooler_transform/bias', WIDTH)] if with_pooler else []
  dropout = DropoutState()

  def call(inputs: dict[str, Any], training: bool) -> dict[str, Any]:
    mask = tf.cast(inputs[names.INPUT_MASK], tf.float32)[:, :, None]
    tokens, outputs = tf.gather(embeddings, inputs[names.INPUT_WORD_IDS]), []
    for kernel, bias, gamma in layers:
      seen = tokens + tf.reduce_sum(tokens * mask, 1, keepdims=True) / tf.reduce_sum(
          mask, 1, keepdims=True)
      inner = tf.tanh(tf.einsum('bsi,io->bso', seen, kernel) + bias)
      if training and rate:
        with dropout.training_call(inputs):
          inner = dropout.dropout(inner, rate)
      tokens = tokens + inner * gamma
      outputs.append(tokens)
    found = {names.SEQUENCE_OUTPUT: tokens, names.ENCODER_OUTPUTS: outputs}
    if pooling:
      found[names.POOLED_OUTPUT] = tf.tanh(tokens[:, 0] @ pooling[0] + pooling[1])
    return found

  return TrainableEncoder(
      call, [embeddings, *(v for layer in layers for v in layer), *pooling], toy_tokens,
      dropout_state=dropout.variable, pooler=pooler)


def toy_tokens(segments: Any, max_seq_length: int) -> Any:
  """[CLS] 1, [SEP] 2, words from 3."""
  rows = []
  for texts in zip(*segments, strict=True):
    row = [1]
    for text in texts:
      row += [*(3 + WORDS.index(word) for word in text.split()), 2]
    rows.append(row[:max_seq_length])
  return packed(rows)


def packed(rows: list[list[int]]) -> Any:
  """TokenisedTexts of these ids, all of segment 0."""
  from nlp_export.glue.fine_tuning.tokenised import TokenisedTexts

  flat = np.array([token for row in rows for token in row], np.int32)
  return TokenisedTexts(flat, np.zeros_like(flat),
                        np.cumsum([0, *map(len, rows)], dtype=np.int64))


class ToyArm:
  """An arm of toys. Those of one kind differ in the values of variables: in `scale`."""

  def __init__(self, kind: str = 'toy', pooler: PoolerStart | None = None, scale: float = 1.0,
               rate: float = 0.1):
    self._kind, self._pooler, self._scale, self._rate = kind, pooler, scale, rate
    self.loads = 0

  def key(self) -> str:
    """See Arm."""
    return f'{self._kind} {self._rate}'

  def content_hashes(self) -> dict[str, str]:
    """See Arm."""
    return {'toy': str(self._scale)}

  def load(self) -> Any:
    """See Arm."""
    self.loads += 1
    return toy_encoder(self._rate, self._pooler, self._scale)

  def put_into(self, encoder: Any) -> None:
    """See Arm."""
    other = toy_encoder(self._rate, self._pooler, self._scale)
    encoder.start_from(list(other.variables.values()))
    encoder.pooler = self._pooler


# Real ones.


def baseline_arm(uncased: dict[str, str], pooler: PoolerStart | None = KEEP) -> BaselineArm:
  """The baseline of the fixture `tiny_uncased`."""
  return BaselineArm(
      checkpoints.find_checkpoint(uncased['CHECKPOINT']),
      encoders.from_file(uncased['ENCODER_CONFIG']),
      WordPiece(uncased['VOCAB_FILE'], True), {}, pooler)


def main(settings_path: str) -> None:
  """Another process: see the head of this file."""
  from nlp_export.glue.fine_tuning.finetune import FineTuning

  settings = json.loads(Path(settings_path).read_text())
  arm = ExportArm(settings['model'], settings['preprocessing'])
  finetune = FineTuning({('export', 'keep'): arm}, load_task, save_every_seconds=0)
  for number, cell in enumerate(settings['cells']):
    directory = Path(settings['directory'], str(number))
    result = run_cell(finetune, Cell(**cell), directory)
    (directory / 'outcome.json').write_text(json.dumps(outcome(result, directory)))
  directory = Path(settings['directory'], 'killed')
  (directory / 'work').mkdir(parents=True)
  run_cell(finetune, Cell(**settings['cells'][0]), directory,
           EndingWork(str(directory / 'work'), str(directory), settings['kill_at'], kill=True))


if __name__ == '__main__':
  main(sys.argv[1])
