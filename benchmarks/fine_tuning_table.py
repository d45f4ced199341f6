"""What do the measurements of fine-tuning say, as a Markdown table beside what is to be reached?"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks import tables
from benchmarks.contestants import (
    MATMUL,
    NLP_EXPORT_ALL_THREADS,
    NLP_EXPORT_BFLOAT16,
    NLP_EXPORT_FLOAT32,
    PYTORCH_BFLOAT16,
    PYTORCH_FLOAT32,
    TF_HUB,
)

CALLED: Mapping[str, str] = {
    TF_HUB: 'TF Hub\'s documented flow, float32',
    PYTORCH_FLOAT32: 'PyTorch, float32',
    PYTORCH_BFLOAT16: 'PyTorch, bfloat16 autocast',
    NLP_EXPORT_FLOAT32: 'here, `float32`',
    NLP_EXPORT_BFLOAT16: 'here, `mixed_bfloat16`',
    NLP_EXPORT_ALL_THREADS: 'here, `float32`, not reproducible (all inter-op threads)',
    MATMUL: 'matrix products',
}
FIRST_STEP = 'until the first step is done'

_PACKAGES = ('python', 'tensorflow', 'tf-keras', 'tf-models-official', 'tensorflow-hub', 'torch',
             'transformers')

Rounds = Sequence[Mapping[str, Any]]
Measure = Callable[[Mapping[str, Any]], float]


def examples_per_second(passed: Mapping[str, Any]) -> float:
  """Of one measured training."""
  return passed['examples'] / passed['seconds']


def tokens_per_second(passed: Mapping[str, Any]) -> float:
  """Of one measured training: tokens without padding."""
  return passed['tokens'] / passed['seconds']


def median_ratio(measure: Measure, ours: Rounds, other: Rounds) -> float:
  """The median over rounds of how many times the other's measure ours is in the same round."""
  return statistics.median(measure(a) / measure(b) for a, b in zip(ours, other, strict=True))


def ceilings(result: Mapping[str, Any]) -> dict[str, float]:
  """GFLOP/s by dtype: the best of all shapes and turns; empty if it was not measured."""
  best: dict[str, float] = {}
  for turn in result['matmul']:
    for dtype, by_shape in turn.items():
      best[dtype] = max([best.get(dtype, 0.0), *by_shape.values()])
  return best


def share(task: Mapping[str, Any], name: str, ceiling: float) -> float:
  """The share of a rate [GFLOP/s] that a contestant's training on a task reaches."""
  speed = statistics.median(map(tokens_per_second, task['contestants'][name]['rounds']))
  return speed * task['flops'] / task['tokens'] / (ceiling * 1e9)


def targets(result: Mapping[str, Any]) -> list[tuple[str, float, float, bool]]:
  """What is to be reached, as far as it was measured.

  Returns:
    (what, reached, to reach, whether it is) in order; all but the last are at least, not at most.
  """
  found = []

  def at_least(what: str, value: float | None, wanted: float) -> None:
    if value is not None:
      found.append((what, value, wanted, value >= wanted))

  def ratio(task: str, ours: str, other: str, measure: Measure) -> float | None:
    by_name = result['tasks'].get(task, {}).get('contestants', {})
    if ours not in by_name or other not in by_name:
      return None
    return median_ratio(measure, by_name[ours]['rounds'], by_name[other]['rounds'])

  for task, wanted in (('cola', 9.0), ('rte', 2.0)):
    at_least(f'{_title(task)}: examples per second, times the documented flow',
             ratio(task, NLP_EXPORT_FLOAT32, TF_HUB, examples_per_second), wanted)
  for name, wanted in ((NLP_EXPORT_FLOAT32, 1.1), (NLP_EXPORT_BFLOAT16, 1.5)):
    for task in result['tasks']:
      at_least(f'{_title(task)}: tokens/s {CALLED[name]}, times PyTorch in float32',
               ratio(task, name, PYTORCH_FLOAT32, tokens_per_second), wanted)
  mrpc = result['tasks'].get('mrpc', {})
  ceiling = ceilings(result).get('float32')
  if ceiling and 'flops' in mrpc and NLP_EXPORT_FLOAT32 in mrpc['contestants']:
    at_least('MRPC: share of the float32 ceiling', share(mrpc, NLP_EXPORT_FLOAT32, ceiling), 0.6)
  starts = [passed['other_seconds'][FIRST_STEP] for task in result['tasks'].values()
            for name, entry in task['contestants'].items()
            if name in (NLP_EXPORT_FLOAT32, NLP_EXPORT_BFLOAT16) for passed in entry['rounds']]
  if starts:
    slowest = max(starts)
    found.append(('a later cell in the same process: seconds until its first step is done, '
                  'at most', slowest, 2.0, slowest <= 2.0))
  return found


