"""How is SentencePiece computed in a graph, equal to TF-NLP's SentencepieceTokenizer layer?"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_text as tf_text

from nlp_export.errors import RequestError
from nlp_export.tokenization.row_splits import with_static_size


def normalized(sentences: tf.Tensor, lower_case: bool, strip_diacritics: bool) -> tf.Tensor:
  """What is done to string [batch] before the model sees it, in tokenising and in its training."""
  if strip_diacritics:
    sentences = tf_text.normalize_utf8(sentences, 'NFD')
    sentences = tf.strings.regex_replace(sentences, r'\p{Mn}', '')
  return tf_text.case_fold_utf8(sentences) if lower_case else sentences


class SentencePieceGraph(tf.Module):
  """SentencePiece tokenisation of string tensors. The model is embedded in the graph: no asset."""

  def __init__(self, tokenizer: Any, with_offsets: bool):
    """Loads the model.

    Args:
      tokenizer: a `tokenizers.SentencePiece`.
      with_offsets: whether `tokenize_with_offsets` will be asked for.

    Raises:
      RequestError: offsets are asked for and would not be into the original bytes.
    """
    super().__init__()
    if with_offsets and tokenizer.why_no_offsets:
      raise RequestError(
          'Offsets into the original text are asked for (tokenize_with_offsets = True), but '
          f'{tokenizer.why_no_offsets}. '
          'Write tokenize_with_offsets = False, or strip_diacritics = False, lower_case = False.')
    self._strip_diacritics = tokenizer.strip_diacritics
    self._lower_case = tokenizer.lower_case
    self._tokenizer = tf_text.SentencepieceTokenizer(model=tokenizer.model, out_type=tf.int32)

  def tokenize_flat(self, sentences: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Pieces of all of string [batch]: values int32 [pieces], row_splits int64 [batch + 1]."""
    tokens = self._tokenizer.tokenize(
        normalized(sentences, self._lower_case, self._strip_diacritics))
    return tokens.values, with_static_size(tokens.row_splits, sentences)

  def tokenize(self, sentences: tf.Tensor) -> tf.RaggedTensor:
    """int32 [batch, (pieces)] of string [batch]."""
    values, splits = self.tokenize_flat(sentences)
    return tf.RaggedTensor.from_row_splits(values, splits, validate=False)

  def tokenize_with_offsets(self, sentences: tf.Tensor) -> list[tf.RaggedTensor]:
    """[batch, (pieces)]: ids int32, first byte and byte after the last int64."""
    return [tf.RaggedTensor.from_row_splits(
        ragged.values, with_static_size(ragged.row_splits, sentences), validate=False)
            for ragged in self._tokenizer.tokenize_with_offsets(sentences)]
