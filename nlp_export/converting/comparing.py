"""Does the written checkpoint compute what the source does?

It is opened like any other, its network built from the configuration that was written with it, and
restored strictly. Outputs on real text, not values, are what is compared, since a wrong activation
or a weight in another's place has every value right.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from nlp_export import checkpoints, encoders, files, names
from nlp_export.converting import heads as heads_lib
from nlp_export.converting.heads import Dense
from nlp_export.converting.request import HUGGING_FACE, ConversionRequest
from nlp_export.converting.source import Source
from nlp_export.encoder_config import sequence_form
from nlp_export.encoders import BuiltEncoder, EncoderSpec
from nlp_export.errors import NlpExportError
from nlp_export.restored_encoder import RestoredEncoder, restore_encoder
from nlp_export.saved_models.verification import reference
from nlp_export.saved_models.verification.registry import Level
from nlp_export.saved_models.verification.report import (
    FAILED,
    PASSED,
    CheckResult,
    VerificationReport,
)

TOLERANCE = 1e-5  # Of the largest value of an output, and of 1.
KIND = 'conversion'

# Other names of one function, of which a target may have one only.
_SAME_ACTIVATION = {'silu': 'swish', 'simple_swish': 'swish', 'identity': 'linear'}


@dataclasses.dataclass(frozen=True, eq=False)
class Expected:
  """What the written checkpoint must show.

  Attributes:
    batches: inputs and the source's outputs: sequence_output, pooled_output if the result has a
      pooler, mlm_logits if it has the head.
    heads: item -> layer.
    mlm_activation: of the masked LM head, None without one.
    asset_sha256: of the tokenizer's file, None without one.
  """

  batches: tuple[reference.Batch, ...]
  heads: Mapping[str, Dense]
  mlm_activation: str | None
  asset_sha256: str | None


def expect(source: Source, request: ConversionRequest) -> Expected:
  """Computes what the written checkpoint must show, before the source is let go."""
  batches = tuple(
      dataclasses.replace(batch, outputs=_outputs(source.restored, batch, source.has_pooler))
      for batch in _batches(request))
  asset = request.tokenizer.asset_file if request.tokenizer else None
  return Expected(batches, dict(source.heads), source.restored.mlm_activation,
                  files.sha256(asset) if asset else None)


def compare(request: ConversionRequest, directory: str, expected: Expected) -> VerificationReport:
  """Reads what was written and compares.

  Args:
    request: its encoder, if a user's own network, is filled with the written values.
    directory: where the target was written.
    expected: of the source.
  """
  try:
    found = checkpoints.find_checkpoint(request.converted(directory))
    checks = list(_checks(request, found, expected))
  except NlpExportError as error:
    checks = [_check('conversion.is_read', 'it is read like any other checkpoint', error.message)]
  return VerificationReport(request.to, KIND, True, tuple(checks))


def _checks(
    request: ConversionRequest, found: checkpoints.FoundCheckpoint, expected: Expected
) -> Iterator[CheckResult]:
  spec: EncoderSpec | BuiltEncoder = request.encoder
  if isinstance(spec, EncoderSpec):
    written = encoders.from_file(found.encoder_config) if found.encoder_config else None
    lines = encoders.differences(_plain(spec), _plain(written)) if written else ('there is none',)
    yield _check('conversion.configuration', 'its configuration describes the same encoder',
                 '; '.join(lines))
    spec = written or spec
  else:
    _spoil(spec.network)
  mlm_activation = None
  if expected.mlm_activation is not None:
    by_format = (spec.hidden_activation if request.to == HUGGING_FACE else None)
    mlm_activation = found.mlm_activation or by_format or 'none'
    same = _function(mlm_activation) == _function(expected.mlm_activation)
    yield _check('conversion.mlm_activation', 'the activation of the masked LM head is recorded',
                 '' if same else f'{mlm_activation}, not {expected.mlm_activation}')
    if not same:
      return
  restored = restore_encoder(found, spec, item_names={}, mlm_activation=mlm_activation)
  if restored.pooler is not None:
    wanted = names.POOLED_OUTPUT in expected.batches[0].outputs
    there = checkpoints.ENCODER_POOLER not in restored.report.left_out
    yield _check('conversion.pooler', 'it has a pooler if the source has one',
                 '' if there == wanted else f'{there}, where {wanted} is right')
  yield from _compare_outputs(restored, expected)
  yield from _compare_heads(restored, expected)
  asset = found.vocab_file or found.sp_model_file
  if expected.asset_sha256 is not None:
    same = bool(asset) and files.sha256(str(asset)) == expected.asset_sha256
    yield _check('conversion.vocabulary', "the tokenizer's file is the same",
                 '' if same else 'another one, or none')


def _compare_outputs(restored: RestoredEncoder, expected: Expected) -> Iterator[CheckResult]:
  outputs = [_outputs(restored, batch, with_pooler=names.POOLED_OUTPUT in batch.outputs)
             for batch in expected.batches]
  for key in expected.batches[0].outputs:
    largest, allowed = 0.0, TOLERANCE
    for found, batch in zip(outputs, expected.batches, strict=True):
      difference = float(np.abs(found[key] - batch.outputs[key]).max(initial=0))
      largest = max(largest, difference) if np.isfinite(difference) else float('inf')
      allowed = max(allowed, TOLERANCE * float(np.abs(batch.outputs[key]).max(initial=0)))
    why = '' if largest <= allowed else (
        f'they differ by up to {largest:.3g}, and {allowed:.3g} is allowed')
    value = largest if np.isfinite(largest) else 'not finite'
    yield _check(f'conversion.{key}', f'{key} equals the source', why, value, allowed)


def _compare_heads(restored: RestoredEncoder, expected: Expected) -> Iterator[CheckResult]:
  found = heads_lib.read(restored.checkpoint)
  for item, head in expected.heads.items():
    lacks = '' if item in found else 'it is not there'
    why = lacks or ('' if found[item].equals(head) else 'its values differ')
    yield _check(f'conversion.{item}', f'{item} equals the source', why)


def _outputs(
    restored: RestoredEncoder, batch: reference.Batch, with_pooler: bool) -> dict[str, Any]:
  import tensorflow as tf

  outputs = restored.network({k: tf.constant(v) for k, v in batch.inputs.items()}, training=False)
  sequence = outputs[names.SEQUENCE_OUTPUT]
  found = {names.SEQUENCE_OUTPUT: np.asarray(sequence)}
  if with_pooler:
    found[names.POOLED_OUTPUT] = np.asarray(outputs[names.POOLED_OUTPUT])
  if restored.masked_lm is not None:
    found[names.MLM_LOGITS] = np.asarray(
        restored.masked_lm(sequence, masked_positions=tf.constant(batch.positions)))
  return found


def _batches(request: ConversionRequest) -> list[reference.Batch]:
  """Sentences as the tokenizer gives them; random ids where none is known."""
  import tensorflow as tf

  spec, tokenizer = request.encoder, request.tokenizer
  max_positions, types = spec.max_positions or 64, spec.type_vocab_size or 1
  form = sequence_form.of(spec)
  whole = form.fixed_length or form.padded_length
  ids = tokenizer.special_token_ids() if tokenizer else {}
  if tokenizer is None or names.START_OF_SEQUENCE_ID not in ids:
    rows = spec.vocab_size or (tokenizer.vocab_size if tokenizer else 2)
    batches = reference.random_batches(rows, max_positions, types)
  else:
    tokenize = tf.function(tokenizer.build(with_offsets=False).tokenize, autograph=False,
                           input_signature=[tf.TensorSpec([None], tf.string)])
    token_ids = [_merged(tokenize(tf.constant(list(example)))) for example in reference.SENTENCES]
    batches = reference.sentence_batches(
        token_ids, start_of_sequence_id=ids[names.START_OF_SEQUENCE_ID],
        end_of_segment_id=ids[names.END_OF_SEGMENT_ID], padding_id=ids[names.PADDING_ID],
        max_positions=max_positions, type_vocab_size=types)
  return [_padded(batch, whole) if whole else batch for batch in batches]


def _merged(tokens: Any) -> list[list[int]]:
  return (tokens.merge_dims(1, 2) if tokens.ragged_rank == 2 else tokens).to_list()


def _padded(batch: reference.Batch, seq_length: int) -> reference.Batch:
  """The batch at the one length that a network has."""
  inputs = {key: np.pad(value, ((0, 0), (0, seq_length - value.shape[1])))
            for key, value in batch.inputs.items()}
  return dataclasses.replace(batch, inputs=inputs)


def _spoil(network: Any) -> None:
  """NaN in every weight of a network that cannot be built twice: what is not restored shows."""
  for variable in network.variables:
    if variable.dtype.is_floating:
      variable.assign(np.full(variable.shape, np.nan, variable.dtype.as_numpy_dtype))


def _plain(spec: EncoderSpec) -> EncoderSpec:
  """The spec without what has no effect on its three outputs, one name for each function."""
  config = {key: _function(value) if key.endswith('_activation') else value
            for key, value in spec.config.items()}
  config |= {key: False for key in config if key.startswith('return_')}
  if config.get('embedding_size') == config.get('hidden_size'):
    config.pop('embedding_size', None)
  return dataclasses.replace(spec, config=config)


def _function(activation: str) -> str:
  return _SAME_ACTIVATION.get(activation, activation)


def _check(
    name: str, title: str, wrong: str, value: Any = None, tolerance: float | None = None
) -> CheckResult:
  return CheckResult(name, (), Level.MUST, title, FAILED if wrong else PASSED, value, tolerance,
                     wrong)
