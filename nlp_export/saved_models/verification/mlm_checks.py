"""Is `.mlm` the encoder's own masked-LM head, and does it share its variables? (conformance E)"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from nlp_export import names
from nlp_export.saved_models.verification.encoder_value_checks import compare_layers, difference_to
from nlp_export.saved_models.verification.encoder_variable_checks import compare_weights
from nlp_export.saved_models.verification.registry import (
  Failed,
  Kind,
  Level,
  NotApplicable,
  NotRun,
  Passed,
  Scope,
  check,
)
from nlp_export.saved_models.verification.subject import (
  TOLERANCE,
  EncoderSubject,
  first_line,
  max_difference,
)

_ENCODER = (Kind.ENCODER,)
_VARIABLES = Scope.VARIABLES


def _need_mlm(subject: EncoderSubject) -> None:
  if subject.mlm is None:
    raise NotApplicable('an export without .mlm')


def _inputs(subject: EncoderSubject, positions: list[int]) -> dict[str, np.ndarray]:
  inputs = {k: v[:2] for k, v in subject.probe[0].items()}
  width = inputs[names.INPUT_WORD_IDS].shape[1]
  inputs[names.MASKED_LM_POSITIONS] = np.array([positions] * 2, np.int32).reshape(2, -1) % width
  return inputs


@check('mlm.present', 47, level=Level.MUST, kinds=_ENCODER)
def present(subject: EncoderSubject) -> Passed:
  """`.mlm` is there if it was asked for, and else not."""
  found = subject.mlm is not None
  if subject.told.has_mlm is not None and found != subject.told.has_mlm:
    raise Failed('.mlm is missing' if not found else '.mlm is there, though not asked for', found)
  if found and not callable(subject.mlm):
    raise Failed('.mlm cannot be called')
  return Passed(found)


@check('mlm.outputs', 48, 49, level=Level.REF, kinds=_ENCODER)
def outputs(subject: EncoderSubject) -> Passed:
  """It takes four int32 inputs, any number of positions, and adds float32 mlm_logits [B, P, V]."""
  _need_mlm(subject)
  for positions in ([0, 2, 1, 5], [3], []):
    try:
      found = subject.call_mlm(_inputs(subject, positions))
    except Exception as error:
      raise Failed(f'.mlm with {len(positions)} positions failed: {first_line(error)}') from error
    required = {names.SEQUENCE_OUTPUT, names.ENCODER_OUTPUTS, names.MLM_LOGITS}
    if names.POOLED_OUTPUT in subject.probe[1]:
      required.add(names.POOLED_OUTPUT)
    if not required <= set(found):
      raise Failed(f'.mlm does not return {sorted(required - set(found))[0]}')
    logits = found[names.MLM_LOGITS]
    shape = (2, len(positions), subject.vocab_size)
    if logits.shape != shape or logits.dtype != np.float32:
      raise Failed(f'mlm_logits is {logits.dtype.name} {list(logits.shape)}, not float32 '
                   f'{list(shape)}')
  traced = tf.function(lambda x: subject.mlm(x), autograph=False).get_concrete_function(
      subject.specs(names.MLM_INPUTS))
  static = traced.structured_outputs[names.MLM_LOGITS].shape
  if static.rank != 3:
    raise Failed(f'mlm_logits has the static shape {static} in a tf.function')
  return Passed(3)


@check('mlm.equals_source', 50, level=Level.REF, kinds=_ENCODER, scope=_VARIABLES)
def equals_source(subject: EncoderSubject) -> Passed:
  """On real sentences mlm_logits equal the restored pretrainer's."""
  _need_mlm(subject)
  if not subject.told.reference_file:
    raise NotRun('no reference values were given: they come from the checkpoint')
  worst = 0.0
  for batch, found in subject.mlm_outputs:
    if names.MLM_LOGITS not in batch.outputs:
      raise NotRun('the reference values hold no mlm_logits')
    expected = {names.MLM_LOGITS: batch.outputs[names.MLM_LOGITS]}
    worst = max(worst, compare_layers(batch.inputs, expected, found))
  return Passed(worst, TOLERANCE)


