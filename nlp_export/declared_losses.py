"""Which losses of its weights does a loaded SavedModel, anybody's, declare, and what do they read?

TF Hub's Reusable SavedModels have `regularization_losses`, a list of functions of nothing, for
whoever trains them to add to the loss. `saved_models/regularization.py` writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from nlp_export.errors import RequestError

Losses = Sequence[Callable[[], tf.Tensor]]


def of(root: Any, what: str) -> Losses:
  """The losses of a loaded SavedModel, or of a part of one; none for who declares none.

  Args:
    root: of tf.saved_model.load.
    what: to call it in messages.

  Raises:
    RequestError: one is no function.
  """
  losses = list(getattr(root, 'regularization_losses', None) or ())
  if not all(map(callable, losses)):
    raise RequestError(
        f'{what} has regularization_losses that are no functions, which TF Hub\'s interface of '
        'Reusable SavedModels wants. Run gin/runs/verify.gin on it for what else is wrong')
  return losses


def total(losses: Losses) -> tf.Tensor:
  """float32 scalar: their sum, 0 for none. Gradients go through it."""
  return tf.add_n([tf.constant(0.0), *(tf.cast(loss(), tf.float32) for loss in losses)])


def names_read(losses: Losses, variables: Mapping[str, tf.Variable]) -> frozenset[str]:
  """Names of the variables that losses read; all of them where that cannot be told.

  Args:
    losses: of `of`.
    variables: those that may be.
  """
  read = [_handles(loss) for loss in losses]
  if None in read:
    return frozenset(variables)
  handles = {handle for found in read for handle in found or ()}
  return frozenset(name for name, v in variables.items() if id(v.handle) in handles)


def reading(losses: Losses, variables: Iterable[tf.Variable]) -> Losses:
  """Those of the losses that read one of the variables, in their order."""
  given = {str(place): v for place, v in enumerate(variables)}
  return [loss for loss in losses if names_read([loss], given)]


def _handles(loss: Any) -> set[int] | None:
  """`id`s of the resources that a function of nothing captures; None if it is no TF function."""
  if not hasattr(loss, 'get_concrete_function'):
    return None
  return {id(capture) for capture in loss.get_concrete_function().captured_inputs}
