"""Text to ids: two ways that share no code agree, on real and on hostile text."""

from __future__ import annotations

import types

import numpy as np
import pytest
import tensorflow as tf

from nlp_export import tokenizers
from nlp_export.errors import RequestError
from nlp_export.glue import builtin, data, tasks
from nlp_export.glue.fine_tuning import tokenised
from nlp_export.glue.fine_tuning.tokenised import (
    TokenisedTexts,
    through_preprocessing,
    through_tf_nlp,
)
from nlp_export.saved_models import preprocessing
from tests.sentencepiece_model import sentencepiece_model
from tests.test_architecture import LIBRARY, imported

HOSTILE = (
    '', ' ', '\t\n', 'the cat', 'Hello WORLD', 'Café naïve STRASSE ßß', 'e\u0301é', '中國 a中b',
    'a\u00a0b\u2028c\u3000d', '😀 emoji', '[CLS] [SEP] ##s', 'x' * 120, 'the ' * 300,
    'don\'t-stop "."', 'a\0b\u200b\ufeff', '\u1680', 'İıſﬁ', '\u0915\u093f 한글',
    '.' * 90, '\U0001e5ff word',
)
PAIRS = tuple(zip(*((first, second) for first in HOSTILE for second in HOSTILE), strict=True))


def saved(directory, tokenizer, **options):
  """A preprocessing SavedModel of ours, written and loaded again."""
  path = str(directory / 'preprocessing')
  preprocessing.save(preprocessing.build(tokenizer, **options), path)
  return tf.saved_model.load(path)


@pytest.fixture(scope='module')
def texts():
  """Pairs of sentences of the Python documentation, some with capitals."""
  task = tasks.get('builtin_next_sentence')
  return builtin.read(task, task.split('dev')).texts


@pytest.fixture(scope='module')
def minilm(minilm_dir, tmp_path_factory):
  tokenizer = tokenizers.wordpiece(f'{minilm_dir}/vocab.txt', True)
  return tokenizer, saved(tmp_path_factory.mktemp('minilm'), tokenizer)


@pytest.fixture(scope='module', params=['uncased', 'cased', 'minilm', 'sentencepiece'])
def both(request, tmp_path_factory):
  """A tokenizer and the preprocessing SavedModel made from it."""
  if request.param == 'minilm':
    return request.getfixturevalue('minilm')
  directory = tmp_path_factory.mktemp(request.param)
  if request.param == 'sentencepiece':
    (directory / 'pieces.model').write_bytes(sentencepiece_model())
    tokenizer = tokenizers.sentencepiece(str(directory / 'pieces.model'), True)
  else:
    uncased = request.param == 'uncased'
    vocab = request.getfixturevalue('tiny_vocab' if uncased else 'tiny_vocab_cased')
    tokenizer = tokenizers.wordpiece(vocab, uncased)
  return tokenizer, saved(directory, tokenizer)


def same(first: TokenisedTexts, second: TokenisedTexts) -> bool:
  equal = all(
      a.dtype == b.dtype and np.array_equal(a, b)
      for a, b in ((first.word_ids, second.word_ids), (first.type_ids, second.type_ids),
                   (first.row_splits, second.row_splits)))
  assert equal == (first.sha256() == second.sha256())
  return equal


@pytest.mark.parametrize('max_seq_length', [4, 17, 128])
def test_export_and_tf_nlp_give_the_same_ids(both, texts, max_seq_length):
  tokenizer, preprocessor = both
  for segments in (PAIRS, (HOSTILE,), texts, texts[:1]):
    ours = through_preprocessing(preprocessor, segments, max_seq_length)
    theirs = through_tf_nlp(tokenizer, segments, max_seq_length)
    assert same(ours, theirs)
    assert len(ours) == len(segments[0]) and ours.lengths.max() <= max_seq_length
    assert ours.lengths.min() >= len(segments) + 1  # Of empty texts the special tokens are left.


def test_on_the_pairs_of_glue(glue_dir, minilm):
  tokenizer, preprocessor = minilm
  for name in ('mrpc', 'rte'):
    dev = data.load(tasks.get(name), 'dev', data.GlueDirectory(glue_dir))
    for max_seq_length in (40, 128):
      ours = through_preprocessing(preprocessor, dev.texts, max_seq_length)
      assert same(ours, through_tf_nlp(tokenizer, dev.texts, max_seq_length))
      assert (ours.lengths == max_seq_length).any() or (name, max_seq_length) == ('mrpc', 128)


