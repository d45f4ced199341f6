"""How is WordPiece computed in a graph: fast, and equal to TF-NLP's BertTokenizer layer?

tf.text's FastBertTokenizer ops (Song et al. 2021, arXiv 2012.15524) on text in which the code
points that they treat differently are replaced (word_separation.py). They give the pieces of each
text; which piece starts a word is read off a table: a piece that continues a word is an entry of
the vocabulary that starts with '##', and none that starts a word does, because both tokenizers
make a word of its own of each '#'.
"""

from __future__ import annotations

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
from nlp_export.tokenization import word_separation
from nlp_export.tokenization.row_splits import with_static_size

_SUFFIX_INDICATOR = '##'
_MAX_BYTES_PER_WORD = 100  # Longer words are unknown; the default of tf.text.BertTokenizer.

# The ops use one thread each. A batch is cut into so many parts, which TensorFlow's inter-op
# threads tokenise side by side. Measured on 2 cores: no cost for a batch of one.
_PARTS = 4
# A slice that starts at a multiple of so many strings is aligned (8 x 24 bytes, 3 x 64), so that
# TensorFlow shares its memory instead of copying each string.
_ALIGNED_STRINGS = 8


class WordPieceGraph(tf.Module):
  """WordPiece tokenisation of string tensors.

  Attributes:
    vocab_file: the vocabulary as an asset. The graph holds a compiled form of it and does not
      read the file, which is there for users (and for looking up tokens).
  """

  def __init__(self, tokenizer: Any, with_offsets: bool):
    """Compiles the vocabulary.

    Args:
      tokenizer: a `tokenizers.WordPiece`.
      with_offsets: whether `tokenize_with_offsets` will be asked for.

    Raises:
      RequestError: a vocabulary that tf.text cannot compile, or without right offsets.
    """
    super().__init__()
    vocabulary = tokenizer.vocabulary
    self.vocab_file = tf.saved_model.Asset(tokenizer.vocab_file)
    self._replacements = word_separation.replacements(
        vocabulary, tokenizer.lower_case, tokenizer.split_at_unicode_spaces)
    self._reorder = tokenizer.lower_case and word_separation.may_be_reordered(vocabulary)
    if self._reorder and with_offsets:
      raise RequestError(
          f'{tokenizer.vocab_file} has spacing marks of several combining classes, whose order '
          'Unicode normalisation changes when lower-casing, so offsets into the original text '
          'cannot be given. Ask for no offsets: tokenize_with_offsets = False.')
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
        normalizer_builder.build_fast_bert_normalizer_model(tokenizer.lower_case))
    self._starts_word = tf.constant([not t.startswith(_SUFFIX_INDICATOR) for t in vocabulary])

  def tokenize_flat(self, sentences: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Pieces of all sentences in a row.

    Args:
      sentences: string [batch].

    Returns:
      values int32 [pieces], row_splits int64 [batch + 1].
    """
    size = -(-tf.size(sentences) // (_PARTS * _ALIGNED_STRINGS)) * _ALIGNED_STRINGS
    parts = [self._tokenize_part(sentences[i * size:(i + 1) * size]) for i in range(_PARTS)]
    values = tf.concat([values for values, _ in parts], 0)
    lengths = tf.concat([splits[1:] - splits[:-1] for _, splits in parts], 0)
    # The reshape gives the ops' results the static size of `sentences`, if that has one.
    lengths = tf.reshape(lengths, tf.shape(sentences))
    return values, tf.concat([tf.zeros([1], tf.int64), tf.cumsum(lengths)], 0)

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
    text, offsets, offset_splits = gen_fast_bert_normalizer.fast_bert_normalize(
        input_values=self._replaced(sentences, keep_bytes=True),
        fast_bert_normalizer_model=self._normalizer_model, get_offsets=True)
    _, ids, splits, starts, limits = (
        gen_fast_wordpiece_tokenizer.fast_wordpiece_tokenize_with_offsets(
            input_values=text, wp_model=self._wordpiece_model))
    values = tf.cast(ids, tf.int32)
    # `offsets` maps bytes of the normalised text (and its end) to the original, row after row.
    row = tf.searchsorted(splits[1:], tf.range(tf.size(ids, tf.int64)), side='right')
    first = tf.gather(offset_splits, row)
    # The end of a piece is where its last byte's character ends: the next offset that is larger.
    # (Of the two s that a sharp s becomes, the first would end where it starts otherwise.)
    bound = tf.reduce_max(tf.concat([offsets, [0]], 0)) + 1
    offset_row = tf.searchsorted(
        offset_splits[1:], tf.range(tf.size(offsets, tf.int64)), side='right')
    rising = offsets + tf.cast(offset_row, tf.int64) * bound
    last = tf.gather(rising, first + limits - 1)
    next_one = tf.searchsorted(rising, last, side='right')
    return self._in_words(with_static_size(splits, sentences), values)(
        [values, tf.gather(offsets, first + starts), tf.gather(offsets, next_one)])

  def _tokenize_part(self, sentences: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    text, _, _ = gen_fast_bert_normalizer.fast_bert_normalize(
        input_values=self._replaced(sentences, keep_bytes=False),
        fast_bert_normalizer_model=self._normalizer_model, get_offsets=False)
    _, ids, splits, _, _ = gen_fast_wordpiece_tokenizer.fast_wordpiece_tokenize_with_offsets(
        input_values=text, wp_model=self._wordpiece_model)
    return tf.cast(ids, tf.int32), splits

  def _replaced(self, sentences: tf.Tensor, keep_bytes: bool) -> tf.Tensor:
    if self._reorder:
      sentences = normalize_utf8(case_fold_utf8(sentences), 'NFD')
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


def _bytes_tensor(data: bytes) -> tf.Tensor:
  return tf.constant(np.frombuffer(data, np.uint8))
