"""Are the encoder's values those of the restored source, and of the documented formulas?"""

from __future__ import annotations

from typing import Any

import numpy as np

from nlp_export import names
from nlp_export.saved_models.verification.encoder_call_checks import is_poolerless
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
  output,
)

_ENCODER = (Kind.ENCODER,)
_VARIABLES = Scope.VARIABLES


@check('encoder.default', 18, level=Level.MUST, kinds=_ENCODER, scope=_VARIABLES)
def default(subject: EncoderSubject) -> Passed:
  """`default` is pooled_output, bit for bit; without a pooler it is the [CLS] vector."""
  for _, found in subject.sentence_outputs:
    if is_poolerless(subject, found):
      what, expected = 'the [CLS] vector', output(found, names.SEQUENCE_OUTPUT)[:, 0]
    else:
      what, expected = names.POOLED_OUTPUT, output(found, names.POOLED_OUTPUT)
    difference = max_difference(output(found, names.DEFAULT), expected)
    if difference > 0:
      raise Failed(f'default is not {what}', difference, 0.0)
  return Passed(0.0, 0.0)


@check('encoder.encoder_outputs', 16, 19, level=Level.REF, kinds=_ENCODER, scope=_VARIABLES)
def encoder_outputs(subject: EncoderSubject) -> Passed:
  """encoder_outputs is a list with one tensor for each layer; the last is sequence_output."""
  given, found = subject.sentence_outputs[0]
  layers = found.get(names.ENCODER_OUTPUTS)
  if not isinstance(layers, list):
    raise Failed(f'there is no list encoder_outputs; found {sorted(found)}')
  first = int(subject.told.embeddings_first)
  if subject.num_layers is not None and len(layers) != subject.num_layers + first:
    raise Failed(f'encoder_outputs has {len(layers)} entries for {subject.num_layers} layers',
                 len(layers))
  batch, _, width = found[names.SEQUENCE_OUTPUT].shape
  taken = given.inputs[names.INPUT_WORD_IDS].shape[1]
  lengths = [taken] * first + list(subject.sequence.layer_lengths(taken, len(layers) - first))
  for i, (layer, length) in enumerate(zip(layers, lengths, strict=True)):
    if layer.shape != (batch, length, width):
      raise Failed(f'encoder_outputs[{i}] has shape {list(layer.shape)}, not '
                   f'{[batch, length, width]}')
  difference = max_difference(layers[-1], found[names.SEQUENCE_OUTPUT])
  if difference > 0:
    raise Failed('the last of encoder_outputs is not sequence_output', difference, 0.0)
  return Passed(len(layers), why='the embeddings, then each layer' if first else '')


@check('encoder.pooler', 20, level=Level.REF, kinds=_ENCODER, scope=_VARIABLES)
def pooler(subject: EncoderSubject) -> Passed:
  """pooled_output is tanh([CLS] @ kernel + bias) of the pooler's variables."""
  if names.POOLED_OUTPUT not in subject.sentence_outputs[0][1]:
    raise NotApplicable('an export without pooled_output has no pooler')
  pair = pooler_variables(subject)
  if pair is None:
    raise NotApplicable('no kernel [H, H] and bias [H] stand last among its trainable variables: '
                        'its pooler is of another form')
  kernel, bias = pair
  worst = 0.0
  for _, found in subject.sentence_outputs:
    expected = np.tanh(found[names.SEQUENCE_OUTPUT][:, 0] @ kernel + bias)
    worst = max(worst, max_difference(found[names.POOLED_OUTPUT], expected))
  if worst > TOLERANCE:
    raise Failed('pooled_output is not tanh([CLS] @ kernel + bias) of the exported pooler', worst,
                 TOLERANCE)
  return Passed(worst, TOLERANCE)


def pooler_variables(subject: EncoderSubject) -> tuple[np.ndarray, np.ndarray] | None:
  """Kernel and bias of the pooler: by its usual names, else the last two trainable variables."""
  kernel = subject.named(r'(pooler_transform|cls_transform|pooler(_dense)?)/kernel')
  bias = subject.named(r'(pooler_transform|cls_transform|pooler(_dense)?)/bias')
  if kernel is None or bias is None:
    if len(subject.trainable) < 2:
      return None
    kernel, bias = subject.trainable[-2:]
  width = bias.shape[0] if bias.shape.rank == 1 else None
  if width is None or kernel.shape.as_list() != [width, width]:
    return None
  return kernel.numpy(), bias.numpy()


@check('encoder.equals_source', 21, level=Level.REF, kinds=_ENCODER, scope=_VARIABLES)
def equals_source(subject: EncoderSubject) -> Passed:
  """On real sentences every output equals the restored encoder's."""
  if not subject.told.reference_file:
    raise NotRun('no reference values were given: they come from the checkpoint')
  worst = 0.0
  for batch, found in subject.sentence_outputs:
    worst = max(worst, compare_layers(batch.inputs, batch.outputs, found))
  return Passed(worst, TOLERANCE)


