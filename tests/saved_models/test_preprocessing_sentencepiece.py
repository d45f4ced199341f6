"""SentencePiece preprocessing: ids of TF-NLP's layer, an embedded model, offsets where right."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from official.nlp.modeling import layers

from nlp_export import tokenizers
from nlp_export.saved_models import preprocessing, saved_graph
from tests.sentencepiece_model import sentencepiece_model

KEYS = ('input_word_ids', 'input_mask', 'input_type_ids')


@pytest.fixture(scope='module')
def model_file(tmp_path_factory):
  path = tmp_path_factory.mktemp('sp') / 'spiece.model'
  path.write_bytes(sentencepiece_model(cased=True))
  return str(path)


@pytest.fixture(scope='module')
def texts():
  rng = random.Random(5)
  alphabet = 'abcdeé ÉßΩ中文xyzXY\u00a0\u2028\u0301\u200b\0\t.-ﬁ한İ'
  random_texts = [''.join(rng.choice(alphabet) for _ in range(rng.randrange(20)))
                  for _ in range(3000)]
  return [t.encode('utf-8') for t in [
      '', ' ', 'The Café sat on a mat', 'naïve Straße', '[CLS] <pad>', *random_texts]] + [
          b'\xff a', b'caf\xc3']


def saved(tokenizer, path, **options):
  preprocessing.save(preprocessing.build(tokenizer, **options), str(path))
  return tf.saved_model.load(str(path))


@pytest.mark.conformance(63, 71, 87)
@pytest.mark.parametrize('lower_case', [True, False])
@pytest.mark.parametrize('strip_diacritics', [True, False])
def test_ids_equal_the_layer_of_tf_nlp(model_file, texts, tmp_path, lower_case, strip_diacritics):
  reference = layers.SentencepieceTokenizer(
      model_file_path=model_file, lower_case=lower_case, strip_diacritics=strip_diacritics)
  expected = tf.function(lambda x: reference(x))(tf.constant(texts))
  loaded = saved(tokenizers.sentencepiece(model_file, lower_case, strip_diacritics),
                 tmp_path / 'saved', tokenize_with_offsets=False)
  tokens = loaded.tokenize(tf.constant(texts))
  assert tokens.ragged_rank == 1 and tokens.dtype == tf.int32
  assert tokens.row_splits.dtype == tf.int64
  assert tokens.to_list() == expected.to_list()
  other = layers.SentencepieceTokenizer(
      model_file_path=model_file, lower_case=not lower_case, strip_diacritics=strip_diacritics)
  assert other(tf.constant(texts)).to_list() != tokens.to_list()  # control
  packed = loaded.bert_pack_inputs([tokens])
  assert all(np.array_equal(packed[key], loaded(tf.constant(texts))[key]) for key in KEYS)
  special = loaded.tokenize.get_special_tokens_dict()
  assert {k: int(v) for k, v in special.items()} == reference.get_special_tokens_dict()
  # Of an own proto, no id is out of range.
  assert min(tokens.flat_values) >= 0 and max(tokens.flat_values) < int(special['vocab_size'])


def test_accents_are_kept_on_request(model_file, tmp_path):
  kept = saved(tokenizers.sentencepiece(model_file, False, False), tmp_path / 'a')
  stripped = saved(tokenizers.sentencepiece(model_file, False), tmp_path / 'b')
  assert kept.tokenize(['café']).to_list() != kept.tokenize(['cafe']).to_list()
  assert stripped.tokenize(['café']).to_list() == stripped.tokenize(['cafe']).to_list()


@pytest.mark.conformance(3, 4, 5, 6, 7)
def test_hermetic_and_saved_again(model_file, tmp_path):
  source = tmp_path / 'build' / 'spiece.model'
  source.parent.mkdir()
  shutil.copy(model_file, source)
  preprocessing.save(
      preprocessing.build(tokenizers.sentencepiece(str(source), True)), str(tmp_path / 'one'))
  shutil.rmtree(source.parent)
  for path in (tmp_path / 'one').rglob('*'):
    assert not path.is_file() or str(tmp_path).encode() not in path.read_bytes()
  assert not (tmp_path / 'one' / 'assets').exists() or not os.listdir(tmp_path / 'one' / 'assets')
  os.rename(tmp_path / 'one', tmp_path / 'moved')
  loaded = tf.saved_model.load(str(tmp_path / 'moved'))
  expected = loaded(['hello world'])
  tf.saved_model.save(loaded, str(tmp_path / 'two'))
  shutil.rmtree(tmp_path / 'moved')
  again = tf.saved_model.load(str(tmp_path / 'two'))
  assert all(np.array_equal(again(['hello world'])[key], expected[key]) for key in KEYS)
  assert expected['input_mask'].numpy().sum() > 3


@pytest.mark.conformance(73, 76, 80)
@pytest.mark.parametrize('options', [
    {'lower_case': False, 'strip_diacritics': False}, {'lower_case': True}])
def test_right_offsets_are_given(model_file, tmp_path, options):
  """More in tests/tokenization/test_offsets.py. TF-NLP has none where diacritics are stripped."""
  with pytest.raises(ValueError, match='not supported'):
    layers.SentencepieceTokenizer(model_file_path=model_file, lower_case=True,
                                  strip_diacritics=True, tokenize_with_offsets=True)
  loaded = saved(tokenizers.sentencepiece(model_file, **options), tmp_path / 'saved')
  text = 'The Café sat  on Éstrase'
  tokens, starts, limits = loaded.tokenize_with_offsets([text])
  assert tokens.to_list() == loaded.tokenize([text]).to_list()
  assert [x.dtype for x in (tokens, starts, limits)] == [tf.int32, tf.int64, tf.int64]
  data = text.encode('utf-8')
  surfaces = [data[a:b] for a, b in zip(starts[0].numpy(), limits[0].numpy(), strict=True)]
  assert b''.join(surfaces) in (data, data.replace(b'  ', b' '))
  assert (loaded.tokenize_with_offsets.get_special_tokens_dict
          is loaded.tokenize.get_special_tokens_dict)


@pytest.mark.conformance(94)
def test_without_assert(model_file, tmp_path):
  tokenizer = tokenizers.sentencepiece(model_file, True)
  loaded = saved(tokenizer, tmp_path / 'saved', disable_assert=True)
  assert saved_graph.nodes_of_type(str(tmp_path / 'saved'), 'Assert') == []
  assert loaded(['hello'])['input_mask'].shape == [1, 128]


def test_export_leaves_the_model_in_the_graph_alone(model_file, tmp_path):
  saved(tokenizers.sentencepiece(model_file, True), tmp_path / 'saved')
  assert Path(tmp_path, 'saved', 'saved_model.pb').stat().st_size > len(sentencepiece_model())
