"""What must a text embedding do, as told by the encoder and the tokenizer it was made from?

Its vectors are computed by TF-NLP's network and tokenizer and NumPy, on one text at a time: nothing
of what is in the export takes part.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nlp_export import dropout, names, poolings
from nlp_export.encoder_config import support
from nlp_export.saved_models.expectations import ODD_TEXTS, EncoderExpectations, ids_of, to_length
from nlp_export.saved_models.verification import TextEmbeddingExpectation, reference
from nlp_export.text_embedding import TextEmbeddingOptions
from nlp_export.tokenizers import Tokenizer

# As many tokens are computed where all rows are long: see expectations.py.
_MOST_TOKENS = 1 << 14
_FEWEST_TEXTS = 4


def of_text_embedding(
    encoder: EncoderExpectations, tokenizer: Tokenizer, options: TextEmbeddingOptions, label: str
) -> TextEmbeddingExpectation:
  """The expectation of one export; the network's pooler holds its weights already.

  Args:
    encoder: expectations of the encoder; some of what they have computed is used.
    tokenizer: of the export.
    options: pooling, normalize, max_seq_length.
    label: a file name for its reference values.
  """
  restored, special = encoder.restored, dict(tokenizer.special_token_ids())
  form, spec = restored.form, restored.spec
  pads, limit = options.pads(spec), options.max_seq_length
  texts, ids = _texts(tokenizer, limit, form.fixed_length or form.padded_length)
  vectors = []
  for row in ids:
    tokens = [special[names.START_OF_SEQUENCE_ID], *row[:limit - 2],
              special[names.END_OF_SEGMENT_ID]]
    inputs = _inputs(tokens, limit if pads else len(tokens), special[names.PADDING_ID])
    vectors.append(_vector(encoder.encoder(inputs), len(tokens), options))
  path = os.path.join(encoder.directory, f'{label}.npz')
  reference.save_text_vectors(path, texts, ids, np.stack(vectors))
  return TextEmbeddingExpectation(
      reference_file=path,
      trainable=encoder.trainable(with_pooler=options.uses_pooler),
      dropout=dropout.drops(restored.network),
      training_effect=support.training_effect(spec),
      dropout_state=True,
      # As in preprocessing: a SentencePiece model is embedded in the graph.
      asset_sha256=encoder.text_assets,
      dim=poolings.dim(options.pooling, spec.hidden_size),
      normalize=options.normalize,
      max_seq_length=limit,
      fixed_length=form.fixed_length,
      pads=pads,
      special_tokens=special,
  )


def _texts(
    tokenizer: Tokenizer, max_seq_length: int, length: int | None
) -> tuple[list[str], list[list[int]]]:
  """Texts and their ids: real sentences, what tokenizers get wrong, and one that is too long.

  Args:
    tokenizer: of the export.
    max_seq_length: less than the tokens of the longest text.
    length: of every row, if the encoder pads; then there are fewer texts.
  """
  sentences = [text for example in reference.SENTENCES for text in example]
  prose = ' '.join(sentences)
  tokens = max(1, len(ids_of(tokenizer, [prose])[0]))
  longest = ' '.join([prose] * (1 + max_seq_length // tokens))
  texts = [sentences[0], longest, '', sentences[1], *sentences[2:], *ODD_TEXTS]
  if length is not None:
    texts = texts[:max(_FEWEST_TEXTS, _MOST_TOKENS // length)]
  return texts, ids_of(tokenizer, texts)


def _inputs(tokens: Sequence[int], length: int, padding_id: int) -> dict[str, np.ndarray]:
  """One row, padded as preprocessing pads."""
  row = np.array([tokens], np.int32)
  inputs = to_length({
      names.INPUT_WORD_IDS: row, names.INPUT_MASK: np.ones_like(row),
      names.INPUT_TYPE_IDS: np.zeros_like(row)}, length)
  inputs[names.INPUT_WORD_IDS][:, len(tokens):] = padding_id
  return inputs


def _vector(
    outputs: Mapping[str, Any], tokens: int, options: TextEmbeddingOptions) -> np.ndarray:
  """float32 [dim], from the outputs for one row of so many real tokens."""
  found = []
  for name in poolings.parts(options.pooling):
    if name == poolings.POOLED:
      found.append(np.asarray(outputs[names.POOLED_OUTPUT])[0])
      continue
    real = np.asarray(outputs[names.SEQUENCE_OUTPUT])[0, :tokens]
    found.append({
        poolings.CLS: lambda x: x[0],
        poolings.MEAN: lambda x: x.mean(axis=0),
        poolings.MAX: lambda x: x.max(axis=0),
        poolings.MEAN_SQRT_LEN: lambda x: x.sum(axis=0) / np.sqrt(len(x)),
    }[name](real))
  vector = np.concatenate(found).astype(np.float64)
  if options.normalize:
    vector /= np.linalg.norm(vector)
  return vector.astype(np.float32)
