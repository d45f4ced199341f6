"""How long does a restore take, and how much memory, from each format of checkpoint?

    python -m benchmarks.restoring                    BERT-large with random weights
    python -m benchmarks.restoring --size base --rounds 1

The same weights are written as a TF2 checkpoint, as a TF1 checkpoint and as a Hugging Face folder.
Each is restored in a process of its own, in turns and with its files in the page cache: built,
then opened, compared, read and assigned. What counts is the largest resident memory of the process,
and the time of all but building beside that of the TF2 checkpoint. TensorFlow's own
`tf.train.Checkpoint.restore` stands beside as a reference. Results that differ end the run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import machine, tables

ROOT = Path(__file__).resolve().parent.parent
SIZES = {
    'large': dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16,
                  intermediate_size=4096, vocab_size=30522, max_position_embeddings=512),
    'base': dict(hidden_size=768, num_hidden_layers=12, num_attention_heads=12,
                 intermediate_size=3072, vocab_size=30522, max_position_embeddings=512),
    'tiny': dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
                 vocab_size=99, max_position_embeddings=32),
}
REFERENCE, TF2, TF1, SAFETENSORS = 'tf.train.Checkpoint', 'TF2', 'TF1', 'safetensors'
CONTESTANTS = (REFERENCE, TF2, TF1, SAFETENSORS)
PATHS = {REFERENCE: 'tf2/ckpt', TF2: 'tf2/ckpt', TF1: 'tf1/bert_model.ckpt', SAFETENSORS: 'hf'}
MEMORY_TIMES_WEIGHTS, MEMORY_MORE_GB = 1.3, 0.8  # To reach.
TIMES_TF2 = 1.5  # To reach.
GB = 1e9


_Weight = tuple[str, str, tuple[int, ...], bool]


def parameters(size: dict[str, int]) -> Iterator[_Weight]:
  """Of each weight: TF1's name, Hugging Face's, TF1's shape, whether the other turns it."""
  width, inner = size['hidden_size'], size['intermediate_size']
  for name, rows in (('word', size['vocab_size']), ('position', size['max_position_embeddings']),
                     ('token_type', 2)):
    yield (f'bert/embeddings/{name}_embeddings', f'embeddings.{name}_embeddings.weight',
           (rows, width), False)

  def norm(tf1: str, other: str) -> Iterator[_Weight]:
    yield f'{tf1}/LayerNorm/gamma', f'{other}.LayerNorm.weight', (width,), False
    yield f'{tf1}/LayerNorm/beta', f'{other}.LayerNorm.bias', (width,), False

  def dense(tf1: str, other: str, into: int, out: int) -> Iterator[_Weight]:
    yield f'{tf1}/kernel', f'{other}.weight', (into, out), True
    yield f'{tf1}/bias', f'{other}.bias', (out,), False

  yield from norm('bert/embeddings', 'embeddings')
  yield from dense('bert/pooler/dense', 'pooler.dense', width, width)
  for i in range(size['num_hidden_layers']):
    tf1, other = f'bert/encoder/layer_{i}', f'encoder.layer.{i}'
    for name in ('query', 'key', 'value'):
      yield from dense(f'{tf1}/attention/self/{name}', f'{other}.attention.self.{name}', width,
                       width)
    yield from dense(f'{tf1}/attention/output/dense', f'{other}.attention.output.dense', width,
                     width)
    yield from norm(f'{tf1}/attention/output', f'{other}.attention.output')
    yield from dense(f'{tf1}/intermediate/dense', f'{other}.intermediate.dense', width, inner)
    yield from dense(f'{tf1}/output/dense', f'{other}.output.dense', inner, width)
    yield from norm(f'{tf1}/output', f'{other}.output')


