"""A tiny preprocessing SavedModel that passes every check, and one wrong in each way they look for.

Its tokenizer knows whole words only, cased, and splits at spaces: a Python line (`token_ids`) is
enough to say what training would have used. Few ops and no assertions, so that an export and its
verification cost a second.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from nlp_export import files, names
from nlp_export.saved_models.verification import PreprocessingExpectation, reference
from tests.saved_models.encoder_mutants import POSITIONS, VOCAB, zero_from_first_copy

UNKNOWN, START, END = VOCAB.index('[UNK]'), VOCAB.index('[CLS]'), VOCAB.index('[SEP]')
SPECIAL = {'vocab_size': len(VOCAB), 'padding_id': 0, 'start_of_sequence_id': START,
           'end_of_segment_id': END, 'mask_id': VOCAB.index('[MASK]')}
_TEXT = tf.TensorSpec([None], tf.string)
_SEQ_LENGTH = tf.TensorSpec([], tf.int32)


class _Part(tf.train.Checkpoint):

  def __init__(self, function: Any):
    super().__init__()
    self.__call__ = function


class TinyPreprocessing(tf.train.Checkpoint):
  """The object to save; `bad` names what is wrong with it ('' for nothing)."""

  def __init__(self, directory: Path, bad: str = '', num_segments: int = 2,
               default_seq_length: int = POSITIONS):
    super().__init__()
    self.bad = bad
    self.default_seq_length = default_seq_length
    self.vocab = [t for t in VOCAB if t != '[UNK]'] if bad == 'no_unknown' else list(VOCAB)
    self.special = {k: v - (bad == 'no_unknown' and v > UNKNOWN) for k, v in SPECIAL.items()}
    self.vocab_path = str(directory / 'vocab.txt')
    files.write_text(self.vocab_path, '\n'.join(self.vocab) + '\n')
    self.vocab_file = tf.saved_model.Asset(self.vocab_path)
    if bad == 'trainable':
      self.weight = tf.Variable(1.0)
      self.trainable_variables = [self.weight]
    # One graph each for all that is traced below.
    self.words = tf.function(self._words, input_signature=[_TEXT], autograph=False)
    self.pack = tf.function(self._pack, autograph=False, reduce_retracing=True)
    self.__call__ = self._root_function(directory / 'model')
    self.tokenize = _Part(tf.function(self._tokenize, autograph=False))
    self.tokenize.__call__.get_concrete_function(_TEXT)
    self.tokenize.get_special_tokens_dict = self._special_tokens()
    self.bert_pack_inputs = _Part(
        self._pack_function(3 if bad == 'third_segment_taken' else num_segments))
    if bad != 'no_offsets':
      self.tokenize_with_offsets = _Part(tf.function(self._offsets, autograph=False))
      self.tokenize_with_offsets.__call__.get_concrete_function(_TEXT)
      self.tokenize_with_offsets.get_special_tokens_dict = (
          self._special_tokens() if bad == 'own_special_tokens'
          else self.tokenize.get_special_tokens_dict)

  def _words(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """ids int32, starts and limits int64 of all words, and row splits int64 [B + 1]."""
    bad = self.bad
    if bad == 'blank_is_a_word':
      texts = tf.where(tf.equal(texts, ' '), self.vocab[5], texts)
    # Between any two blanks lies a word, which may be empty; the empty ones are left out below.
    blank = tf.strings.regex_replace(texts, r'[ \t\n]', ' ')
    split = tf.raw_ops.StringSplitV2(input=blank, sep=' ')
    rows, sizes = split.indices[:, 0], tf.strings.length(split.values)
    ends = tf.cumsum(sizes + 1)
    first = tf.math.unsorted_segment_min(ends - sizes, rows, tf.size(texts))
    starts = tf.cast(ends - sizes - tf.gather(first, rows), tf.int64)
    kept = tf.reshape(tf.where(sizes > 0), [-1])
    words, starts = tf.gather(split.values, kept), tf.gather(starts, kept)
    limits = starts + tf.cast(tf.gather(sizes, kept), tf.int64)
    counts = tf.math.unsorted_segment_sum(tf.cast(sizes > 0, tf.int64), rows, tf.size(texts))
    counts = tf.reshape(counts, tf.shape(texts))  # The static size of `texts`.
    looked_up = tf.strings.lower(words) if bad == 'lower_case' else words
    # No word holds a space: what is written like a special token is not found.
    vocab = [' ' if t.startswith('[') and bad != 'special_from_text' else t for t in self.vocab]
    same = tf.equal(looked_up[:, tf.newaxis], tf.constant(vocab)[tf.newaxis])
    unknown = -1 if bad == 'no_unknown' else UNKNOWN
    ids = tf.where(tf.reduce_any(same, 1), tf.argmax(tf.cast(same, tf.int32), 1, tf.int32), unknown)
    if bad == 'long_words':
      ids = tf.where(tf.strings.regex_full_match(words, 'a{101}'), 5, ids)
    return ids, starts, limits, tf.concat([tf.zeros([1], tf.int64), tf.cumsum(counts)], 0)

  def _tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
    ids, _, _, splits = self.words(texts)
    return _ragged(ids, splits, words=self.bad != 'words_joined')

  def _offsets(self, texts: tf.Tensor) -> list[tf.RaggedTensor]:
    ids, starts, limits, splits = self.words(texts)
    if self.bad == 'offsets_shifted':
      starts, limits = starts + 1, limits + 1
    if self.bad == 'characters_counted':
      # Where é and 中 stand before it, a word's place in characters is not its place in bytes.
      shift = tf.strings.length(texts) - tf.strings.length(texts, 'UTF8_CHAR')
      starts -= tf.repeat(tf.cast(shift, tf.int64), splits[1:] - splits[:-1])
    if self.bad == 'int32_offsets':
      limits = tf.cast(limits, tf.int32)
    return [_ragged(part, splits, self.bad != 'words_joined') for part in (ids, starts, limits)]

  def _special_tokens(self) -> _Part:
    bad = self.bad
    known = {**self.special, **({'mask_id': 7} if bad == 'wrong_mask_id' else {})}
    captured = tf.Variable(0, trainable=False)
    dtype = tf.int64 if bad == 'int64_special' else tf.int32

    @tf.function(input_signature=[], autograph=False)
    def get() -> dict[str, tf.Tensor]:
      extra = captured.read_value() if bad == 'captured_state' else 0
      return {k: tf.constant(v, dtype) + tf.cast(extra, dtype) for k, v in known.items()}

    part = _Part(get)
    if bad == 'captured_state':
      part.captured = captured
    return part

  def _pack(self, flat: list[tuple[tf.Tensor, tf.Tensor]], seq_length: tf.Tensor
            ) -> dict[str, tf.Tensor]:
    """The packing law, place by place: of every place it is asked which segment it belongs to."""
    bad, special, count = self.bad, self.special, len(flat)
    lengths = [tf.cast(splits[1:] - splits[:-1], tf.int32)[:, tf.newaxis] for _, splits in flat]
    places = tf.range(seq_length)[tf.newaxis]  # [1, S]; the numbers below are [B, 1] or [B, S].
    waterfall = bad == 'waterfall' or (bad == 'third_cut_otherwise' and count == 3)
    budget = seq_length - count - 1
    ids = tf.fill(tf.shape(lengths[0] + places), special['start_of_sequence_id'])
    types, start = tf.zeros_like(ids), 1
    for i, (values, splits) in enumerate(flat):
      # Of token j of segment i: how many tokens are dealt before it?
      before = places
      for k in range(count):
        earlier = lengths[k] if waterfall else tf.minimum(lengths[k], places + (k < i))
        before += 0 if k == i or (waterfall and k > i) else earlier
      kept = tf.reduce_sum(tf.cast((places < lengths[i]) & (before < budget), tf.int32), 1,
                           keepdims=True)
      index = tf.cast(splits[:-1, tf.newaxis], tf.int32) + places - start
      token = tf.gather(tf.concat([values, [0]], 0), tf.clip_by_value(index, 0, tf.size(values)))
      ids = tf.where(places >= start, token, ids)
      ids = tf.where(places >= start + kept, special['end_of_segment_id'], ids)
      types = tf.where(places >= start, i, types)
      start += kept + 1
    real = places < start
    padding = 9 if bad == 'other_padding' and count == 2 else special['padding_id']
    ids, types = tf.where(real, ids, padding), tf.where(real, types, 0)
    if bad == 'types_forgotten':
      types = tf.zeros_like(types)
    if bad == 'tiny_lengths':
      ids = tf.where(tf.equal(seq_length, 1), special['end_of_segment_id'], ids)
    return dict(zip(names.ENCODER_INPUTS, (ids, tf.cast(real, tf.int32), types), strict=True))

  def _pack_function(self, most: int) -> Any:
    default = self.default_seq_length - (self.bad == 'other_default')

    def call(segments: list[tf.RaggedTensor], seq_length: Any = default) -> dict[str, tf.Tensor]:
      if self.bad == 'ranks_differ' and segments[0].shape.rank == 3 and len(segments) == 2:
        segments = segments[::-1]
      return self.pack([_without_words(s) for s in segments], tf.convert_to_tensor(seq_length))

    pack = tf.function(call, autograph=False)
    for rank in (2, 3):
      for count in range(1, most + 1):
        pack.get_concrete_function([tf.RaggedTensorSpec([None] * rank, tf.int32)] * count,
                                   seq_length=_SEQ_LENGTH)
    return pack

  def _root_function(self, model: Path) -> Any:
    bad = self.bad

    def call(texts: tf.Tensor, training: bool = False,
             seq_length: Any = self.default_seq_length) -> dict[str, tf.Tensor]:
      if bad == 'no_empty_batch':
        tf.debugging.Assert(tf.shape(texts)[0] > 0, ['an empty batch'])
      if bad == 'assert_nodes':
        tf.debugging.Assert(tf.rank(texts) < tf.constant(2), ['rank'])
      ids, _, _, splits = self.words(texts)
      packed = dict(self.pack([(ids, splits)], tf.convert_to_tensor(seq_length)))
      if bad == 'training_matters' and training:
        packed[names.INPUT_WORD_IDS] += 1
      if bad == 'root_types':
        packed[names.INPUT_TYPE_IDS] += 1
      if bad == 'reads_first_copy':
        packed[names.INPUT_WORD_IDS] += zero_from_first_copy(model)
      if bad == 'int64_mask':
        packed[names.INPUT_MASK] = tf.cast(packed[names.INPUT_MASK], tf.int64)
      if bad == 'shape_lost':
        packed = {k: tf.raw_ops.PlaceholderWithDefault(input=v, shape=[None, None])
                  for k, v in packed.items()}
      return packed

    if bad == 'no_seq_length':
      function = tf.function(lambda x, training=False: call(x, training), autograph=False)
    else:
      function = tf.function(call, autograph=False)
    for training in (False, True):
      function.get_concrete_function(_TEXT, training=training)
    if bad != 'no_seq_length':
      function.get_concrete_function(_TEXT, seq_length=_SEQ_LENGTH)
    return function


def _ragged(values: tf.Tensor, splits: tf.Tensor, words: bool = True) -> tf.RaggedTensor:
  """[B, (words), (1)], or [B, (words)]."""
  if words:
    pieces = tf.range(tf.size(values, tf.int64) + 1)
    values = tf.RaggedTensor.from_row_splits(values, pieces, validate=False)
  return tf.RaggedTensor.from_row_splits(values, splits, validate=False)


def _without_words(tokens: tf.RaggedTensor) -> tuple[tf.Tensor, tf.Tensor]:
  if tokens.shape.rank == 2:
    return tokens.values, tokens.row_splits
  return tokens.flat_values, tf.gather(tokens.values.row_splits, tokens.row_splits)


def token_ids(text: str, vocab: list[str]) -> list[int]:
  """What the tiny tokenizer of a vocabulary makes of a text."""
  unknown = vocab.index('[UNK]') if '[UNK]' in vocab else -1
  known = {token: i for i, token in enumerate(vocab) if not token.startswith('[')}
  return [known.get(word, unknown) for word in text.split()]


def expectation(source: TinyPreprocessing, directory: Path, **changes: Any
                ) -> PreprocessingExpectation:
  """What the maker of an export of `source` knows; its tokenizer was the one without a fault."""
  texts = [text for pair in reference.SENTENCES for text in pair] + ['', '[CLS] [MASK]', 'x\ny  No']
  path = str(directory / 'ids.npz')
  reference.save_token_ids(path, texts, [token_ids(text, source.vocab) for text in texts])
  told: dict[str, Any] = dict(
      reference_file=path, tokenizer='wordpiece', lower_case=False,
      default_seq_length=source.default_seq_length, offsets=True, truncator='round_robin',
      num_segments=2, no_assert=False, special_tokens=source.special,
      asset_sha256={'vocab.txt': files.sha256(source.vocab_path)})
  return PreprocessingExpectation(**{**told, **changes})


def save(obj: TinyPreprocessing, path: str) -> None:
  """Writes the SavedModel."""
  tf.saved_model.save(obj, path, options=tf.saved_model.SaveOptions(save_debug_info=False))
