"""Which encoder do Google's bert_config.json and Hugging Face's config.json describe?

The two look alike and mean different things: "gelu" is the tanh form in Google's files and the
exact form in Hugging Face's. "model_type" or "architectures" tell which one a file is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from nlp_export import files
from nlp_export.encoder_config.encoder_blocks import (
  ACTIVATIONS,
  GELU_ERF,
  Place,
  complete_block,
  did_you_mean,
)
from nlp_export.encoder_config.encoder_spec import EncoderSpec
from nlp_export.errors import RequestError

# Key in both JSON formats -> field of TF-NLP's block. All are required.
_KEYS: Mapping[str, str] = {
    'vocab_size': 'vocab_size', 'hidden_size': 'hidden_size', 'num_hidden_layers': 'num_layers',
    'num_attention_heads': 'num_attention_heads', 'intermediate_size': 'intermediate_size',
    'hidden_act': 'hidden_activation', 'hidden_dropout_prob': 'dropout_rate',
    'attention_probs_dropout_prob': 'attention_dropout_rate',
    'max_position_embeddings': 'max_position_embeddings', 'type_vocab_size': 'type_vocab_size',
    'initializer_range': 'initializer_range'}

# Keys of Google's own files that no BERT or ALBERT code reads -> the only value that they may have
# (None: any). The multilingual BERT files have the first six, ALBERT's the others.
_HARMLESS: Mapping[str, Any] = {
    'directionality': 'bidi', 'pooler_fc_size': None, 'pooler_num_attention_heads': None,
    'pooler_num_fc_layers': None, 'pooler_size_per_head': None,
    'pooler_type': 'first_token_transform', 'net_structure_type': 0, 'gap_size': 0,
    'num_memory_blocks': 0, 'down_scale_factor': 1, 'layers_to_keep': [], 'ln_type': 'postln',
    'backward_compatible': True}
_ALBERT_KEYS: Mapping[str, Any] = {'num_hidden_groups': 1, 'inner_group_num': 1}

# Keys that only Hugging Face writes: with them and without model_type nobody can tell what "gelu"
# means in the file.
_HUGGING_FACE_KEYS = frozenset((
    'transformers_version', '_name_or_path', 'layer_norm_eps', 'position_embedding_type',
    'pad_token_id', 'use_cache', 'torch_dtype', 'output_attentions', 'output_hidden_states',
    'gradient_checkpointing', 'classifier_dropout', 'id2label', 'label2id', 'torchscript'))

# Hugging Face's hidden_act -> TF-NLP's name of the same function.
_HUGGING_FACE_ACTIVATIONS: Mapping[str, str] = {
    'gelu': GELU_ERF, 'gelu_python': GELU_ERF, 'gelu_new': 'gelu', 'gelu_fast': 'gelu',
    'gelu_pytorch_tanh': 'gelu', 'gelu_accurate': 'gelu', 'gelu_python_tanh': 'gelu',
    'relu': 'relu', 'relu6': 'relu6', 'silu': 'swish', 'swish': 'swish', 'mish': 'mish',
    'tanh': 'tanh', 'sigmoid': 'sigmoid', 'linear': 'linear'}

# What TF-NLP's encoders have written into them (networks/bert_encoder.py, transformer blocks).
_LAYER_NORM_EPS = 1e-12

_REFUSED_FAMILIES: Mapping[str, str] = {
    'roberta': 'it reads byte-level BPE, which no tokenizer here writes, and numbers its positions'
               ' from 2',
    'xlm-roberta': 'its vocabulary is shifted against its SentencePiece model, and it numbers its'
                   ' positions from 2',
    'camembert': 'its vocabulary is shifted against its SentencePiece model, and it numbers its'
                 ' positions from 2',
    'distilbert': 'it has neither segment embeddings nor a pooler',
    'electra': 'it has no pooler and keeps its weights under other names',
    'mpnet': 'it adds a relative position bias to its attention and has no segments',
    'deberta': 'its attention treats content and position apart',
    'deberta-v2': 'its attention treats content and position apart',
    'mobilebert': 'its bottleneck weights are not mapped here',
    'modernbert': 'it has rotary positions, local attention and gated feed-forward layers',
    'nomic_bert': 'it has rotary positions and gated feed-forward layers',
    'xlnet': 'it attends relative to permuted positions and has no pooler',
    'funnel': 'it shortens its sequence from layer to layer',
    'fnet': 'it mixes tokens with Fourier transforms; its weights are not mapped here',
    'big_bird': 'its sparse attention is not mapped here',
    'bert-generation': 'it has no pooler and no segment embeddings',
    't5': 'it is an encoder-decoder with relative positions',
    'gpt2': 'it is a decoder: its tokens do not see what follows them'}

_ARCHITECTURE = re.compile(r'^(Bert|Albert)(Model|LMHeadModel|For[A-Z]\w*)$')


def is_hugging_face(values: Mapping[str, Any]) -> bool:
  """True if a JSON object says itself that it is Hugging Face's."""
  return 'model_type' in values or 'architectures' in values