@check('mlm.formula', 51, 59, level=Level.REF, kinds=_ENCODER, scope=_VARIABLES)
def formula(subject: EncoderSubject) -> Passed:
  """mlm_logits are LN(act(dense(sequence_output at the positions))) @ embeddings + bias."""
  _need_mlm(subject)
  parts = head_variables(subject)
  if parts is None:
    raise NotApplicable('its head has other variables than dense, layer norm and output bias')
  batch, found = subject.mlm_outputs[0]
  gathered = np.take_along_axis(found[names.SEQUENCE_OUTPUT], batch.positions[..., None], axis=1)
  dense = gathered @ parts['kernel'] + parts['bias']
  told = subject.told.mlm_activation
  candidates = {told: ACTIVATIONS[told]} if told in ACTIVATIONS else ACTIVATIONS
  differences = {name: difference_to(_logits(activation(dense), parts), found[names.MLM_LOGITS])
                 for name, activation in candidates.items()}
  best = min(differences, key=lambda name: differences[name])
  # The gather, two products and a norm in another order of summation: twice the usual tolerance.
  tolerance = 2 * TOLERANCE
  if differences[best] > tolerance:
    raise Failed(f'mlm_logits do not follow from the head\'s variables with activation {best}',
                 differences[best], tolerance)
  return Passed(differences[best], tolerance, f'activation {best}')


def _logits(x: np.ndarray, parts: dict[str, np.ndarray]) -> np.ndarray:
  mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
  x = (x - mean) / np.sqrt(variance + 1e-12) * parts['gamma'] + parts['beta']
  return x @ parts['embeddings'].T + parts['output_bias']


def _of(function: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[np.ndarray], np.ndarray]:
  return lambda x: function(tf.constant(x)).numpy()


# Names as TF-NLP writes them; 'gelu' is the tanh form there.
ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    'gelu': _of(lambda x: tf.nn.gelu(x, approximate=True)),
    'gelu_erf': _of(lambda x: tf.nn.gelu(x, approximate=False)),
    'relu': _of(tf.nn.relu),
    'tanh': _of(tf.tanh),
    'swish': _of(tf.nn.silu),
    'linear': _of(tf.identity),
    'relu6': _of(tf.nn.relu6),
    'elu': _of(tf.nn.elu),
}


def head_variables(subject: EncoderSubject) -> dict[str, np.ndarray] | None:
  """Arrays kernel [H,E], bias, gamma, beta [E], output_bias [V], embeddings [V,E], or None."""
  table = subject.word_embeddings
  if table is None or len(subject.head) != 5:
    return None
  rows, width = table.shape
  parts: dict[str, Any] = {'embeddings': table}
  for v in subject.head:
    name = v.name.split(':')[0].rsplit('/')[-1]
    if name == 'bias' and v.shape.as_list() == [rows] and 'output_bias' in v.name:
      name = 'output_bias'
    parts[name] = v
  wanted = {'kernel', 'bias', 'gamma', 'beta', 'output_bias', 'embeddings'}
  if set(parts) != wanted or parts['kernel'].shape[-1] != width:
    return None
  return {name: v.numpy() for name, v in parts.items()}


@check('mlm.equals_root', 52, level=Level.REF, kinds=_ENCODER)
def equals_root(subject: EncoderSubject) -> Passed:
  """Its other outputs equal the root's on the same inputs."""
  _need_mlm(subject)
  inputs = _inputs(subject, [0, 2])
  found = subject.call_mlm(inputs)
  root = subject.call({k: inputs[k] for k in names.ENCODER_INPUTS})
  worst = 0.0
  pairs = [(n, found[n], root[n]) for n in (names.SEQUENCE_OUTPUT, names.POOLED_OUTPUT)
           if n in found and n in root]
  layers, own = (x.get(names.ENCODER_OUTPUTS, []) for x in (found, root))
  if len(layers) != len(own):
    raise Failed(f'.mlm returns {len(layers)} encoder_outputs, the root {len(own)}', len(layers))
  pairs += [(f'encoder_outputs[{i}]', a, b)
            for i, (a, b) in enumerate(zip(layers, own, strict=True))]
  for name, mine, theirs in pairs:
    worst = max(worst, max_difference(mine, theirs))
    if worst > TOLERANCE:
      raise Failed(f'{name} of .mlm differs from the root\'s', worst, TOLERANCE)
  return Passed(worst, TOLERANCE)


