"""Tiny but complete inputs, written by TF-NLP itself: vocabularies, configs, pre-trained models.

Every weight is drawn anew from a seeded normal distribution, biases and layer norms too. With
TF-NLP's own initial values (zeros, ones, small kernels) half of all mix-ups would go unnoticed.
"""

from __future__ import annotations

import dataclasses
import string
from pathlib import Path
from typing import Any

import numpy as np

SPECIAL_TOKENS = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')
_WORDS = ('the', 'a', 'of', 'and', 'cat', 'dog', 'sat', 'on', 'mat', 'hello', 'world', 'bank')
_PIECES = ('ing', 'ed', 's', 'er', 'ly')
_SYMBOLS = tuple('.,!?-\'"') + tuple('éüß中國')


def wordpiece_tokens(lower_case: bool = True) -> list[str]:
  """A WordPiece vocabulary that covers ASCII text; the cased one has capitals and 'The'."""
  letters = string.ascii_lowercase + string.digits
  words = _WORDS
  if not lower_case:
    letters += string.ascii_uppercase
    words += ('The', 'Hello', 'Café', 'NASA')
  pieces = [f'##{piece}' for piece in (*letters, *_PIECES, 'é')]
  return list(dict.fromkeys([*SPECIAL_TOKENS, *letters, *_SYMBOLS, *words, *pieces]))


def write_vocab(path: Path, lower_case: bool = True) -> str:
  """Writes `wordpiece_tokens` one a line and returns the path."""
  path.write_text('\n'.join(wordpiece_tokens(lower_case)) + '\n', encoding='utf-8')
  return str(path)


@dataclasses.dataclass(frozen=True)
class Size:
  """Sizes of a tiny encoder. The embedding has as many rows as the uncased vocabulary has lines."""

  type: str = 'bert'
  vocab_size: int = len(wordpiece_tokens())
  hidden_size: int = 16
  num_layers: int = 2
  num_attention_heads: int = 2
  intermediate_size: int = 24
  max_position_embeddings: int = 256
  hidden_activation: str = 'gelu'
  dropout_rate: float = 0.1
  embedding_size: int | None = None
  seed: int = 0

  def fields(self) -> dict[str, Any]:
    """The fields of TF-NLP's BertEncoderConfig or AlbertEncoderConfig."""
    fields = dataclasses.asdict(self)
    embedding_size = fields.pop('embedding_size')
    del fields['type'], fields['seed']
    fields |= {'type_vocab_size': 2, 'attention_dropout_rate': self.dropout_rate}
    if self.type == 'albert':
      fields['embedding_width'] = embedding_size or 8
    elif embedding_size:
      fields['embedding_size'] = embedding_size
    return fields


def write_encoder_config(path: Path, size: Size = Size()) -> str:
  """Writes an EncoderConfig YAML, as TF-NLP's trainer does, and returns the path."""
  lines = [f'type: {size.type}', f'{size.type}:']
  lines += [f'  {name}: {value}' for name, value in sorted(size.fields().items())]
  path.write_text('\n'.join(lines) + '\n')
  return str(path)


def build_encoder(size: Size = Size()) -> Any:
  """The encoder network of TF-NLP for that size, with its own initial values."""
  from official.nlp.configs import encoders

  config = encoders.EncoderConfig(type=size.type)
  config.override({size.type: size.fields()})
  return encoders.build_encoder(config)


def build_pretrainer(
    size: Size = Size(), head: str | None = 'next_sentence', mlm_activation: str = 'gelu'
) -> Any:
  """A BertPretrainerV2 with seeded random weights and, unless None, a classification head."""
  from official.modeling import tf_utils
  from official.nlp.modeling import layers, models

  heads = []
  if head:
    heads = [layers.ClassificationHead(size.hidden_size, num_classes=2, name=head)]
  pretrainer = models.BertPretrainerV2(
      encoder_network=build_encoder(size),
      mlm_activation=tf_utils.get_activation(mlm_activation),
      classification_heads=heads,
  )
  pretrainer(pretrainer.inputs)  # Makes the heads' variables.
  draw_weights(pretrainer, size.seed)
  return pretrainer


def draw_weights(model: Any, seed: int = 0) -> None:
  """Gives every variable seeded normal values that keep signals from growing or fading."""
  rng = np.random.default_rng(seed)
  for variable in model.variables:
    values = rng.normal(0.0, 0.25, variable.shape)
    if variable.name.rpartition('/')[2].startswith('gamma'):
      values = 1.0 + values
    variable.assign(values.astype(np.float32))


def write_checkpoint(prefix: Path, pretrainer: Any) -> str:
  """Writes all `checkpoint_items`, as TF-NLP's pre-training does, to the returned `<prefix>-1`."""
  import tensorflow as tf

  return tf.train.Checkpoint(**pretrainer.checkpoint_items).save(str(prefix))


def encoder_inputs(
    batch: int = 3, seq_length: int = 12, vocab_size: int = Size.vocab_size, seed: int = 0
) -> dict[str, np.ndarray]:
  """Random int32 inputs: two segments, and every row but the first padded."""
  rng = np.random.default_rng(seed)
  lengths = np.maximum(seq_length - 2 * np.arange(batch), 1)[:, None]
  position = np.arange(seq_length)[None, :]
  mask = (position < lengths).astype(np.int32)
  return {
      'input_word_ids': rng.integers(5, vocab_size, (batch, seq_length), np.int32) * mask,
      'input_mask': mask,
      'input_type_ids': (position >= lengths // 2).astype(np.int32) * mask,
  }