def is_legacy(values: Mapping[str, Any], as_json: bool) -> bool:
  """True if a mapping has keys of Google's BertConfig at its top level.

  Args:
    values: what is in the file.
    as_json: True if it is written as JSON. In YAML, keys that TF-NLP's blocks have as well are
      rather those of a block without its `type`.
  """
  if 'type' in values:
    return False
  if set(values) & {'num_hidden_layers', 'hidden_act', 'hidden_dropout_prob'}:
    return True
  return as_json and bool(set(values) & set(_KEYS))


def legacy(path: str, values: Mapping[str, Any]) -> EncoderSpec:
  """The encoder of a BertConfig JSON, strictly: TF-NLP's own reader ignores and defaults.

  A file with num_hidden_groups or inner_group_num is an albert_config.json. embedding_size may be
  absent for BERT. See `encoder_files.read` for errors.
  """
  foreign = sorted(set(values) & _HUGGING_FACE_KEYS)
  if foreign:
    raise RequestError(
        f'{path} has {", ".join(foreign)} as Hugging Face writes them, but neither "model_type" nor'
        ' "architectures", so nothing says whether its "gelu" is the tanh form (Google) or the'
        ' exact one (Hugging Face). Add "model_type": "bert" if Hugging Face wrote it, or remove'
        f' {", ".join(foreign)} if Google did')
  encoder_type = 'albert' if set(values) & set(_ALBERT_KEYS) else 'bert'
  required = [*_KEYS, *(['embedding_size'] if encoder_type == 'albert' else [])]
  known = [*required, 'embedding_size', *_HARMLESS, *_ALBERT_KEYS]
  unknown = [key for key in values if key not in known]
  missing = [key for key in required if key not in values]
  if unknown or missing:
    raise RequestError(f'{path} is not a whole BertConfig: {_gaps(unknown, missing)}')
  for key, wanted in {**_HARMLESS, **_ALBERT_KEYS}.items():
    if wanted is not None and key in values and values[key] != wanted:
      raise RequestError(
          f"{path}: {key} is {values[key]!r}, which TF-NLP's {encoder_type} encoder cannot compute;"
          f' it can only be {wanted!r}. Another encoder must be built in Python:'
          ' ENCODER = @my_module.my_encoder')
  harmless = [key for key in values if key in _HARMLESS or key in _ALBERT_KEYS]
  notes = [f'keys without effect: {", ".join(harmless)}'] if harmless else []
  return _from_keys(path, encoder_type, values, 'legacy BertConfig JSON', notes)


def _gaps(unknown: list[str], missing: list[str]) -> str:
  """What is wrong with the keys of a legacy file, and what to write."""
  parts, renames = [], []
  for key in unknown:
    # A misspelt key is most likely one of those that are missing.
    parts.append(key + did_you_mean(key, missing or [*_KEYS, *_HARMLESS, 'embedding_size']))
  if unknown:
    renames.append(f'unknown keys: {", ".join(parts)}')
  if missing:
    renames.append(f'missing keys: {", ".join(missing)}')
  cure = (f'Add {", ".join(missing)} with the values that the model was trained with' if missing
          else f'Remove {", ".join(unknown)}')
  return ('; '.join(renames) + ". TF-NLP's reader ignores the ones and takes defaults for the"
          f' others, and so builds another network in silence. {cure}')


def hugging_face(path: str, values: Mapping[str, Any]) -> EncoderSpec:
  """The encoder of a Hugging Face config.json: BERT, or ALBERT with one group of layers.

  Raises:
    RequestError: another family, or a value that changes what the network computes and that
      TF-NLP's encoders cannot honour. See also `encoder_files.read`.
  """
  family, notes = _family(path, values)
  _refuse_what_changes_the_network(path, family, values)
  required = [*_KEYS, *(['embedding_size'] if family == 'albert' else [])]
  missing = [key for key in required if key not in values]
  if missing:
    raise RequestError(
        f'{path} is a Hugging Face {family} configuration without {", ".join(missing)}. Hugging'
        ' Face would take its defaults, of whichever version is installed. Add'
        f' {", ".join(missing)} with the values that the model was trained with')
  act = values['hidden_act']
  if act not in _HUGGING_FACE_ACTIVATIONS:
    same = 'TF-NLP has one of that name but computes it otherwise' if act in ACTIVATIONS else (
        'TF-NLP has no such function')
    raise RequestError(
        f'{path}: hidden_act is {act!r}{did_you_mean(str(act), _HUGGING_FACE_ACTIVATIONS)}; {same}.'
        f' Known are {", ".join(sorted(_HUGGING_FACE_ACTIVATIONS))}')
  if act == 'gelu':
    notes.append(f'hidden_act "gelu" is the exact form in Hugging Face\'s files: {GELU_ERF}')
  absent = [key for key in ('layer_norm_eps', 'position_embedding_type') if key not in values]
  if absent:
    notes.append(f"not in the file, so Hugging Face's defaults: {', '.join(absent)}"
                 f' ({_LAYER_NORM_EPS}, absolute)')
  renamed = {**values, 'hidden_act': _HUGGING_FACE_ACTIVATIONS[act]}
  if family == 'bert':  # Hugging Face's BERT reads no embedding_size.
    renamed.pop('embedding_size', None)
  return _from_keys(path, family, renamed, f'Hugging Face {family} config', notes)


