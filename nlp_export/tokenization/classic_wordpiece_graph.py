"""How is WordPiece computed with the settings that only tf.text's classic operations have?

Words by regular expressions, pieces by a table, as in tf.text.BertTokenizer, whose regular
expressions these are. Exact by construction, and slower than wordpiece_graph.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow_text.python.ops import bert_tokenizer
from tensorflow_text.python.ops.regex_split_ops import gen_regex_split_ops
from tensorflow_text.python.ops.wordpiece_tokenizer import gen_wordpiece_tokenizer

from nlp_export.tokenization import text_changes
from nlp_export.tokenization.row_splits import in_parts, lengths_of, of_lengths, row_of

_SUFFIX_INDICATOR = '##'
_MAX_BYTES_PER_WORD = 100  # Longer words are unknown; the default of tf.text.BertTokenizer.

_SPACE, _PUNCTUATION, _CHINESE = bert_tokenizer._DELIM_REGEX  # Three alternatives each a string.
_UNUSED = bert_tokenizer._UNUSED_TOKEN_REGEX


class ClassicWordPieceGraph(tf.Module):
  """WordPiece tokenisation of string tensors.

  Attributes:
    vocab_file: the vocabulary as an asset. The graph holds its tokens and does not read the file,
      which is there for users.
  """

  def __init__(self, tokenizer: Any):
    """Makes the table.

    Args:
      tokenizer: a `tokenizers.WordPiece`.
    """
    super().__init__()
    self.vocab_file = tf.saved_model.Asset(tokenizer.vocab_file)
    # A character without a piece inside of a word comes out as '##[UNK]', which hardly a vocabulary
    # has; TF-NLP's table gives -1 then, for which there is no embedding.
    self._table = tf.lookup.StaticHashTable(
        _Tokens(tokenizer.vocabulary), tokenizer.vocabulary.index(tokenizer.unknown))
    to_space = r'\p{Cc}|\p{Cf}' + (r'|\p{Z}' if tokenizer.split_at_unicode_spaces else '')
    self._change = text_changes.of_wordpiece(tokenizer).then(text_changes.replaced(to_space, ' '))
    # In this order: of the alternatives that match, the first is taken.
    unused = [_UNUSED] if tokenizer.preserve_unused_token else []
    chinese = [_CHINESE] if tokenizer.split_chinese_characters else []
    self._separators = '|'.join([*unused, _SPACE, _PUNCTUATION, *chinese])
    self._words_too = '|'.join([*unused, _PUNCTUATION, *chinese])
    self._unknown = tokenizer.unknown
    self._split_unknown = tokenizer.split_unknown_characters

  def tokenize_flat(self, sentences: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Pieces of all of string [batch]: values int32 [pieces], row_splits int64 [batch + 1]."""
    values, pieces, words = self._tokenized(sentences)
    return values, tf.gather(of_lengths(pieces), of_lengths(words))

  def tokenize(self, sentences: tf.Tensor) -> tf.RaggedTensor:
    """int32 [batch, (words), (pieces)] of string [batch]."""
    values, pieces, words = self._tokenized(sentences)
    return _in_words(values, of_lengths(pieces), of_lengths(words))

  def tokenize_with_offsets(self, sentences: tf.Tensor) -> list[tf.RaggedTensor]:
    """Pieces and where they stand in the original bytes.

    Args:
      sentences: string [batch].

    Returns:
      Three ragged tensors [batch, (words), (pieces)]: ids int32, first byte and byte after the
      last int64. A limit takes in what was dropped after a piece, such as accents.
    """
    aligned = text_changes.Alignment(sentences, self._change)
    words, begins, word_splits = self._words(aligned.text)
    values, starts, limits, piece_splits = self._pieces(words)
    # Three levels: pieces in words in sentences; places count from the beginning of a word.
    word = row_of(piece_splits, tf.size(values, tf.int64))
    row = tf.gather(row_of(word_splits, tf.size(words, tf.int64)), word)
    begin = tf.gather(begins, word)
    starts, limits = aligned.original(
        begin + tf.cast(starts, tf.int64), begin + tf.cast(limits, tf.int64), row)
    lengths = tf.reshape(lengths_of(word_splits), tf.shape(sentences))
    return [_in_words(column, piece_splits, of_lengths(lengths))
            for column in (values, starts, limits)]

  def _tokenized(self, sentences: tf.Tensor) -> list[tf.Tensor]:
    """Pieces of all sentences in a row, pieces of each word, words of each sentence."""
    values, pieces, words = in_parts(self._tokenize_part, sentences)
    # The reshape gives the static size of `sentences`, if that has one.
    return [values, pieces, tf.reshape(words, tf.shape(sentences))]

  def _tokenize_part(self, sentences: tf.Tensor) -> tuple[tf.Tensor, ...]:
    words, _, word_splits = self._words(self._change.apply(sentences))
    values, _, _, piece_splits = self._pieces(words)
    return values, lengths_of(piece_splits), lengths_of(word_splits)

  def _words(self, text: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    words, begins, _, splits = gen_regex_split_ops.regex_split_with_offsets(
        text, f'({self._separators})', f'({self._words_too})')
    return words, begins, splits

  def _pieces(self, words: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    tokens, splits, starts, limits = gen_wordpiece_tokenizer.wordpiece_tokenize_with_offsets(
        input_values=words, vocab_lookup_table=self._table.resource_handle,
        suffix_indicator=_SUFFIX_INDICATOR, use_unknown_token=True,
        max_bytes_per_word=_MAX_BYTES_PER_WORD, max_chars_per_token=0,
        unknown_token=self._unknown, split_unknown_characters=self._split_unknown,
        output_row_partition_type='row_splits')
    return tf.cast(self._table.lookup(tokens), tf.int32), starts, limits, splits


class _Tokens(tf.lookup.KeyValueTensorInitializer):
  """Fills a table from tokens. Named by its content, so that equal exports have equal bytes."""

  def __init__(self, tokens: Sequence[str]):
    super().__init__(list(tokens), range(len(tokens)), tf.string, tf.int64)
    digest = hashlib.sha256('\n'.join(tokens).encode('utf-8')).hexdigest()
    self._name = self._content_name = f'wordpiece_{digest[:32]}'

  @property
  def _shared_name(self) -> str:
    return self._content_name


def _in_words(
    column: tf.Tensor, piece_splits: tf.Tensor, word_splits: tf.Tensor) -> tf.RaggedTensor:
  # The splits are right by construction; validation would put Assert nodes into the graph.
  return tf.RaggedTensor.from_nested_row_splits(
      column, [word_splits, piece_splits], validate=False)
