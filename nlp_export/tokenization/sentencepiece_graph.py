"""How is SentencePiece computed in a graph, equal to TF-NLP's SentencepieceTokenizer layer?"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_text as tf_text

from nlp_export.tokenization import text_changes
from nlp_export.tokenization.row_splits import row_of, with_static_size


def normalized(sentences: tf.Tensor, lower_case: bool, strip_diacritics: bool) -> tf.Tensor:
  """What is done to string [batch] before the model sees it, in tokenising and in its training."""
  return text_changes.of_sentencepiece(lower_case, strip_diacritics).apply(sentences)


class SentencePieceGraph(tf.Module):
  """SentencePiece tokenisation of string tensors. The model is embedded in the graph: no asset."""

  def __init__(self, tokenizer: Any):
    """Loads the model.

    Args:
      tokenizer: a `tokenizers.SentencePiece`.
    """
    super().__init__()
    self._change = text_changes.of_sentencepiece(tokenizer.lower_case, tokenizer.strip_diacritics)
    self._tokenizer = tf_text.SentencepieceTokenizer(model=tokenizer.model, out_type=tf.int32)

  def tokenize_flat(self, sentences: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Pieces of all of string [batch]: values int32 [pieces], row_splits int64 [batch + 1]."""
    tokens = self._tokenizer.tokenize(self._change.apply(sentences))
    return tokens.values, with_static_size(tokens.row_splits, sentences)

  def tokenize(self, sentences: tf.Tensor) -> tf.RaggedTensor:
    """int32 [batch, (pieces)] of string [batch]."""
    values, splits = self.tokenize_flat(sentences)
    return tf.RaggedTensor.from_row_splits(values, splits, validate=False)

  def tokenize_with_offsets(self, sentences: tf.Tensor) -> list[tf.RaggedTensor]:
    """Pieces and where they stand in the original bytes.

    Args:
      sentences: string [batch].

    Returns:
      Three ragged tensors [batch, (pieces)]: ids int32, first byte and byte after the last int64.
      The space before a word is part of its first piece, as it is of the model's.
    """
    if self._change is text_changes.NOTHING:
      columns = self._tokenizer.tokenize_with_offsets(sentences)
      splits = columns[0].row_splits
      values, starts, limits = (column.values for column in columns)
    else:
      aligned = text_changes.Alignment(sentences, self._change)
      tokens, changed_starts, changed_limits = self._tokenizer.tokenize_with_offsets(aligned.text)
      values, splits = tokens.values, tokens.row_splits
      starts, limits = aligned.original(
          changed_starts.values, changed_limits.values, row_of(splits, tf.size(values, tf.int64)))
    splits = with_static_size(splits, sentences)
    return [tf.RaggedTensor.from_row_splits(column, splits, validate=False)
            for column in (values, starts, limits)]
