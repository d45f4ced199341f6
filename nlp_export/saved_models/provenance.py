"""Where did an export come from? The record in its `assets.extra/provenance.json`.

Files are named by base name and SHA-256, never by path, and no times stand here: two equal runs
write equal bytes.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any

import nlp_export
from nlp_export import dropout, files, poolers, poolings
from nlp_export.encoder_config import sequence_form, support
from nlp_export.restored_encoder import RestoredEncoder
from nlp_export.text_embedding import TextEmbeddingOptions
from nlp_export.tokenizers import Tokenizer

SCHEMA_VERSION = 1
_PACKAGES = ('tensorflow', 'tf-keras', 'tf-models-official', 'tensorflow-text')


def versions() -> dict[str, str]:
  """The packages that made the graph, name to version."""
  return {'nlp_export': nlp_export.__version__,
          **{name: importlib.metadata.version(name) for name in _PACKAGES}}


def of_tokenizer(tokenizer: Tokenizer, remarks: Sequence[str] = ()) -> dict[str, Any]:
  """The tokenizer's entry, remarks at the end of its description; the file is read and hashed."""
  asset = tokenizer.asset_file
  return {
      'kind': tokenizer.kind,
      'asset': files.basename(asset) if asset else None,
      'sha256': files.sha256(asset) if asset else None,
      'lower_case': bool(tokenizer.lower_case),
      'vocab_size': tokenizer.vocab_size,
      'description': ' '.join([tokenizer.description(), *(f'{line}.' for line in remarks)]),
  }


def fitting_preprocessor(tokenizer: Mapping[str, Any]) -> str:
  """A phrase: which preprocessing SavedModels fit an encoder.

  Args:
    tokenizer: of `of_tokenizer`.
  """
  which = f'any preprocessing SavedModel made from {tokenizer["asset"]}'
  if tokenizer['sha256']:
    which += f' (SHA-256 `{tokenizer["sha256"]}`)'
  return which + f' with do_lower_case {tokenizer["lower_case"]} and the settings above'


def of_encoder(
    export_type: str,
    restored: RestoredEncoder,
    *,
    pooler_name: str,
    weights: poolers.PoolerWeights | None,
    tokenizer: Mapping[str, Any],
    preprocessor: str,
    input_hashes: Mapping[str, str],
    text: TextEmbeddingOptions | None = None,
) -> dict[str, Any]:
  """The record of an encoder's SavedModel.

  Args:
    export_type: 'model', 'model_with_mlm' or 'text_embedding'.
    restored: the encoder.
    pooler_name: the reference as written in gin.
    weights: of the pooler, None for an export without.
    tokenizer: of `of_tokenizer`.
    preprocessor: a sentence: which preprocessor belongs to it.
    input_hashes: SHA-256 of the checkpoint's files, by path.
    text: what a text becomes, of a text embedding.
  """
  spec, checkpoint, form = restored.spec, restored.checkpoint, restored.form
  shape = f'{spec.type}_L-{spec.num_layers}_H-{spec.hidden_size}_A-{spec.num_attention_heads}'
  title = f'{shape} from {checkpoint.name}, pooler {pooler_name}'
  if text is not None:
    title = f'Text embedding: {shape} from {checkpoint.name}, ' + (
        f'pooler {pooler_name}, ' if text.uses_pooler else '') + '+'.join(
            poolings.parts(text.pooling))
  configured = getattr(spec, 'configured_dropout', None)
  return {
      'schema_version': SCHEMA_VERSION,
      'export_type': export_type,
      'title': title,
      'made_by': versions(),
      'encoder': {
          **spec.to_json(),
          **{name: getattr(spec, name) for name in (
              'hidden_size', 'num_layers', 'num_attention_heads', 'vocab_size', 'max_positions',
              'type_vocab_size', 'embedding_size', 'hidden_activation', 'dropout_rate')},
          'sequence': {
              **form.to_json(),
              'input_length': sequence_form.description(form, spec.max_positions),
              'output_length': sequence_form.output_description(
                  form, spec.num_layers, spec.max_positions),
              'inexact_padding': support.inexact_padding(spec),
          },
          'drops': dropout.drops(restored.network),
          'configured_dropout': configured and list(configured),
          'embeddings_first': support.of(spec.type).embeddings_first,
          'training_effect': support.training_effect(spec),
          'remarks': list(support.remarks(spec)),
      },
      'checkpoint': {
          'name': checkpoint.name,
          'format': checkpoint.format,
          'items': dict(restored.item_names),
          'files': {files.basename(path): input_hashes[path] for path in checkpoint.files},
      },
      'pooler': {
          'name': pooler_name,
          'origin': poolers.NO_POOLER if weights is None else weights.origin,
          'arguments': {} if weights is None else dict(weights.arguments),
          'has_pooled_output': weights is not None,
      },
      **({'text_embedding': _of_text(text, restored)} if text else {}),
      'mlm_activation': restored.mlm_activation,
      'tokenizer': dict(tokenizer),
      'preprocessor': preprocessor,
      'variables': {'trainable': sum(v.shape.num_elements()
                                     for v in _trainable(restored, text))},
  }


def _of_text(text: TextEmbeddingOptions, restored: RestoredEncoder) -> dict[str, Any]:
  spec = restored.spec
  return {
      **text.to_json(),
      'dim': poolings.dim(text.pooling, spec.hidden_size),
      'description': poolings.description(text.pooling),
      'uses_pooler': text.uses_pooler,
      'pads': text.pads(spec),
  }


def _trainable(restored: RestoredEncoder, text: TextEmbeddingOptions | None) -> list[Any]:
  """The trainable variables of the export; one that pools otherwise is without the pooler."""
  left_out = set()
  if text is not None and not text.uses_pooler and restored.pooler is not None:
    left_out = {id(v) for v in restored.pooler.variables}
  return [v for v in restored.network.trainable_variables if id(v) not in left_out]


def of_preprocessing(
    *,
    tokenizer: Mapping[str, Any],
    options: Mapping[str, Any],
    belongs_to: str,
) -> dict[str, Any]:
  """The record of a preprocessing SavedModel.

  Args:
    tokenizer: of `of_tokenizer`.
    options: default_seq_length, truncator, num_segments, tokenize_with_offsets, disable_assert.
    belongs_to: a sentence: which encoders it feeds.
  """
  name = tokenizer['asset'] or tokenizer['kind']
  return {
      'schema_version': SCHEMA_VERSION,
      'export_type': 'preprocessing',
      'title': f'Preprocessing with {name}',
      'made_by': versions(),
      'tokenizer': dict(tokenizer),
      'preprocessing': dict(options),
      'belongs_to': belongs_to,
  }
