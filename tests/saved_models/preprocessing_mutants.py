"""A tiny preprocessing SavedModel that passes every check, and one wrong in each way they look for.

Cased, built on TF.Text's own tokenizer: its offsets are right where nothing is normalised.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_text as tf_text

from nlp_export import files, names
from nlp_export.saved_models.verification import PreprocessingExpectation

DEFAULT_SEQ_LENGTH = 32
VOCAB = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *string.ascii_letters, *string.digits,
         *'.,:;!?\'"-[]', *(f'##{c}' for c in string.ascii_letters), 'the', 'film', 'It', '中', 'é']
SPECIAL = {'vocab_size': len(VOCAB), 'padding_id': 0, 'start_of_sequence_id': 2,
           'end_of_segment_id': 3, 'mask_id': 4}
_TEXT = tf.TensorSpec([None], tf.string)


class _Part(tf.train.Checkpoint):

  def __init__(self, function: Any):
    super().__init__()
    self.__call__ = function


class TinyPreprocessing(tf.train.Checkpoint):
  """The object to save; `bad` names what is wrong with it ('' for nothing)."""

  def __init__(self, directory: Path, bad: str = '', num_segments: int = 2):
    super().__init__()
    self.bad = bad
    self.most = 3 if bad == 'third_segment_taken' else num_segments
    self.vocab_path = str(directory / 'vocab.txt')
    vocab = [t for t in VOCAB if t != '[UNK]'] if bad == 'no_unknown' else VOCAB
    files.write_text(self.vocab_path, '\n'.join(vocab) + '\n')
    self.tokenizer = tf_text.BertTokenizer(
        self.vocab_path, lower_case=bad == 'lower_case', token_out_type=tf.int32,
        max_bytes_per_word=200 if bad == 'long_words' else 100)
    self.special = {k: v - (bad == 'no_unknown' and k != 'padding_id') for k, v in SPECIAL.items()}
    if bad == 'trainable':
      self.weight = tf.Variable(1.0)
      self.trainable_variables = [self.weight]
    self.__call__ = self._root_function()
    self.tokenize = _Part(tf.function(self._tokenize, autograph=False))
    self.tokenize.__call__.get_concrete_function(_TEXT)
    self.tokenize.get_special_tokens_dict = self._special_tokens()
    self.bert_pack_inputs = _Part(self._pack_function())
    if bad != 'no_offsets':
      self.tokenize_with_offsets = _Part(tf.function(self._offsets, autograph=False))
      self.tokenize_with_offsets.__call__.get_concrete_function(_TEXT)
      self.tokenize_with_offsets.get_special_tokens_dict = (
          self._special_tokens() if bad == 'own_special_tokens'
          else self.tokenize.get_special_tokens_dict)

  def _tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
    if self.bad == 'blank_is_a_word':
      texts = tf.where(tf.equal(texts, ''), 'x', texts)
    tokens = self.tokenizer.tokenize(texts)
    if self.bad == 'special_from_text':
      return tf.ragged.map_flat_values(
          lambda ids: tf.where(ids == VOCAB.index('['), SPECIAL['start_of_sequence_id'], ids),
          tokens)
    return tokens.merge_dims(1, 2) if self.bad == 'words_joined' else tokens

  def _offsets(self, texts: tf.Tensor) -> list[tf.RaggedTensor]:
    _, starts, limits = self.tokenizer.tokenize_with_offsets(texts)
    if self.bad == 'offsets_shifted':
      starts, limits = starts + 1, limits + 1
    if self.bad == 'int32_offsets':
      limits = tf.cast(limits, tf.int32)
    if self.bad == 'characters_counted':
      # Where é and 中 stand before it, a word's place in characters is not its place in bytes.
      starts -= tf.cast(tf.strings.length(texts) - tf.strings.length(texts, 'UTF8_CHAR'),
                        tf.int64)[:, tf.newaxis, tf.newaxis]
    return [self._tokenize(texts), starts, limits]

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

  def pack(self, segments: list[tf.RaggedTensor], seq_length: Any) -> dict[str, tf.Tensor]:
    """The packing law, by TF.Text's own functions."""
    bad, special = self.bad, self.special
    if bad == 'ranks_differ' and segments[0].shape.rank == 3 and len(segments) == 2:
      segments = segments[::-1]
    segments = [s.merge_dims(1, 2) if s.shape.rank == 3 else s for s in segments]
    budget = tf.maximum(seq_length - len(segments) - 1, 0)
    waterfall = bad == 'waterfall' or (bad == 'third_cut_otherwise' and len(segments) == 3)
    trimmer = (tf_text.WaterfallTrimmer if waterfall else tf_text.RoundRobinTrimmer)(budget)
    ids, types = tf_text.combine_segments(
        trimmer.trim(segments), special['start_of_sequence_id'], special['end_of_segment_id'])
    ids, mask = tf_text.pad_model_inputs(
        ids, seq_length, pad_value=9 if bad == 'other_padding' else special['padding_id'])
    types, _ = tf_text.pad_model_inputs(types, seq_length)
    if bad == 'types_forgotten':
      types = tf.zeros_like(types)
    if bad == 'tiny_lengths':
      ids = tf.cond(tf.equal(seq_length, 1), lambda: tf.fill(tf.shape(ids), 3), lambda: ids)
    return dict(zip(names.ENCODER_INPUTS, (ids, mask, types)))

  def _pack_function(self) -> Any:
    default = DEFAULT_SEQ_LENGTH - (self.bad == 'other_default')
    pack = tf.function(lambda inputs, seq_length=default: self.pack(inputs, seq_length),
                       autograph=False)
    for rank in (2, 3):
      for count in range(1, self.most + 1):
        pack.get_concrete_function([tf.RaggedTensorSpec([None] * rank, tf.int32)] * count,
                                   seq_length=tf.TensorSpec([], tf.int32))
    return pack

  def _root_function(self) -> Any:
    bad = self.bad

    def call(texts: tf.Tensor, training: bool = False,
             seq_length: Any = DEFAULT_SEQ_LENGTH) -> dict[str, tf.Tensor]:
      if bad == 'no_empty_batch':
        tf.debugging.Assert(tf.shape(texts)[0] > 0, ['an empty batch'])
      packed = self.pack([self._tokenize(texts)], seq_length)
      if bad == 'training_matters' and training:
        packed[names.INPUT_WORD_IDS] += 1
      if bad == 'root_types':
        packed[names.INPUT_TYPE_IDS] += 1
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
        function.get_concrete_function(_TEXT, training=training,
                                       seq_length=tf.TensorSpec([], tf.int32))
    return function


def expectation(source: TinyPreprocessing, **changes: Any) -> PreprocessingExpectation:
  """What the maker of an export of `source` knows."""
  told: dict[str, Any] = dict(
      tokenizer='wordpiece', lower_case=False, default_seq_length=DEFAULT_SEQ_LENGTH, offsets=True,
      truncator='round_robin', num_segments=2, no_assert=False, special_tokens=source.special,
      asset_sha256={'vocab.txt': files.sha256(source.vocab_path)})
  return PreprocessingExpectation(**{**told, **changes})


def save(obj: TinyPreprocessing, path: str) -> None:
  """Writes the SavedModel."""
  tf.saved_model.save(obj, path, options=tf.saved_model.SaveOptions(save_debug_info=False))
