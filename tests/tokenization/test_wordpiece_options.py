"""Each option of WordPiece: what it does, and that the ids are those of TF-NLP's layer with it."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text as tf_text
from official.nlp.modeling import layers
from tensorflow_text.python.ops import bert_tokenizer

from nlp_export import tokenizers
from nlp_export.errors import RequestError
from nlp_export.saved_models import preprocessing, provenance, saved_graph
from nlp_export.tokenization import recorded, tf_nlp_layers
from nlp_export.tokenization.classic_wordpiece_graph import ClassicWordPieceGraph
from nlp_export.tokenization.wordpiece_graph import WordPieceGraph
from tests.tokenization import wordpiece_lab
from tests.tokenization.wordpiece_lab import CODE_POINTS, SPECIAL, differing

TOKENS = [*SPECIAL, '[unused0]', 'a', '##a', 'b', '##b', 'é', '##é', 'e', '##e', 'É', 'E', '中',
          '##中', '文', '##文', 'σ', '##σ', '##ς', 'ο', '##ο', '[', 'unused', '##0', '0', ']', '.']
CASES = ({'lower_case': True}, {'lower_case': False},
         {'lower_case': True, 'strip_accents': False}, {'lower_case': False, 'strip_accents': True})
FAST = [{**case, 'split_at_unicode_spaces': spaces} for case in CASES for spaces in (False, True)]
ONLY_CLASSIC = ({'split_chinese_characters': False}, {'split_unknown_characters': True},
                {'preserve_unused_token': True})


@pytest.fixture(scope='module')
def every_word():
  """A word with each code point inside, as NumPy's and as TensorFlow's strings."""
  found = np.array([f'a{chr(c)}b'.encode() for c in CODE_POINTS], object)
  return found, tf.constant(found)


def ids_of(options) -> str:
  return ' '.join(name if value is True else f'{name}={value}' for name, value in options.items())


@pytest.fixture(scope='module')
def vocab(tmp_path_factory) -> str:
  return wordpiece_lab.write(tmp_path_factory.mktemp('options') / 'vocab.txt', TOKENS)


@pytest.fixture(scope='module')
def every_letter(tmp_path_factory) -> str:
  return wordpiece_lab.write(
      tmp_path_factory.mktemp('letters') / 'vocab.txt', wordpiece_lab.of_every_letter())


def words(vocab, text, lower_case=False, **options) -> list[list[str]]:
  """The pieces of each word of a text."""
  graph = tokenizers.wordpiece(vocab, lower_case, **options).build(False)
  found = graph.tokenize(tf.constant([text])).to_list()[0]
  return [[TOKENS[number] for number in word] for word in found]


# What each does.


def test_strip_accents_is_apart_from_lower_case(vocab):
  assert words(vocab, 'É é', True) == [['e'], ['e']]
  assert words(vocab, 'É é', True, strip_accents=True) == [['e'], ['e']]
  assert words(vocab, 'É é', True, strip_accents=False) == [['é'], ['é']]
  assert words(vocab, 'É é', False) == [['É'], ['é']]
  assert words(vocab, 'É é', False, strip_accents=True) == [['E'], ['e']]


def test_split_chinese_characters(vocab):
  assert words(vocab, 'a中文b') == [['a'], ['中'], ['文'], ['b']]
  assert words(vocab, 'a中文b', split_chinese_characters=False) == [['a', '##中', '##文', '##b']]


def test_split_unknown_characters(vocab):
  assert words(vocab, 'axb x') == [['[UNK]'], ['[UNK]']]
  assert words(vocab, 'axb x', split_unknown_characters=True) == [
      ['a', '[UNK]', '##b'], ['[UNK]']]


def test_an_unknown_character_has_an_id(vocab):
  # In TF-NLP's layer it has -1, for which there is no embedding.
  layer = layers.BertTokenizer(
      vocab_file=vocab, lower_case=False, tokenizer_kwargs={'split_unknown_characters': True})
  assert layer(['axb']).to_list() == [[[6, -1, 9]]]
  graph = tokenizers.wordpiece(vocab, False, split_unknown_characters=True).build(False)
  assert graph.tokenize(tf.constant(['axb'])).to_list() == [[[6, 1, 9]]]


def test_preserve_unused_token(vocab):
  assert words(vocab, 'a[unused0]b.') == [['a'], ['['], ['unused', '##0'], [']'], ['b'], ['.']]
  assert words(vocab, 'a[unused0]b.', preserve_unused_token=True) == [
      ['a'], ['[unused0]'], ['b'], ['.']]
  assert words(vocab, '[UNUSED0]', True, preserve_unused_token=True) == [['[unused0]']]
  assert words(vocab, '[unused7] [CLS]', preserve_unused_token=True) == [
      ['[UNK]'], ['['], ['[UNK]'], [']']]


def test_the_last_sigma_of_a_word_is_another_one_if_accents_stay(vocab):
  assert words(vocab, 'ΟΣΟΣ', True, strip_accents=False) == [['ο', '##σ', '##ο', '##ς']]
  assert words(vocab, 'ΟΣΟΣ', True) == [['ο', '##σ', '##ο', '##σ']]


def test_what_follows_a_nul_is_kept(vocab):
  # tf.strings.lower, and with it tf.text's AccentPreservingBasicTokenizer, ends the text there.
  theirs = tf_text.BertTokenizer(
      vocab, lower_case=True, token_out_type=tf.int32,
      basic_tokenizer_class=bert_tokenizer.AccentPreservingBasicTokenizer)
  assert len(theirs.tokenize(['a\0b']).to_list()[0]) == 1
  assert words(vocab, 'a\0b', True, strip_accents=False) == [['a'], ['b']]


# Equal to TF-NLP's layer.


def test_the_reference_is_the_layer_with_these_settings(vocab):
  """`tf_nlp_layers` hands on what TF-NLP knows; so the comparisons below are with TF-NLP."""
  texts = tf.constant(['É é中b', 'axb [unused0]', 'a\u00a0b ΟΣ', '[UNK]'])
  accents = {'basic_tokenizer_class': bert_tokenizer.AccentPreservingBasicTokenizer}
  seen = []
  for lower_case, ours, theirs in (
      (True, {}, {}), (False, {}, {}), (True, {'strip_accents': False}, accents),
      (False, {'preserve_unused_token': True}, {'preserve_unused_token': True}),
      (False, {'unknown': 'E'}, {'unknown_token': 'E'})):
    found = tf_nlp_layers.layer_of(tokenizers.wordpiece(vocab, lower_case, **ours))(texts)
    table = tf_text.BertTokenizer(vocab, lower_case=lower_case, token_out_type=tf.int32, **theirs)
    assert found.to_list() == table.tokenize(texts).to_list()
    assert found.to_list() not in seen  # Control.
    seen.append(found.to_list())
  assert tf_nlp_layers.layer_of(object()) is None


@pytest.mark.conformance(66, 67, 69, 71)
def test_all_options_together_on_hostile_text(vocab):
  rng = random.Random(1)
  alphabet = ['a', 'b', 'x', 'É', 'é', 'E\u0301', '中', '文', '[unused0]', '[UNUSED0]', '[', ']',
              ' ', '.', '\u00a0', '\u2028', '\u1b4e', '\u200b', '\0', 'Σ', 'Ο', 'İ', 'ß', '한',
              '\u1112\u1161', '##a', 'a' * 60, '\ufffd', 'ﬁ', 'ｶﾞ']
  texts = [''.join(rng.choice(alphabet) for _ in range(rng.randrange(9))).encode('utf-8')
           for _ in range(300)]
  texts += [t[:rng.randrange(len(t) + 1)] + b'\xff a' for t in texts[:60]]
  seen = set()
  switches_of = list(itertools.product(*[({}, option) for option in ONLY_CLASSIC]))
  together = [(case, ({},)) for case in FAST] + [
      ({**CASES[number % 4], 'split_at_unicode_spaces': number % 3 == 0}, switches)
      for number, switches in enumerate(switches_of[1:])]
  for case, switches in together:
    options = dict(case)
    for switch in switches:
      options |= switch
    tokenizer = tokenizers.wordpiece(vocab, **options)
    graph = tokenizer.build(True)
    fast = not any(switches)
    assert isinstance(graph, WordPieceGraph if fast else ClassicWordPieceGraph)
    assert bool(tokenizer.why_classic) == (not fast)
    reference = tf_nlp_layers.layer_of(tokenizer)
    assert not differing(reference, graph.tokenize, texts), options
    tokens, starts, limits = graph.tokenize_with_offsets(tf.constant(texts))
    expected = wordpiece_lab.parts(graph.tokenize(tf.constant(texts)))
    assert all(map(np.array_equal, wordpiece_lab.parts(tokens), expected)), options
    assert tf.reduce_all(starts.flat_values <= limits.flat_values)
    assert tokens.flat_values.numpy().min() >= 0
    values, splits = graph.tokenize_flat(tf.constant(texts))
    assert np.array_equal(values, expected[0]) and len(splits) == len(texts) + 1
    seen.add(values.numpy().tobytes())
  assert len(seen) == 15  # Control: no two of the combinations are the same function.


@pytest.mark.conformance(66, 71)
@pytest.mark.parametrize('options', CASES[2:], ids=ids_of)
def test_every_code_point_that_a_fast_option_changes(every_letter, every_word, options):
  """Text that is not changed first goes the way of cased text, all of which is compared in
  tests/saved_models/test_preprocessing_parity.py."""
  tokenizer = tokenizers.wordpiece(every_letter, **options)
  graph = tokenizer.build(False)
  given, tensor = every_word
  texts = given[given != graph._change.apply(tensor).numpy()].tolist()
  assert len(texts) > 1_390
  reference = tf_nlp_layers.layer_of(tokenizer)
  assert not differing(tf.function(lambda x: reference(x)), tf.function(graph.tokenize),
                       [b' '.join(texts[i:i + 16]) for i in range(0, len(texts), 16)])
  cased = tokenizers.wordpiece(every_letter, False).build(False)  # Control: ids can tell.
  assert len(differing(cased.tokenize, graph.tokenize, texts[:100])) > 90


def test_the_classic_regular_expressions_are_those_of_tf_text(vocab):
  """So that what the classic graph does with a code point is what tf.text does with it."""
  def found(**options):
    graph = tokenizers.wordpiece(
        vocab, False, **{'split_unknown_characters': True, **options}).build(False)
    return graph._separators, graph._words_too

  def of_tf_text(**options):
    basic = bert_tokenizer.BasicTokenizer(**options)
    return basic._delim_regex_pattern, basic._keep_delim_regex_pattern

  assert found() == of_tf_text()
  assert found(preserve_unused_token=True) == of_tf_text(preserve_unused_token=True)
  chinese = f'|{bert_tokenizer._DELIM_REGEX[-1]}'
  assert found(split_chinese_characters=False) == tuple(
      pattern.replace(chinese, '') for pattern in of_tf_text())
  assert len({found(), found(preserve_unused_token=True),
              found(split_chinese_characters=False)}) == 3  # Control.


@pytest.mark.extra
@pytest.mark.conformance(66, 71)
@pytest.mark.parametrize(
    'options', [FAST[1], FAST[3], *CASES[2:],
                *({**case, **option} for case in CASES[:2] for option in ONLY_CLASSIC)],
    ids=ids_of)
def test_every_code_point_in_every_option(every_letter, options):
  """Without an option: tests/saved_models/test_preprocessing_parity.py."""
  tokenizer = tokenizers.wordpiece(every_letter, **options)
  reference, graph = tf_nlp_layers.layer_of(tokenizer), tokenizer.build(False)
  texts = [' '.join(f'a{chr(c)}b' for c in CODE_POINTS[i:i + 64])
           for i in range(0, len(CODE_POINTS), 64)]
  assert not differing(
      tf.function(lambda x: reference(x)), tf.function(graph.tokenize), texts)


# In a SavedModel.


@pytest.fixture(scope='module')
def exported(vocab, tmp_path_factory) -> str:
  """With every option that only the classic way has."""
  options = {name: value for option in ONLY_CLASSIC for name, value in option.items()}
  path = str(tmp_path_factory.mktemp('exported') / 'saved')
  tokenizer = tokenizers.wordpiece(vocab, True, strip_accents=False, **options)
  preprocessing.save(
      preprocessing.build(tokenizer, default_seq_length=8, disable_assert=True), path)
  return path


TEXT, IDS = 'Éx中 [unused0]', [2, 10, 1, 17, 5, 3, 0, 0]


@pytest.mark.extra
@pytest.mark.conformance(3, 4, 6, 94)
def test_an_export_of_the_classic_way(exported, vocab, tmp_path):
  one, two = tf.saved_model.load(exported), tf.saved_model.load(exported)
  for loaded in (one, two):  # They share the table, which has the name of its content.
    assert loaded([TEXT])['input_word_ids'].numpy().tolist() == [IDS]
  del one
  tokens, starts, limits = two.tokenize_with_offsets([TEXT])
  assert tokens.to_list() == [[[10, 1, 17], [5]]]
  data = TEXT.encode()
  assert [[data[a:b].decode() for a, b in zip(x, y, strict=True)]
          for x, y in zip(starts.to_list()[0], limits.to_list()[0], strict=True)] == [
              ['É', 'x', '中'], ['[unused0]']]
  tf.saved_model.save(two, str(tmp_path / 'again'))
  again = tf.saved_model.load(str(tmp_path / 'again'))
  assert again([TEXT])['input_word_ids'].numpy().tolist() == [IDS]
  assert saved_graph.nodes_of_type(exported, 'Assert') == []
  with open(f'{exported}/saved_model.pb', 'rb') as f:
    assert vocab.encode() not in f.read()


def test_it_serves_in_a_session(exported):
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    meta = tf.compat.v1.saved_model.load(session, ['serve'], exported)
    signature = meta.signature_def['serving_default']
    found = session.run(signature.outputs['input_word_ids'].name,
                        {signature.inputs['sentences'].name: [TEXT]})
  assert found.tolist() == [IDS]


def test_static_shapes_of_the_classic_way(exported):
  loaded = tf.saved_model.load(exported)
  tokens = tf.function(loaded.tokenize).get_concrete_function(
      tf.TensorSpec([7], tf.string)).structured_outputs
  assert tokens.shape.as_list()[1:] == [None, None] and tokens.dtype == tf.int32


# What is said, and what is refused.


def test_the_description_says_which_way_and_why(vocab):
  def said(**options):
    return tokenizers.wordpiece(vocab, True, **options).description()

  assert 'classic operations' not in said(strip_accents=False)
  assert 'lower-cases and keeps accents' in said(strip_accents=False)
  assert said(split_unknown_characters=True, preserve_unused_token=True).endswith(
      'do not have split_unknown_characters = True and preserve_unused_token = True.')
  assert 'parts of words like other letters' in said(split_chinese_characters=False)


@pytest.mark.parametrize('options, to_do', [
    ({'split_unknown_characters': 'yes'},
     'Write --set tokenizers.wordpiece.split_unknown_characters=True, or False.'),
    ({'strip_accents': 1}, 'where lower_case is True, and only there.')])
def test_options_that_are_none(vocab, options, to_do):
  with pytest.raises(RequestError) as error:
    tokenizers.wordpiece(vocab, True, **options).check()
  assert str(error.value).endswith(to_do)


def test_the_card_says_that_it_is_another_one_than_the_checkpoint_s(vocab):
  remarks = (f'{recorded.ANOTHER}, as OTHER_TOKENIZER asks: lower_case: True in DO_LOWER_CASE',)
  tokenizer = tokenizers.wordpiece(vocab, True)
  said = provenance.of_tokenizer(tokenizer, remarks)['description']
  assert said == f'{tokenizer.description()} {remarks[0]}.'
  assert provenance.of_tokenizer(tokenizer)['description'] == tokenizer.description()  # Control.
