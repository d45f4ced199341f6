"""Encoders of one sequence length take every batch, and no text that is too long for them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from nlp_export import names
from nlp_export.errors import RequestError
from nlp_export.glue.fine_tuning import one_length
from nlp_export.glue.fine_tuning.trainable_encoder import TrainableEncoder

LENGTH = 8
TABLE = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)


class Mixer(tf.train.Checkpoint):
  """As fnet: every position sees all of the row, padding too."""

  def __init__(self):
    super().__init__()
    self.table = tf.Variable(TABLE, name='word_embeddings/embeddings')
    self.trainable_variables = [self.table]
    self.__call__ = tf.function(self.run, autograph=False)
    for training in (False, True):
      self.__call__.get_concrete_function(
          {name: tf.TensorSpec([None, LENGTH], tf.int32, name=name)
           for name in names.ENCODER_INPUTS}, training=training)

  def run(self, inputs, training=False):
    del training
    x = tf.gather(self.table, inputs[names.INPUT_WORD_IDS])
    x += tf.reduce_mean(x, axis=1, keepdims=True)
    return {names.SEQUENCE_OUTPUT: x, names.POOLED_OUTPUT: x[:, 0],
            names.ENCODER_OUTPUTS: [x]}


@pytest.fixture(scope='module')
def loaded(tmp_path_factory):
  path = str(tmp_path_factory.mktemp('mixer') / 'export')
  mixer = Mixer()
  serve = tf.function(lambda input_word_ids, input_mask, input_type_ids: mixer.run({
      names.INPUT_WORD_IDS: input_word_ids})[names.POOLED_OUTPUT], autograph=False)
  tf.saved_model.save(mixer, path, signatures={names.SERVING_DEFAULT: serve.get_concrete_function(
      *(tf.TensorSpec([None, LENGTH], tf.int32, name=name) for name in names.ENCODER_INPUTS))})
  return tf.saved_model.load(path)


def rows(length: int) -> dict[str, tf.Tensor]:
  ids = np.arange(1, length + 1, dtype=np.int32)[None]
  return dict(zip(names.ENCODER_INPUTS, map(tf.constant, (ids, ids * 0 + 1, ids * 0)),
                  strict=True))


def test_a_short_batch_gives_what_its_padded_rows_give(loaded):
  assert one_length.of_signature(loaded) == LENGTH
  assert one_length.of_signature(object()) is None  # Nothing tells.

  def call(inputs, training):
    return loaded(inputs, training=training)

  with pytest.raises(ValueError, match='Could not find matching concrete function'):
    call(rows(3), False)  # Control: so it is without.
  padded, tokenise = one_length.adapted(call, lambda segments, n: (segments, n), LENGTH, 'mixer')
  encoder = TrainableEncoder(
      padded, loaded.trainable_variables, tokenise, dropout_state=None)  # Calls it at length 3.
  found = encoder.outputs(rows(3), training=True)
  whole = {name: tf.pad(value, [[0, 0], [0, LENGTH - 3]]) for name, value in rows(3).items()}
  expected = call(whole, False)
  assert found[names.SEQUENCE_OUTPUT].shape == (1, 3, 4)
  np.testing.assert_array_equal(
      found[names.SEQUENCE_OUTPUT], expected[names.SEQUENCE_OUTPUT][:, :3])
  np.testing.assert_array_equal(found[names.POOLED_OUTPUT], expected[names.POOLED_OUTPUT])
  assert found[names.ENCODER_OUTPUTS][0].shape == (1, 3, 4)


def test_rows_that_do_not_fit_are_refused():
  _, tokenise = one_length.adapted(lambda x, t: {}, lambda segments, n: n, LENGTH, 'exports/model')
  assert tokenise((), LENGTH) == LENGTH
  with pytest.raises(RequestError) as caught:
    tokenise((), LENGTH + 1)
  assert str(caught.value).startswith('MAX_SEQ_LENGTH is 9, but exports/model takes rows of 8')
  assert str(caught.value).endswith('Write --set MAX_SEQ_LENGTH=8')


def test_other_encoders_are_left_as_they_are():
  call, tokenise = object(), object()
  assert one_length.adapted(call, tokenise, None, '') == (call, tokenise)
