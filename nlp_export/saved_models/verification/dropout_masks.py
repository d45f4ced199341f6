"""Are dropout masks those of `dropout_state`: counted by it, drawn again when it is set back?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from nlp_export.saved_models.verification.registry import Failed, Passed
from nlp_export.saved_models.verification.subject import TOLERANCE, max_difference


def follow(state: Any, training_call: Callable[[], Any], draws: bool | None) -> Passed:
  """Passes if training calls count the state and their masks depend on it.

  Args:
    state: the variable; it has its value again afterwards.
    training_call: calls the SavedModel on the same inputs each time, and returns one output.
    draws: whether it draws random numbers; None where that is not known.

  Raises:
    Failed: says what is not so.
  """
  if state.dtype != tf.int64 or state.shape.as_list() != [2] or state.trainable:
    raise Failed(f'dropout_state is {state.dtype.name} {state.shape}, not an untrained int64 [2]')
  before = state.numpy()
  first = training_call()
  if state.numpy().tolist() != [before[0], before[1] + 1]:
    raise Failed(f'after one training call dropout_state went from {before.tolist()} to '
                 f'{state.numpy().tolist()}')
  second = training_call()
  state.assign(before)
  again = training_call()
  state.assign(before)
  difference = max_difference(again, first)
  if difference > TOLERANCE:
    raise Failed('the same dropout_state gave other masks', difference, TOLERANCE)
  if draws and not max_difference(second, first):
    raise Failed('the next training call used the same masks')
  return Passed(difference, TOLERANCE)
