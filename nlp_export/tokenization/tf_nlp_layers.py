"""What do TF-NLP's own layers make of a text, with the settings of a tokenizer of ours?

The other side of every comparison: exports are verified, and fine-tuned, against these. Nothing of
the graphs that are exported is used here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_text as tf_text
from official.nlp.modeling import layers
from tensorflow_text.python.ops import bert_tokenizer

from nlp_export.tokenization.tokenizer_types import SentencePiece, Tokenizer, WordPiece


def layer_of(tokenizer: Tokenizer) -> Callable[[Any], tf.RaggedTensor] | None:
  """TF-NLP's BertTokenizer or SentencepieceTokenizer; None for a tokenizer of a user's own.

  Args:
    tokenizer: whose files and settings are taken.

  Returns:
    string [batch] -> int32 [batch, (words), (pieces)], or [batch, (pieces)].
  """
  if isinstance(tokenizer, WordPiece):
    layer = layers.BertTokenizer(
        vocab_file=tokenizer.vocab_file,
        lower_case=tokenizer.lower_case or tokenizer.strips_accents,
        tokenizer_kwargs={
            'unknown_token': tokenizer.unknown,
            'split_unknown_characters': tokenizer.split_unknown_characters,
            'preserve_unused_token': tokenizer.preserve_unused_token,
            'basic_tokenizer_class': _basic_tokenizer(tokenizer)})
    return _with_unknown(layer, tokenizer) if tokenizer.split_unknown_characters else layer
  if isinstance(tokenizer, SentencePiece):
    return layers.SentencepieceTokenizer(
        model_file_path=tokenizer.model_file, lower_case=tokenizer.lower_case,
        strip_diacritics=tokenizer.strip_diacritics)
  return None


def _with_unknown(layer: Any, tokenizer: WordPiece) -> Callable[[Any], tf.RaggedTensor]:
  """An unknown character inside of a word is '##[UNK]', for which the layer's table has -1."""
  unknown = tokenizer.vocabulary.index(tokenizer.unknown)

  def tokenize(sentences: Any) -> tf.RaggedTensor:
    tokens = layer(sentences)
    return tokens.with_flat_values(tf.where(tokens.flat_values < 0, unknown, tokens.flat_values))

  return tokenize


def _basic_tokenizer(tokenizer: WordPiece) -> type[bert_tokenizer.BasicTokenizer]:
  """The part of tf.text.BertTokenizer that finds words; its own one for its own settings."""
  only_lowers = tokenizer.lower_case and not tokenizer.strips_accents
  only_strips = tokenizer.strips_accents and not tokenizer.lower_case
  spaces, chinese = tokenizer.split_at_unicode_spaces, tokenizer.split_chinese_characters
  base = (bert_tokenizer.AccentPreservingBasicTokenizer if only_lowers
          else bert_tokenizer.BasicTokenizer)
  if chinese and not (only_lowers or only_strips or spaces):
    return base

  class Basic(base):  # type: ignore[misc, valid-type]
    """With what tf.text has no setting for."""

    def __init__(self, *args: Any):
      super().__init__(*args)
      if not chinese:
        last = f'|{bert_tokenizer._DELIM_REGEX[-1]}'
        for name in ('_delim_regex_pattern', '_keep_delim_regex_pattern'):
          setattr(self, name, getattr(self, name).removesuffix(last))

    def tokenize_with_offsets(self, text_input: Any) -> Any:
      if spaces:
        text_input = tf.strings.regex_replace(text_input, r'\p{Z}', ' ')
      if only_lowers:  # Its tf.strings.lower ends the text there.
        text_input = tf.strings.regex_replace(text_input, r'\x00', ' ')
      return super().tokenize_with_offsets(text_input)

    def lower_case(self, text_input: Any) -> Any:
      if not only_strips:
        return super().lower_case(text_input)
      return tf.strings.regex_replace(tf_text.normalize_utf8(text_input, 'NFD'), r'\p{Mn}', '')

  return Basic
