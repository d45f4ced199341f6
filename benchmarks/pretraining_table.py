"""What do the measurements of pre-training say, as Markdown tables beside what is to be reached?"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks import tables
from benchmarks.pretrainers import (
    BFLOAT16,
    FLOAT32,
    HERE,
    HERE_BFLOAT16,
    HERE_FLOAT32,
    HERE_INPUT,
    HERE_RESUMING,
    HERE_SAVING,
    HERE_TWO_PROCESSES,
    TRAIN_PY,
    TRAIN_PY_BFLOAT16_1,
    TRAIN_PY_BFLOAT16_2,
    TRAIN_PY_FLOAT32_1,
    TRAIN_PY_FLOAT32_2,
    TRAININGS,
)

CALLED: Mapping[str, str] = {
    TRAIN_PY_FLOAT32_1: 'train.py, float32, 1 inter-op thread',
    TRAIN_PY_FLOAT32_2: 'train.py, float32, 2 inter-op threads',
    TRAIN_PY_BFLOAT16_1: 'train.py, `mixed_bfloat16`, 1 inter-op thread',
    TRAIN_PY_BFLOAT16_2: 'train.py, `mixed_bfloat16`, 2 inter-op threads',
    HERE_FLOAT32: 'here, float32',
    HERE_BFLOAT16: 'here, `mixed_bfloat16`',
    HERE_SAVING: 'here, float32, with checkpoints',
    HERE_TWO_PROCESSES: 'here, float32, two processes with half of the cores each',
    HERE_RESUMING: 'here, resuming',
    HERE_INPUT: 'here, the input alone',
}
# SAVE_EVERY_STEPS of gin/runs/pretrain.gin; a test compares.
SAVE_EVERY_STEPS = 1000
SPEED_UP = {FLOAT32: 1.0, BFLOAT16: 1.35}
SAVING_PERCENT = 2.0
INPUT_TIMES = 10.0
RESUMING_SECONDS = 20.0

_PACKAGES = ('python', 'tensorflow', 'tf-keras', 'tf-models-official', 'orbax-checkpoint')
_PRECISION = {name: precision for precision, names in TRAIN_PY.items()
              for name in (*names, HERE[precision])} | {
                  HERE_SAVING: FLOAT32, HERE_TWO_PROCESSES: FLOAT32}

Round = Mapping[str, Any]


def tokens_per_second(measured: Round) -> float:
  """Of a training or of the input alone: padding counted."""
  return measured['positions'] / measured['seconds']


def median_ratio(
    ours: Sequence[Round], other: Sequence[Round],
    measure: Callable[[Round], float] = tokens_per_second,
) -> float:
  """The median over rounds of how many times the other's measure ours is in the same round."""
  return statistics.median(measure(a) / measure(b) for a, b in zip(ours, other, strict=True))


def reference(result: Mapping[str, Any], precision: str) -> str | None:
  """Of train.py with one and with two inter-op threads the faster one, by the median of tokens/s.

  Args:
    result: of `pretraining.run`.
    precision: FLOAT32 or BFLOAT16.

  Returns:
    Its name; None if neither was measured.
  """
  rounds = result['rounds']
  return max((name for name in TRAIN_PY[precision] if name in rounds), default=None,
             key=lambda name: statistics.median(map(tokens_per_second, rounds[name])))


@dataclasses.dataclass(frozen=True)
class Saving:
  """What a checkpoint costs, medians over rounds.

  Attributes:
    checkpoints: of a round, while training goes on.
    blocking_seconds: that training stands still for one.
    seconds: until one is on the disk; training goes on meanwhile.
    lost_seconds: for one: how much longer the same steps take than without.
    step_seconds: of a step without.
  """

  checkpoints: int
  blocking_seconds: float
  seconds: float
  lost_seconds: float
  step_seconds: float

  def percent(self, every_steps: int) -> float:
    """Of the time of training, with a checkpoint every so many steps."""
    training = every_steps * self.step_seconds
    return 100 * self.lost_seconds / (training + self.lost_seconds)

  @property
  def shortest_seconds(self) -> float:
    """Of training between two checkpoints so that they cost SAVING_PERCENT of all of it."""
    return max(0.0, self.lost_seconds * (100 / SAVING_PERCENT - 1))


def saving(result: Mapping[str, Any]) -> Saving | None:
  """None if it was not measured."""
  with_saves, without = (result['rounds'].get(name) for name in (HERE_SAVING, HERE_FLOAT32))
  if not with_saves or not without:
    return None
  saves = [save for measured in with_saves for save in measured['saves']]
  each = len(saves) // len(with_saves)
  if not each:
    return None
  return Saving(
      checkpoints=each,
      blocking_seconds=statistics.median(save['blocking_seconds'] for save in saves),
      seconds=statistics.median(save['seconds'] for save in saves),
      lost_seconds=statistics.median(
          (a['seconds'] - b['seconds']) / each for a, b in zip(with_saves, without, strict=True)),
      step_seconds=statistics.median(b['seconds'] / b['steps'] for b in without))


