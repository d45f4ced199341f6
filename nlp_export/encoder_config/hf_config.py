"""Which encoder does a Hugging Face config.json describe, and is it a network of TF-NLP's?

A config.json says more than TF-NLP's networks can compute: what it says has to be honoured or
refused with the reason. The families are in hf_families.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from nlp_export import files
from nlp_export.encoder_config import hf_families
from nlp_export.encoder_config.encoder_blocks import (
  ACTIVATIONS,
  Place,
  complete_block,
  did_you_mean,
)
from nlp_export.encoder_config.encoder_spec import EncoderSpec
from nlp_export.encoder_config.hf_families import FAMILIES, GELU_ERF, Family
from nlp_export.errors import RequestError

# What TF-NLP's encoders have written into them (networks/bert_encoder.py, transformer blocks).
_LAYER_NORM_EPS = 1e-12
_ARCHITECTURES = re.compile(
    f'({"|".join(f.classes for f in FAMILIES.values())})(Model|LMHeadModel|For[A-Z]\\w*)')
_IN_PYTHON = 'ENCODER = @my_module.my_encoder'


def is_hugging_face(values: Mapping[str, Any]) -> bool:
  """True if a JSON object says itself that it is Hugging Face's."""
  return 'model_type' in values or 'architectures' in values


def encoder(path: str, values: Mapping[str, Any]) -> EncoderSpec:
  """The encoder of a Hugging Face config.json, of one of the families that are read.

  Raises:
    RequestError: another family, or a value that changes what the network computes and that
      TF-NLP's encoders cannot honour. See also `encoder_files.read`.
  """
  family, notes = family_of(path, values)
  _refuse_what_changes_the_network(path, family, values)
  missing = [key for key in family.keys if key not in values]
  if missing:
    raise RequestError(
        f'{path} is a Hugging Face {family.model_type} configuration without {", ".join(missing)}.'
        ' Hugging Face would take its defaults, of whichever version is installed. Add'
        f' {", ".join(missing)} with the values that the model was trained with')
  activation = values[family.activation_key]
  notes += family.notes
  if activation == 'gelu':
    notes.append(f'{family.activation_key} "gelu" is the exact form in Hugging Face\'s files:'
                 f' {GELU_ERF}')
  absent = [key for key in ('layer_norm_eps', 'position_embedding_type')
            if family.has_layer_norm_eps and key not in values]
  # Versions from 5 on write no position_embedding_type: their networks have absolute ones only.
  if absent and absent != ['position_embedding_type']:
    notes.append(f"not in the file, so Hugging Face's defaults: {', '.join(absent)}"
                 f' ({_LAYER_NORM_EPS}, absolute)')
  named = {**values, family.activation_key: _activation(path, family.activation_key, activation)}
  block = {field: named[key] for key, field in family.keys.items()}
  place = Place(path, '"{key}": {value}', {field: key for key, field in family.keys.items()})
  return EncoderSpec(
      family.encoder_type,
      complete_block(family.encoder_type, {**block, **family.constants}, place),
      f'{files.basename(path)} (Hugging Face {family.model_type} config)', tuple(notes))


def _activation(path: str, key: str, given: Any) -> str:
  """TF-NLP's name of an activation, or a RequestError."""
  if str(given) in hf_families.ACTIVATIONS:
    return hf_families.ACTIVATIONS[str(given)]
  same = 'TF-NLP has one of that name but computes it otherwise' if given in ACTIVATIONS else (
      'TF-NLP has no such function')
  raise RequestError(
      f'{path}: {key} is {given!r}{did_you_mean(str(given), hf_families.ACTIVATIONS)}; {same}.'
      f' Known are {", ".join(sorted(hf_families.ACTIVATIONS))}')


def mlm_activation(values: Mapping[str, Any]) -> str | None:
  """Activation of the masked LM head in TF-NLP's words; None if the family or it is not known.

  Args:
    values: of config.json. The head has the activation of the layers, but in ELECTRA's generator,
      where it is the exact gelu whatever config.json says.
  """
  family = FAMILIES.get(_named_family(values)[0] or '')
  if family is None:
    return None
  given = family.mlm_activation or values.get(family.activation_key)
  return hf_families.ACTIVATIONS.get(str(given))


def read_family(path: str) -> tuple[Family, Mapping[str, Any]]:
  """The family of a config.json and what is in the file.

  Raises:
    RequestError: it is no JSON object, or no model that can be read (the reason is in it).
  """
  values = files.read_json(path)
  if not isinstance(values, dict):
    raise RequestError(
        f'Cannot read {path}: it is no JSON object with names and values. Copy the file again')
  return family_of(path, values)[0], values


