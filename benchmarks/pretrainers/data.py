"""On what do all train, and how fast does the input of gin/runs/pretrain.gin come without a model?

    python -m benchmarks.pretrainers.data records '{"batch_size": ...}'
    python -m benchmarks.pretrainers.data input '{"batch_size": ...}'

The first writes the batches of the training as TF-NLP's records. The second takes batches as fast
as they come, masked anew each, with the threads that a training sets; its last line is JSON.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.pretrainers import Delivered, Setting, commands

_WARM_UP_BATCHES = 20


def prepare(setting: Setting, directory: Path) -> Setting:
  """Learns the vocabulary from the embedded corpus, unless there is one, and writes the records.

  Args:
    setting: of the trainings.
    directory: to write to; what is there already is used.

  Returns:
    `setting` with the paths.
  """
  if not setting.vocab_file:
    out = directory / 'vocabulary'
    # A finished run with the same inputs is not repeated.
    commands.call(
        [sys.executable, 'run.py', 'gin/runs/build_vocabulary.gin',
         f'--set=VOCAB_SIZE={setting.vocabulary_tokens}',
         '--set=vocabularies.wordpiece.upper_thresh=100',  # Faster, the same result.
         '--out_dir', str(out)], directory / 'vocabulary.log')
    setting = dataclasses.replace(setting, vocab_file=str(out / 'uncased_vocab.txt'))
  setting = dataclasses.replace(setting, records=str(directory / 'train.tfrecord'))
  commands.call(_command('records', setting), directory / 'records.log')
  return setting


def measure_input(setting: Setting, directory: Path) -> Delivered:
  """The batches alone, in a process of their own.

  Args:
    setting: of the trainings.
    directory: scratch.
  """
  text = commands.call(_command('input', setting), directory / 'log.txt')
  return Delivered(**json.loads(text.strip().splitlines()[-1]))


def _command(what: str, setting: Setting) -> list[str]:
  return [sys.executable, '-m', 'benchmarks.pretrainers.data', what, setting.to_json()]


def batches(setting: Setting) -> Any:
  """The `Batches` that gin/runs/pretrain.gin trains on."""
  from nlp_export import tokenizers
  from nlp_export.pretraining.data import loading
  from nlp_export.pretraining.data.recipe import DataRecipe
  from nlp_export.pretraining.texts import Text

  tokenizer, _ = tokenizers.from_macros(setting.vocab_file, None, True, None)
  recipe = DataRecipe(seq_length=setting.seq_length, max_predictions=setting.max_predictions,
                      data_seed=setting.seed)
  return loading.load(Text(files=setting.text_files), tokenizer, recipe, setting.batch_size,
                      setting.batch_size).batches


def write_records(setting: Setting) -> int:
  """Writes the batches of all steps to `setting.records`; their number of rows."""
  from nlp_export.pretraining.data import tfnlp_records

  found = batches(setting)
  return tfnlp_records.write(
      setting.records, (found.batch(step) for step in range(setting.total_steps)))


def deliver(setting: Setting) -> Delivered:
  """Takes batches for `setting.input_seconds`."""
  from nlp_export.pretraining.strategies import one_device

  one_device().begin()
  iterator = iter(batches(setting).dataset(0))
  for _ in range(_WARM_UP_BATCHES):
    next(iterator)
  count, started = 0, time.perf_counter()
  while (seconds := time.perf_counter() - started) < setting.input_seconds:
    next(iterator)
    count += 1
  return Delivered(seconds=seconds, batches=count, positions=count * setting.positions_per_step)


def main() -> None:
  what, text = sys.argv[1:]
  setting = Setting(**json.loads(text))
  if what == 'records':
    print(f'{write_records(setting)} rows in {setting.records}')
  else:
    print(json.dumps(dataclasses.asdict(deliver(setting))))


if __name__ == '__main__':
  main()