def test_another_case_truncation_or_length_would_be_seen(minilm, minilm_dir, texts, tmp_path):
  tokenizer, preprocessor = minilm  # Control of the tests above.
  ours = through_preprocessing(preprocessor, texts, 24)
  cased = tokenizers.wordpiece(f'{minilm_dir}/vocab.txt', False)
  assert not same(ours, through_tf_nlp(cased, texts, 24))
  assert not same(ours, through_tf_nlp(tokenizer, texts, 23))
  assert not same(ours, through_tf_nlp(tokenizer, texts[::-1], 24))
  waterfall = saved(tmp_path, tokenizer, truncator='waterfall')
  assert not same(through_preprocessing(waterfall, texts, 24), ours)
  assert same(ours, through_tf_nlp(tokenizer, texts, 24))


def test_spaces_of_unicode_and_another_unknown_token(tmp_path, texts):
  path = tmp_path / 'vocab.txt'
  path.write_text('\n'.join(['<none>', '[PAD]', '[CLS]', '[SEP]', 'a', 'b', 'the']) + '\n')
  strange = (('a\u2028b', 'a\u00a0b a\u1680 the\u3000 ?'),)
  found = {}
  for split in (True, False):
    tokenizer = tokenizers.wordpiece(str(path), True, split_at_unicode_spaces=split,
                                     unknown='<none>')
    preprocessor = saved(tmp_path / str(split), tokenizer)
    found[split] = through_tf_nlp(tokenizer, strange, 32)
    assert same(found[split], through_preprocessing(preprocessor, strange, 32))
  assert found[True].padded(np.array([0]), 4)['input_word_ids'].tolist() == [[2, 4, 5, 3]]
  assert found[False].padded(np.array([0]), 4)['input_word_ids'].tolist() == [[2, 0, 3, 0]]


def test_chunks_do_not_show(minilm, texts, monkeypatch):
  tokenizer, preprocessor = minilm
  whole = through_preprocessing(preprocessor, texts, 32)
  monkeypatch.setattr(tokenised, '_CHUNK_TEXTS', 130)
  assert len(texts[0]) % 130 and same(through_preprocessing(preprocessor, texts, 32), whole)
  assert same(through_tf_nlp(tokenizer, texts, 32), whole)


def test_no_texts_are_no_rows(minilm):
  tokenizer, preprocessor = minilm
  for none in (through_preprocessing(preprocessor, ((), ()), 8),
               through_tf_nlp(tokenizer, ((), ()), 8)):
    assert len(none) == 0 and none.lengths.shape == (0,) and none.word_ids.dtype == np.int32
    assert none.padded(np.zeros(0, np.int32), 8)['input_mask'].shape == (0, 8)
  with pytest.raises(ValueError, match='segments of'):
    through_tf_nlp(tokenizer, (('a',), ()), 8)


def test_padded_rows():
  rows = TokenisedTexts(np.array([1, 2, 3, 4, 5, 6], np.int32), np.array([0, 0, 0, 0, 1, 1],
                        np.int32), np.array([0, 2, 3, 6]))
  inputs = rows.padded(np.array([2, 0], np.int32), 4)
  assert {name: (values.dtype.name, values.tolist()) for name, values in inputs.items()} == {
      'input_word_ids': ('int32', [[4, 5, 6, 0], [1, 2, 0, 0]]),
      'input_mask': ('int32', [[1, 1, 1, 0], [1, 1, 0, 0]]),
      'input_type_ids': ('int32', [[0, 1, 1, 0], [0, 0, 0, 0]]),
  }
  assert rows.lengths.tolist() == [2, 1, 3] and rows.lengths.dtype == np.int32
  with pytest.raises(ValueError, match='a row of 3 tokens does not fit into 2'):
    rows.padded(np.array([0, 2]), 2)


class Stranger:
  """What `tf.saved_model.load` may give for another's SavedModel."""

  def __init__(self, preprocessor, pack):
    self.tokenize, self.bert_pack_inputs = preprocessor.tokenize, pack


