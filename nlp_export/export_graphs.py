"""Which graphs does an export trace, and which SavedModels share one?

Each distinct graph is traced and saved once; exports that share it differ in variables.
"""

from __future__ import annotations

import contextlib
from typing import Any

from nlp_export import names
from nlp_export.encoders import BuiltEncoder
from nlp_export.own_parts import explain_part
from nlp_export.restored_encoder import RestoredEncoder
from nlp_export.text_embedding import TextEmbeddingOptions
from nlp_export.tokenizers import Tokenizer


class Graphs:
  """Writes SavedModels of one restored encoder, with the values that it has at each call."""

  def __init__(self, restored: RestoredEncoder, dropout: Any, tokenizer: Tokenizer,
               options: TextEmbeddingOptions, preprocessing: dict[str, Any]):
    """Traces nothing yet.

    Args:
      restored: the encoder.
      dropout: the DropoutState that is installed in its network.
      tokenizer: of the export.
      options: of text embeddings.
      preprocessing: truncator and disable_assert, for what is inside of them.
    """
    self._restored = restored
    self._dropout = dropout
    self._tokenizer = tokenizer
    self._options = options
    self._preprocessing = preprocessing
    self._roots: dict[tuple[str, bool], tuple[Any, str]] = {}

  def write(self, kind: str, path: str, *, with_pooler: bool) -> None:
    """Writes one SavedModel.

    Args:
      kind: of names.EXPORT_TYPES, one with an encoder.
      path: where to.
      with_pooler: whether the encoder has its pooler.
    """
    from nlp_export.file_errors import explain_failures
    from nlp_export.saved_models import writing

    known = self._roots.get((kind, with_pooler))
    if known:
      with explain_failures('write', path):
        writing.write_with_present_values(*known, path)
      return
    with own_network(self._restored):
      root = (self._text_embedding() if kind == names.TEXT_EMBEDDING
              else self._encoder(with_pooler, kind == names.MODEL_WITH_MLM))
    with explain_failures('write', path):
      writing.write(root, path)
    self._roots[kind, with_pooler] = (root, path)

  def _encoder(self, with_pooler: bool, with_mlm: bool) -> Any:
    from nlp_export.saved_models.encoder import EncoderSavedModel, TokenizerFile

    asset = self._tokenizer.asset_file
    file = (TokenizerFile(asset, self._tokenizer.kind, self._tokenizer.lower_case)
            if asset else None)
    return EncoderSavedModel(
        self._restored.network, self._dropout, tokenizer=file, pooler=self._restored.pooler,
        with_pooler=with_pooler, masked_lm=self._restored.masked_lm if with_mlm else None,
        form=self._restored.form)

  def _text_embedding(self) -> Any:
    from nlp_export.saved_models import preprocessing
    from nlp_export.saved_models.text_embedding import TextEmbeddingSavedModel

    restored, options = self._restored, self._options
    with explain_part(self._tokenizer, f'The {self._tokenizer.kind} tokenizer'):
      parts = preprocessing.parts(
          self._tokenizer, truncator=self._preprocessing['truncator'],
          disable_assert=self._preprocessing['disable_assert'])
    root = TextEmbeddingSavedModel(
        restored.network, self._dropout, parts, pooling=options.pooling,
        normalize=options.normalize, max_seq_length=options.max_seq_length,
        pooler=restored.pooler, form=restored.form, pads=options.pads(restored.spec))
    preprocessing.attach_file(root, self._tokenizer)
    return root


def own_network(restored: RestoredEncoder) -> contextlib.AbstractContextManager[None]:
  """Names the network in what goes wrong inside, if it is not one of TF-NLP's."""
  if isinstance(restored.spec, BuiltEncoder):
    return explain_part(restored.network, f'The encoder network from {restored.spec.source}')
  return contextlib.nullcontext()
