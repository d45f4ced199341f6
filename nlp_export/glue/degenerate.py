"""Did a run learn nothing? Constant predictions, the majority's score, NaN, vanishing gradients.

Such runs are reported as results now and then: 0.6838 and 0.8122 on MRPC with a standard deviation
of 0.0 (NVIDIA/DeepLearningExamples#417), 0.6913 on CoLA (google-research/google-research#139).
They come from optimisation that failed (Mosbach et al. 2021), so they are counted and not averaged
in silence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Scores of constant predictions on the official dev sets, counted from the files: one dict a
# class. Used where no gold labels are at hand.
CONSTANT_SCORES: Mapping[str, tuple[Mapping[str, float], ...]] = {
    'cola': ({'matthews_correlation': 0.0},),
    'sst2': ({'accuracy': 444 / 872}, {'accuracy': 428 / 872}),
    'mrpc': ({'accuracy': 279 / 408, 'f1': 558 / 687}, {'accuracy': 129 / 408, 'f1': 0.0}),
    'qnli': ({'accuracy': 0.5054}, {'accuracy': 0.4946}),
    'rte': ({'accuracy': 146 / 277}, {'accuracy': 131 / 277}),
    'wnli': ({'accuracy': 40 / 71}, {'accuracy': 31 / 71}),
}

# Nearly constant: this share of one label, where the gold labels are further than that from it.
_NEARLY = 0.99
# A gradient has vanished if it fell below this share of where it began ...
_VANISHED = 0.01
# ... and the loss did not fall with it.
_LOSS_KEPT = 0.9
_FEWEST_STEPS = 8


def reasons(
    task: str,
    metrics: Mapping[str, float | None],
    predictions: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    history: Sequence[Mapping[str, Any]] = (),
    names: Sequence[str] = (),
) -> tuple[str, ...]:
  """Why a run is degenerate; empty if it is not.

  Args:
    task: its name, 'mrpc'.
    metrics: of the whole dev set, 0 to 1; None stands for NaN, as JSON has it.
    predictions: [examples], classes or values; with them a score that equals the majority's by
      chance is told from one that was made by predicting the majority.
    labels: [examples], gold.
    history: of training: dicts with `loss` and, if it is to be looked at, `gradient_norm`.
    names: of the classes, in the order of their ids; () for none.

  Returns:
    Sentences without a full stop.
  """
  found = []
  broken = [name for name, value in metrics.items() if not _finite(value)]
  if broken:
    found.append(f'NaN: {", ".join(broken)} is not a number')
  if predictions is not None:
    found += _constant(
        np.asarray(predictions), None if labels is None else np.asarray(labels), names)
  else:
    found += _majority(task, metrics)
  for name in ('loss', 'gradient_norm'):
    steps = [entry.get('step') for entry in history if name in entry and not _finite(entry[name])]
    if steps:
      found.append(f'NaN: {name.replace("_", " ")} at step {steps[0]}')
  return tuple(found + _vanished(history))


def _finite(value: Any) -> bool:
  return value is not None and math.isfinite(value)


def _constant(
    predictions: np.ndarray, labels: np.ndarray | None, names: Sequence[str]) -> list[str]:
  if not len(predictions):
    return []
  if predictions.dtype.kind == 'f':
    if not np.isfinite(predictions).all():
      return ['NaN: a prediction is not a number']
    # Float32 rounding over a dev set is no spread.
    if np.ptp(predictions) <= 1e-5 * max(1.0, float(np.abs(predictions).max())):
      return [f'constant prediction: every example gets {predictions[0]:.4g}']
    if not np.array_equal(predictions, np.round(predictions)):
      return []
  classes, counts = np.unique(predictions, return_counts=True)
  label, share = classes[counts.argmax()], counts.max() / len(predictions)
  # The files may write 1 for the class with id 0.
  name = f' ({names[int(label)]})' if 0 <= label < len(names) else ''
  if share == 1:
    return [f'constant prediction: every example gets label {label:g}{name}']
  gold = None if labels is None else float(np.mean(labels == label))
  if share >= _NEARLY and gold is not None and gold < 0.95:
    return [f'nearly constant prediction: {100 * share:.3g} % of the examples get label {label:g}'
            f'{name}']
  return []


def _majority(task: str, metrics: Mapping[str, float | None]) -> list[str]:
  for scores in CONSTANT_SCORES.get(task, ()):
    shared = [name for name in scores if _finite(metrics.get(name))]
    # Reports have four digits.
    if shared and all(abs(float(metrics[name] or 0) - scores[name]) < 6e-5 for name in shared):
      told = ', '.join(f'{name} {scores[name]:.4f}' for name in shared)
      return [f'majority score: {told} is what predicting one label for everything gives']
  return []


def _vanished(history: Sequence[Mapping[str, Any]]) -> list[str]:
  steps = [entry for entry in history
           if _finite(entry.get('gradient_norm')) and _finite(entry.get('loss'))]
  if len(steps) < _FEWEST_STEPS:
    return []
  norms = np.array([entry['gradient_norm'] for entry in steps], float)
  losses = np.array([entry['loss'] for entry in steps], float)
  quarter, half = len(steps) // 4, len(steps) // 2
  start, end = float(np.median(norms[:quarter])), float(np.median(norms[half:]))
  kept = float(np.median(losses[half:])) > _LOSS_KEPT * float(np.median(losses[:quarter]))
  if kept and end < _VANISHED * start:
    return [f'vanishing gradient: its norm fell from {start:.2g} to {end:.2g} and the loss stayed']
  return []