def _family(path: str, values: Mapping[str, Any]) -> tuple[str, list[str]]:
  """('bert' or 'albert', notes), or a RequestError that says why not."""
  architectures = values.get('architectures') or []
  if isinstance(architectures, str):
    architectures = [architectures]
  ours = [match.group(1).lower() for a in architectures if (match := _ARCHITECTURE.match(str(a)))]
  family = values.get('model_type') or (ours[0] if ours else None)
  if family is None:
    raise RequestError(
        f'{path} has no model_type, and its architectures {architectures} name neither BERT nor'
        ' ALBERT, so nothing says which network it describes. Add "model_type": "bert" if it is'
        ' one')
  if family not in ('bert', 'albert'):
    why = _REFUSED_FAMILIES.get(family, "it is not known to be a network of TF-NLP's")
    raise RequestError(
        f'{path} describes a {family!r} model, which cannot be read: {why}. Of Hugging Face\'s'
        ' families this project reads bert and albert; build another one in Python:'
        ' ENCODER = @my_module.my_encoder')
  if values.get('auto_map'):
    raise RequestError(
        f'{path} says model_type {family!r}, but auto_map loads modelling code of its own, so the'
        f" network is not Hugging Face's {family}. Build it in Python:"
        ' ENCODER = @my_module.my_encoder')
  others = [str(a) for a in architectures if not _ARCHITECTURE.match(str(a))]
  notes = []
  if others:
    notes.append(f"architectures {', '.join(others)}: not Hugging Face's own; read as {family}, as"
                 ' model_type says')
  if ours and family not in ours:
    raise RequestError(
        f'{path} says model_type {family!r}, but its architectures are {architectures}: one of the'
        ' two is wrong. Correct the file')
  return family, notes


def _refuse_what_changes_the_network(
    path: str, family: str, values: Mapping[str, Any]) -> None:
  """RequestError for keys that TF-NLP's encoders could only honour by another network."""
  eps = values.get('layer_norm_eps', _LAYER_NORM_EPS)
  if eps != _LAYER_NORM_EPS:
    raise RequestError(
        f"{path}: layer_norm_eps is {eps!r}, while TF-NLP's encoders have {_LAYER_NORM_EPS} written"
        ' into them, so every layer would be a little off. Build the network in Python'
        f' (ENCODER = @my_module.my_encoder) with layer norms of epsilon {eps!r}')
  positions = values.get('position_embedding_type') or 'absolute'
  if positions != 'absolute':
    raise RequestError(
        f"{path}: position_embedding_type is {positions!r}, while TF-NLP's {family} encoder has a"
        ' table of absolute positions only. Build the network in Python:'
        ' ENCODER = @my_module.my_encoder')
  for key, why in (
      ('is_decoder', 'its tokens do not see what follows them'),
      ('add_cross_attention', 'it attends to the states of another network'),
      ('is_encoder_decoder', 'it is two networks'),
      ('pruned_heads', 'its layers have fewer attention heads than the configuration says'),
      ('quantization_config', 'its weights are stored quantised')):
    if values.get(key):
      raise RequestError(
          f"{path}: {key} is {values[key]!r}: {why}, which is not what TF-NLP's {family} encoder"
          ' computes. Name a model that was saved without it')
  for key in _ALBERT_KEYS:
    if family == 'albert' and values.get(key, 1) != 1:
      raise RequestError(
          f"{path}: {key} is {values[key]!r}, while TF-NLP's albert encoder has one block that all"
          ' layers share. Build the network in Python: ENCODER = @my_module.my_encoder')


def _from_keys(
    path: str, encoder_type: str, values: Mapping[str, Any], what: str, notes: list[str],
) -> EncoderSpec:
  fields = dict(_KEYS)
  if values.get('embedding_size') is not None:
    fields['embedding_size'] = 'embedding_width' if encoder_type == 'albert' else 'embedding_size'
  block = {field: values[key] for key, field in fields.items()}
  place = Place(path, '"{key}": {value}', {field: key for key, field in fields.items()})
  return EncoderSpec(
      encoder_type, complete_block(encoder_type, block, place),
      f'{files.basename(path)} ({what})', tuple(notes))
