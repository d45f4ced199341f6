"""What do the checks of a preprocessing SavedModel share? Its parts, its ids, the packing law."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from nlp_export import files, names
from nlp_export.saved_models.verification.encoder_attribute_checks import vocabulary
from nlp_export.saved_models.verification.file_checks import read_saved_model
from nlp_export.saved_models.verification.reference import SENTENCES
from nlp_export.saved_models.verification.registry import NotApplicable
from nlp_export.saved_models.verification.subject import Subject, shared
from nlp_export.saved_models.verification.traces import concrete_functions

WORDPIECE = 'wordpiece'
SENTENCEPIECE = 'sentencepiece'
# API key -> the token that it is looked up from.
SPECIAL_TOKENS = {
    WORDPIECE: {names.PADDING_ID: '[PAD]', names.START_OF_SEQUENCE_ID: '[CLS]',
                names.END_OF_SEGMENT_ID: '[SEP]', names.MASK_ID: '[MASK]'},
    SENTENCEPIECE: {names.PADDING_ID: '<pad>', names.START_OF_SEQUENCE_ID: '[CLS]',
                    names.END_OF_SEGMENT_ID: '[SEP]', names.MASK_ID: '[MASK]'},
}
# Real sentences, then what a tokenizer stumbles over.
TEXTS: tuple[bytes, ...] = tuple(
    text.encode() for text in (
        *(s for pair in SENTENCES for s in pair),
        'Café CAFÉ cafe', '中國 abc中國def', 'a\u200bb\u00a0c', 'abc\x00d', '\ufffd',
        'naïve ÅNGSTRÖM',
        'ﬁnal ǅ ß ẞ İstanbul', '[CLS] [MASK] [SEP]', 'don\'t stop-- now!', '東京 Москва Αθήνα',
        'emoji 😀 and\ttabs\nlines', 'x' * 99 + ' ' + 'y' * 101, 'e\u0301 \u0301', '①② ½ ㎏',
    )) + (b'\xff\xfe broken \xc3( utf-8', b'')


class PreprocessingSubject(Subject):
  """A loaded preprocessing SavedModel."""

  @property
  def tokenize(self) -> Any:
    """The part that turns string [B] into int32 [B, (words), (pieces)] or [B, (tokens)]."""
    return self.obj.tokenize

  @property
  def pack(self) -> Any:
    """bert_pack_inputs."""
    return self.obj.bert_pack_inputs

  def call(self, texts: Any) -> dict[str, np.ndarray]:
    """The root's outputs for a list of texts."""
    return {k: v.numpy() for k, v in self._function('root', self.obj)(texts).items()}

  def ids_of(self, texts: Any) -> list[list[int]]:
    """The ids of each text, words joined."""
    return flat_ids(self._function('tokenize', self.tokenize)(texts))

  def _function(self, name: str, obj: Any) -> Any:
    """A tf.function around a call, for every batch size: traced and optimised once."""
    cache = self.__dict__.setdefault('_functions', {})
    if name not in cache:
      cache[name] = tf.function(lambda x: obj(x), autograph=False,
                                input_signature=[tf.TensorSpec([None], tf.string)])
    return cache[name]

  @shared
  def tokens(self) -> tf.RaggedTensor:
    """Tokenizing the sentences."""
    return self._function('tokenize', self.tokenize)(tf.constant(TEXTS))

  @shared
  def token_ids(self) -> list[list[int]]:
    """Tokenizing the sentences, words joined."""
    return flat_ids(self.tokens)

  @shared
  def root_outputs(self) -> dict[str, np.ndarray]:
    """Calling the root on the sentences."""
    return self.call(tf.constant(TEXTS))

  @shared
  def special(self) -> dict[str, int]:
    """Calling tokenize.get_special_tokens_dict."""
    return {k: int(v.numpy()) for k, v in self.tokenize.get_special_tokens_dict().items()}

  @shared
  def kind_of_tokenizer(self) -> str:
    """Telling WordPiece from SentencePiece by the rank of tokenize's result."""
    if self.told.tokenizer:
      return self.told.tokenizer
    return WORDPIECE if self.tokens.shape.rank == 3 else SENTENCEPIECE

  @property
  def has_own_tokenizer(self) -> bool:
    """Whether its tokenizer is neither of the two of TF Hub's API, but its maker's own."""
    return self.kind_of_tokenizer not in (WORDPIECE, SENTENCEPIECE)

  @property
  def token_rank(self) -> int:
    """Rank of tokenize's result: 3 with words and pieces, 2 without words."""
    if self.has_own_tokenizer:
      return 3 if self.tokens.shape.rank == 3 else 2
    return 3 if self.kind_of_tokenizer == WORDPIECE else 2

  @shared
  def default_seq_length(self) -> int:
    """Reading the root's static output shape."""
    if self.told.default_seq_length:
      return self.told.default_seq_length
    return int(self.root_outputs[names.INPUT_WORD_IDS].shape[1])

  @property
  def num_segments(self) -> int:
    """The most segments that bert_pack_inputs takes."""
    return self.told.num_segments or 2

  @shared
  def vocab(self) -> list[bytes]:
    """Reading the WordPiece vocabulary in assets/."""
    if self.kind_of_tokenizer != WORDPIECE:
      raise NotApplicable('its tokenizer is not WordPiece')
    if len(self.asset_names) != 1:
      raise NotApplicable(f'{len(self.asset_names)} files lie in assets/, so none is known to be '
                          'the vocabulary')
    return vocabulary(files.read_bytes(self.file('assets', self.asset_names[0])))

  @property
  def unknown_token(self) -> bytes:
    """What a WordPiece vocabulary has for unknown words."""
    return (self.told.unknown_token or '[UNK]').encode()

  @shared
  def sentencepiece_model(self) -> bytes:
    """Reading the SentencePiece model out of the graph."""
    for meta_graph in read_saved_model(self).meta_graphs:
      library = meta_graph.graph_def.library.function
      for node in [*meta_graph.graph_def.node, *(n for f in library for n in f.node_def)]:
        if node.op == 'SentencepieceOp' and node.attr['model'].s:
          return node.attr['model'].s
    for name in self.asset_names:
      return files.read_bytes(self.file('assets', name))
    raise NotApplicable('no SentencePiece model is found in its graph')

  @shared
  def lower_case(self) -> bool:
    """Comparing upper and lower case."""
    if self.told.lower_case is not None:
      return self.told.lower_case
    upper, lower = self.ids_of(tf.constant([b'THE AND OF IN A B C', b'the and of in a b c']))
    return upper == lower

  @property
  def traces_of_root(self) -> list[Any]:
    """Concrete functions of the root."""
    return concrete_functions(self.obj)

  def layout(self, segments: Sequence[Sequence[int]], seq_length: int) -> dict[str, list[int]]:
    """The documented packing of one example, as three lists of seq_length."""
    special = self.special
    kept = truncate([len(s) for s in segments], seq_length - len(segments) - 1,
                    self.told.truncator or 'round_robin')
    ids, types = [special[names.START_OF_SEQUENCE_ID]], [0]
    for number, (segment, count) in enumerate(zip(segments, kept, strict=True)):
      ids += [*segment[:count], special[names.END_OF_SEGMENT_ID]]
      types += [number] * (count + 1)
    pad = seq_length - len(ids)
    return {
        names.INPUT_WORD_IDS: ids + [special[names.PADDING_ID]] * pad,
        names.INPUT_MASK: [1] * len(ids) + [0] * pad,
        names.INPUT_TYPE_IDS: types + [0] * pad,
    }


def truncate(lengths: Sequence[int], budget: int, truncator: str = 'round_robin') -> list[int]:
  """How many tokens of each segment are kept, one at a time, as the words of the law say.

  Round robin: segments take turns, the first begins, who has no more passes. Waterfall: the first
  takes all it can, then the next.
  """
  kept = [0] * len(lengths)
  if truncator == 'waterfall':
    for i, n in enumerate(lengths):
      kept[i] = max(0, min(n, budget - sum(kept)))
    return kept
  while sum(kept) < budget and kept != list(lengths):
    for i, n in enumerate(lengths):
      if kept[i] < n and sum(kept) < budget:
        kept[i] += 1
  return kept


def flat_ids(tokens: tf.RaggedTensor) -> list[list[int]]:
  """The ids of each text, words joined."""
  if tokens.shape.rank == 3:
    tokens = tokens.merge_dims(1, 2)
  return tokens.to_list()
