"""Does the encoder accept what the API permits, and refuse the rest? (conformance B)"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from nlp_export import names
from nlp_export.saved_models.verification import dropout_masks
from nlp_export.saved_models.verification.registry import (
  Failed,
  Kind,
  Level,
  NotApplicable,
  NotRun,
  Passed,
  check,
)
from nlp_export.saved_models.verification.subject import (
  TOLERANCE,
  EncoderSubject,
  as_tensors,
  first_line,
  max_difference,
  output,
)
from nlp_export.saved_models.verification.traces import fixed_length, training_values

_ENCODER = (Kind.ENCODER,)
# Compiling takes about 0.3 s a layer (2 cores, November 2026): the graph of a deeper encoder is the
# graph of a shallower one with more layers, and tests compile those.
XLA_MAX_LAYERS = 12


def zeros(batch: int, seq_length: int) -> dict[str, np.ndarray]:
  """Encoder inputs of id 0 and type 0 that are all real."""
  inputs = {name: np.zeros((batch, seq_length), np.int32) for name in names.ENCODER_INPUTS}
  inputs[names.INPUT_MASK] += 1
  return inputs


# Threads may sum in another order from one call to the next.
REPEAT_TOLERANCE = 1e-6


@check('encoder.inputs', 12, level=Level.MUST, kinds=_ENCODER)
def inputs(subject: EncoderSubject) -> Passed:
  """It takes a dict of three int32 [batch, seq_length], batch 0 and seq_length 1 among them."""
  form, traced = subject.sequence, fixed_length(subject.obj)
  if form.fixed_length != traced:
    raise Failed(f'its traces take seq_length {traced or "of any value"}, while the encoder takes '
                 f'{form.fixed_length or "any"}', traced)
  shapes = [(batch, subject.length(n)) for batch, n in ((1, 1), (2, 8), (0, 8))]
  for shape in shapes:
    try:
      found = subject.call(zeros(*shape))[names.SEQUENCE_OUTPUT].shape[:1]
    except Exception as error:
      raise Failed(f'the call with int32 {list(shape)} failed: {first_line(error)}') from error
    if found != shape[:1]:
      raise Failed(f'input {list(shape)} gave sequence_output of batch {found[0]}')
  return Passed(len(shapes), why=(
      f'seq_length {form.fixed_length} only, as the encoder is made' if form.fixed_length else ''))


@check('encoder.plain_inputs', 13, level=Level.REF, kinds=_ENCODER)
def plain_inputs(subject: EncoderSubject) -> Passed:
  """The order of keys does not matter; NumPy int32 and nested lists are taken as well."""
  expected = subject.probe[1][names.SEQUENCE_OUTPUT]
  difference = max_difference(subject.direct[names.SEQUENCE_OUTPUT], expected)
  if difference > REPEAT_TOLERANCE:
    raise Failed('NumPy arrays in another order of keys gave other outputs', difference,
                 REPEAT_TOLERANCE)
  lists = {name: value.tolist() for name, value in zeros(2, subject.length(3)).items()}
  try:
    tf.function(lambda: subject.obj(lists), autograph=False).get_concrete_function()
  except Exception as error:
    raise Failed(f'nested lists are refused: {first_line(error)}') from error
  return Passed(difference, REPEAT_TOLERANCE)


def _accepts(call: Callable[[], Any]) -> bool:
  try:
    call()
  except Exception:  # Any error is a refusal; which class it is depends on TensorFlow's version.
    return False
  return True


@check('encoder.wrong_inputs', 14, level=Level.REF, kinds=_ENCODER)
def wrong_inputs(subject: EncoderSubject) -> None:
  """A missing key, a key too many and a list instead of the dict are refused."""
  given = as_tensors(zeros(1, subject.length(4)))
  two = {k: v for k, v in given.items() if k != names.INPUT_TYPE_IDS}
  three = {**two, names.INPUT_TYPE_IDS: given[names.INPUT_TYPE_IDS]}
  for what, wrong in (('no input_type_ids', two), ('a key too many', {**three, 'surplus': three[
      names.INPUT_MASK]}), ('a list', list(three.values()))):
    if _accepts(functools.partial(subject.obj, wrong)):
      raise Failed(f'{what} was accepted')


@check('encoder.int64_inputs', 15, level=Level.REF, kinds=_ENCODER)
def int64_inputs(subject: EncoderSubject) -> None:
  """int64 ids are refused, as the reference's exports refuse them."""
  wide = {k: tf.constant(v, tf.int64) for k, v in zeros(1, subject.length(4)).items()}
  if _accepts(lambda: subject.obj(wide)):
    raise Failed('int64 inputs were accepted')


