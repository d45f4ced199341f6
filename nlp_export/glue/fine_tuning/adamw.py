"""How do gradients change variables? AdamW with bias correction, and clipping before it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from nlp_export.glue.fine_tuning.occurring_rows import OccurringRows, is_word_embedding
from nlp_export.glue.fine_tuning.recipe import Recipe

# No weight decay on biases and layer norms, as in BERT's own optimizer.
_NOT_DECAYED = ('bias', 'gamma', 'beta')


def is_decayed(name: str) -> bool:
  """Whether weight decay applies to a variable of that name."""
  return name.rpartition('/')[2].partition('#')[0] not in _NOT_DECAYED


class AdamW:
  """Adam with decoupled weight decay, stateless but for the moments.

  One step, for a gradient g whose global norm is clipped (t counts from 1):

      variable -= learning_rate * weight_decay * variable      (not biases and layer norms)
      m = beta_1 * m + (1 - beta_1) * g
      v = beta_2 * v + (1 - beta_2) * g * g
      variable -= learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)

  Each variable's line with m and v is one fused op: a pass over memory is what the time goes into.
  Of word embeddings only the rows that occur take part (occurring_rows.py); the others get their
  weight decay by `decay_absent`, before anybody reads them. A loss of the weights may reach those
  others, too: where one reads the embeddings, they are trained whole.

  Attributes:
    moments: first and second moment of every variable, for checkpoints.

  Source: Kingma and Ba 2015, section 2 (this form of epsilon); Loshchilov and Hutter 2019.
  """

  def __init__(
      self, variables: Mapping[str, tf.Variable], recipe: Recipe, whole: Collection[str] = ()):
    """Makes the moments, all zero.

    Args:
      variables: to train, by name.
      recipe: its weight decay, clipping and numbers of Adam.
      whole: names of variables of which every row may have a gradient, whatever words occur: those
        that a loss of the weights reads.
    """
    self._recipe = recipe
    self._rows = {name: OccurringRows(variable) for name, variable in variables.items()
                  if is_word_embedding(name, variable) and name not in whole}
    self._variables = {name: self._rows[name].table if name in self._rows else variable
                       for name, variable in variables.items()}
    self.moments: dict[str, tuple[tf.Variable, tf.Variable]] = {
        name: (_zeros(variable, f'{name}/m'), _zeros(variable, f'{name}/v'))
        for name, variable in self._variables.items()}

  def choose_words(self, word_ids: np.ndarray) -> None:
    """The word ids of the training texts, with repeats; followed by `reset`."""
    for rows in self._rows.values():
      rows.choose(word_ids)

  def reset(self) -> None:
    """Forgets every gradient; the variables have the values that training starts from."""
    for rows in self._rows.values():
      rows.start()
    for name, pair in self.moments.items():
      for moment in pair:
        moment.assign(tf.zeros(tf.shape(self._variables[name])))

  def read_back(self) -> None:
    """After variables and moments were restored from a checkpoint."""
    for rows in self._rows.values():
      rows.read_back()

  def decay_absent(self, learning_rates: Iterable[float]) -> None:
    """Weight decay of word embeddings that do not occur, for all steps since `reset`.

    Args:
      learning_rates: of these steps.
    """
    factor = math.prod(1.0 - rate * self._recipe.weight_decay for rate in learning_rates)
    for rows in self._rows.values():
      rows.decay_absent(factor)

  def powers(self, step: int) -> tuple[float, float]:
    """beta_1^t and beta_2^t of the step with that number, from 0."""
    return self._recipe.beta_1 ** (step + 1), self._recipe.beta_2 ** (step + 1)

  def apply(
      self, gradients: Sequence[Any], learning_rate: tf.Tensor, powers: Sequence[tf.Tensor]
  ) -> tf.Tensor:
    """Clips, and changes the variables. A variable without gradient is left alone.

    Args:
      gradients: one for each variable: a tensor, IndexedSlices or None.
      learning_rate: float32 scalar.
      powers: float32 scalars, see `powers`.

    Returns:
      float32 scalar: the gradients' global norm before clipping.
    """
    recipe = self._recipe
    # Dense first: the norm of slices with a repeated index is not that of their sum.
    dense = {name: self._rows[name].of_gradient(gradient) if name in self._rows
             else tf.convert_to_tensor(gradient)
             for name, gradient in zip(self._variables, gradients, strict=True)
             if gradient is not None}
    norm = tf.linalg.global_norm(list(dense.values()))
    scale = recipe.clip_norm / tf.maximum(norm, recipe.clip_norm) if recipe.clip_norm else None
    for name, gradient in dense.items():
      variable, (m, v) = self._variables[name], self.moments[name]
      if recipe.weight_decay and is_decayed(name):
        variable.assign(variable * (1.0 - learning_rate * recipe.weight_decay))
      tf.raw_ops.ResourceApplyAdam(
          var=variable.handle, m=m.handle, v=v.handle, beta1_power=powers[0],
          beta2_power=powers[1], lr=learning_rate, beta1=recipe.beta_1, beta2=recipe.beta_2,
          epsilon=recipe.epsilon, grad=gradient if scale is None else gradient * scale)
      if name in self._rows:
        self._rows[name].write_back()
    return norm


def _zeros(variable: tf.Variable, name: str) -> tf.Variable:
  return tf.Variable(
      tf.zeros(tf.shape(variable)), shape=variable.shape, trainable=False, name=name)
