"""What did a comparison of two arms find, and how is it told?"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

SCHEMA_VERSION = 1

# Absolute for ids, embeddings, outputs and loss; for gradient norms relative to the largest one.
TOLERANCE = 1e-5

# Stages, in the order of the computation; a row belongs to one.
TOKENS = 'token ids'
EMBEDDINGS = 'embeddings'
LAYERS = 'layers'
SEQUENCE = 'sequence output'
POOLED = 'pooled output'
LOGITS = 'logits'
LOSS = 'loss'
GRADIENTS = 'gradients'
STAGES = (TOKENS, EMBEDDINGS, LAYERS, SEQUENCE, POOLED, LOGITS, LOSS, GRADIENTS)

_SHOWN = 6


@dataclasses.dataclass(frozen=True)
class Row:
  """One thing that was compared.

  Attributes:
    stage: one of STAGES.
    name: 'layer_3', 'gradient of transformer/layer_3/output/kernel'.
    difference: the largest; None where there is no number: other shapes, in one arm alone, NaN.
    tolerance: the largest difference that passes.
    passed: whether the arms agree in it.
    detail: what else is to be known, '' for nothing.
  """

  stage: str
  name: str
  difference: float | None
  tolerance: float
  passed: bool
  detail: str = ''

  def __str__(self) -> str:
    by = '' if self.difference is None else f' by {self.difference:.3g}'
    return f'{self.name}{by}' + (f': {self.detail}' if self.detail else '')


@dataclasses.dataclass(frozen=True)
class Agreement:
  """Whether two arms compute the same from the same batch, dropout off.

  Attributes:
    arms: what the two are called.
    task: name of the task that the batch is of.
    lengths: tokens of each example, in the first arm.
    rows: everything that was compared, in the order of the computation: the gradients follow the
      backward pass, from the head to the embeddings.
    suggestion: what the first difference looks like; '' where there is none.
    notes: what a reader of the rows has to know: what could not be compared, and how variables
      were paired.
  """

  arms: tuple[str, str]
  task: str
  lengths: tuple[int, ...]
  rows: tuple[Row, ...]
  suggestion: str = ''
  notes: tuple[str, ...] = ()

  @property
  def failed(self) -> tuple[Row, ...]:
    """The rows in which the arms differ."""
    return tuple(row for row in self.rows if not row.passed)

  @property
  def passed(self) -> bool:
    """Whether the arms agree in everything."""
    return bool(self.rows) and not self.failed

  @property
  def first_difference(self) -> Row | None:
    """Where the arms part, in the order of the computation; None if they do not."""
    return next(iter(self.failed), None)

  def to_json(self) -> dict[str, Any]:
    """JSON values; `from_json` of them is equal to this."""
    first = self.first_difference
    return {
        'schema_version': SCHEMA_VERSION,
        'arms': list(self.arms),
        'task': self.task,
        'lengths': list(self.lengths),
        'passed': self.passed,
        'tolerance': TOLERANCE,
        'first_difference': first.name if first else None,
        'suggestion': self.suggestion,
        'notes': list(self.notes),
        'rows': [dataclasses.asdict(row) for row in self.rows],
    }

  @classmethod
  def from_json(cls, value: Mapping[str, Any]) -> Agreement:
    """Reads what `to_json` made."""
    first, second = value['arms']
    return cls((first, second), value['task'], tuple(value['lengths']),
               tuple(Row(**row) for row in value['rows']), value['suggestion'],
               tuple(value['notes']))

  def lines(self) -> list[str]:
    """For the screen: the verdict, what differs first, by how much and what it looks like."""
    first = self.first_difference
    between = f'{self.arms[0]} and {self.arms[1]}'
    where = (f'on {len(self.lengths)} examples of {self.task} '
             f'({_numbers(self.lengths)} tokens), dropout off')
    if not self.rows:
      lines = [f'before training: nothing of {between} was compared']
    elif first is None:
      lines = [f'before training: {between} agree {where}: {self._what()}',
               f'  largest difference: {self._largest()}']
    else:
      lines = [f'before training: {between} DIFFER {where}', f'  first in {first} '
               f'(tolerance {first.tolerance:g})']
      if self.suggestion:
        lines.append(f'  {self.suggestion}')
      rest = self.failed[1:]
      lines += [f'  then in {row}' for row in rest[:_SHOWN]]
      if len(rest) > _SHOWN:
        lines.append(f'  and in {len(rest) - _SHOWN} more of {len(self.rows)} things compared')
    return lines + [f'  note: {note}' for note in self.notes]

  def _what(self) -> str:
    """'token ids, 3 embeddings, 7 layers ...'."""
    counts = collections.Counter(row.stage for row in self.rows)
    several = (EMBEDDINGS, LAYERS, GRADIENTS)
    return ', '.join(f'{counts[stage]} {stage}' if stage in several else stage
                     for stage in STAGES if counts[stage])

  def _largest(self) -> str:
    row = max(self.rows, key=lambda row: row.difference or 0.0)
    if not row.difference:
      return '0'
    return f'{row.difference:.2g}, in {row.name} (tolerance {row.tolerance:g})'


def _numbers(lengths: Sequence[int]) -> str:
  if not lengths:
    return 'no'
  low, high = min(lengths), max(lengths)
  return str(low) if low == high else f'{low} to {high}'
