"""What is an encoder before it is built: its type and every field of its configuration.

An EncoderSpec is a plain value that needs no TensorFlow; `build` makes TF-NLP's network of it.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping, Sequence
from typing import Any

from nlp_export import names
from nlp_export.encoder_config import support
from nlp_export.encoder_config.encoder_blocks import (
  DEFAULTS,
  GELU_ERF,
  WITHOUT_EFFECT,
  Place,
  check_type,
  complete_block,
)

# Property of EncoderSpec -> the fields that hold it in the one or other type of encoder.
_ALIASES: Mapping[str, tuple[str, ...]] = {
    'num_layers': ('num_layers', 'num_blocks'),
    'vocab_size': ('vocab_size', 'word_vocab_size'),
    'max_positions': ('max_position_embeddings', 'max_sequence_length'),
    'embedding_size': ('embedding_size', 'embedding_width', 'word_embed_size'),
    'intermediate_size': ('intermediate_size', 'inner_dim', 'inner_size'),
    'hidden_activation': ('hidden_activation', 'inner_activation'),
    'dropout_rate': ('dropout_rate', 'output_dropout', 'hidden_dropout_prob'),
    'attention_dropout_rate': (
        'attention_dropout_rate', 'attention_dropout', 'attention_probs_dropout_prob')}


@dataclasses.dataclass(frozen=True, eq=False)
class EncoderSpec:
  """One encoder: its type in TF-NLP's EncoderConfig and all fields of that type's block.

  Two specs are equal if type and config are; where they come from does not matter.

  Attributes:
    type: 'bert', 'bert_v2', 'albert' or another type of official.nlp.configs.encoders.
    config: field -> value, complete: fields not given take TF-NLP's defaults. Read only.
    source: where it was written, in a few words, without machine paths.
    notes: lines about what was found beside the fields (keys without effect, say).
    configured_dropout: dropout_rate and attention_dropout_rate of the configuration, if
      `with_dropout` has replaced them; else None.

  Raises:
    RequestError: an unknown type or field, or a value that no encoder can have.
  """
  type: str
  config: Mapping[str, Any]
  source: str = 'Python'
  notes: tuple[str, ...] = ()
  configured_dropout: tuple[float, float] | None = None

  def __post_init__(self) -> None:
    place = Place(f'EncoderSpec from {self.source}', '{key} = {value!r}')
    check_type(self.type, place.name, "type = 'bert'")
    block = complete_block(self.type, self.config, place)
    object.__setattr__(self, 'config', types.MappingProxyType(block))
    unread = [f'{key} = {block[key]!r} has no effect: TF-NLP loses it on the way to the {self.type}'
              ' network' for key in WITHOUT_EFFECT.get(self.type, ())
              if block[key] != DEFAULTS[self.type][key]]
    object.__setattr__(self, 'notes', tuple(dict.fromkeys((*self.notes, *unread))))

  def __eq__(self, other: object) -> bool:
    if not isinstance(other, EncoderSpec):
      return NotImplemented
    return (self.type, dict(self.config)) == (other.type, dict(other.config))

  def __hash__(self) -> int:
    return hash((self.type, tuple(self.config.items())))

  def __reduce__(self) -> tuple[Any, ...]:  # A mapping proxy cannot be copied.
    return EncoderSpec, (
        self.type, dict(self.config), self.source, self.notes, self.configured_dropout)

  def _get(self, name: str) -> Any:
    unread = WITHOUT_EFFECT.get(self.type, ())
    fields = [field for field in _ALIASES.get(name, (name,)) if field not in unread]
    return next((self.config[field] for field in fields if field in self.config), None)

  @property
  def hidden_size(self) -> int:
    """Width h of sequence_output."""
    return self._get('hidden_size')

  @property
  def num_layers(self) -> int:
    """Number of Transformer blocks that a token passes (ALBERT: the same block each time)."""
    return self._get('num_layers')

  @property
  def num_attention_heads(self) -> int:
    """Attention heads of each block."""
    return self._get('num_attention_heads')

  @property
  def intermediate_size(self) -> int:
    """Width of the feed-forward layer of a block."""
    return self._get('intermediate_size')

  @property
  def vocab_size(self) -> int:
    """Rows of the word embedding table."""
    return self._get('vocab_size')

  @property
  def max_positions(self) -> int | None:
    """The longest seq_length; None where there is no table of positions (xlnet)."""
    return self._get('max_positions')

  @property
  def type_vocab_size(self) -> int | None:
    """Number of segment ids; None where the type has no such field (xlnet)."""
    return self._get('type_vocab_size')

  @property
  def embedding_size(self) -> int:
    """Width of the word embeddings; hidden_size unless they are factorised."""
    return self._get('embedding_size') or self.hidden_size

  @property
  def hidden_activation(self) -> str:
    """Activation of the feed-forward layers; 'gelu' is the tanh form, 'gelu_erf' the exact one."""
    name = self._get('hidden_activation')
    # TF-NLP hands mobilebert's to tf_keras by name, whose "gelu" is the exact form.
    return GELU_ERF if self.type == 'mobilebert' and name == 'gelu' else name

  @property
  def dropout_rate(self) -> float:
    """Dropout rate of hidden layers, for training=True."""
    return self._get('dropout_rate')

  @property
  def attention_dropout_rate(self) -> float:
    """Dropout rate of attention probabilities, for training=True."""
    return self._get('attention_dropout_rate')

  @property
  def num_parameters(self) -> int | None:
    """Number of weights of the encoder with its pooler; None but for bert, bert_v2 and albert."""
    if self.type not in ('bert', 'bert_v2', 'albert'):
      return None
    h, e, i = self.hidden_size, self.embedding_size, self.intermediate_size
    rows = sum(
        self.config[key] for key in ('vocab_size', 'max_position_embeddings', 'type_vocab_size'))
    embeddings = (rows + 2) * e  # The two are gamma and beta of the layer norm.
    projection = e * h + h if e != h else 0
    block = 4 * (h * h + h) + (h * i + i) + (i * h + h) + 2 * 2 * h
    blocks = 1 if self.type == 'albert' else self.num_layers
    return embeddings + projection + blocks * block + (h * h + h)

  def check_exportable(self, export_types: Sequence[str] = (names.MODEL,)) -> None:
    """Raises RequestError if an export would break the text API whatever the weights are.

    Args:
      export_types: of names.EXPORT_TYPES, those that were asked for.
    """
    support.check(self, export_types)

  def with_dropout(self, rate: float) -> EncoderSpec:
    """The same encoder with another dropout in hidden layers and attention, for training=True."""
    fields = [field for name in ('dropout_rate', 'attention_dropout_rate')
              for field in _ALIASES[name] if field in self.config]
    return dataclasses.replace(
        self, config={**self.config, **dict.fromkeys(fields, float(rate))},
        configured_dropout=(self.dropout_rate, self.attention_dropout_rate))

  def build(self, initialise: bool = False) -> Any:
    """TF-NLP's network of this spec, built by official.nlp.configs.encoders.build_encoder.

    Args:
      initialise: True for TF-NLP's random initial weights; False for zeros, which are made in a
        small part of the time and are enough where every weight is restored.

    Returns:
      The tf_keras network, with its variables: inputs int32 [batch, seq_length] under
      input_word_ids, input_mask and input_type_ids, dict outputs.
    """
    from nlp_export.encoder_config import encoder_networks

    return encoder_networks.build(self, initialise=initialise)

  def to_json(self) -> dict[str, Any]:
    """A dict of JSON values from which `from_json` makes an equal spec."""
    config = {k: list(v) if isinstance(v, tuple) else v for k, v in self.config.items()}
    return {'type': self.type, 'config': config, 'source': self.source, 'notes': list(self.notes)}

  @classmethod
  def from_json(cls, value: Mapping[str, Any]) -> EncoderSpec:
    """The spec that `to_json` described."""
    return cls(value['type'], value['config'], value['source'], tuple(value['notes']))


def differences(a: EncoderSpec, b: EncoderSpec) -> tuple[str, ...]:
  """Where two specs describe different encoders, one line a field; empty if they agree.

  'bert' and 'bert_v2' are two ways to write one network (same weights, same outputs), so that
  difference alone is none.
  """
  lines = []
  if a.type != b.type and {a.type, b.type} != {'bert', 'bert_v2'}:
    lines.append(f'type: {a.type} in {a.source}, {b.type} in {b.source}')
  for key in [*a.config, *(key for key in b.config if key not in a.config)]:
    if key not in a.config or key not in b.config:
      if not lines:
        lines.append(f'{key}: only in {a.source if key in a.config else b.source}')
    elif a.config[key] != b.config[key]:
      why = _GELUS if {a.config[key], b.config[key]} == {'gelu', 'gelu_erf'} else ''
      lines.append(f'{key}: {a.config[key]!r} in {a.source}, {b.config[key]!r} in {b.source}{why}')
  return tuple(lines)


def specs_agree(a: EncoderSpec, b: EncoderSpec) -> bool:
  """True if the two describe the same encoder."""
  return not differences(a, b)


_GELUS = (" ('gelu' is the tanh form, as TF-NLP and Google's BERT compute it; 'gelu_erf' the exact"
          " one, as Hugging Face's \"gelu\")")
