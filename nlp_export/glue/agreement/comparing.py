"""Where do two arms part, given the same texts, labels and head, and dropout off?

Embeddings: a SavedModel returns no embedding output, so the rows of the embedding tables that the
batch uses are compared, table by table. What follows them before the first layer (layer norm,
ALBERT's projection) shows in layer_0.

Outputs for tokens are compared at real tokens alone: what stands at padding has no effect.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nlp_export import names
from nlp_export.glue.agreement import result
from nlp_export.glue.agreement.advice import suggest
from nlp_export.glue.agreement.pairs import Pairing, pair
from nlp_export.glue.agreement.result import TOLERANCE, Agreement, Row
from nlp_export.glue.examples import Examples
from nlp_export.glue.tasks import Task

if TYPE_CHECKING:
  from nlp_export.glue.agreement.observing import Observation
  from nlp_export.glue.fine_tuning.recipe import Recipe
  from nlp_export.glue.fine_tuning.tokenised import TokenisedTexts
  from nlp_export.glue.fine_tuning.trainable_encoder import TrainableEncoder

_TABLES = {'word': 'word_embedding', 'position': 'position_embedding', 'type': 'type_embedding'}
_SHOWN = 60
# Of the largest norm: what rounding makes of a gradient that is 0 (the key's bias in attention).
_NOISE = 1e-6


def compare(
    export: TrainableEncoder,
    baseline: TrainableEncoder,
    texts: Sequence[Sequence[str]],
    labels: np.ndarray,
    task: Task,
    recipe: Recipe,
    *,
    init_seed: int = 0,
    pooler_seed: int | None = None,
    arms: tuple[str, str] = ('export', 'baseline'),
) -> Agreement:
  """Compares two encoders as a training would start with them, in float32, dropout off.

  Where the token ids differ, both compute from the first one's ids from there on, so that what
  else differs is seen too. Both encoders are reset.

  Args:
    export: the first arm.
    baseline: the second arm; its variables' names are used.
    texts: for each segment of the task its N strings, a few of several lengths.
    labels: int32 [N], positions in `task.labels`; float32 [N] for a regression.
    task: what the batch is of.
    recipe: of the fine-tuning; its precision is ignored.
    init_seed: of the head, the same in both.
    pooler_seed: of the poolers' draw, the same in both, if they are drawn anew.
    arms: what to call the two.

  Returns:
    Everything that was compared, in the order of the computation.

  Raises:
    RequestError: the recipe reads a pooled_output, and an arm has none.
  """
  from nlp_export.glue.agreement.observing import observe
  from nlp_export.glue.fine_tuning.classifier import Classifier

  encoders = (export, baseline)
  classifiers = [Classifier(arm, task.outputs, task.is_regression, recipe) for arm in encoders]
  for classifier in classifiers:
    classifier.reset(init_seed, pooler_seed)
  values = [{name: np.array(v) for name, v in arm.variables.items()} for arm in encoders]
  pairing = pair(*values)
  tokens = [arm.tokenise(texts, recipe.max_seq_length) for arm in encoders]
  rows, notes = [_token_row(tokens, texts)], list(_notes(pairing, arms))
  shares_ids = rows[0].passed or _table(values[1], 'word') in {p.second for p in pairing.pairs}
  if not shares_ids:
    notes.append('the vocabularies have different sizes: each arm computes from its own token ids')
  elif not rows[0].passed:
    notes.append(f'from there on both arms compute from the token ids of {arms[0]}')
  length = int(max(t.lengths.max() for t in tokens))
  inputs = [t.padded(np.arange(len(labels)), length)
            for t in (tokens[0], tokens[0] if shares_ids else tokens[1])]
  seen = [observe(classifier, given, labels)
          for classifier, given in zip(classifiers, inputs, strict=True)]
  real = np.logical_and(*(given[names.INPUT_MASK] > 0 for given in inputs))
  rows += _embedding_rows(pairing, values, inputs[0], arms)
  rows += _output_rows(seen, real, arms)
  rows += _gradient_rows(seen, pairing, arms)
  changed = {p.name: difference for p in pairing.pairs
             if not np.array_equal(a := values[0][p.first], b := values[1][p.second])
             and (difference := _largest(a, b))}
  return Agreement(arms, task.name, tuple(map(int, tokens[0].lengths)), tuple(rows),
                   suggest(rows, changed), tuple(notes))


def choose(examples: Examples, count: int = 8) -> tuple[list[list[str]], np.ndarray]:
  """A few examples of a split for `compare`, from the shortest to the longest text.

  Args:
    examples: with labels.
    count: how many; all, if there are fewer.

  Returns:
    For each segment the texts, and their labels.
  """
  if examples.labels is None:
    raise ValueError(f'{examples.task.name} {examples.split} has no labels')
  sizes = [sum(map(len, row)) for row in zip(*examples.texts, strict=True)]
  by_size = np.argsort(sizes, kind='stable')
  places = np.linspace(0, len(by_size) - 1, min(count, len(by_size))).round().astype(int)
  rows = by_size[places]
  return [[texts[row] for row in rows] for texts in examples.texts], examples.labels[rows]


def _notes(pairing: Pairing, arms: tuple[str, str]) -> Iterator[str]:
  other = [p for p in pairing.pairs if p.first != p.second]
  if other:
    yield (f'{len(other)} variables have other names in {arms[0]}; they are paired by shape, value '
           f'and order, the first one {other[0].first} with {other[0].second}')
  for arm, alone in zip(arms, (pairing.only_first, pairing.only_second), strict=True):
    if alone:
      yield f'variables without a partner, in {arm} alone: {len(alone)}, the first one {alone[0]}'


def _row(stage: str, name: str, a: np.ndarray, b: np.ndarray) -> Row:
  """A row of the largest absolute difference."""
  if a.shape != b.shape:
    return Row(stage, name, None, TOLERANCE, False, f'shapes {_shape(a)} and {_shape(b)}')
  difference = _largest(a, b)
  if difference is None:
    return Row(stage, name, None, TOLERANCE, False, 'values that are not finite')
  return Row(stage, name, difference, TOLERANCE, difference <= TOLERANCE)


def _largest(a: np.ndarray, b: np.ndarray) -> float | None:
  """Largest absolute difference of two arrays of one shape; None if something is not finite."""
  if not a.size:
    return 0.0
  with np.errstate(invalid='ignore', over='ignore'):
    largest = float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())
  return largest if np.isfinite(largest) else None


def _shape(array: np.ndarray) -> str:
  return str(list(array.shape))


# Token ids.


def _token_row(tokens: Sequence[TokenisedTexts], texts: Sequence[Sequence[str]]) -> Row:
  """A row whose difference is the number of examples that the arms tokenise differently."""
  count = len(tokens[0].lengths)
  differing = []
  for i in range(count):
    for what in ('word_ids', 'type_ids'):
      a, b = (_example(t, what, i) for t in tokens)
      if not np.array_equal(a, b):
        differing.append((i, what, a, b))
        break
  detail = ''
  if differing:
    i, what, a, b = differing[0]
    size = min(len(a), len(b))
    unequal = np.flatnonzero(a[:size] != b[:size])
    at = int(unequal[0]) if len(unequal) else size
    told = ' and '.join(str(ids[at]) if at < len(ids) else 'nothing' for ids in (a, b))
    text = ' / '.join(segment[i] for segment in texts)
    text = text if len(text) <= _SHOWN else f'{text[:_SHOWN]}...'
    detail = (f'{len(differing)} of {count} examples; in example {i} {what} has {told} at '
              f'position {at}: {text!r}')
  return Row(result.TOKENS, result.TOKENS, float(len(differing)), 0.0, not differing, detail)


def _example(tokens: TokenisedTexts, what: str, row: int) -> np.ndarray:
  return getattr(tokens, what)[tokens.row_splits[row]:tokens.row_splits[row + 1]]


# Embeddings.


def _table(variables: Mapping[str, np.ndarray], kind: str) -> str | None:
  return next((name for name in variables if _TABLES[kind] in name), None)


def _embedding_rows(
    pairing: Pairing, values: Sequence[Mapping[str, np.ndarray]], inputs: Mapping[str, np.ndarray],
    arms: tuple[str, str],
) -> Iterator[Row]:
  """The rows of each table that the batch uses."""
  real = inputs[names.INPUT_MASK] > 0
  used = {'word': np.unique(inputs[names.INPUT_WORD_IDS][real]),
          'position': np.arange(real.shape[1]),
          'type': np.unique(inputs[names.INPUT_TYPE_IDS][real])}
  partner = {p.second: p.first for p in pairing.pairs}
  for kind, ids in used.items():
    name = _table(values[1], kind)
    if name is None:
      continue  # Another kind of encoder; what it has instead shows in layer_0.
    if name in partner:
      a, b = values[0][partner[name]], values[1][name]
      yield _row(result.EMBEDDINGS, f'{kind} embeddings', a[ids], b[ids])
    else:
      other = values[0].get(name)
      why = (f'{name} has shape {_shape(values[1][name])} in {arms[1]}, '
             + (f'none of {arms[0]} has' if other is None else f'{_shape(other)} in {arms[0]}'))
      yield Row(result.EMBEDDINGS, f'{kind} embeddings', None, TOLERANCE, False, why)


# Outputs.


def _output_rows(
    seen: Sequence[Observation], real: np.ndarray, arms: tuple[str, str]
) -> Iterator[Row]:
  a, b = seen
  if len(a.layers) != len(b.layers):
    yield Row(result.LAYERS, 'number of layers', None, TOLERANCE, False,
              f'{len(a.layers)} in {arms[0]}, {len(b.layers)} in {arms[1]}')
  for number, (x, y) in enumerate(zip(a.layers, b.layers, strict=False)):
    yield _row(result.LAYERS, f'layer_{number}', x[real], y[real])
  yield _row(result.SEQUENCE, names.SEQUENCE_OUTPUT, a.sequence[real], b.sequence[real])
  if a.pooled is not None and b.pooled is not None:
    yield _row(result.POOLED, names.POOLED_OUTPUT, a.pooled, b.pooled)
  yield _row(result.LOGITS, result.LOGITS, a.logits, b.logits)
  yield _row(result.LOSS, result.LOSS, a.loss, b.loss)


# Gradients.


def _gradient_rows(
    seen: Sequence[Observation], pairing: Pairing, arms: tuple[str, str]
) -> Iterator[Row]:
  """From the head down to the embeddings, as the backward pass goes."""
  norms = [{**one.head_gradients, **one.gradients} for one in seen]
  largest = max((n for one in norms for n in one.values() if n is not None), default=0.0)
  matched = [(name, name, name) for name in seen[1].head_gradients]
  matched += [(p.name, p.first, p.second) for p in reversed(pairing.pairs)]
  for name, first, second in matched:
    yield _norm_row(name, norms[0].get(first), norms[1].get(second), largest, arms)
  for arm, one, alone in zip(arms, norms, (pairing.only_first, pairing.only_second), strict=True):
    for name in alone:
      if one[name]:
        yield Row(result.GRADIENTS, f'gradient of {name}', None, TOLERANCE, False,
                  f'only {arm} has a variable of this name and shape')


def _norm_row(
    name: str, a: float | None, b: float | None, largest: float, arms: tuple[str, str]
) -> Row:
  name = f'gradient of {name}'
  # A variable that plays no part has no gradient, or zeros where a SavedModel holds the function.
  a, b = a or 0.0, b or 0.0
  if not a and not b:
    return Row(result.GRADIENTS, name, 0.0, TOLERANCE, True, 'none in either arm')
  if not (a and b) and not a + b <= _NOISE * largest:
    without, other = arms if not a else arms[::-1]
    return Row(result.GRADIENTS, name, None, TOLERANCE, False,
               f'none in {without}; its norm in {other} is {a + b:.3g}')
  if not (np.isfinite(a) and np.isfinite(b)):
    return Row(result.GRADIENTS, name, None, TOLERANCE, False, f'norms {a} and {b}')
  difference = abs(a - b) / largest if largest else 0.0
  return Row(result.GRADIENTS, name, difference, TOLERANCE, difference <= TOLERANCE,
             '' if difference <= TOLERANCE else f'norms {a:.6g} and {b:.6g}, relative to the '
             f'largest, {largest:.3g}')