@check('mlm.positions', 53, level=Level.REF, kinds=_ENCODER)
def positions(subject: EncoderSubject) -> Passed:
  """Logits belong to their position: another order of positions gives that order of logits."""
  _need_mlm(subject)
  found = subject.call_mlm(_inputs(subject, [0, 2, 1, 5]))[names.MLM_LOGITS]
  turned = subject.call_mlm(_inputs(subject, [5, 1, 2, 0]))[names.MLM_LOGITS]
  difference = max_difference(found, turned[:, ::-1])
  if difference > TOLERANCE:
    raise Failed('in another order of positions the logits differ', difference, TOLERANCE)
  if max_difference(found[:, 0], found[:, 1]) <= TOLERANCE:
    raise Failed('the logits do not depend on the position')
  return Passed(difference, TOLERANCE)


@check('mlm.weights', 54, level=Level.REF, kinds=_ENCODER, scope=_VARIABLES)
def weights(subject: EncoderSubject) -> Passed:
  """It has the root's trainable variables and the head's five, with the pretrainer's values."""
  _need_mlm(subject)
  if len(subject.head) != 5:
    raise Failed(f'.mlm has {len(subject.head)} trainable variables that the root has not; its '
                 'head has 5', len(subject.head))
  count = len(subject.mlm.trainable_variables)
  if count != len(subject.trainable) + 5:
    raise Failed(f'.mlm has {count} trainable variables, the root {len(subject.trainable)}', count)
  if subject.told.mlm_head is not None:
    compare_weights(subject.head, subject.told.mlm_head)
  return Passed(len(subject.head))


@check('mlm.shares_variables', 55, 56, level=Level.REF, kinds=_ENCODER)
def shares_variables(subject: EncoderSubject) -> Passed:
  """It trains the root's own variables: what changes them through `.mlm` changes the root."""
  _need_mlm(subject)
  mine = {id(v) for v in subject.mlm.trainable_variables}
  own = [v.name for v in subject.trainable if id(v) not in mine]
  if own:
    raise Failed(f'{len(own)} variables of the root are not those of .mlm: {own[0]}', len(own))
  root = {id(v) for v in subject.trainable}
  candidates = [v for v in subject.mlm.trainable_variables
                if id(v) in root and v.shape.rank >= 2 and 'embeddings' in v.name]
  if not candidates:
    raise NotRun('no embedding table that could be changed is found by name')
  variable = min(candidates, key=lambda v: int(np.prod(v.shape)))
  given, before = subject.probe
  kept = variable.numpy()
  # Noise, not a constant: layer norm would take a constant shift out again.
  variable.assign(kept + np.random.default_rng(0).normal(size=kept.shape).astype(kept.dtype))
  try:
    after = subject.call(given)
  finally:
    variable.assign(kept)
  difference = max_difference(before[names.SEQUENCE_OUTPUT], after[names.SEQUENCE_OUTPUT])
  if difference <= TOLERANCE:
    raise Failed(f'changing {variable.name} through .mlm does not change the root', difference)
  return Passed(difference)


@check('mlm.dropout', 57, level=Level.REF, kinds=_ENCODER)
def dropout(subject: EncoderSubject) -> Passed:
  """It takes training=True, which drops wherever the root's does."""
  _need_mlm(subject)
  inputs = {k: np.repeat(v[:1], 8, axis=0) for k, v in _inputs(subject, [0, 2]).items()}
  try:
    found = subject.call_mlm(inputs, training=True)
  except Exception as error:
    raise Failed(f'.mlm refuses training=True: {first_line(error)}') from error
  drops = subject.draws_random_numbers if subject.told.dropout is None else subject.told.dropout
  spread = float(np.mean(np.std(found[names.SEQUENCE_OUTPUT], axis=0)))
  if bool(drops) != (spread > 1e-4):
    raise Failed('.mlm with training=True ' + ('drops nothing' if drops else 'drops'), spread)
  return Passed(spread)

