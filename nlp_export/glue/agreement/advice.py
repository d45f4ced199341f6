"""What does the first difference between two arms look like?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from nlp_export import names
from nlp_export.glue.agreement import result
from nlp_export.glue.agreement.result import Row

_LAYER = re.compile(r'\blayer_(\d+)\b')
_SHOWN = 3


def suggest(rows: Sequence[Row], changed: Mapping[str, float]) -> str:
  """A sentence about the first row that failed.

  Args:
    rows: in the order of the computation, one of them failed.
    changed: the variables that hold other values in the two arms, in the encoder's order, with the
      largest difference.

  Returns:
    What to look at; '' if nothing failed.
  """
  failed = [row for row in rows if not row.passed]
  if not failed:
    return ''
  first = failed[0]
  if first.stage == result.TOKENS:
    return _tokens(failed)
  if first.stage == result.EMBEDDINGS:
    return ('The tables hold other values: another checkpoint, another step of it, or tables that '
            'were mixed up')
  if first.stage == result.LAYERS:
    return _layer(first, changed)
  if first.stage == result.SEQUENCE:
    return 'The layers agree, and what is returned as sequence_output is not the last one in both'
  if first.stage == result.POOLED:
    return _pooled(changed)
  if first.stage == result.LOGITS:
    return 'The encoders agree, the heads do not: another pooling, or another initial head'
  if first.stage == result.LOSS:
    return 'The logits agree, the losses do not: other labels or another loss'
  if first.difference is None:
    return ('Forward everything agrees. A variable that gets a gradient in one arm alone is not '
            'what the other one computes with: a copy, or a constant')
  return ('Forward everything agrees, and a gradient does not: something stops it or scales it, or '
          'one variable serves in two places in one arm and in one in the other')


def _tokens(failed: Sequence[Row]) -> str:
  cause = 'Another tokenizer: its vocabulary, lower-casing, accents or truncation'
  if len(failed) == 1:
    return f'{cause}. From equal ids both arms compute the same'
  return f'{cause}. That is not all: from equal ids they differ in {failed[1].name}'


def _layer(row: Row, changed: Mapping[str, float]) -> str:
  number = _number(row.name)
  before = [name for name in changed if not _is_later(name, number)]
  if before:
    return f'Other weights: {_some(before, changed)}'
  return ('All weights up to there are equal, so it is computed in another way: another activation '
          '(gelu by tanh or by erf: 1e-3 to 1e-2 a layer in MiniLM), another epsilon of a layer '
          'norm, another attention mask or number of heads')


def _pooled(changed: Mapping[str, float]) -> str:
  pooler = [name for name in changed if _is_pooler(name)]
  if pooler:
    return (f'Another pooler, or another seed of its draw: {_some(pooler, changed)}')
  return 'The poolers hold equal weights, so their activations differ (tanh or none)'


def _some(chosen: Sequence[str], changed: Mapping[str, float]) -> str:
  text = ', '.join(f'{name} by {changed[name]:.2g}' for name in chosen[:_SHOWN])
  return text + (f' and {len(chosen) - _SHOWN} more' if len(chosen) > _SHOWN else '')


def _number(name: str) -> int | None:
  found = _LAYER.search(name)
  return int(found[1]) if found else None


def _is_pooler(name: str) -> bool:
  return name.split('/')[0] in names.POOLER_LAYER_NAMES or 'pooler' in name


def _is_later(name: str, number: int | None) -> bool:
  """Whether a variable comes after the layer of that number; ALBERT's serve in every layer."""
  own = _number(name)
  return _is_pooler(name) or (own is not None and number is not None and own > number)
