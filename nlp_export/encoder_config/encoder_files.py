"""Which encoder does a configuration file describe?

Three formats are told apart by what is in the file, never by its name: TF-NLP's EncoderConfig as
YAML or JSON (here), Google's bert_config.json (encoder_json.py) and Hugging Face's config.json
(hf_config.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from nlp_export import files
from nlp_export.encoder_config import encoder_json, hf_config
from nlp_export.encoder_config.encoder_blocks import (
  DEFAULTS,
  Place,
  check_type,
  complete_block,
  did_you_mean,
)
from nlp_export.encoder_config.encoder_spec import EncoderSpec
from nlp_export.errors import RequestError

ENCODER_CONFIG_YAML = 'EncoderConfig YAML'


def fields_of_any(path: str) -> Mapping[str, Any]:
  """The fields in the block `any` of an EncoderConfig of `type: any`, which only a builder knows.

  Args:
    path: the EncoderConfig in YAML or JSON.

  Raises:
    RequestError: no such file, or one of another type.
  """
  values = _values(path)
  others = [key for key in values if key not in ('type', 'any')]
  if values.get('type') != 'any' or others:
    found = f'the key {others[0]!r}' if others else f'type: {values.get("type", "bert")}'
    raise RequestError(
        f'{path} has {found}, while encoders.any.config_file takes an EncoderConfig of type any.'
        f" If it describes an encoder of TF-NLP's own, write ENCODER_CONFIG = '{path}'")
  block = values.get('any')
  if block is None:
    return {}
  if not isinstance(block, dict):
    raise RequestError(
        f'{path}: the block "any:" is {block!r}, where fields with values are needed. Indent them'
        ' below the line "any:"')
  return block


def read(path: str) -> EncoderSpec:
  """The encoder that a file describes.

  Args:
    path: an EncoderConfig in YAML or JSON, a legacy bert_config.json (or albert_config.json), or
      a Hugging Face config.json.

  Returns:
    The spec; its notes list keys without effect and fields that took TF-NLP's defaults.

  Raises:
    RequestError: no such file, none of these formats, unknown or missing keys, or values that
      TF-NLP's networks cannot honour.
  """
  values = _values(path)
  if hf_config.is_hugging_face(values):
    return hf_config.encoder(path, values)
  as_json = files.read_text(path).lstrip('\ufeff \t\r\n').startswith('{')
  if encoder_json.is_legacy(values, as_json=as_json):
    return encoder_json.legacy(path, values)
  return _encoder_config(path, values)


def _values(path: str) -> dict[str, Any]:
  """The mapping in a file, JSON or YAML."""
  if not files.exists(path):
    raise RequestError(
        f'There is no encoder configuration {path}. Write ENCODER_CONFIG = the path of an'
        ' EncoderConfig YAML, a bert_config.json or a Hugging Face config.json')
  if files.is_dir(path):
    inside = files.join(path, 'config.json')
    hint = (f"Write ENCODER_CONFIG = '{inside}'" if files.exists(inside) else
            'Write ENCODER_CONFIG = the path of the file in it')
    raise RequestError(f'The encoder configuration {path} is a directory. {hint}')
  values = _parse(path, files.read_text(path))
  if not isinstance(values, dict):
    found = 'nothing' if values is None else f'a {type(values).__name__}'
    raise RequestError(
        f'{path} holds {found}, where an encoder configuration is a list of names with values.'
        ' Write at least "type: bert" with a block "bert:" below it')
  if not all(isinstance(key, str) for key in values):
    raise RequestError(
        f'{path} has keys that are not names, so it is no encoder configuration. ENCODER_CONFIG'
        ' takes an EncoderConfig YAML, a bert_config.json or a Hugging Face config.json')
  return values


def _parse(path: str, text: str) -> Any:
  """The value in a JSON or YAML text; a key given twice is refused, not silently overwritten."""
  def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _refuse_duplicates(path, [key for key, _ in pairs])
    return dict(pairs)

  text = text.removeprefix('\ufeff')
  problems = []
  if text.lstrip().startswith('{'):  # JSON, or a mapping in YAML's short form.
    try:
      return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
      problems.append(f'as JSON: line {error.lineno}, column {error.colno}, {error.msg}')
  try:
    return yaml.load(text, Loader=_loader(path))  # noqa: S506 (a subclass of SafeLoader)
  except yaml.YAMLError as error:
    mark = getattr(error, 'problem_mark', None)
    where = f'line {mark.line + 1}, column {mark.column + 1}, ' if mark else ''
    problems.append(f'as YAML: {where}{getattr(error, "problem", None) or "not text"}')
    raise RequestError(
        f'{path} is neither JSON nor YAML ({"; ".join(problems)}). ENCODER_CONFIG takes an'
        ' EncoderConfig YAML, a bert_config.json or a Hugging Face config.json') from error


def _refuse_duplicates(path: str, keys: list[Any]) -> None:
  twice = [key for i, key in enumerate(keys) if key in keys[:i]]
  if twice:
    raise RequestError(
        f'{path} gives {", ".join(map(repr, twice))} more than once, and readers differ in which'
        ' one counts. Keep one line of each')


def _loader(path: str) -> type[yaml.SafeLoader]:
  class Loader(yaml.SafeLoader):
    pass

  def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    _refuse_duplicates(path, keys)
    return loader.construct_mapping(node, deep=True)

  def sequence(loader: yaml.SafeLoader, node: Any) -> list[Any]:
    return loader.construct_sequence(node)

  Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
  # TF-NLP's own save_params_dict_to_yaml writes the tuples of fnet and sparse_mixer so.
  Loader.add_constructor('tag:yaml.org,2002:python/tuple', sequence)
  return Loader


def _encoder_config(path: str, values: Mapping[str, Any]) -> EncoderSpec:
  """The encoder of an EncoderConfig: a `type` and the block of that name."""
  _refuse_neighbours(path, values)
  encoder_type = values.get('type', 'bert')  # 'bert' is EncoderConfig's own default.
  blocks = [key for key in values if key != 'type']
  unknown = [key for key in blocks if key not in DEFAULTS]
  check_type(encoder_type, path)
  if unknown:
    fields = [key for key in unknown if key in DEFAULTS[encoder_type]]
    if fields:
      raise RequestError(
          f'{path} has {", ".join(fields)} at its top level, where an EncoderConfig has only `type`'
          f' and the block of that type. Indent them below a line "{encoder_type}:"')
    named = ', '.join(f'{key}{did_you_mean(key, ["type", *DEFAULTS])}' for key in unknown)
    raise RequestError(
        f'{path} has the unknown key {named}. An EncoderConfig holds `type: {encoder_type}` and a'
        f' block "{encoder_type}:" with the fields below it')
  others = [key for key in blocks if key != encoder_type]
  if others:
    says = f'says type: {encoder_type}' if 'type' in values else "says no type, which means 'bert',"
    raise RequestError(
        f'{path} {says} but has a block "{others[0]}:", which TF-NLP would ignore in silence:'
        f' the {encoder_type} encoder would be built without it. Write type: {others[0]}, or drop'
        ' that block')
  block = values.get(encoder_type)
  if block is None:
    block = {}
  if not isinstance(block, dict):
    raise RequestError(
        f'{path}: the block "{encoder_type}:" is {block!r}, where fields with values are needed.'
        f' Indent them below the line "{encoder_type}:"')
  complete = complete_block(encoder_type, block, Place(path, '{key}: {value}'))
  absent = [key for key in complete if key not in block]
  notes = ["not in the file, so TF-NLP's defaults: "
           + ', '.join(f'{key} {complete[key]!r}' for key in absent)] if absent else []
  source = f'{files.basename(path)} ({ENCODER_CONFIG_YAML})'
  return EncoderSpec(encoder_type, complete, source, tuple(notes))


def _refuse_neighbours(path: str, values: Mapping[str, Any]) -> None:
  """Refuses the files that TF-NLP's users have lying beside an EncoderConfig."""
  for keys in (('task', 'model', 'encoder'), ('model', 'encoder'), ('encoder',)):
    if keys[0] not in values:
      continue
    inner: Any = values
    for key in keys:
      inner = inner.get(key) if isinstance(inner, dict) else None
    what = ('a TF-NLP experiment file' if keys[0] == 'task' else
            'the configuration of a whole model')
    where = '.'.join(keys)
    if inner is None:
      raise RequestError(
          f'{path} is {what}, not an EncoderConfig, and no encoder is configured in it at {where}.'
          ' Write a file with "type:" and the block of that type')
    raise RequestError(
        f'{path} is {what}, not an EncoderConfig: the encoder is only a part of it. Write what'
        f' stands at {where} (its "type:" and the block below) into a file of its own')
  if 'trainer' in values or 'runtime' in values:
    raise RequestError(
        f'{path} is a part of a TF-NLP experiment file without an encoder. The encoder is at'
        ' task.model.encoder of the whole: write that part into a file of its own')
