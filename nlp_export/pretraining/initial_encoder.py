"""Is the encoder that will be trained the one that its initial weights were trained in?

Activations, the place of layer norms and the like leave no trace in the weights: without this check
they would be read into another function without a word. Light.
"""

from __future__ import annotations

import dataclasses

from nlp_export import checkpoints, encoders
from nlp_export.encoder_config.encoder_spec import differences
from nlp_export.encoders import BuiltEncoder, EncoderSpec
from nlp_export.errors import RequestError

_DEFAULT_MLM_ACTIVATION = 'gelu'  # PretrainerConfig.mlm_activation in TF-NLP.
# Fields that a training may change: what the weights compute without dropout stays the same.
_OF_TRAINING = (
    'dropout_rate', 'attention_dropout_rate', 'hidden_dropout_prob',
    'attention_probs_dropout_prob', 'output_dropout', 'attention_dropout', 'initializer_range',
    'use_gradient_checkpointing')
# Fields whose difference the restore of the weights meets by their shapes.
_OF_SHAPES = ('vocab_size', 'word_vocab_size')


def brought(found: checkpoints.FoundCheckpoint | None) -> EncoderSpec | None:
  """The encoder that INITIAL_CHECKPOINT records; None if it records none."""
  if found is None or found.encoder_config is None:
    return None
  return encoders.from_file(found.encoder_config)


def check(
    found: checkpoints.FoundCheckpoint, recorded: EncoderSpec, spec: EncoderSpec | BuiltEncoder
) -> None:
  """Refuses to train an encoder from the weights of another one.

  Args:
    found: INITIAL_CHECKPOINT.
    recorded: what it brings along.
    spec: what will be trained. A network of an own factory is compared by its weights alone.

  Raises:
    RequestError: they compute something else; the message has the differences.
  """
  if isinstance(spec, BuiltEncoder):
    return
  free = {key: spec.config[key] for key in (*_OF_TRAINING, *_OF_SHAPES)
          if key in spec.config and key in recorded.config}
  lines = differences(
      spec, dataclasses.replace(recorded, config={**recorded.config, **free}))
  if lines:
    raise RequestError(
        f'INITIAL_CHECKPOINT {found.name} holds the weights of another encoder than the one that '
        'will be trained:\n  ' + '\n  '.join(lines) + '\nThe weights would be read into another '
        'function. Leave ENCODER and ENCODER_CONFIG out: the checkpoint brings its own '
        f'configuration. To change a field that does not matter to weights ({_OF_TRAINING[0]} '
        f'...), write ENCODER_CONFIG as {found.encoder_config} has it, with that field changed')


def mlm_activation(
    asked: str | None, found: checkpoints.FoundCheckpoint | None, spec: EncoderSpec | BuiltEncoder
) -> str:
  """The activation of the masked-LM head: as asked, as recorded, or as the format has it.

  Args:
    asked: pretrain.mlm_activation; None if not set.
    found: INITIAL_CHECKPOINT; None if there is none.
    spec: what will be trained.

  Raises:
    RequestError: asked for is another than the head's weights were trained with.
  """
  recorded = found.mlm_activation if found else None
  if asked and found and recorded and asked.lower() != recorded:
    raise RequestError(
        f'pretrain.mlm_activation is {asked!r}, but the masked LM head of {found.name} '
        f'(INITIAL_CHECKPOINT) was trained with {recorded!r}. Leave pretrain.mlm_activation out')
  if asked or recorded:
    return str(asked or recorded)
  # There the original code takes one activation for the layers and for the head.
  if found and found.kind == checkpoints.TF1 and isinstance(spec.hidden_activation, str):
    return spec.hidden_activation
  return _DEFAULT_MLM_ACTIVATION
