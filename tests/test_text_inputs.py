"""Encoder inputs from text: what the preprocessor gives, without the padding that no text needs."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401

from nlp_export import text_inputs, tokenizers
from nlp_export.errors import RequestError
from nlp_export.saved_models import preprocessing

TEXTS = ['the cat sat on the mat', '', 'a dog ' * 30]
OTHERS = ['hello world', 'a', 'cat']
NAMES = ('input_word_ids', 'input_mask', 'input_type_ids')


@pytest.fixture(scope='module', params=['loaded', 'before saving'])
def preprocessor(request, uncased_exports, tiny_vocab):
  if request.param == 'loaded':
    return tf.saved_model.load(uncased_exports['preprocessing'])
  return preprocessing.build(tokenizers.wordpiece(tiny_vocab, True))


def full_rows(preprocessor, segments, length):
  """What the preprocessor itself packs, padded."""
  tokens = [preprocessor.tokenize(tf.constant(texts, tf.string)) for texts in segments]
  return preprocessor.bert_pack_inputs(tokens, seq_length=tf.constant(length))


def constants(*segments):
  return [tf.constant(texts, tf.string) for texts in segments]


@pytest.mark.parametrize('segments', [
    (TEXTS,), (TEXTS, OTHERS), (OTHERS[:1],), (TEXTS[:2], [''] * 2)])
@pytest.mark.parametrize('length', [9, 64, 128])
def test_rows_are_as_long_as_the_longest_text(preprocessor, segments, length):
  found = text_inputs.encoder_inputs(preprocessor, constants(*segments), length)
  whole = full_rows(preprocessor, segments, length)
  longest = int(tf.reduce_sum(whole['input_mask'], 1).numpy().max())
  assert set(found) == set(NAMES)
  for name in NAMES:
    assert found[name].dtype == tf.int32
    np.testing.assert_array_equal(found[name], whole[name][:, :longest])
  assert found['input_mask'].numpy()[:, -1].any()  # Control: no column of padding.


def test_fixed_rows_and_no_rows(preprocessor):
  fixed = text_inputs.encoder_inputs(preprocessor, constants(OTHERS), 12, fixed=True)
  for name, expected in full_rows(preprocessor, [OTHERS], 12).items():
    np.testing.assert_array_equal(fixed[name], expected)
  none = text_inputs.encoder_inputs(preprocessor, constants([]), 12)
  assert {value.shape[0] for value in none.values()} == {0}
  assert {value.shape[1] for value in none.values()} == {1}
  always = text_inputs.encoder_inputs(preprocessor, constants([]), 12, fixed=True)
  assert {tuple(value.shape) for value in always.values()} == {(0, 12)}


def test_in_a_function_and_in_dataset_map(preprocessor):
  expected = text_inputs.encoder_inputs(preprocessor, constants(TEXTS, OTHERS), 20)

  @tf.function(input_signature=[tf.TensorSpec([None], tf.string)] * 2)
  def both(first, second):
    return text_inputs.encoder_inputs(preprocessor, [first, second], 20)

  mapped = tf.data.Dataset.from_tensor_slices((TEXTS, OTHERS)).batch(3).map(
      lambda first, second: text_inputs.encoder_inputs(preprocessor, [first, second], 20))
  for found in (both(*constants(TEXTS, OTHERS)), next(iter(mapped))):
    for name in NAMES:
      np.testing.assert_array_equal(found[name], expected[name])


class Stranger:
  """A preprocessor of another kind: more special tokens, seq_length only as a number."""

  def __init__(self, takes=(int,)):
    self.takes = takes

  def tokenize(self, texts):
    words = tf.strings.split(texts)
    return words.with_values(tf.strings.length(words.values) + 10)

  def bert_pack_inputs(self, segments, seq_length=None):
    if not isinstance(seq_length, self.takes):
      raise ValueError(f'Could not find matching concrete function to call\n{seq_length}')
    tokens = segments[0]
    marks = [tf.fill([tokens.nrows(), 2], 1), tf.fill([tokens.nrows(), 1], 2)]  # Two in front.
    rows = tf.concat([marks[0], tokens[:, :seq_length - 3], marks[1]], 1)
    shape = [None, seq_length]
    mask = tf.ones_like(rows).to_tensor(shape=shape)
    return dict(zip(NAMES, (rows.to_tensor(shape=shape), mask, tf.zeros_like(mask)), strict=True))


@pytest.mark.parametrize('takes', [(int,), (int, tf.Tensor)])
def test_a_strangers_preprocessor_loses_no_token(takes):
  found = text_inputs.encoder_inputs(Stranger(takes), constants(['a bc', 'd']), 50)
  assert found['input_word_ids'].numpy().tolist() == [[1, 1, 11, 12, 2], [1, 1, 11, 2, 0]]
  assert found['input_mask'].numpy().sum(1).tolist() == [5, 4]


def test_what_cannot_be_done_is_said():
  with pytest.raises(RequestError) as caught:
    text_inputs.encoder_inputs(Stranger(takes=()), constants(['a']), 50)
  assert 'does not take 1 segment with seq_length = 50, neither as a tensor (Could not find' in str(
      caught.value)
  assert str(caught.value).endswith("or write one with EXPORT_TYPES = ('preprocessing',)")
  with pytest.raises(RequestError) as caught:
    text_inputs.encoder_inputs(object(), constants(['a']), 50)
  assert 'has no tokenize, no bert_pack_inputs' in str(caught.value)
  assert str(caught.value).endswith("for example what EXPORT_TYPES = ('preprocessing',) writes")
  for length, segments in ((3, 2), (2, 1), (True, 1), ('12', 1)):
    with pytest.raises(RequestError, match='Write --set MAX_SEQ_LENGTH=128$'):
      text_inputs.encoder_inputs(Stranger(), constants(*[['a']] * segments), length)


def test_an_encoder_without_so_many_positions_is_refused_before_a_long_text_comes(
    uncased_exports, tiny_size):
  most = tiny_size.max_position_embeddings
  assert not text_inputs.needs_whole_rows(uncased_exports['model'], most)
  with pytest.raises(RequestError) as error:
    text_inputs.needs_whole_rows(uncased_exports['model'], most + 1)
  assert str(error.value).endswith(f'Write --set MAX_SEQ_LENGTH={most}, or less')