def compare_layers(inputs: dict[str, np.ndarray], expected: dict[str, Any],
                   found: dict[str, Any]) -> float:
  """The largest difference; raises Failed that names the first layer that diverges."""
  worst = 0.0
  layers = expected.get(names.ENCODER_OUTPUTS, [])
  others = found.get(names.ENCODER_OUTPUTS, [])
  if layers and others and len(others) != len(layers):
    raise Failed(f'{len(others)} layers instead of {len(layers)}', len(others))
  pairs = [(f'layer {i + 1} of {len(layers)}', a, b)
           for i, (a, b) in enumerate(zip(layers, others, strict=False))]
  pairs += [(name, expected[name], found[name])
            for name in (names.SEQUENCE_OUTPUT, names.POOLED_OUTPUT, names.MLM_LOGITS)
            if name in expected and name in found]
  real = inputs[names.INPUT_MASK].astype(bool)
  for what, a, b in pairs:
    if a.shape != b.shape:
      raise Failed(f'{what}: shape {list(b.shape)} instead of {list(a.shape)}')
    excess = difference_to(a, b)
    if excess > TOLERANCE:
      where = ''
      if a.shape[:2] == real.shape and a.ndim == 3 and what != names.MLM_LOGITS:
        at_real = difference_to(a[real], b[real])
        where = ' at real positions' if at_real > TOLERANCE else ' at padding only'
        excess = at_real if at_real > TOLERANCE else excess
      raise Failed(f'{what}: max difference {excess:.2g}{where}', excess, TOLERANCE)
    worst = max(worst, excess)
  return worst


def difference_to(expected: np.ndarray, found: np.ndarray) -> float:
  """The largest difference, in units of the expected value where that is above 1.

  float32 has no 1e-5 to spare at logits of 100, nor does any order of summation keep it.
  """
  return max_difference(found / np.maximum(1.0, np.abs(expected)),
                        expected / np.maximum(1.0, np.abs(expected)))


@check('encoder.padding', 22, level=Level.MUST, kinds=_ENCODER)
def padding(subject: EncoderSubject) -> Passed:
  """What stands under mask 0 does not change the outputs at real positions."""
  if subject.told.inexact_padding:
    raise NotApplicable(f'{subject.told.inexact_padding}: so is the encoder it was made from')
  given, found = subject.probe
  sequence = found[names.SEQUENCE_OUTPUT][:, :6]
  if subject.sequence.fixed_length is not None:
    difference = max_difference(sequence[0], sequence[1])
    if difference > TOLERANCE:
      raise Failed('padding changes the outputs at real positions', difference, TOLERANCE)
    return Passed(difference, TOLERANCE, 'at its one length')
  short = subject.call({k: v[:1, :6] for k, v in given.items()})[names.SEQUENCE_OUTPUT]
  difference = max(max_difference(sequence[0], sequence[1]), max_difference(sequence[0], short[0]))
  if difference > TOLERANCE:
    raise Failed('padding changes the outputs at real positions', difference, TOLERANCE)
  return Passed(difference, TOLERANCE)


@check('encoder.type_ids', 23, level=Level.MUST, kinds=_ENCODER)
def type_ids(subject: EncoderSubject) -> Passed:
  """Another segment changes the outputs."""
  if (subject.type_vocab_size or 1) < 2:
    raise NotApplicable('it has one segment type')
  _, found = subject.probe
  difference = max_difference(found[names.SEQUENCE_OUTPUT][0], found[names.SEQUENCE_OUTPUT][2])
  if difference <= TOLERANCE:
    raise Failed('input_type_ids have no effect', difference)
  return Passed(difference)


@check('encoder.finite', 16, level=Level.MUST, kinds=_ENCODER, scope=_VARIABLES)
def finite(subject: EncoderSubject) -> None:
  """No output is NaN or infinite."""
  for _, found in subject.sentence_outputs:
    for name, value in found.items():
      for array in value if isinstance(value, list) else [value]:
        if not np.all(np.isfinite(array)):
          raise Failed(f'{name} holds NaN or infinite values')


@check('encoder.signature', 46, level=Level.REF, kinds=_ENCODER)
def signature(subject: EncoderSubject) -> Passed:
  """serving_default takes and returns the API's names, with the values of the call."""
  import tensorflow as tf

  signatures = getattr(subject.obj, 'signatures', {})
  if names.SERVING_DEFAULT not in signatures:
    raise Failed('there is no serving_default')
  serve = signatures[names.SERVING_DEFAULT]
  taken = sorted(serve.structured_input_signature[1])
  returned = sorted(serve.structured_outputs)
  given, expected = subject.probe
  flat = {k: v for k, v in expected.items() if not isinstance(v, list)}
  # A signature has no lists: encoder_outputs_0 ..., and likewise what else an encoder returns.
  flat.update({f'{k}_{i}': v for k, values in expected.items() if isinstance(values, list)
               for i, v in enumerate(values)})
  if taken != sorted(names.ENCODER_INPUTS):
    raise Failed(f'serving_default takes {taken}', known_defect=9)
  try:
    found = serve(**{k: tf.constant(v) for k, v in given.items()})
  except Exception as error:
    raise Failed(f'serving_default fails: {first_line(error)}') from error
  for name, value in found.items():
    same = [flat[name]] if name in flat else list(flat.values())
    difference = min(max_difference(value.numpy(), other) for other in same)
    if difference > TOLERANCE:
      raise Failed(f'serving_default returns another {name} than the call', difference, TOLERANCE)
  # What the call itself lacks, encoder.outputs says.
  core = {n for n in flat if n in (names.SEQUENCE_OUTPUT, names.DEFAULT, names.POOLED_OUTPUT)
          or n.startswith(names.ENCODER_OUTPUTS)}
  if not core <= set(returned):
    raise Failed(f'serving_default returns {returned[:3]} ... instead of names of the API',
                 known_defect=9)
  return Passed(len(returned))