def targets(result: Mapping[str, Any]) -> list[tuple[str, float, float, bool]]:
  """What is to be reached, as far as it was measured.

  Returns:
    (what, reached, to reach, whether it is) in order; at least, unless `what` says at most.
  """
  rounds, found = result['rounds'], []
  base = reference(result, FLOAT32)
  for precision, name in HERE.items():
    if base and name in rounds:
      value = median_ratio(rounds[name], rounds[base])
      found.append((f'tokens/s {CALLED[name]}, times train.py in float32', value,
                    SPEED_UP[precision], value >= SPEED_UP[precision]))
  cost = saving(result)
  if cost:
    value = cost.percent(SAVE_EVERY_STEPS)
    found.append((f'percent of training that a checkpoint every {SAVE_EVERY_STEPS:,} steps '
                  '(the default) costs, at most', value, SAVING_PERCENT, value <= SAVING_PERCENT))
  for name in HERE.values():
    if HERE_INPUT in rounds and name in rounds:
      value = median_ratio(rounds[HERE_INPUT], rounds[name])
      found.append((f'tokens/s of the input alone, times what training consumes {CALLED[name]}',
                    value, INPUT_TIMES, value >= INPUT_TIMES))
  if HERE_RESUMING in rounds:
    value = max(measured['first_step_seconds'] for measured in rounds[HERE_RESUMING])
    found.append(('seconds from the start of a resuming process until its first step is done, '
                  'at most', value, RESUMING_SECONDS, value <= RESUMING_SECONDS))
  return found


def markdown(result: Mapping[str, Any]) -> str:
  """The report of what `pretraining.run` returns."""
  parts = [_conditions(result), _speed(result), tables.verdicts(targets(result)), _saving(result),
           _others(result)]
  return '\n\n'.join(part for part in parts if part) + '\n'


def _conditions(result: Mapping[str, Any]) -> str:
  given = result['settings']
  return (
      f'{tables.conditions(result["machine"], _PACKAGES)}. BERT, {given["num_layers"]} layers, '
      f'{given["hidden_size"]} wide, {given["vocab_size"]} tokens; batches of '
      f'{given["batch_size"]} x {given["seq_length"]}, {given["max_predictions"]} predictions; '
      f'{given["steps"]} steps after {given["steps_per_loop"]} to warm up, median of '
      f'{given["rounds"]} rounds. {tables.load(result["machine"])}')


def _speed(result: Mapping[str, Any]) -> str:
  rounds, rows = result['rounds'], []
  for name in TRAININGS:
    if name not in rounds:
      continue
    these = rounds[name]
    rows.append([
        CALLED[name],
        f'{statistics.median(map(tokens_per_second, these)):,.0f}',
        f'{statistics.median(1000 * m["seconds"] / m["steps"] for m in these):.0f}',
        _times(these, rounds, reference(result, FLOAT32)),
        _times(these, rounds, reference(result, _PRECISION[name])),
        f'{statistics.median(m["losses"][-1] for m in these):.2f}',
        f'{statistics.median(m["other_seconds"] for m in these):.0f}'])
  return tables.table(
      ['training', 'tokens/s', 'ms for a step', 'times train.py in float32',
       'times train.py in the same precision', 'masked-LM loss of the last loop',
       'not counted: start, compiling, warm-up, end, in seconds'], rows) if rows else ''


def _times(these: Sequence[Round], rounds: Mapping[str, Any], other: str | None) -> str:
  return f'{median_ratio(these, rounds[other]):.2f}' if other else ''


def _saving(result: Mapping[str, Any]) -> str:
  cost = saving(result)
  if not cost:
    return ''
  here = result['settings']['save_every']
  rows = [
      ['training stands still for a checkpoint', f'{cost.blocking_seconds:.2f} s'],
      ['until it is on the disk, in the background', f'{cost.seconds:.2f} s'],
      ['the same steps take longer, for a checkpoint', f'{cost.lost_seconds:.2f} s'],
      [f'share of training, one every {here} steps ({here * cost.step_seconds:.1f} s), as '
       'measured', f'{cost.percent(here):.2f} %'],
      [f'share of training, one every {SAVE_EVERY_STEPS:,} steps '
       f'({SAVE_EVERY_STEPS * cost.step_seconds:.0f} s), the default',
       f'{cost.percent(SAVE_EVERY_STEPS):.2f} %'],
      [f'training between two checkpoints that cost {SAVING_PERCENT:g} %',
       f'{cost.shortest_seconds:.0f} s']]
  return tables.table(['checkpoints', f'median; {cost.checkpoints} in a round'], rows)


def _others(result: Mapping[str, Any]) -> str:
  rounds, rows = result['rounds'], []
  if HERE_INPUT in rounds:
    speed = statistics.median(map(tokens_per_second, rounds[HERE_INPUT]))
    rows.append(['tokens/s of the input alone, padding counted', f'{speed:,.0f}'])
  if HERE_RESUMING in rounds:
    for what, key in (('start of a resuming process until its first step is done, seconds',
                       'first_step_seconds'),
                      ('SIGTERM until the process has saved and ended, seconds', 'stop_seconds')):
      values = [measured[key] for measured in rounds[HERE_RESUMING]]
      rows.append([what, f'{statistics.median(values):.1f}, at most {max(values):.1f}'])
  if HERE_TWO_PROCESSES in rounds and HERE_FLOAT32 in rounds:
    value = median_ratio(rounds[HERE_TWO_PROCESSES], rounds[HERE_FLOAT32])
    rows.append(['efficiency of two processes with half of the cores each: their tokens/s, times '
                 'those of one with all cores', f'{value:.2f}'])
  return tables.table(['also', 'median'], rows) if rows else ''
