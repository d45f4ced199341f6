"""Can a text embedding be trained, and does it drop as it should?"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from nlp_export import names
from nlp_export.saved_models.verification import dropout_masks, encoder_variable_checks
from nlp_export.saved_models.verification.registry import (
  Failed,
  Kind,
  Level,
  NotApplicable,
  Passed,
  Scope,
  check,
)
from nlp_export.saved_models.verification.subject import TOLERANCE, max_difference
from nlp_export.saved_models.verification.text_subject import TextEmbeddingSubject

_TEXT = (Kind.TEXT_EMBEDDING,)
_TRAINED_ON = [b'One text to train on.', b'Another one, which is not the same.']

# The claims about variables are those of an encoder's; they look at the same attributes.
check('text_embedding.trainable', 116, level=Level.MUST, kinds=_TEXT)(
    encoder_variable_checks.trainable)
check('text_embedding.weights', 117, level=Level.REF, kinds=_TEXT, scope=Scope.VARIABLES)(
    encoder_variable_checks.weights)
check('text_embedding.other_variables', 116, level=Level.REF, kinds=_TEXT)(
    encoder_variable_checks.other_variables)
check('text_embedding.regularization_losses', 116, level=Level.MUST, kinds=_TEXT)(
    encoder_variable_checks.regularization_losses)


@check('text_embedding.gradients', 116, level=Level.MUST, kinds=_TEXT)
def gradients(subject: TextEmbeddingSubject) -> Passed:
  """Every trainable variable has a gradient, from the text on."""
  missing: list[str] = []

  def trace(texts: tf.Tensor) -> None:
    with tf.GradientTape() as tape:
      loss = tf.reduce_sum(subject.obj(texts)**2)
    found = tape.gradient(loss, subject.trainable)
    missing.extend(v.name for v, g in zip(subject.trainable, found, strict=True) if g is None)

  # Whether there is a gradient is known once it is traced.
  tf.function(trace, autograph=False).get_concrete_function(tf.TensorSpec([None], tf.string))
  if missing:
    raise Failed(f'{len(missing)} of {len(subject.trainable)} variables have no gradient: '
                 f'{missing[0]}', len(missing), 0)
  return Passed(0, 0)


@check('text_embedding.dropout', 115, level=Level.REF, kinds=_TEXT)
def dropout(subject: TextEmbeddingSubject) -> Passed:
  """training=True drops, differently for each text; with a rate of 0 it changes nothing."""
  if not subject.takes_training:
    raise NotApplicable('its call has no argument `training`')
  drops = subject.told.dropout
  if drops is None:
    drops = subject.draws_random_numbers
  equal = _TRAINED_ON[:1] * 16
  inference, training = subject.call(equal), subject.call(equal, training=True)
  spread = float(np.mean(np.std(training, axis=0)))
  # Vectors that were scaled to length 1 are the shorter in each dimension, the more there are.
  size = max(float(np.mean(np.abs(inference))), 1e-9)
  if drops:
    if spread <= 1e-3 * min(size, 1.0):
      raise Failed('training=True does not drop anything (standard deviation over 16 equal texts)',
                   spread, 1e-3 * min(size, 1.0))
    return Passed(spread)
  if subject.told.training_effect:
    if spread > TOLERANCE:
      raise Failed('training=True drops, though the dropout rate is 0', spread, TOLERANCE)
    return Passed(spread, TOLERANCE, f'dropout rate 0; {subject.told.training_effect}')
  difference = max_difference(training, inference)
  if difference > TOLERANCE:
    raise Failed('training=True changes the vectors, though the dropout rate is 0', difference,
                 TOLERANCE)
  return Passed(difference, TOLERANCE, 'dropout rate 0')


@check('text_embedding.dropout_state', 115, level=Level.GOAL, kinds=_TEXT)
def dropout_state(subject: TextEmbeddingSubject) -> Passed:
  """dropout_state counts the training calls; setting it back gives the same masks again."""
  state = getattr(subject.obj, names.DROPOUT_STATE, None)
  if state is None:
    if subject.told.dropout_state:
      raise Failed('there is no dropout_state')
    if not subject.draws_random_numbers:
      raise NotApplicable('it draws no random numbers')
    raise Failed('its dropout masks depend on no variable that could be set or saved')
  return dropout_masks.follow(
      state, lambda: subject.call(_TRAINED_ON, training=True), subject.draws_random_numbers)
