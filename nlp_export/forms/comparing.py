"""How far is a form from its SavedModel, on real text, and how fast is it beside it?"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from nlp_export import names
from nlp_export.forms import texts
from nlp_export.forms.form import SAVED_MODEL, Form
from nlp_export.forms.reading import Reader
from nlp_export.saved_models.verification.registry import Level
from nlp_export.saved_models.verification.report import FAILED, PASSED, CheckResult

# An output that is narrower has no direction to speak of: logits.
_LEAST_WIDTH = 8
_ROUNDS = 3
_SECONDS_A_ROUND = 0.25


@dataclasses.dataclass(frozen=True)
class Speed:
  """What one form took on this machine, beside the SavedModel in turns with it.

  Attributes:
    seq_length: tokens in a row, padding included.
    first_call_seconds: of a call with a new shape.
    latency_ms: of a call with one row: form, SavedModel.
    rows_per_second: with batches of texts.ROWS: form, SavedModel.
  """

  seq_length: int
  first_call_seconds: float
  latency_ms: tuple[float, float]
  rows_per_second: tuple[float, float]

  def slower(self) -> list[str]:
    """Where it is slower than the SavedModel, by more than a tenth, in words."""
    found = []
    if self.latency_ms[0] > 1.1 * self.latency_ms[1]:
      found.append('one row at a time')
    if self.rows_per_second[0] * 1.1 < self.rows_per_second[1]:
      found.append(f'{texts.ROWS} rows at a time')
    return found


@dataclasses.dataclass(frozen=True)
class Difference:
  """Of one output.

  Attributes:
    largest: the largest absolute difference.
    share: the same as a share of the largest absolute value, and of 1 where that is smaller.
    least_cosine: of a text's or a real token's vector; None for a narrow output.
  """

  largest: float
  share: float
  least_cosine: float | None


def differences(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray],
                inputs: texts.Inputs) -> dict[str, Difference]:
  """Of each output that is expected. What stands at padding does not count."""
  return {name: _difference(np.asarray(found[name], np.float64), value.astype(np.float64),
                            inputs.get(names.INPUT_MASK)) for name, value in expected.items()}


def _difference(found: np.ndarray, expected: np.ndarray, mask: np.ndarray | None) -> Difference:
  if found.shape != expected.shape:
    return Difference(float('inf'), float('inf'), None)
  if mask is not None and expected.ndim == 3 and expected.shape[:2] == mask.shape:
    found, expected = found[mask > 0], expected[mask > 0]
  largest = float(np.abs(found - expected).max(initial=0))
  if not np.isfinite(found).all():
    largest = float('inf')
  cosine = None
  if expected.ndim > 1 and expected.shape[-1] >= _LEAST_WIDTH:
    norms = np.linalg.norm(found, axis=-1) * np.linalg.norm(expected, axis=-1)
    products = (found * expected).sum(axis=-1) / np.maximum(norms, 1e-30)
    cosine = float(products.min(initial=1)) if np.isfinite(products).all() else -1.0
  return Difference(largest, largest / max(1.0, float(np.abs(expected).max(initial=0))), cosine)


def worst(found: Mapping[str, Difference], other: Mapping[str, Difference]
          ) -> dict[str, Difference]:
  """The larger differences of two batches."""
  return {name: Difference(
      max(one.largest, other[name].largest), max(one.share, other[name].share),
      None if one.least_cosine is None else min(one.least_cosine, other[name].least_cosine or 0))
      for name, one in found.items()}


def checks(form: Form, found: Mapping[str, Difference]) -> Iterator[CheckResult]:
  """A check of the difference for each output, and of the cosine where there is one."""
  for name, difference in found.items():
    passed = difference.share <= form.tolerance
    yield _check(f'form.{name}', f'{name} equals the SavedModel on real text', passed,
                 _number(difference.share), form.tolerance,
                 f'it differs by up to {difference.largest:.3g}, {difference.share:.3g} of the '
                 f'largest value; {form.tolerance:g} is allowed')
    if difference.least_cosine is not None:
      yield _check(f'form.{name}.cosine', f'{name} has the direction of the SavedModel',
                   difference.least_cosine >= form.least_cosine, _number(difference.least_cosine),
                   form.least_cosine,
                   f'the least cosine is {difference.least_cosine:.5f}; {form.least_cosine} is '
                   'asked for')


def _check(name: str, title: str, passed: bool, value: Any, tolerance: float,
           why: str) -> CheckResult:
  return CheckResult(name, (), Level.MUST, title, PASSED if passed else FAILED, value, tolerance,
                     '' if passed else why)


def _number(value: float) -> float | str:
  """Rounded, so that a record does not change with the last bit; JSON has no infinity."""
  return float(f'{value:.3g}') if np.isfinite(value) else 'not finite'


def speed(form: Reader, saved_model: Reader, name: str, rows: texts.Inputs,
          first_call_seconds: float) -> Speed:
  """Times a form and the SavedModel in turns, so that other work on the machine meets both.

  Args:
    form: has `name` loaded.
    saved_model: has SAVED_MODEL loaded.
    name: of the form.
    rows: a whole batch; its first row alone gives the latency.
    first_call_seconds: measured before.
  """
  one = {key: value[:1] for key, value in rows.items()}
  latency = _in_turns(form, saved_model, name, one)
  batch = _in_turns(form, saved_model, name, rows)
  count, seq_length = next(iter(rows.values())).shape
  return Speed(seq_length, first_call_seconds, (latency[0] * 1e3, latency[1] * 1e3),
               (count / batch[0], count / batch[1]))


def _in_turns(form: Reader, saved_model: Reader, name: str, rows: texts.Inputs
              ) -> tuple[float, float]:
  """Median seconds of a call of the form, and of the SavedModel."""
  pairs = ((form, name), (saved_model, SAVED_MODEL))
  calls = []
  for reader, key in pairs:
    reader.call(key, rows)  # Compiles.
    once = reader.time(key, rows, 1)
    calls.append(max(1, min(200, int(_SECONDS_A_ROUND / max(once, 1e-6)))))
  seconds: tuple[list[float], list[float]] = ([], [])
  for number in range(_ROUNDS):
    for i in (0, 1) if number % 2 else (1, 0):
      seconds[i].append(pairs[i][0].time(pairs[i][1], rows, calls[i]))
  return statistics.median(seconds[0]), statistics.median(seconds[1])
