"""Can the encoder be fine-tuned: are its variables the source's, complete and in order?"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from nlp_export import names
from nlp_export.saved_models.verification import reference
from nlp_export.saved_models.verification.encoder_call_checks import zeros
from nlp_export.saved_models.verification.registry import (
  Failed,
  Kind,
  Level,
  NotRun,
  Passed,
  Scope,
  check,
)
from nlp_export.saved_models.verification.subject import (
  EncoderSubject,
  TrainedSubject,
  as_tensors,
  first_line,
  output,
)

_ENCODER = (Kind.ENCODER,)
_VARIABLES = Scope.VARIABLES


@check('encoder.trainable', 31, level=Level.MUST, kinds=_ENCODER)
def trainable(subject: EncoderSubject) -> Passed:
  """Every trainable variable is marked so and stands in `variables` too."""
  every = {id(v) for v in subject.variables}
  for v in subject.trainable:
    if id(v) not in every:
      raise Failed(f'{v.name} is trainable but not in `variables`')
    if not v.trainable:
      raise Failed(f'{v.name} is in `trainable_variables` but its `trainable` is False')
  if len({id(v) for v in subject.trainable}) != len(subject.trainable):
    raise Failed('a variable stands in `trainable_variables` twice')
  if not subject.trainable:
    raise Failed('there are no trainable variables')
  return Passed(len(subject.trainable))


@check('encoder.weights', 32, 33, level=Level.REF, kinds=_ENCODER, scope=_VARIABLES)
def weights(subject: EncoderSubject) -> Passed:
  """Number, order, shapes and bytes of the trainable variables are the source's."""
  if subject.told.trainable is None:
    raise NotRun('no reference values were given: they come from the checkpoint')
  return compare_weights(subject.trainable, subject.told.trainable)


def compare_weights(variables: list[Any], expected: Any) -> Passed:
  """Raises Failed at the first variable that differs from `reference.describe_variables`."""
  if len(variables) != len(expected):
    raise Failed(f'{len(variables)} trainable variables; the source has {len(expected)}',
                 len(variables))
  found = reference.describe_variables(variables)
  for i, (mine, theirs) in enumerate(zip(found, expected, strict=True)):
    where = f'trainable variable {i} ({theirs["name"]})'
    if list(mine['shape']) != list(theirs['shape']):
      raise Failed(f'{where} has shape {mine["shape"]}; the source has {list(theirs["shape"])}')
    if mine['sha256'] != theirs['sha256']:
      raise Failed(f'{where} holds other values than the source')
  return Passed(len(found))


@check('encoder.other_variables', 34, level=Level.REF, kinds=_ENCODER)
def other_variables(subject: EncoderSubject) -> Passed:
  """Besides the trainable ones, `variables` holds do_lower_case and dropout_state at most."""
  ids = {id(v) for v in subject.trainable}
  others = [v for v in subject.variables if id(v) not in ids]
  known = {id(v): name for name in (names.DO_LOWER_CASE, names.DROPOUT_STATE)
           if (v := getattr(subject.obj, name, None)) is not None}
  # Buffers of an encoder type (random projections) are floats that calls use; they may stand here.
  strange = [v.name for v in others if id(v) not in known and not v.dtype.is_floating]
  if strange:
    raise Failed(f'`variables` holds {strange[0]}, which is no part of the encoder', len(others))
  marked = [v.name for v in others if id(v) not in known and v.trainable]
  if marked:
    raise Failed(f'{marked[0]} is marked trainable but not in `trainable_variables`', len(others))
  left_out = set(known) - {id(v) for v in others}
  if left_out:
    raise Failed(f'`variables` lacks {known[left_out.pop()]}', len(others))
  return Passed(len(others))


@check('encoder.regularization_losses', 35, level=Level.MUST, kinds=_ENCODER)
def regularization_losses(subject: TrainedSubject) -> Passed:
  """regularization_losses, if there are any, are functions of nothing that return a scalar."""
  losses = list(getattr(subject.obj, 'regularization_losses', ()))
  for loss in losses:
    try:
      value = loss()
    except Exception as error:
      raise Failed(f'a regularization loss fails: {first_line(error)}') from error
    if not value.dtype.is_floating or value.shape.rank != 0:
      raise Failed(f'a regularization loss is {value.dtype.name} {value.shape}, no float scalar')
  return Passed(len(losses))


@check('encoder.gradients', 36, level=Level.MUST, kinds=_ENCODER)
def gradients(subject: EncoderSubject) -> Passed:
  """Every trainable variable has a gradient."""
  # As with XLA: the exports with and without .mlm have the same call, so it is traced once.
  key = ('gradients', tuple(v.name for v in subject.trainable),
         tuple(sorted((subject.ops(training=False) or {}).items())))
  if key in subject.memory:
    return subject.memory[key]
  given = as_tensors(zeros(2, subject.length(4)))
  missing: list[str] = []

  def trace() -> None:
    with tf.GradientTape() as tape:
      outputs = subject.obj(given)
      loss = tf.reduce_sum(outputs[names.SEQUENCE_OUTPUT]**2) + tf.reduce_sum(
          output(outputs, names.DEFAULT)**2)
    found = tape.gradient(loss, subject.trainable)
    missing.extend(v.name for v, g in zip(subject.trainable, found, strict=True) if g is None)

  # Whether there is a gradient is known once it is traced. Nothing is computed: for a large
  # encoder, that would take as much memory again as its weights.
  tf.function(trace, autograph=False).get_concrete_function()
  if missing:
    raise Failed(f'{len(missing)} of {len(subject.trainable)} variables have no gradient: '
                 f'{missing[0]}', len(missing), 0)
  subject.memory[key] = Passed(0, 0)
  return subject.memory[key]
