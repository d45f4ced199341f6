"""How is each target written: files beside their destination, none of them final yet?"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from nlp_export import files, names
from nlp_export.checkpoints import conversion_record, locate
from nlp_export.checkpoints import orbax_layout as layout
from nlp_export.converting import hugging_face_files, hugging_face_names
from nlp_export.converting.heads import NEXT_SENTENCE, OUT_PROJ
from nlp_export.converting.request import HUGGING_FACE, ORBAX, TF2, ConversionRequest
from nlp_export.converting.source import Source
from nlp_export.encoders import EncoderSpec
from nlp_export.file_errors import explain_failures
from nlp_export.tokenization import recorded
from nlp_export.tokenizers import SENTENCEPIECE, WORDPIECE

STEP = 0  # Of the Orbax checkpoint: no training was done.
_VOCABULARIES = {WORDPIECE: layout.VOCAB_FILE, SENTENCEPIECE: layout.SP_MODEL_FILE}


def write(source: Source, request: ConversionRequest, directory: str) -> None:
  """Writes the target's files.

  Args:
    source: what to write.
    request: with its `to`.
    directory: local and empty.

  Raises:
    RequestError: it cannot be written.
  """
  _WRITERS[request.to](source, request, directory)


def _write_tf2(source: Source, request: ConversionRequest, directory: str) -> None:
  from nlp_export.pretraining.saving import tf_checkpoint

  prefix = request.converted(directory)
  poolerless = source.restored.pooler is not None and not source.has_pooler
  tf_checkpoint.write(prefix, _objects(source) if poolerless else source.objects())
  name = files.basename(prefix)
  files.write_text(
      files.join(directory, locate.STATE_FILE),
      f'model_checkpoint_path: "{name}"\nall_model_checkpoint_paths: "{name}"\n')
  brought = {}
  if isinstance(request.encoder, EncoderSpec):
    described = request.encoder.to_json()
    brought[layout.ENCODER_FILE] = yaml.safe_dump(
        {described['type']: described['config'], 'type': described['type']}).encode()
  if request.tokenizer is not None:
    settings = recorded.to_json(request.tokenizer)
    brought[layout.TOKENIZER_FILE] = (json.dumps(settings, indent=2) + '\n').encode()
    if request.tokenizer.asset_file and settings['kind'] in _VOCABULARIES:
      brought[_VOCABULARIES[settings['kind']]] = files.read_bytes(request.tokenizer.asset_file)
  for name, content in brought.items():
    files.write_bytes(files.join(directory, name), content)
  conversion_record.write(prefix, brought, source.restored.mlm_activation)


def _objects(source: Source) -> dict[str, Any]:
  """Item -> objects with the edges of TF-NLP's, which have all variables but the pooler's."""
  import tensorflow as tf

  trees = source.trees()
  made: dict[str, Any] = {}
  for item, values in trees.values().items():
    made[item] = tf.Module()
    for path, value in values.items():
      at = made[item]
      *edges, leaf = path.split('/')
      for edge in edges:
        if not hasattr(at, edge):
          setattr(at, edge, tf.Module())
        at = getattr(at, edge)
      name = trees.names.get(item, {}).get(path) or path
      setattr(at, leaf, tf.Variable(value, name=name))
  if names.MASKED_LM in made:
    at = made[names.ENCODER]
    for edge in layout.ENCODER_TABLE.split('/'):
      at = getattr(at, edge)
    setattr(made[names.MASKED_LM], layout.SHARED_TABLE, at)
  return made


def _write_orbax(source: Source, request: ConversionRequest, directory: str) -> None:
  from nlp_export.pretraining.saving import metadata as metadata_lib
  from nlp_export.pretraining.saving.writer import CheckpointWriter

  if request.tokenizer is None:
    raise ValueError('an Orbax checkpoint brings its tokenizer along')
  trees = source.trees()
  metadata = metadata_lib.describe(
      request.encoder, request.tokenizer, source.restored.mlm_activation or request.mlm_activation,
      {'converted_from': {'name': source.restored.checkpoint.name,
                          'format': source.restored.checkpoint.format}}, {})
  root = request.converted(directory)
  with CheckpointWriter(root, list(trees.items)) as writer:
    writer.save(STEP, trees, {}, metadata)


def _write_hugging_face(source: Source, request: ConversionRequest, directory: str) -> None:
  from safetensors.numpy import save_file

  from nlp_export.checkpoints import safetensors_files

  spec, tokenizer = request.encoder, request.tokenizer
  if not isinstance(spec, EncoderSpec) or tokenizer is None or not tokenizer.asset_file:
    raise ValueError('a Hugging Face folder describes its encoder and its tokenizer')
  family = hugging_face_files.family(spec)
  projection = source.heads.get(f'{NEXT_SENTENCE}.{OUT_PROJ}')
  head = (projection.kernel, projection.bias) if projection and source.has_pooler else None
  weights = hugging_face_names.tensors(family, source.trees(), head)
  path = files.join(directory, safetensors_files.WEIGHTS_FILE)
  with explain_failures('write', path):
    save_file(weights, path, metadata={'format': 'pt'})
  kinds = (source.restored.masked_lm is not None, head is not None)
  architecture = hugging_face_names.FAMILIES[family].architectures[kinds]
  files.write_json(files.join(directory, safetensors_files.CONFIG_FILE),
                   hugging_face_files.config(spec, architecture, tokenizer))
  files.write_json(files.join(directory, safetensors_files.TOKENIZER_CONFIG_FILE),
                   hugging_face_files.tokenizer_config(tokenizer, spec.max_positions))
  files.copy(tokenizer.asset_file,
             files.join(directory, hugging_face_files.VOCABULARIES[tokenizer.kind]))


_WRITERS: Mapping[str, Callable[[Source, ConversionRequest, str], None]] = {
    TF2: _write_tf2, ORBAX: _write_orbax, HUGGING_FACE: _write_hugging_face}