@pytest.mark.extra  # 13 s to write it.
def test_a_preprocessor_written_by_tf_nlp(minilm_dir, minilm, texts, tmp_path):
  from official.nlp.tools import export_tfhub_lib

  export_tfhub_lib.export_preprocessing(
      str(tmp_path), vocab_file=f'{minilm_dir}/vocab.txt', do_lower_case=True,
      default_seq_length=16, tokenize_with_offsets=False)
  theirs = through_preprocessing(tf.saved_model.load(str(tmp_path)), texts, 24)
  assert same(theirs, through_preprocessing(minilm[1], texts, 24))


def test_seq_length_as_a_number_only(minilm, texts, tmp_path):
  _, preprocessor = minilm
  whole = tf.train.Checkpoint()
  from official.nlp.modeling import layers

  @tf.function
  def pack(inputs, seq_length=16):
    return layers.BertPackInputs.bert_pack_inputs(inputs, seq_length, 101, 102, 0)

  pack.get_concrete_function([tf.RaggedTensorSpec([None, None, None], tf.int32)] * 2, seq_length=24)
  whole.pack = pack
  tf.saved_model.save(whole, str(tmp_path))
  stranger = Stranger(preprocessor, tf.saved_model.load(str(tmp_path)).pack)
  assert same(through_preprocessing(stranger, texts, 24),
              through_preprocessing(preprocessor, texts, 24))
  with pytest.raises(RequestError, match=r'2 segments with seq_length=32, neither as a tensor .*'
                     r"or write one with EXPORT_TYPES = \('preprocessing',\)$"):
    through_preprocessing(stranger, texts, 32)


def test_padding_in_front_is_refused(minilm, texts):
  def pack(tokens, seq_length):
    packed = minilm[1].bert_pack_inputs(tokens, seq_length=seq_length)
    return {name: values[:, ::-1] for name, values in packed.items()}

  with pytest.raises(RequestError, match="at the end, as TF Hub's text API has it$"):
    through_preprocessing(Stranger(minilm[1], pack), texts, 128)


def test_what_is_no_preprocessor_is_refused(minilm, texts):
  with pytest.raises(RequestError, match=r"no tokenize, no bert_pack_inputs: .*"
                     r"EXPORT_TYPES = \('preprocessing',\) writes$"):
    through_preprocessing(types.SimpleNamespace(), texts, 16)
  for call in (lambda: through_preprocessing(minilm[1], texts, 3),
               lambda: through_tf_nlp(minilm[0], texts, 3)):
    with pytest.raises(RequestError, match='no place for text. Write max_seq_length = 128$'):
      call()


class Own:
  """A user's tokenizer: an id for each byte."""

  kind, asset_file, lower_case, vocab_size = 'bytes', None, False, 260

  def special_token_ids(self):
    return {'vocab_size': 260, 'padding_id': 256, 'start_of_sequence_id': 257,
            'end_of_segment_id': 258}


class OwnWithTokenize(Own):

  def tokenize(self, sentences):
    return tf.cast(tf.RaggedTensor.from_tensor(
        tf.io.decode_raw(sentences, tf.uint8, fixed_length=2)), tf.int32)


def test_a_tokenizer_that_tf_nlp_has_no_layer_for():
  with pytest.raises(RequestError, match=r'cannot tokenise with the bytes tokenizer \(Own\): .*'
                     r'a method tokenize\(sentences\).*; or leave the baseline out$'):
    through_tf_nlp(Own(), (('ab',),), 16)
  rows = through_tf_nlp(OwnWithTokenize(), (('ab', 'cd'),), 16)
  assert rows.word_ids.tolist() == [257, 97, 98, 258, 257, 99, 100, 258]


def test_the_module_shares_nothing_with_the_saved_models():
  def used(module):
    return set(imported(LIBRARY[module].read_text(), set(LIBRARY)))

  found = used('nlp_export.glue.fine_tuning.tokenised')
  layers = 'nlp_export.tokenization.tf_nlp_layers'  # TF-NLP's own, and of ours the settings alone.
  assert {name for name in found if 'saved_models' in name or 'tokenization' in name} == {layers}
  assert {name for name in used(layers) if name.startswith('nlp_export')} == {
      'nlp_export.tokenization.tokenizer_types'}
  assert layers not in used('nlp_export.tokenization.classic_wordpiece_graph')
  assert 'nlp_export.tokenizers' in found  # The description only; its build() is not called.
  assert 'nlp_export.tokenization.row_splits' in used('nlp_export.saved_models.preprocessing')