@check('encoder.outputs', 16, 17, level=Level.MUST, kinds=_ENCODER)
def outputs(subject: EncoderSubject) -> Passed:
  """It returns float32 pooled_output and default [B, H] and sequence_output [B, ..., H]."""
  given, found = subject.probe
  if not isinstance(found, dict):
    raise Failed(f'the outputs are no dict but a {type(found).__name__}')
  required = [names.SEQUENCE_OUTPUT, names.DEFAULT]
  if not is_poolerless(subject, found):
    required.append(names.POOLED_OUTPUT)
  missing = [name for name in required if name not in found]
  if missing:
    raise Failed(f'{missing[0]} is missing; found {sorted(found)}')
  if subject.told.pooler == 'cls' and names.POOLED_OUTPUT in found:
    raise Failed('pooled_output is there, though the export was asked for without one')
  batch = given[names.INPUT_WORD_IDS].shape[0]
  width = subject.told.hidden_size or found[names.SEQUENCE_OUTPUT].shape[-1]
  for name in required:
    rank = 3 if name == names.SEQUENCE_OUTPUT else 2
    shape = found[name].shape
    if len(shape) != rank or (shape[0], shape[-1]) != (batch, width):
      expected = [batch, 'S', width] if rank == 3 else [batch, width]
      raise Failed(f'{name} has shape {list(shape)} instead of {expected}')
  for name, value in found.items():
    for array in value if isinstance(value, list) else [value]:
      if array.dtype != np.float32:
        raise Failed(f'{name} is {array.dtype.name} instead of float32')
  return Passed(width)


@check('encoder.sequence_length', 17, level=Level.MUST, kinds=_ENCODER)
def sequence_length(subject: EncoderSubject) -> Passed:
  """sequence_output has one vector for each token: it is [B, S, H]."""
  given, found = subject.probe
  tokens = given[names.INPUT_WORD_IDS].shape[1]
  vectors = output(found, names.SEQUENCE_OUTPUT).shape[1]
  if subject.sequence.pools:
    # How many there must be, encoder.encoder_outputs says.
    raise NotApplicable(f'its network pools the sequence: {vectors} vectors for {tokens} tokens')
  if vectors != tokens:
    raise Failed(f'sequence_output has {vectors} vectors for {tokens} tokens', vectors)
  return Passed(vectors)


def is_poolerless(subject: EncoderSubject, found: dict[str, Any]) -> bool:
  """Whether an export has no pooled_output by design: told so, or `default` is the [CLS] vector."""
  if subject.told.pooler is not None:
    return subject.told.pooler == 'cls'
  if names.POOLED_OUTPUT in found or names.DEFAULT not in found:
    return False
  return np.array_equal(found[names.DEFAULT], output(found, names.SEQUENCE_OUTPUT)[:, 0])


@check('encoder.longest', 12, 24, level=Level.REF, kinds=_ENCODER)
def longest(subject: EncoderSubject) -> Passed:
  """A sequence as long as the position embeddings works; a longer one is an error."""
  fixed = subject.sequence.fixed_length
  limit = fixed or subject.max_positions
  if limit is None:
    raise NotApplicable('it has no position embeddings that tell the longest sequence')
  subject.call(zeros(1, limit))
  for length in (limit + 1,) if fixed is None else (limit + 1, limit - 1):
    # Directly if there is one length: subject.call itself takes no other.
    call = subject.call if fixed is None else subject.obj
    if _accepts(functools.partial(call, as_tensors(zeros(1, length)))):
      raise Failed(f'a sequence of {length} was accepted; there are {limit} positions', limit)
  return Passed(limit, why='a shorter one is an error as well' if fixed else '')


@check('encoder.static_shapes', 25, level=Level.REF, kinds=_ENCODER)
def static_shapes(subject: EncoderSubject) -> None:
  """In a tf.function, a known seq_length is known of the outputs as well."""
  width = subject.told.hidden_size or subject.probe[1][names.SEQUENCE_OUTPUT].shape[-1]
  form = subject.sequence
  for seq_length in (10, None) if form.fixed_length is None else (form.fixed_length,):
    spec = tf.TensorSpec([None, seq_length], tf.int32)
    expected = form.output_length(seq_length)
    traced = tf.function(lambda x: subject.obj(x), autograph=False).get_concrete_function(
        dict.fromkeys(names.ENCODER_INPUTS, spec))
    for name, shape in ((names.SEQUENCE_OUTPUT, [None, expected, width]),
                        (names.DEFAULT, [None, width])):
      found = output(traced.structured_outputs, name).shape
      if found.rank is None or found.as_list() != shape:
        raise Failed(f'{name} has the static shape {found} for seq_length {seq_length}, '
                     f'not {shape}')


@check('encoder.traces', 29, level=Level.MUST, kinds=_ENCODER)
def traces(subject: EncoderSubject) -> Passed:
  """There is one trace for training=True and one for training=False."""
  found = training_values(subject.obj)
  if sorted(map(str, found)) != ['False', 'True']:
    raise Failed(f'the traces have training={found}', len(found))
  try:
    subject.call(zeros(1, subject.length(4)), training=True)
  except Exception as error:
    raise Failed(f'training=True is refused: {first_line(error)}') from error
  return Passed(len(found))


