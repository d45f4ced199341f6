"""How much faster does a text layer train when only its last blocks do?

    GLUE_DIR=... python -m benchmarks.text_layer [--rounds 15] [--keras tf_keras] [--json FILE]

MiniLM (6 layers, 384 wide, the weights of all-MiniLM-L6-v2), exported by run.py, in a Keras model
with a head of one output, Adam, batches of 32 pairs of MRPC, tokens made before. One model for each
of trainable_layers = None, 3, 1, 0; in every round each takes the same steps, in alternating order.
Ratios are taken within a round, and their median is printed, beside what counting products gives:
a block forward is one unit, its backward pass two.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import fine_tuning, machine, tables
from benchmarks.contestants import Given
from nlp_export import files

COUNTS = (None, 3, 1, 0)
BATCH_SIZE = 32
BATCHES = 4
MAX_SEQ_LENGTH = 128
BLOCKS = 6
SCHEMA_VERSION = 1
WALL, PROCESSOR = 'wall', 'processor'


def name_of(count: int | None) -> str:
  """Of a row."""
  return 'all' if count is None else str(count)


def expected(count: int | None) -> float:
  """How many times as fast as training all blocks, if products were all that takes time."""
  trained = BLOCKS if count is None else count
  return 3 * BLOCKS / (BLOCKS + 2 * trained)


def batches(layer: Any, glue_dir: str | None) -> list[tuple[dict[str, Any], Any]]:
  """The first pairs of MRPC's training set: encoder inputs and labels."""
  import numpy as np
  import tensorflow as tf

  from nlp_export.glue import data, tasks

  task = tasks.get('mrpc')
  examples = data.load(task, tasks.TRAIN, data.source_for(task, glue_dir))
  rows = BATCHES * BATCH_SIZE
  inputs = layer.preprocess([tf.constant(side[:rows]) for side in examples.texts])
  labels = np.asarray(examples.labels[:rows], np.float32)
  # All of one length, so that each model is traced once.
  return [({name: value[at:at + BATCH_SIZE].numpy() for name, value in inputs.items()},
           labels[at:at + BATCH_SIZE]) for at in range(0, rows, BATCH_SIZE)]


def model_of(keras: Any, text_encoder: Any, given: Given, count: int | None) -> tuple[Any, Any]:
  """A compiled model, and its text layer."""
  layer = text_encoder(given.model, given.preprocessing, pooling='mean', inputs='encoder_inputs',
                       max_seq_length=MAX_SEQ_LENGTH, trainable_layers=count)
  inputs = {name: keras.Input((None,), dtype='int32', name=name)
            for name in ('input_word_ids', 'input_mask', 'input_type_ids')}
  model = keras.Model(inputs, keras.layers.Dense(1, activation='sigmoid')(layer(inputs)))
  model.compile(keras.optimizers.Adam(2e-5), 'binary_crossentropy')
  return model, layer


def measure(which: str, given: Given, rounds: int) -> dict[str, dict[str, list[float]]]:
  """Seconds of a round of steps: by the clock and of the processor, by trainable_layers."""
  import nlp_export

  if which == 'keras3':
    import keras

    text_encoder = nlp_export.keras3.TextEncoder
  else:
    import tf_keras as keras

    text_encoder = nlp_export.TextEncoder
  made = {count: model_of(keras, text_encoder, given, count) for count in COUNTS}
  data = batches(made[COUNTS[0]][1], given.glue_dir)
  clocks = {WALL: time.perf_counter, PROCESSOR: time.process_time}
  seconds: dict[str, dict[str, list[float]]] = {
      clock: {name_of(count): [] for count in COUNTS} for clock in clocks}
  for turn in range(rounds + 1):
    for count in COUNTS if turn % 2 else COUNTS[::-1]:
      start = {clock: now() for clock, now in clocks.items()}
      for inputs, labels in data:
        made[count][0].train_on_batch(inputs, labels)
      if turn:  # The first one traces.
        for clock, now in clocks.items():
          seconds[clock][name_of(count)].append(now() - start[clock])
  return seconds


def table(seconds: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
  """Markdown, of what `measure` returned."""
  rows = []
  for count in COUNTS:
    name = name_of(count)
    wall, processor = (ratios(seconds[clock]['all'], seconds[clock][name])
                       for clock in (WALL, PROCESSOR))
    step = statistics.median(seconds[WALL][name]) / BATCHES
    rows.append([name, f'{1e3 * step:.0f}', f'{statistics.median(wall):.2f}',
                 f'{min(wall):.2f} to {max(wall):.2f}', f'{statistics.median(processor):.2f}',
                 f'{expected(count):.2f}'])
  return tables.table(
      ['trainable_layers', 'ms a step', 'times as fast as all', 'range over rounds',
       'times less processor time', 'by counting products'], rows)


def ratios(whole: Sequence[float], part: Sequence[float]) -> list[float]:
  """Within each round."""
  return [a / b for a, b in zip(whole, part, strict=True)]


def main() -> None:
  """See the module."""
  parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
  parser.add_argument('--rounds', type=int, default=15)
  parser.add_argument('--keras', choices=('tf_keras', 'keras3'), default='tf_keras')
  parser.add_argument('--exports', help='where exports are kept between calls')
  parser.add_argument('--json', help='where to write everything that was measured')
  arguments = parser.parse_args()
  with tempfile.TemporaryDirectory() as scratch:
    place = Path(arguments.exports or scratch)
    given = fine_tuning.with_exports(
        Given(hugging_face=fine_tuning.minilm(), glue_dir=os.environ.get('GLUE_DIR'),
              out_dir=scratch), (), place)
    described = machine.describe()
    seconds = measure(arguments.keras, given, arguments.rounds)
  described['load_average_after'] = round(os.getloadavg()[0], 2)
  print(table(seconds))
  print(f'\n{arguments.keras}, {arguments.rounds} rounds. '
        f'{tables.conditions(described, ("tensorflow", "tf_keras", "keras"))}. '
        f'{tables.load(described)}')
  if arguments.json:
    files.write_json(arguments.json, {
        'schema_version': SCHEMA_VERSION, 'keras': arguments.keras, 'machine': described,
        'batch_size': BATCH_SIZE, 'batches': BATCHES, 'seconds': seconds})


if __name__ == '__main__':
  main()