def write_inputs(directory: Path, size_name: str) -> None:
  """Writes the three checkpoints and the configuration below a directory."""
  import numpy as np
  import tensorflow as tf
  from safetensors.numpy import save_file

  from nlp_export import checkpoints

  size = SIZES[size_name]
  for path in ('tf1', 'tf2', 'hf'):
    (directory / path).mkdir(parents=True)
  config = size | {
      'model_type': 'bert', 'hidden_act': 'gelu', 'hidden_dropout_prob': 0.1,
      'attention_probs_dropout_prob': 0.1, 'type_vocab_size': 2, 'initializer_range': 0.02,
      'layer_norm_eps': 1e-12}
  (directory / 'hf' / 'config.json').write_text(json.dumps(config))
  by_tf1: dict[str, Any] = {}
  by_other: dict[str, Any] = {}
  for number, (tf1, other, shape, turned) in enumerate(parameters(size)):
    values = np.random.default_rng(number).standard_normal(shape, np.float32) * np.float32(0.02)
    by_tf1[tf1] = values
    by_other[other] = np.ascontiguousarray(values.T) if turned else values
  save_file(by_other, directory / 'hf' / 'model.safetensors', metadata={'format': 'pt'})
  by_other.clear()
  tf.raw_ops.SaveV2(
      prefix=str(directory / PATHS[TF1]), tensor_names=list(by_tf1),
      shape_and_slices=[''] * len(by_tf1), tensors=[tf.constant(v) for v in by_tf1.values()])
  by_tf1.clear()
  network = _built(directory)
  checkpoints.restore(
      checkpoints.open_checkpoint(str(directory / PATHS[TF1])), {'encoder': network})
  tf.train.Checkpoint(encoder=network).write(str(directory / PATHS[TF2]))


def _built(directory: Path) -> Any:
  from nlp_export import encoders

  return encoders.from_file(str(directory / 'hf' / 'config.json')).build(initialise=False)


def _restored_here(path: str, network: Any) -> None:
  from nlp_export import checkpoints

  checkpoints.restore(checkpoints.open_checkpoint(path), {'encoder': network})


def _restored_by_tensorflow(path: str, network: Any) -> None:
  import tensorflow as tf

  tf.train.Checkpoint(encoder=network).read(path).assert_existing_objects_matched()


def measure(name: str, directory: Path) -> dict[str, Any]:
  """One restore, in this process.

  Returns:
    seconds of building and of the restore; peak resident memory after the imports and in all, GB;
    the size of the weights, GB; and a number that other weights would change.
  """
  import numpy as np
  import safetensors  # noqa: F401
  import tensorflow as tf  # noqa: F401
  from official.nlp.configs import encoders  # noqa: F401

  imported = peak_gb()
  start = time.perf_counter()
  network = _built(directory)
  built = time.perf_counter()
  restore: Callable[[str, Any], None] = (
      _restored_by_tensorflow if name == REFERENCE else _restored_here)
  restore(str(directory / PATHS[name]), network)
  done = time.perf_counter()
  peak = peak_gb()
  weights_gb, mixed = 0.0, 0.0
  for number, variable in enumerate(network.trainable_variables):
    value = variable.numpy().ravel()
    weights_gb += value.nbytes / GB
    mixed += (number + 1) * float(np.dot(value[:4096], np.arange(1, 1 + min(4096, value.size))))
  return {
      'build_seconds': built - start, 'restore_seconds': done - built, 'imported_gb': imported,
      'peak_gb': peak, 'weights_gb': weights_gb, 'mixed': mixed}


def peak_gb() -> float:
  """The largest resident memory of this process so far (VmHWM, proc(5)), GB."""
  for line in Path('/proc/self/status').read_text().split('\n'):
    if line.startswith('VmHWM:'):
      return int(line.split()[1]) * 1024 / GB
  raise SystemExit('/proc/self/status has no VmHWM: this benchmark needs Linux.')


def check_equal(results: dict[str, list[dict[str, Any]]]) -> None:
  """Ends the run unless all have restored the same weights."""
  mixed = {name: {run['mixed'] for run in runs} for name, runs in results.items()}
  if len(set.union(*mixed.values())) > 1:
    raise SystemExit(f'The contestants restored different weights: {mixed}')