def markdown(result: Mapping[str, Any]) -> str:
  """The report of what `fine_tuning.run` returns: conditions, speed, targets, starts, ceiling."""
  parts = [_conditions(result), _speed(result), _targets(result), _starts(result)]
  if result['matmul']:
    parts.append(_matmul(result))
  return '\n\n'.join(part for part in parts if part) + '\n'


def _conditions(result: Mapping[str, Any]) -> str:
  settings = result['settings']
  return (
      f'{tables.conditions(result["machine"], _PACKAGES)}. MiniLM, batch '
      f'{settings["batch_size"]}, at most '
      f'{settings["max_seq_length"]} tokens, {settings["steps"]} batches '
      f'(documented flow: {settings["tf_hub_steps"]}), median of {settings["rounds"]} rounds. '
      f'{tables.load(result["machine"])}')


def _speed(result: Mapping[str, Any]) -> str:
  ceiling = ceilings(result)
  rows = []
  for task_name, task in result['tasks'].items():
    by_name = task['contestants']
    for name, entry in by_name.items():
      rounds = entry['rounds']
      dtype = 'bfloat16' if 'bfloat16' in name else 'float32'
      rows.append([
          _title(task_name), CALLED[name],
          f'{statistics.median(map(examples_per_second, rounds)):.1f}',
          f'{statistics.median(map(tokens_per_second, rounds)):,.0f}',
          f'{1 - rounds[-1]["tokens"] / rounds[-1]["positions"]:.0%}',
          _times(examples_per_second, rounds, by_name.get(TF_HUB)),
          _times(tokens_per_second, rounds, by_name.get(PYTORCH_FLOAT32)),
          f'{share(task, name, ceiling[dtype]):.0%}' if dtype in ceiling and 'flops' in task
          else ''])
  return tables.table(
      ['task', 'training', 'examples per second', 'real tokens/s', 'padding',
       'examples per second, times the documented flow', 'tokens/s, times PyTorch float32',
       'share of the ceiling of its dtype'], rows)


def _times(measure: Measure, rounds: Rounds, other: Mapping[str, Any] | None) -> str:
  return f'{median_ratio(measure, rounds, other["rounds"]):.2f}' if other else ''


def _targets(result: Mapping[str, Any]) -> str:
  return tables.verdicts(targets(result))


def _starts(result: Mapping[str, Any]) -> str:
  """Not counted above: seconds to start a process, to prepare, and to begin another cell."""
  rows = []
  for name in dict.fromkeys(n for task in result['tasks'].values() for n in task['contestants']):
    prepared, later = [], []
    for task_name, task in result['tasks'].items():
      if name in task['contestants']:
        entry = task['contestants'][name]
        times = entry['prepared']['other_seconds']
        prepared.append(f'{_title(task_name)} ' + ', '.join(
            f'{what} {seconds:.1f}' for what, seconds in times.items()))
        later += [passed['other_seconds'][FIRST_STEP] for passed in entry['rounds']
                  if FIRST_STEP in passed['other_seconds']]
    rows.append([CALLED[name], f'{result["start_seconds"][name]:.1f}', '; '.join(prepared),
                 f'{statistics.median(later):.2f}, at most {max(later):.2f}' if later else ''])
  return tables.table(
      ['not counted above, in seconds', 'process and imports', 'first training of a task',
       f'later cells, {FIRST_STEP}'], rows) if rows else ''


def _matmul(result: Mapping[str, Any]) -> str:
  turns = result['matmul']
  dtypes = list(turns[0])
  rows = [[shape.replace('x', ' x '),
           *(f'{max(turn[dtype][shape] for turn in turns):.0f}' for dtype in dtypes)]
          for shape in turns[0][dtypes[0]]]
  per_token = ', '.join(
      f'{_title(name)} {task["flops"] / task["tokens"] / 1e6:.1f}'
      for name, task in result['tasks'].items() if 'flops' in task)
  text = tables.table(['rows x inner x columns, GFLOP/s', *dtypes], rows)
  return text + (f'\n\nMillions of operations for a token (benchmarks/transformer_flops.py): '
                 f'{per_token}. The ceiling of a dtype is the best of its column.'
                 if per_token else '')


def _title(task: str) -> str:
  return {'cola': 'CoLA', 'mrpc': 'MRPC', 'rte': 'RTE', 'sst2': 'SST-2'}.get(task, task)
