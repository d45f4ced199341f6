"""Which encoder does Google's bert_config.json or albert_config.json describe?

Hugging Face's config.json (hf_config.py) looks alike and means something else: "gelu" is the tanh
form in Google's files and the exact form in Hugging Face's. "model_type" or "architectures" tell
which one a file is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nlp_export import files
from nlp_export.encoder_config.bert_config_fields import FIELDS
from nlp_export.encoder_config.encoder_blocks import Place, complete_block, did_you_mean
from nlp_export.encoder_config.encoder_spec import EncoderSpec
from nlp_export.errors import RequestError

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
  return as_json and bool(set(values) & set(FIELDS))


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
  required = [*FIELDS, *(['embedding_size'] if encoder_type == 'albert' else [])]
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
    parts.append(key + did_you_mean(key, missing or [*FIELDS, *_HARMLESS, 'embedding_size']))
  if unknown:
    renames.append(f'unknown keys: {", ".join(parts)}')
  if missing:
    renames.append(f'missing keys: {", ".join(missing)}')
  cure = (f'Add {", ".join(missing)} with the values that the model was trained with' if missing
          else f'Remove {", ".join(unknown)}')
  return ('; '.join(renames) + ". TF-NLP's reader ignores the ones and takes defaults for the"
          f' others, and so builds another network in silence. {cure}')


def _from_keys(
    path: str, encoder_type: str, values: Mapping[str, Any], what: str, notes: list[str],
) -> EncoderSpec:
  fields = dict(FIELDS)
  if values.get('embedding_size') is not None:
    fields['embedding_size'] = 'embedding_width' if encoder_type == 'albert' else 'embedding_size'
  block = {field: values[key] for key, field in fields.items()}
  place = Place(path, '"{key}": {value}', {field: key for key, field in fields.items()})
  return EncoderSpec(
      encoder_type, complete_block(encoder_type, block, place),
      f'{files.basename(path)} ({what})', tuple(notes))