@check('encoder.inference_repeats', 26, level=Level.MUST, kinds=_ENCODER)
def inference_repeats(subject: EncoderSubject) -> Passed:
  """Without `training`, and with training=False, every call gives the same."""
  given, expected = subject.probe  # With training=False.
  worst = 0.0
  for how, found in (('a call without training', subject.direct),
                     ('the same call again', subject.call(given))):
    for name in (names.SEQUENCE_OUTPUT, names.DEFAULT):
      worst = max(worst, max_difference(output(found, name), output(expected, name)))
      if worst > REPEAT_TOLERANCE:
        raise Failed(f'{how} gave another {name}', worst, REPEAT_TOLERANCE)
  return Passed(worst, REPEAT_TOLERANCE)


@check('encoder.dropout', 27, 28, level=Level.REF, kinds=_ENCODER)
def dropout(subject: EncoderSubject) -> Passed:
  """training=True drops, differently for each example; with a rate of 0 it changes nothing."""
  drops = subject.told.dropout
  if drops is None:
    drops = subject.draws_random_numbers
  if drops is None:
    raise Failed('there is no trace with training=True')
  # One call with 16 equal examples shows as much as 16 calls: each example has its own mask.
  copies = 16 if (subject.sequence.padded_length or 0) <= 512 else 4  # Of long rows, fewer.
  given = {k: np.repeat(v[:1], copies, axis=0) for k, v in subject.probe[0].items()}
  training = subject.call(given, training=True)
  inference = subject.call(given)
  still = float(np.mean(np.std(output(inference, names.DEFAULT), axis=0)))
  spread = float(np.mean(np.std(output(training, names.DEFAULT), axis=0)))
  if still > 1e-6:
    raise Failed('without training, equal examples of a batch give different outputs', still, 1e-6)
  if drops and spread <= 1e-3:
    raise Failed('training=True does not drop anything (standard deviation of default over '
                 f'{copies} equal examples; more than 0.001 was expected)', spread, 1e-3)
  if not drops and subject.told.training_effect:
    if spread > TOLERANCE:
      raise Failed('training=True drops, though the dropout rate is 0', spread, TOLERANCE)
    return Passed(spread, TOLERANCE, f'dropout rate 0; {subject.told.training_effect}')
  if not drops:
    difference = max_difference(training[names.SEQUENCE_OUTPUT], inference[names.SEQUENCE_OUTPUT])
    if difference > TOLERANCE:
      raise Failed('training=True changes the outputs, though the dropout rate is 0', difference,
                   TOLERANCE)
    return Passed(difference, TOLERANCE, 'dropout rate 0')
  return Passed(spread)


@check('encoder.dropout_state', 29, 34, level=Level.GOAL, kinds=_ENCODER)
def dropout_state(subject: EncoderSubject) -> Passed:
  """dropout_state counts the training calls; setting it back gives the same masks again."""
  state = getattr(subject.obj, names.DROPOUT_STATE, None)
  if state is None:
    if subject.told.dropout_state:
      raise Failed('there is no dropout_state')
    if subject.draws_random_numbers is False:
      raise NotApplicable('it draws no random numbers')
    raise Failed('its dropout masks depend on no variable that could be set or saved')
  given = zeros(2, subject.length(4))
  return dropout_masks.follow(
      state, lambda: subject.call(given, training=True)[names.SEQUENCE_OUTPUT],
      subject.draws_random_numbers)


@check('encoder.xla', 30, level=Level.REF, kinds=_ENCODER)
def xla(subject: EncoderSubject) -> Passed:
  """It compiles with XLA for a fixed shape, with the same outputs."""
  layers = subject.num_layers or 0
  if layers > XLA_MAX_LAYERS:
    raise NotRun(f'compiling {layers} layers takes too long; done up to {XLA_MAX_LAYERS} layers')
  # Two graphs of the same ops, as those of an encoder with and without .mlm, compile alike.
  key = ('xla', tuple(sorted((subject.ops(training=False) or {}).items())))
  if key in subject.memory:
    return subject.memory[key]
  given = {k: v[:, :subject.length(4)] for k, v in subject.probe[0].items()}
  compiled = tf.function(lambda x: subject.obj(x)[names.SEQUENCE_OUTPUT], jit_compile=True,
                         autograph=False)
  try:
    found = compiled(as_tensors(given)).numpy()
  except Exception as error:
    raise Failed(f'XLA does not compile it: {first_line(error)}') from error
  difference = max_difference(found, subject.call(given)[names.SEQUENCE_OUTPUT])
  if difference > 1e-4:
    raise Failed('compiled by XLA, sequence_output differs', difference, 1e-4)
  subject.memory[key] = Passed(difference, 1e-4)
  return subject.memory[key]
