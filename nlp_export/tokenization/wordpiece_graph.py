"""How is WordPiece computed in a graph: fast, and equal to TF-NLP's BertTokenizer layer?

tf.text's FastBertTokenizer ops (Song et al. 2021, arXiv 2012.15524) on text in which the code
points that they treat differently are replaced (word_separation.py). They give the pieces of each
text; which piece starts a word is read off a table: a piece that continues a word is an entry of
the vocabulary that starts with '##', and none that starts a word does, because both tokenizers
make a word of its own of each '#'. Lower-casing without stripping accents, or the reverse, is done
to the text first, which then goes the way of cased text.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_text.core.pybinds import (
    pywrap_fast_bert_normalizer_model_builder as normalizer_builder,
)
from tensorflow_text.core.pybinds import (
    pywrap_fast_wordpiece_tokenizer_model_builder as wordpiece_builder,
)
from tensorflow_text.python.ops.fast_bert_normalizer import gen_fast_bert_normalizer
from tensorflow_text.python.ops.fast_wordpiece_tokenizer import gen_fast_wordpiece_tokenizer
from tensorflow_text.python.ops.normalize_ops import case_fold_utf8, normalize_utf8

from nlp_export.errors import RequestError
from nlp_export.tokenization import text_changes, word_separation
from nlp_export.tokenization.row_splits import (
    in_parts,
    lengths_of,
    of_lengths,
    row_of,
    with_static_size,
)

_SUFFIX_INDICATOR = '##'
_MAX_BYTES_PER_WORD = 100  # Longer words are unknown; the default of tf.text.BertTokenizer.


class WordPieceGraph(tf.Module):
  """WordPiece tokenisation of string tensors.

  Attributes:
    vocab_file: the vocabulary as an asset. The graph holds a compiled form of it and does not
      read the file, which is there for users (and for looking up tokens).
  """

  def __init__(self, tokenizer: Any):
    """Compiles the vocabulary.

    Args:
      tokenizer: a `tokenizers.WordPiece`.

    Raises:
      RequestError: a vocabulary that tf.text cannot compile.
    """
    super().__init__()
    vocabulary = tokenizer.vocabulary
    self.vocab_file = tf.saved_model.Asset(tokenizer.vocab_file)
    self._change: text_changes.Change | None = text_changes.of_wordpiece(tokenizer)
    folds = self._change is text_changes.FOLDED
    if folds:  # The fast normaliser does that, but for canonical ordering.
      self._change = _ORDERED if word_separation.may_be_reordered(vocabulary) else None
    elif self._change is text_changes.NOTHING:
      self._change = None
    self._replacements = word_separation.replacements(
        vocabulary, folds, tokenizer.split_at_unicode_spaces)
    try:
      model = wordpiece_builder.build_fast_wordpiece_model(
          [self._replacements.token(token) for token in vocabulary], _MAX_BYTES_PER_WORD,
          _SUFFIX_INDICATOR, tokenizer.unknown, False, False)
    except RuntimeError as error:
      longest = max(range(len(vocabulary)), key=lambda i: len(vocabulary[i].encode('utf-8')))
      raise RequestError(
          f'Vocabulary {tokenizer.vocab_file}: tf.text cannot compile it: {str(error)[:99]} ... '
          f'The longest token stands on line {longest + 1}; words of more than '
          f'{_MAX_BYTES_PER_WORD} bytes are unknown anyway. '
          'Write a placeholder such as [unused0] in its place.') from error
    self._wordpiece_model = _bytes_tensor(model)
    self._normalizer_model = _bytes_tensor(
        normalizer_builder.build_fast_bert_normalizer_model(folds))
    self._starts_word = tf.constant([not t.startswith(_SUFFIX_INDICATOR) for t in vocabulary])

  def tokenize_flat(self, sentences: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Pieces of all sentences in a row.

    Args:
      sentences: string [batch].

    Returns:
      values int32 [pieces], row_splits int64 [batch + 1].
    """
    values, lengths = in_parts(self._tokenize_part, sentences)
    # The reshape gives the ops' results the static size of `sentences`, if that has one.
    return values, of_lengths(tf.reshape(lengths, tf.shape(sentences)))

  def tokenize(self, sentences: tf.Tensor) -> tf.RaggedTensor:
    """int32 [batch, (words), (pieces)] of string [batch]."""
    values, splits = self.tokenize_flat(sentences)
    return self._in_words(splits, values)([values])[0]

  def tokenize_with_offsets(self, sentences: tf.Tensor) -> list[tf.RaggedTensor]:
    """Pieces and where they stand in the original bytes.

    Args:
      sentences: string [batch].

    Returns:
      Three ragged tensors [batch, (words), (pieces)]: ids int32, first byte and byte after the
      last int64. A limit takes in what was dropped after a piece, such as accents.
    """
    aligned = text_changes.Alignment(sentences, self._change) if self._change else None
    text, offsets, offset_splits = gen_fast_bert_normalizer.fast_bert_normalize(
        input_values=self._replaced(aligned.text if aligned else sentences, keep_bytes=True),
        fast_bert_normalizer_model=self._normalizer_model, get_offsets=True)
    _, ids, splits, starts, limits = (
        gen_fast_wordpiece_tokenizer.fast_wordpiece_tokenize_with_offsets(
            input_values=text, wp_model=self._wordpiece_model))
    values = tf.cast(ids, tf.int32)
    # `offsets` maps bytes of the normalised text (and its end) to the original, row after row.
    row = row_of(splits, tf.size(ids, tf.int64))
    first = tf.gather(offset_splits, row)
    # The end of a piece is where its last byte's character ends: the next offset that is larger.
    # (Of the two s that a sharp s becomes, the first would end where it starts otherwise.)
    bound = tf.reduce_max(tf.concat([offsets, [0]], 0)) + 1
    offset_row = row_of(offset_splits, tf.size(offsets, tf.int64))
    rising = offsets + tf.cast(offset_row, tf.int64) * bound
    last = tf.gather(rising, first + limits - 1)
    next_one = tf.searchsorted(rising, last, side='right')
    starts, limits = tf.gather(offsets, first + starts), tf.gather(offsets, next_one)
    if aligned:
      starts, limits = aligned.original(starts, limits, row)
    return self._in_words(with_static_size(splits, sentences), values)([values, starts, limits])

  def _tokenize_part(self, sentences: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    text, _, _ = gen_fast_bert_normalizer.fast_bert_normalize(
        input_values=self._replaced(
            self._change.apply(sentences) if self._change else sentences, keep_bytes=False),
        fast_bert_normalizer_model=self._normalizer_model, get_offsets=False)
    _, ids, splits, _, _ = gen_fast_wordpiece_tokenizer.fast_wordpiece_tokenize_with_offsets(
        input_values=text, wp_model=self._wordpiece_model)
    return tf.cast(ids, tf.int32), lengths_of(splits)

  def _replaced(self, sentences: tf.Tensor, keep_bytes: bool) -> tf.Tensor:
    for pattern, replacement in self._replacements.in_text(keep_bytes):
      sentences = tf.strings.regex_replace(sentences, pattern, replacement)
    return sentences

  def _in_words(self, splits: tf.Tensor, values: tf.Tensor) -> Any:
    """A function from lists of flat values to lists of [batch, (words), (pieces)]."""
    starts = tf.gather(self._starts_word, values)
    words_before = tf.concat(
        [tf.zeros([1], tf.int64), tf.cumsum(tf.cast(starts, tf.int64))], 0)
    outer = tf.gather(words_before, splits)
    inner = tf.concat([tf.where(starts)[:, 0], [tf.size(values, tf.int64)]], 0)
    # The splits are right by construction; validation would put Assert nodes into the graph.
    return lambda columns: [
        tf.RaggedTensor.from_nested_row_splits(column, [outer, inner], validate=False)
        for column in columns]


# Folded, and in canonical order. Marks are still there, for the fast normaliser to drop.
_ORDERED = dataclasses.replace(
    text_changes.FOLDED, apply=lambda text: normalize_utf8(case_fold_utf8(text), 'NFD'))


def _bytes_tensor(data: bytes) -> tf.Tensor:
  return tf.constant(np.frombuffer(data, np.uint8))
