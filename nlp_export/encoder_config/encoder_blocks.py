"""Which fields has each encoder type of TF-NLP, with which defaults, and which values make sense?

The tables repeat the dataclasses of `official.nlp.configs.encoders` (tf-models-official 2.20), so
that a misspelt field is answered without importing TensorFlow; tests/test_encoders.py compares them
with the dataclasses field by field.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nlp_export.errors import RequestError

_COMMON: dict[str, Any] = {
    'vocab_size': 30522, 'hidden_size': 768, 'num_layers': 12, 'num_attention_heads': 12,
    'hidden_activation': 'gelu', 'intermediate_size': 3072, 'dropout_rate': 0.1,
    'attention_dropout_rate': 0.1, 'max_position_embeddings': 512, 'type_vocab_size': 2,
    'initializer_range': 0.02}
_QUERY_BERT = _COMMON | {
    'embedding_size': None, 'output_range': None, 'return_all_encoder_outputs': False,
    'return_attention_scores': False, 'norm_first': False}
_BERT = _QUERY_BERT | {'return_word_embeddings': False}
_ALBERT = _COMMON | {
    'vocab_size': 30000, 'embedding_width': 128, 'dropout_rate': 0.0,
    'attention_dropout_rate': 0.0}
_FNET: dict[str, Any] = {
    'vocab_size': 30522, 'hidden_size': 768, 'num_layers': 12, 'num_attention_heads': 12,
    'inner_activation': 'gelu', 'inner_dim': 3072, 'output_dropout': 0.1, 'attention_dropout': 0.1,
    'max_sequence_length': 512, 'type_vocab_size': 2, 'initializer_range': 0.02,
    'embedding_width': None, 'output_range': None, 'norm_first': False, 'use_fft': False,
    'attention_layers': ()}

# Encoder type -> field -> TF-NLP's default.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    'bert': _BERT,
    'bert_v2': _BERT,
    'albert': _ALBERT,
    'bigbird': _COMMON | {
        'vocab_size': 50358, 'norm_first': False, 'max_position_embeddings': 4096,
        'num_rand_blocks': 3, 'block_size': 64, 'type_vocab_size': 16, 'embedding_width': None,
        'use_gradient_checkpointing': False},
    'funnel': {
        **{k: v for k, v in _COMMON.items() if k != 'intermediate_size'}, 'inner_dim': 3072,
        'type_vocab_size': 16, 'approx_gelu': True, 'pool_type': 'max', 'pool_stride': 2,
        'unpool_length': 0, 'output_range': None, 'embedding_width': None, 'embedding_layer': None,
        'norm_first': False, 'share_rezero': False, 'append_dense_inputs': False,
        'transformer_cls': 'TransformerEncoderBlock'},
    'kernel': _COMMON | {
        'norm_first': False, 'embedding_size': None, 'feature_transform': 'exp',
        'num_random_features': 256, 'redraw': False, 'is_short_seq': False, 'begin_kernel': 0,
        'scale': None},
    'mobilebert': {
        'word_vocab_size': 30522, 'word_embed_size': 128, 'type_vocab_size': 2,
        'max_sequence_length': 512, 'num_blocks': 24, 'hidden_size': 512, 'num_attention_heads': 4,
        'intermediate_size': 4096, 'hidden_activation': 'gelu', 'hidden_dropout_prob': 0.1,
        'attention_probs_dropout_prob': 0.1, 'intra_bottleneck_size': 1024,
        'initializer_range': 0.02, 'use_bottleneck_attention': False,
        'key_query_shared_bottleneck': False, 'num_feedforward_networks': 1,
        'normalization_type': 'layer_norm', 'classifier_activation': True,
        'input_mask_dtype': 'int32'},
    'reuse': _COMMON | {
        'embedding_size': None, 'output_range': None, 'return_all_encoder_outputs': False,
        'norm_first': False, 'reuse_attention': -1, 'use_relative_pe': False,
        'pe_max_seq_length': 512, 'max_reuse_layer_idx': 6},
    'xlnet': {
        'vocab_size': 32000, 'num_layers': 24, 'hidden_size': 1024, 'num_attention_heads': 16,
        'head_size': 64, 'inner_size': 4096, 'inner_activation': 'gelu', 'dropout_rate': 0.1,
        'attention_dropout_rate': 0.1, 'attention_type': 'bi', 'bi_data': False,
        'tie_attention_biases': False, 'memory_length': 0, 'same_length': False,
        'clamp_length': -1, 'reuse_length': 0, 'use_cls_mask': False, 'embedding_width': 1024,
        'initializer_range': 0.02, 'two_stream': False},
    'query_bert': _QUERY_BERT,
    'fnet': _FNET,
    'sparse_mixer': _FNET | {
        'num_layers': 14, 'moe_layers': (5, 6, 7, 8), 'attention_layers': (10, 11, 12, 13),
        'num_experts': 16, 'train_capacity_factor': 1.0, 'eval_capacity_factor': 1.0,
        'examples_per_group': 1.0, 'num_attention_heads': 8}}

# Our own activation beside TF-NLP's: the exact (erf) form; TF-NLP's 'gelu' is the tanh form.
GELU_ERF = 'gelu_erf'

# What official.modeling.tf_utils.get_activation knows (its own names and those of tf_keras).
ACTIVATIONS = (
    'elu', 'exponential', 'gelu', GELU_ERF, 'hard_sigmoid', 'hard_swish', 'identity', 'leaky_relu',
    'linear', 'log_softmax', 'mish', 'relu', 'relu6', 'selu', 'sigmoid', 'silu', 'simple_swish',
    'softmax', 'softplus', 'softsign', 'swish', 'tanh')

# Fields that build_encoder of TF-NLP 2.20 loses on the way to the network: what was trained with
# them was trained without. (Funnel's approx_gelu reaches get_activation, which ignores it.)
WITHOUT_EFFECT: Mapping[str, tuple[str, ...]] = {
    'bigbird': ('embedding_width',), 'funnel': ('approx_gelu', 'output_range'),
    'fnet': ('output_range',), 'sparse_mixer': ('output_range',), 'kernel': ('embedding_size',),
    'reuse': ('embedding_size', 'output_range')}
# TF-NLP hands mobilebert's activation to tf_keras by name. These are names of TF-NLP alone.
_NOT_IN_KERAS = ('hard_swish', 'identity', 'relu6', 'simple_swish')

_ACTIVATION_FIELDS = ('hidden_activation', 'inner_activation')
# Fields whose default None hides their type.
_OPTIONAL: Mapping[str, type] = {
    'embedding_size': int, 'embedding_width': int, 'output_range': int, 'scale': float}
_SIZES = frozenset((
    'vocab_size', 'word_vocab_size', 'hidden_size', 'num_layers', 'num_blocks',
    'num_attention_heads', 'intermediate_size', 'inner_dim', 'inner_size', 'head_size',
    'max_position_embeddings', 'max_sequence_length', 'type_vocab_size', 'embedding_size',
    'embedding_width', 'word_embed_size', 'intra_bottleneck_size', 'output_range', 'block_size',
    'num_feedforward_networks', 'pe_max_seq_length', 'num_experts'))
# The least value where it is not 1.
_LEAST: Mapping[str, int] = {
    'num_random_features': 0, 'begin_kernel': 0, 'num_rand_blocks': 0, 'unpool_length': 0,
    'memory_length': 0, 'reuse_length': 0, 'reuse_attention': -1, 'clamp_length': -1}
_CHOICES: Mapping[str, tuple[str, ...]] = {
    'feature_transform': ('elu', 'relu', 'square', 'exp', 'expmod', 'expplus', 'identity'),
    'normalization_type': ('layer_norm', 'no_norm'),
    'input_mask_dtype': ('int32', 'int64', 'bfloat16', 'float16', 'float32'),
    'attention_type': ('bi', 'uni')}
_RATES = frozenset((
    'dropout_rate', 'attention_dropout_rate', 'output_dropout', 'attention_dropout',
    'hidden_dropout_prob', 'attention_probs_dropout_prob'))


@dataclasses.dataclass(frozen=True)
class Place:
  """Where values were written, so that a message can show the line to write instead.

  Attributes:
    name: what the user calls it: 'encoders.bert', or the path of a file.
    line: format of one line there, with {key} and {value}; values are written as in JSON (YAML
      reads them too), or with {value!r} as in Python and gin.
    keys: field of the block -> key in that file, where they differ.
  """
  name: str
  line: str
  keys: Mapping[str, str] = dataclasses.field(default_factory=dict)

  def key(self, field: str) -> str:
    return self.keys.get(field, field)

  def write(self, field: str, value: Any) -> str:
    shown = value if '{value!r}' in self.line else json.dumps(value)
    return self.line.format(key=self.key(field), value=shown)


def did_you_mean(name: str, known: Iterable[str]) -> str:
  """' (did you mean x?)' with the nearest known name, or '' where none is near."""
  near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.6)
  return f' (did you mean {near[0]}?)' if near else ''


def check_type(encoder_type: Any, place: str, line: str = 'type: bert') -> None:
  """Raises RequestError unless `encoder_type` names a block that a configuration can describe.

  Args:
    encoder_type: value of EncoderConfig's `type`.
    place: where it stands, for the message.
    line: the line to write instead.
  """
  if isinstance(encoder_type, str) and encoder_type in DEFAULTS:
    return
  if encoder_type == 'electra':
    raise RequestError(
        f"{place} asks for encoder type 'electra', which TF-NLP's EncoderConfig does not have:"
        f' the encoder that ELECTRA trains is a BERT encoder. Use bert: write {line}')
  if encoder_type == 'any':
    raise RequestError(
        f"{place} asks for encoder type 'any', whose network only Python code can build"
        ' (any.BUILDER), never a configuration alone. Write ENCODER = @encoders.any and'
        ' encoders.any.builder = @my_module.my_builder; a file with its block any may stand in'
        ' encoders.any.config_file')
  raise RequestError(
      f'{place} asks for encoder type {encoder_type!r}{did_you_mean(encoder_type, DEFAULTS)}, which'
      f" is not one of TF-NLP's: {', '.join(sorted(DEFAULTS))}. For a BERT encoder write {line}")


def complete_block(
    encoder_type: str, given: Mapping[str, Any], place: Place) -> dict[str, Any]:
  """Returns all fields of the block, in the order of TF-NLP's table, checked.

  Args:
    encoder_type: a key of DEFAULTS.
    given: field -> value; absent fields take TF-NLP's defaults.
    place: where the values were written.

  Raises:
    RequestError: unknown fields, values of the wrong type or size, an unknown activation,
      or attention heads that do not divide the width; all that were found are listed.
  """
  defaults = DEFAULTS[encoder_type]
  unknown = [key for key in given if key not in defaults]
  if unknown:
    named = ', '.join(f'{key}{did_you_mean(str(key), defaults)}' for key in unknown)
    raise RequestError(
        f'{place.name}: no such field in the block {encoder_type}: {named}.'
        f' It has these fields: {", ".join(sorted(defaults))}')
  block = {key: given.get(key, default) for key, default in defaults.items()}
  problems = []
  for key, default in defaults.items():
    value, problem = _typed(key, block[key], default, place)
    block[key] = value
    problems += [problem] if problem else []
  if not problems:
    problems = _relations(encoder_type, block, place)
  if problems:
    raise RequestError(f'{place.name}: ' + '\n  '.join(problems))
  return block


def _typed(key: str, given: Any, default: Any, place: Place) -> tuple[Any, str | None]:
  """(value in the field's type, None), or (value, what is wrong with it)."""
  value, problem = _of_type(key, given, default, place)
  return (value, problem) if problem or value is None else _in_range(key, value, default, place)


def _of_type(key: str, value: Any, default: Any, place: Place) -> tuple[Any, str | None]:
  name = place.key(key)
  if value is None and default is None:
    return None, None
  wanted = _OPTIONAL.get(key) or type(default)
  if key == 'embedding_layer':
    return value, f'{name} is a Python object; leave it out, or write a factory of your own'
  sequence = isinstance(value, Sequence) and not isinstance(value, str)
  if wanted is tuple or (key == 'pool_stride' and sequence):
    if not sequence or any(isinstance(v, bool) or not isinstance(v, int) for v in value):
      hint = list(default) if isinstance(default, tuple) else default
      return value, (f'{name} = {value!r} is not a list of whole numbers.'
                     f' Write {place.write(key, hint)}')
    return tuple(value), None
  if wanted is float and isinstance(value, int) and not isinstance(value, bool):
    value = float(value)
  if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
    what = {int: 'a whole number', float: 'a number', str: 'a text', bool: 'true or false'}[wanted]
    hint = place.write(key, _nearest_value(value, wanted, default))
    return value, (f'{name} = {value!r} is {_article(value)}, where {what} is needed. Write {hint}')
  return value, None


def _in_range(key: str, value: Any, default: Any, place: Place) -> tuple[Any, str | None]:
  name = place.key(key)
  if isinstance(value, float) and not math.isfinite(value):
    return value, f'{name} = {value!r} is not a finite number. Write {place.write(key, default)}'
  if key in _SIZES and value < 1:
    return value, f'{name} = {value!r} must be at least 1. Write {place.write(key, default or 1)}'
  if key in _LEAST and value < _LEAST[key]:
    return value, (f'{name} = {value!r} must be at least {_LEAST[key]}.'
                   f' Write {place.write(key, default)}')
  if key in _CHOICES and value not in _CHOICES[key]:
    return value, (f'{name} = {value!r} is not one of {", ".join(_CHOICES[key])}.'
                   f' Write {place.write(key, default)}')
  if key in _RATES and not 0 <= value < 1:
    return value, (f'{name} = {value!r} is no dropout rate, which lies in [0, 1).'
                   f' Write {place.write(key, default)}')
  if key == 'initializer_range' and value < 0:
    return value, (f'{name} = {value!r} is no standard deviation.'
                   f' Write {place.write(key, default)}')
  if key in _ACTIVATION_FIELDS:
    value = value.lower()  # as tf_utils.get_activation does
    if value not in ACTIVATIONS:
      return value, (f'{name} = {value!r} is no activation that TF-NLP knows'
                     f'{did_you_mean(value, ACTIVATIONS)}. It knows {", ".join(ACTIVATIONS)}')
  return value, None


def _article(value: Any) -> str:
  return {str: 'a text', bool: 'a truth value', int: 'a whole number', float: 'a fraction',
          type(None): 'nothing'}.get(type(value), f'a {type(value).__name__}')


def _nearest_value(value: Any, wanted: type, default: Any) -> Any:
  """What the user probably meant: '768' -> 768, '2e-2' (text in YAML 1.1) -> 0.02."""
  if wanted in (int, float) and isinstance(value, (str, float)):
    try:
      number = float(value)
    except ValueError:
      return default
    if wanted is float:
      return number
    return int(number) if number == int(number) else default
  return default


def _relations(encoder_type: str, block: Mapping[str, Any], place: Place) -> list[str]:
  """What is wrong between fields that are right one by one."""
  if encoder_type == 'reuse' and block['reuse_attention'] > block['num_attention_heads']:
    return [(
        f'{place.key("reuse_attention")} = {block["reuse_attention"]} is more than the'
        f' {block["num_attention_heads"]} heads that a layer has. Write'
        f' {place.write("reuse_attention", -1)} for all of them')]
  if encoder_type == 'mobilebert' and block['hidden_activation'] in _NOT_IN_KERAS:
    return [(
        f'{place.key("hidden_activation")} = {block["hidden_activation"]!r} is an activation of'
        " TF-NLP's, while its mobilebert takes those of tf_keras."
        f' Write {place.write("hidden_activation", "relu")}')]
  if encoder_type == 'xlnet':  # its heads have a width of their own, head_size
    return []
  width = 'intra_bottleneck_size' if encoder_type == 'mobilebert' else 'hidden_size'
  size, heads = block[width], block['num_attention_heads']
  if size % heads == 0:
    return []
  nearest = min((n for n in range(1, size + 1) if size % n == 0), key=lambda n: (abs(n - heads), n))
  return [(
      f'{place.key(width)} = {size} cannot be divided among'
      f' {place.key("num_attention_heads")} = {heads}: {size} / {heads} leaves {size % heads} over,'
      ' and every head needs the same whole width. Write'
      f' {place.write("num_attention_heads", nearest)}, or a width that {heads} divides')]
