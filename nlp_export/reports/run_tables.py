"""Which tables say how the runs went: cost, trouble, agreement, settings, where all came from?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nlp_export.glue.cells import CellResult
from nlp_export.reports import words
from nlp_export.reports.groups import Trouble
from nlp_export.reports.tables import Table, make

# Paths, values and causes stay readable.
_LONGEST = 2000


def costs(cells: Sequence[CellResult]) -> Table:
  """Time, throughput and padding of every cell that trained."""
  return make(
      'Cost of each cell that trained: wall time of training without evaluation and loading; '
      'tokens without padding',
      ('cell', 'training time', 'seconds', 'tokens/s', 'examples/s', 'padding'),
      [(cell.name, words.duration(cell.train_seconds), f'{cell.train_seconds:.1f}',
        f'{cell.tokens_per_second:.0f}', f'{cell.examples_per_second:.1f}',
        words.share(cell.padding_share)) for cell in cells if cell.train_seconds > 0])


def troubles(found: Sequence[Trouble]) -> Table:
  """Failed and degenerate runs with their causes."""
  return make(
      'Runs that failed or are degenerate (they ran, and learned nothing)',
      ('cell', 'status', 'score', 'cause'),
      [(t.name, t.status, words.score(t.value), _cut('; '.join(t.reasons))) for t in found],
      (0, 1, 3))


def agreement(check: Mapping[str, Any]) -> Table:
  """One pooler's check before training, quantity by quantity."""
  return make(
      f'Pooler {check["pooler"]}: largest difference between the arms before training',
      ('quantity', 'difference', 'tolerance', 'agrees', 'detail'),
      [(str(row['name']), words.small(row['difference']), words.small(row['tolerance']),
        'yes' if row['passed'] else 'NO', str(row.get('detail') or '')) for row in check['rows']],
      (0, 3, 4))


def agreement_summary(checks: Sequence[Mapping[str, Any]]) -> Table:
  """One row for each pooler."""
  rows = []
  for check in checks:
    differences = [row['difference'] for row in check['rows']]
    worst = None if any(d is None or d != d for d in differences) else max(differences, default=0.0)
    rows.append((str(check['pooler']), 'yes' if check['passed'] else 'NO', str(len(differences)),
                 words.small(worst), words.small(check['tolerance']), first_difference(check)))
  return make(
      'Agreement of the arms before training, dropout off',
      ('pooler', 'agree', 'quantities', 'largest difference', 'tolerance', 'first that differs'),
      rows, (0, 1, 5))


def first_difference(check: Mapping[str, Any]) -> str:
  """The name of the first quantity that differs, however the check recorded it."""
  found = check.get('first_difference')
  if isinstance(found, Mapping):
    found = found.get('name')
  return str(found) if found else words.NONE


def changed(values: Sequence[Mapping[str, Any]]) -> Table:
  """What differs from the defaults."""
  return make(
      'Settings that differ from their defaults', ('setting', 'value', 'default'),
      [(str(v['name']), _cut(str(v['value'])), _cut(str(v['default']))) for v in values],
      (0, 1, 2))


def provenance(value: Mapping[str, Any]) -> Table:
  """Commit, packages, machine, exports and inputs."""
  return make(
      'Where the results came from', ('what', 'value'),
      [(name, _cut(text)) for name, text in words.leaves(value)], (0, 1))


def pretraining(summary: Mapping[str, Any]) -> Table:
  """The numbers of a pre-training: on held-out text, and how fast."""
  found, intervals, speed = summary['held_out'], summary['intervals'], summary['speed']
  rows = [(f'held out: {words.metric(name)}', _number(value),
           ' to '.join(map(_number, intervals[name])) if name in intervals else words.NONE)
          for name, value in found.items()]
  rows += [(name, text, words.NONE) for name, text in (
      ('unigram cross-entropy, nats', _number(summary['unigram_cross_entropy'])),
      ('masked-LM loss below it, nats', _number(summary['masked_lm_nats_below_unigram'])),
      ('share of the more frequent next-sentence label', _number(summary['majority_share'])),
      ('steps', str(summary['step'])),
      ('steps/s', _number(speed['steps_per_second'])),
      ('tokens/s, padding counted', words.NONE if speed['tokens_per_second'] is None else
       f'{speed["tokens_per_second"]:.0f}'),
      ('share of the peak measured on this machine', words.share(speed['share_of_peak'])))]
  return make('Pre-training: held-out text after the last step, and speed',
              ('what', 'value', '95 % interval over documents'), rows)


def _number(value: float | None) -> str:
  return words.measured(value)


def _cut(text: str) -> str:
  return text if len(text) <= _LONGEST else f'{text[:_LONGEST]} … ({len(text)} characters)'