def summary(results: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
  """A row for each contestant: medians over rounds; ratios within a round, their median."""
  rows = []
  for name, runs in results.items():
    ratios = [run['restore_seconds'] / other['restore_seconds']
              for run, other in zip(runs, results[TF2], strict=True)]
    allowed = MEMORY_TIMES_WEIGHTS * runs[0]['weights_gb'] + MEMORY_MORE_GB
    rows.append({
        'name': name, 'times_tf2': statistics.median(ratios), 'allowed_gb': allowed,
        **{key: statistics.median(run[key] for run in runs) for key in (
            'build_seconds', 'restore_seconds', 'imported_gb', 'peak_gb', 'weights_gb')}})
  return rows


def report(rows: list[dict[str, Any]]) -> str:
  """The tables, Markdown."""
  head = ['from', 'seconds', 'times TF2', 'building, s', 'peak GB', 'after imports, GB']
  body = [[row['name'], f'{row["restore_seconds"]:.2f}', f'{row["times_tf2"]:.2f}',
           f'{row["build_seconds"]:.2f}', f'{row["peak_gb"]:.2f}', f'{row["imported_gb"]:.2f}']
          for row in rows]
  targets = [target for row in rows if row['name'] in (TF1, SAFETENSORS) for target in (
      (f'{row["name"]}: peak GB', row['peak_gb'], round(row['allowed_gb'], 2),
       row['peak_gb'] <= row['allowed_gb']),
      (f'{row["name"]}: seconds, times TF2', row['times_tf2'], TIMES_TF2,
       row['times_tf2'] <= TIMES_TF2))]
  return tables.table(head, body) + '\n\n' + tables.verdicts(targets)


def run(size: str, rounds: int) -> dict[str, list[dict[str, Any]]]:
  """Each contestant once a round, in alternating order; one round before is not counted."""
  results: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTESTANTS}
  with tempfile.TemporaryDirectory() as directory:
    _child('--write', size, directory)
    for number in range(rounds + 1):
      for name in CONTESTANTS[::1 if number % 2 else -1]:
        measured = json.loads(_child('--contestant', name, directory).splitlines()[-1])
        if number:
          results[name].append(measured)
  return results


def _child(*arguments: str) -> str:
  done = subprocess.run(
      [sys.executable, '-m', 'benchmarks.restoring', *arguments], cwd=ROOT, check=False,
      env={**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3'}, capture_output=True, text=True)
  if done.returncode:
    raise SystemExit(f'{arguments} failed:\n{done.stdout}{done.stderr}')
  return done.stdout


def main() -> None:
  """Measures, and prints the tables."""
  parser = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--size', choices=sorted(SIZES), default='large')
  parser.add_argument('--rounds', type=int, default=3)
  parser.add_argument('--json', help='file for every single measurement')
  parser.add_argument('--write', nargs=2, help=argparse.SUPPRESS)
  parser.add_argument('--contestant', nargs=2, help=argparse.SUPPRESS)
  given = parser.parse_args()
  if given.write:
    write_inputs(Path(given.write[1]), given.write[0])
    return
  if given.contestant:
    print(json.dumps(measure(given.contestant[0], Path(given.contestant[1]))))
    return
  described = machine.describe()
  results = run(given.size, given.rounds)
  described['load_average_after'] = round(os.getloadavg()[0], 2)
  check_equal(results)
  rows = summary(results)
  packages = ('python', 'tensorflow', 'tf-models-official', 'safetensors')
  print(f'{tables.conditions(described, packages)}. BERT-{given.size}, '
        f'{rows[0]["weights_gb"]:.2f} GB of weights, median of {given.rounds} rounds. '
        f'{tables.load(described)}\n\n{report(rows)}')
  if given.json:
    Path(given.json).write_text(json.dumps(
        {'machine': described, 'size': given.size, 'results': results}, indent=2))


if __name__ == '__main__':
  main()