def family_of(path: str, values: Mapping[str, Any]) -> tuple[Family, list[str]]:
  """(family, notes), or a RequestError that says why the model cannot be read."""
  name, architectures = _named_family(values)
  if name is None:
    raise RequestError(
        f'{path} has no model_type, and its architectures {architectures} name none of'
        f' {", ".join(FAMILIES)}, so nothing says which network it describes. Add "model_type":'
        ' "bert" if it is one')
  if name not in FAMILIES:
    why = hf_families.REFUSED.get(name, "it is not known to be a network of TF-NLP's")
    raise RequestError(
        f'{path} describes a {name!r} model, which cannot be read: {why}. Of Hugging Face\'s'
        f' families this project reads {", ".join(FAMILIES)}; build another one in Python:'
        f' {_IN_PYTHON}')
  family = FAMILIES[name]
  if values.get('auto_map'):
    raise RequestError(
        f'{path} says model_type {name!r}, but auto_map loads modelling code of its own, so the'
        f" network is not Hugging Face's {name}. Build it in Python: {_IN_PYTHON}")
  known = [match for a in architectures if (match := _ARCHITECTURES.fullmatch(a))]
  others = [a for a in architectures if not _ARCHITECTURES.fullmatch(a)]
  notes = []
  if others:
    notes.append(f"architectures {', '.join(others)}: not Hugging Face's own; read as {name}, as"
                 ' model_type says')
  if known and family.classes not in [match.group(1) for match in known]:
    raise RequestError(
        f'{path} says model_type {name!r}, but its architectures are {architectures}: one of the'
        ' two is wrong. Correct the file')
  return family, notes


def _named_family(values: Mapping[str, Any]) -> tuple[str | None, list[str]]:
  """model_type, else what the first known architecture means; and the architectures."""
  architectures = values.get('architectures') or []
  if not isinstance(architectures, list):
    architectures = [architectures]
  architectures = [str(a) for a in architectures]
  if values.get('model_type'):
    return str(values['model_type']), architectures
  by_class = {family.classes: name for name, family in FAMILIES.items()}
  found = (_ARCHITECTURES.fullmatch(a) for a in architectures)
  return next((by_class[match.group(1)] for match in found if match), None), architectures


def _refuse_what_changes_the_network(
    path: str, family: Family, values: Mapping[str, Any]) -> None:
  """RequestError for keys that TF-NLP's encoders could only honour by another network."""
  eps = values.get('layer_norm_eps', _LAYER_NORM_EPS)
  if family.has_layer_norm_eps and eps != _LAYER_NORM_EPS:
    raise RequestError(
        f"{path}: layer_norm_eps is {eps!r}, while TF-NLP's encoders have {_LAYER_NORM_EPS} written"
        ' into them, so every layer would be a little off. Build the network in Python'
        f' ({_IN_PYTHON}) with layer norms of epsilon {eps!r}')
  positions = values.get('position_embedding_type') or 'absolute'
  if positions != 'absolute':
    raise RequestError(
        f"{path}: position_embedding_type is {positions!r}, while TF-NLP's {family.encoder_type}"
        ' encoder has a table of absolute positions only. Build the network in Python:'
        f' {_IN_PYTHON}')
  for key, why in (
      ('is_decoder', 'its tokens do not see what follows them'),
      ('add_cross_attention', 'it attends to the states of another network'),
      ('is_encoder_decoder', 'it is two networks'),
      ('pruned_heads', 'its layers have fewer attention heads than the configuration says'),
      ('quantization_config', 'its weights are stored quantised')):
    if values.get(key):
      raise RequestError(
          f"{path}: {key} is {values[key]!r}: {why}, which is not what TF-NLP's"
          f' {family.encoder_type} encoder computes. Name a model that was saved without it')
  for key, (wanted, why) in family.only.items():
    if values.get(key, wanted) != wanted:
      raise RequestError(
          f'{path}: {key} is {values[key]!r}, while {why}. Build the network in Python:'
          f' {_IN_PYTHON}')
  if family.encoder_type == 'albert' and values.get('embedding_size') == values.get('hidden_size'):
    raise RequestError(
        f'{path}: embedding_size and hidden_size are both {values.get("hidden_size")!r}. Hugging'
        " Face's ALBERT projects its embeddings then too, while TF-NLP's does not. Build the"
        f' network in Python: {_IN_PYTHON}')
