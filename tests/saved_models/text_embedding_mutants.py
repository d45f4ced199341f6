"""A tiny text embedding SavedModel that passes every check, and one that is wrong in many ways.

A word's id is its length. One layer that mixes every position with the mean over the real ones.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from nlp_export import names
from nlp_export.saved_models.verification import TextEmbeddingExpectation, reference
from tests.saved_models.encoder_mutants import zero_from_first_copy

WIDTH, ROWS, LENGTH = 8, 40, 10
START, END, FIRST = 2, 3, 5
SPECIAL = {'vocab_size': ROWS, 'padding_id': 0, 'start_of_sequence_id': START,
           'end_of_segment_id': END}
TEXTS = ('A good film.', 'It is not the best story of the year, but it is one of the warmest.', '',
         'Yes', 'No', 'Where was it held?')
_TEXT = tf.TensorSpec([None], tf.string)
_IDS = {name: tf.TensorSpec([None, None], tf.int32, name=name) for name in names.ENCODER_INPUTS}


class _Part(tf.train.Checkpoint):

  def __init__(self, function: Any):
    super().__init__()
    self.__call__ = function


class TinyTextEmbedding(tf.train.Checkpoint):
  """The object to save; `bad` names all that is wrong with it."""

  def __init__(self, directory: Path, bad: Collection[str] = (), normalize: bool = False):
    super().__init__()
    self.bad, self.normalize = bad, normalize
    rng = np.random.default_rng(0)
    table, kernel = (rng.normal(size=shape).astype(np.float32)
                     for shape in ((ROWS, WIDTH), (WIDTH, WIDTH)))
    self.table = tf.Variable(table, name='word_embeddings/embeddings')
    self.kernel = tf.Variable(kernel + (0.1 if 'perturbed_weight' in bad else 0.0), name='kernel')
    self.dropout_state = tf.Variable([5, 0], dtype=tf.int64, trainable=False, name='dropout_state')
    self.trainable_variables = [self.table, self.kernel]
    if 'extra_trainable' in bad:
      self.extra = tf.Variable([1.0], name='extra')
      self.trainable_variables = [*self.trainable_variables, self.extra]
    self.variables = [*self.trainable_variables, self.dropout_state]
    if 'not_in_variables' in bad:
      self.variables = self.variables[1:]
    if 'strange_variable' in bad:
      self.strange = tf.Variable(1, trainable=False, name='strange')
      self.variables = [*self.variables, self.strange]
    self.regularization_losses = []
    if 'vector_loss' in bad:
      self.regularization_losses = [tf.function(lambda: tf.zeros([2]), input_signature=[])]
    self.encoder_inputs = _Part(tf.function(self.pack, input_signature=[_TEXT], autograph=False))
    self.tokenize = _Part(tf.function(self._tokenize, input_signature=[_TEXT], autograph=False))
    self.tokenize.get_special_tokens_dict = _Part(tf.function(
        lambda: {k: tf.constant(v + ('other_special_tokens' in bad)) for k, v in SPECIAL.items()},
        input_signature=[], autograph=False))
    self.embed_tokens = _Part(tf.function(
        lambda inputs: self.embed(inputs, False) + 0.1 * ('other_embed_tokens' in bad),
        input_signature=[_IDS], autograph=False))
    if 'no_embed_tokens' in bad:
      del self.embed_tokens
    self.first_copy = directory / 'model'
    self.__call__ = tf.function(
        lambda texts, training='trains_by_default' in bad: self.run(texts, training),
        autograph=False)
    for training in (False,) if 'no_training_trace' in bad else (False, True):
      self.__call__.get_concrete_function(_TEXT, training=training)
    if 'scalar_taken' in bad:
      self.__call__.get_concrete_function(tf.TensorSpec([], tf.string), training=False)

  def ids(self, texts: tf.Tensor) -> tf.RaggedTensor:
    """Of whole words."""
    words = tf.strings.split(tf.reshape(texts, [-1]))
    ids = tf.minimum(FIRST + tf.strings.length(words.values), ROWS - 1)
    return tf.RaggedTensor.from_row_splits(ids, words.row_splits, validate=False)

  def _tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
    ids = self.ids(texts)
    return ids + 1 if 'other_ids' in self.bad else ids

  def pack(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
    """Encoder inputs of the length of the longest text, at most LENGTH."""
    ids = self.ids(texts)
    cut = ids if 'not_cut' in self.bad else ids[:, :LENGTH - 2]
    start = tf.fill([ids.nrows(), 1], START)
    rows = tf.concat([start, cut, tf.fill([ids.nrows(), 1], END)], 1)
    shape = [None, LENGTH] if 'padded' in self.bad else None
    word_ids = rows.to_tensor(shape=shape)
    mask = tf.ones_like(rows).to_tensor(shape=shape)
    return dict(zip(names.ENCODER_INPUTS, (word_ids, mask, tf.zeros_like(mask)), strict=True))

  def embed(self, inputs: dict[str, tf.Tensor], training: bool) -> tf.Tensor:
    """float32 [batch, WIDTH]."""
    bad = self.bad
    real = tf.cast(inputs[names.INPUT_MASK], tf.float32)[..., tf.newaxis]
    if 'padding_seen' in bad:
      real = tf.ones_like(real)
    kernel = tf.stop_gradient(self.kernel) if 'stopped_gradient' in bad else self.kernel
    x = tf.gather(self.table, inputs[names.INPUT_WORD_IDS])

    def mean(values: tf.Tensor) -> tf.Tensor:
      return tf.reduce_sum(values * real, 1) / tf.maximum(tf.reduce_sum(real, 1), 1.0)

    if training:
      state = self.dropout_state.read_value()
      if 'state_stands_still' not in bad:
        self.dropout_state.assign_add(tf.constant([0, 1], tf.int64))
      if 'no_dropout' not in bad:
        x = tf.where(tf.random.stateless_uniform(tf.shape(x), state) > 0.2, x / 0.8, 0.0)
    vectors = mean(tf.tanh(x @ kernel + mean(x)[:, tf.newaxis]))
    if self.normalize and 'not_normalized' not in bad:
      vectors = tf.math.l2_normalize(vectors, axis=-1)
    return vectors

  def run(self, texts: tf.Tensor, training: bool) -> tf.Tensor:
    """The call."""
    bad = self.bad
    if 'no_empty_batch' in bad:
      tf.debugging.Assert(tf.shape(texts)[0] > 0, ['an empty batch'])
    vectors = self.embed(self.pack(texts), training)
    if 'float64' in bad:
      vectors = tf.cast(vectors, tf.float64)
    if 'shape_lost' in bad:
      vectors = tf.raw_ops.PlaceholderWithDefault(input=vectors, shape=[None, None])
    if 'position_matters' in bad:
      vectors += tf.cast(tf.range(tf.shape(vectors)[0]), tf.float32)[:, tf.newaxis]
    if 'nan' in bad:
      vectors = tf.where(tf.equal(texts, 'Yes')[:, tf.newaxis], np.nan, vectors)
    if 'reads_first_copy' in bad:
      vectors += tf.cast(zero_from_first_copy(self.first_copy), tf.float32)
    return vectors

  def signatures(self) -> dict[str, Any]:
    """serving_default and tokens."""
    shift = 0.1 * ('signature_values' in self.bad)
    text = tf.function(
        lambda sentences: {names.EMBEDDING: self.embed(self.pack(sentences), False) + shift},
        input_signature=[tf.TensorSpec([None], tf.string, name=names.SENTENCES)], autograph=False)

    @tf.function(input_signature=list(_IDS.values()), autograph=False)
    def tokens(*arrays):
      inputs = dict(zip(names.ENCODER_INPUTS, arrays, strict=True))
      return {names.EMBEDDING: self.embed(inputs, False)}

    if 'no_tokens_signature' in self.bad:
      return {names.SERVING_DEFAULT: text}
    return {names.SERVING_DEFAULT: text, names.TOKENS: tokens}


def expectation(source: TinyTextEmbedding, directory: Path, **changes: Any
                ) -> TextEmbeddingExpectation:
  """What the maker of an export of `source`, which has no fault, knows."""
  path = str(directory / 'vectors.npz')
  vectors = np.concatenate([source.run(tf.constant([text]), False).numpy() for text in TEXTS])
  reference.save_text_vectors(path, TEXTS, source.ids(tf.constant(TEXTS)).to_list(), vectors)
  told: dict[str, Any] = dict(
      reference_file=path, dropout=True, dropout_state=True, asset_sha256={}, dim=WIDTH,
      trainable=tuple(reference.describe_variables(source.trainable_variables)),
      normalize=source.normalize, max_seq_length=LENGTH, special_tokens=SPECIAL)
  return TextEmbeddingExpectation(**{**told, **changes})


def save(obj: TinyTextEmbedding, path: str) -> None:
  """Writes the SavedModel."""
  tf.saved_model.save(obj, path, signatures=obj.signatures(),
                      options=tf.saved_model.SaveOptions(save_debug_info=False))
