"""How fast is pre-training beside TF-NLP's own train.py, and what does all around it cost?

    python -m benchmarks.pretraining [--rounds 3] [--steps 50] [--only ...] [--json FILE]

BERT, 4 layers, 256 wide, batches of 32 x 128 tokens of the embedded corpus, masked LM and next
sentence. Every contestant (benchmarks/pretrainers) is a command as its user would type it, run once
in each round, one after the other in alternating order, so that other work on the machine meets all
of them. Starting, compiling and warming up is reported, not counted. Ratios are taken within a
round, and their median is printed. train.py is run with one and with two inter-op threads; the
faster one counts.

Prints Markdown tables; --json writes everything that was measured. Times are only worth something
on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine, pretrainers, pretraining_table
from benchmarks.pretrainers import (
    BFLOAT16,
    FLOAT32,
    HERE_BFLOAT16,
    HERE_FLOAT32,
    HERE_INPUT,
    HERE_RESUMING,
    HERE_SAVING,
    HERE_TWO_PROCESSES,
    TRAIN_PY,
    TRAININGS,
    Setting,
    data,
    pretrain_gin,
    train_py,
)

SCHEMA_VERSION = 1
# Losses of the same steps on the same batches, from other initial weights and dropout masks.
_LOSSES_DIFFER_BY = 0.05

Measure = Callable[[Setting, Path], Any]

MEASURES: Mapping[str, Measure] = {
    name: functools.partial(train_py.measure, precision=precision, inter_op_threads=threads)
    for precision, names in TRAIN_PY.items() for threads, name in enumerate(names, 1)
} | {
    HERE_FLOAT32: functools.partial(pretrain_gin.measure, precision=FLOAT32),
    HERE_BFLOAT16: functools.partial(pretrain_gin.measure, precision=BFLOAT16),
    HERE_SAVING: functools.partial(pretrain_gin.measure, precision=FLOAT32, saves=True),
    HERE_TWO_PROCESSES: pretrain_gin.measure_two_processes,
    HERE_RESUMING: pretrain_gin.measure_resuming,
    HERE_INPUT: data.measure_input,
}


def measure(
    names: Sequence[str], setting: Setting, rounds: int, directory: Path,
    say: Callable[[str], None],
) -> dict[str, list[dict[str, Any]]]:
  """Every contestant in every round.

  Args:
    names: of the contestants.
    setting: prepared.
    rounds: times that each is measured.
    directory: scratch.
    say: is told what was measured.

  Returns:
    By name what each of its turns gave, as JSON values.
  """
  found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
  for number in range(rounds):
    for name in list(names)[::-1 if number % 2 else 1]:
      turn = dataclasses.asdict(MEASURES[name](setting, directory / name))
      found[name].append(turn)
      say(f'round {number + 1} of {rounds}: {name} {_told(turn)}')
    _check_equal_work(found)
  return found


def _told(turn: Mapping[str, Any]) -> str:
  if 'positions' in turn:
    return f'{pretraining_table.tokens_per_second(turn):,.0f} tokens/s'
  return f'{turn["first_step_seconds"]:.1f} s until the first step'


def _check_equal_work(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
  """The trainings of a round must have learned alike from as many tokens."""
  trainings = {name: found[name][-1] for name in TRAININGS if name in found}
  for name, turn in trainings.items():
    first, one = next(iter(trainings.items()))
    for what, differs in (
        ('tokens', turn['positions'] != one['positions']),
        ('losses', abs(turn['losses'][-1] - one['losses'][-1])
         > _LOSSES_DIFFER_BY * one['losses'][-1])):
      if differs:
        sys.exit(f'{name} and {first} differ in their {what} ({turn["positions"]} tokens, masked-LM'
                 f' loss {turn["losses"][-1]:.3f}, against {one["positions"]}, '
                 f'{one["losses"][-1]:.3f}), so no comparison of speed makes sense.')


def run(
    setting: Setting, names: Sequence[str] = pretrainers.NAMES, rounds: int = 3,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
  """All of the benchmark; see the file's docstring.

  Args:
    setting: not prepared.
    names: of the contestants.
    rounds: see `measure`.
    say: see `measure`.

  Returns:
    JSON values: 'machine', 'settings', and 'rounds': what `measure` returns.
  """
  about = machine.describe()
  with tempfile.TemporaryDirectory() as directory:
    say('vocabulary and records')
    setting = data.prepare(setting, Path(directory))
    found = measure(names, setting, rounds, Path(directory), say)
    settings = setting.facts() | {'rounds': rounds}
  about['load_average_after'] = round(os.getloadavg()[0], 2)
  return {'schema_version': SCHEMA_VERSION, 'machine': about, 'settings': settings,
          'rounds': found}


def main() -> None:
  """Measures, prints the tables, writes the JSON."""
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--rounds', type=int, default=3)
  for name, text in (
      ('steps', 'that are measured, after a loop to warm up'), ('steps_per_loop', None),
      ('save_every', 'steps, in the training with checkpoints'), ('num_layers', None),
      ('hidden_size', None), ('batch_size', 'rows'), ('seq_length', 'tokens of a row'),
      ('max_predictions', 'of a row'), ('vocabulary_tokens', 'at most'),
      ('input_seconds', 'for which the input alone is measured')):
    default = getattr(Setting(), name)
    parser.add_argument(f'--{name}', type=type(default), default=default,
                        help=f'{text or ""} ({default})')
  parser.add_argument('--only', nargs='+', choices=pretrainers.NAMES, default=pretrainers.NAMES)
  parser.add_argument('--json', help='file to write')
  options = vars(parser.parse_args())
  rounds, only, path = (options.pop(name) for name in ('rounds', 'only', 'json'))
  if HERE_TWO_PROCESSES in only and machine.cores() < 2:
    sys.exit(f'This process may use one core, and {HERE_TWO_PROCESSES} needs two: leave it out '
             'with --only.')
  result = run(Setting(**options), only, rounds,
               lambda line: print(f'{time.strftime("%H:%M:%S")} {line}', file=sys.stderr))
  if path:
    Path(path).write_text(json.dumps(result, indent=1) + '\n')
  print(pretraining_table.markdown(result))


if __name__ == '__main__':
  main()
