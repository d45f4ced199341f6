"""Are the ids those of TF-NLP's tokenizer layers, on every code point and on hostile text?"""

from __future__ import annotations

import random
import types

import numpy as np
import pytest
import tensorflow as tf
from official.nlp.modeling import layers

from nlp_export import tokenizers
from nlp_export.tokenization import word_separation
from nlp_export.tokenization.wordpiece_graph import WordPieceGraph

CODE_POINTS = [c for c in range(0x110000) if not 0xd800 <= c < 0xe000]
SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
CASES = pytest.mark.parametrize('lower_case', [True, False], ids=['uncased', 'cased'])


def write(path, tokens) -> str:
  path.write_bytes(''.join(token + '\n' for token in tokens).encode('utf-8'))
  return str(path)


def both(vocab_file, lower_case, **options):
  """Functions of string [batch] to [batch, (words), (pieces)]: the reference's and ours."""
  reference = layers.BertTokenizer(vocab_file=vocab_file, lower_case=lower_case)
  ours = WordPieceGraph(tokenizers.wordpiece(vocab_file, lower_case, **options))
  return (tf.function(lambda x: reference(x)), tf.function(ours.tokenize))


def differing(first, second, texts) -> list:
  """Texts of which the two give different words or pieces."""
  tensor = tf.constant(texts)
  a, b = first(tensor), second(tensor)
  assert (a.dtype, a.ragged_rank, a.row_splits.dtype) == (tf.int32, 2, tf.int64)
  assert (b.dtype, b.ragged_rank, b.row_splits.dtype) == (tf.int32, 2, tf.int64)
  if all(x.shape == y.shape and np.array_equal(x, y)
         for x, y in zip(_parts(a), _parts(b), strict=True)):
    return []
  return [t for t, x, y in zip(texts, a.to_list(), b.to_list(), strict=True) if x != y]


def _parts(ragged):
  return [x.numpy() for x in (ragged.flat_values, *ragged.nested_row_splits)]


@pytest.fixture(scope='module')
def letters(tmp_path_factory):
  """A vocabulary of letters of many scripts, alone and as continuations, cased and decomposed."""
  chars = [chr(c) for c in CODE_POINTS[0x21:0x3000:3]] + list('ab中文ßéÅΩ�한글ﬁ😀')
  chars += ['\u1100', '\u1161', '\u11a8', '\u00a0', '\u2028', '\u1b4e', '\u302e', 'e\u0301']
  tokens = SPECIAL + sorted({*chars, *(f'##{c}' for c in chars), *'aeiouxyz'})
  return write(tmp_path_factory.mktemp('letters') / 'vocab.txt', [
      t for t in dict.fromkeys(tokens) if '\n' not in t and '\r' not in t])


@pytest.mark.conformance(66, 71)
@CASES
def test_every_code_point_alone_and_inside_a_word(minilm_dir, lower_case):
  reference, ours = both(f'{minilm_dir}/vocab.txt', lower_case)
  assert len(CODE_POINTS) == 1_112_064
  # Many to a text, between full stops, because a text costs more than a word.
  texts = [' . '.join(f'a{chr(c)}b {chr(c)}' for c in CODE_POINTS[i:i + 64])
           for i in range(0, len(CODE_POINTS), 64)]
  assert not differing(reference, ours, texts)


@CASES
def test_without_replacements_exactly_the_listed_code_points_differ(minilm_dir, lower_case):
  # The control of the test above, and the proof that the lists in word_separation are right.
  spaces = word_separation.SPACES_FOLDED if lower_case else word_separation.SPACES_CASED
  listed = spaces + word_separation.NEW_PUNCTUATION
  reference, ours = both(f'{minilm_dir}/vocab.txt', lower_case, split_at_unicode_spaces=True)
  fast = WordPieceGraph(tokenizers.wordpiece(f'{minilm_dir}/vocab.txt', lower_case))
  fast._replacements = types.SimpleNamespace(in_text=lambda keep_bytes: [])
  texts = [f'a{c}b' for c in listed]
  assert differing(reference, tf.function(fast.tokenize), texts) == texts
  # With split_at_unicode_spaces the spaces alone differ: they separate words.
  assert differing(reference, ours, texts) == [f'a{c}b' for c in spaces]
  assert ours(tf.constant([f'a{spaces[0]}b', 'a b'])).bounding_shape()[1] == 2


@pytest.mark.conformance(66, 67, 68, 69, 71)
@CASES
@pytest.mark.parametrize('vocabulary', ['minilm', 'letters'])
def test_random_mixed_script_texts(minilm_dir, letters, lower_case, vocabulary):
  vocab_file = letters if vocabulary == 'letters' else f'{minilm_dir}/vocab.txt'
  reference, ours = both(vocab_file, lower_case)
  rng = random.Random(7)
  special = (word_separation.SPACES_CASED + word_separation.NEW_PUNCTUATION
             + ' \t\n\r\0\x7f\x85\u200b\u200d\ufeff\ufffd\u00ad\ue000\U000f0000\u0378#[]-\'."'
             + 'ßİıſﬁéÅΩ한中文😀\u0301\u0345\u302e\u1100\u1161\u11a8')
  blocks = [(0x20, 0x7f), (0xa0, 0x250), (0x300, 0x530), (0x590, 0x700), (0x900, 0xe80),
            (0x1100, 0x1200), (0x1e00, 0x2100), (0x2e80, 0x3100), (0x4e00, 0x5000),
            (0xac00, 0xad00), (0x1f300, 0x1f700), (0, 0x3000)]

  def text():
    first, end = rng.choice(blocks)
    return ''.join(rng.choice([
        rng.choice(special), chr(rng.randrange(first, end)), rng.choice('abcdeABC XYZ  ')])
        for _ in range(rng.randrange(25)))

  texts = [text().encode('utf-8') for _ in range(12_000)]
  # Invalid UTF-8: bytes at random, texts cut in the middle of a character, surrogates, overlong.
  texts += [bytes(rng.choice(b'ab \x80\xbf\xc0\xc3\xe4\xb8\xf0\x9f\xff\xed\xa0.#')
                  for _ in range(rng.randrange(12))) for _ in range(6_000)]
  texts += [t[:rng.randrange(len(t) + 1)] + b' z' for t in texts[:2_000]]
  # Words around 100 bytes, and what looks like special tokens or pieces.
  texts += [('x' * n + tail).encode('utf-8') for n in range(90, 110)
            for tail in ('', 'é', '中', '\u00a0', '\u2028y', ' a', '.', '\u0301')]
  texts += [t.encode('utf-8') for t in (
      '', ' ', '\t\n', '[CLS] [SEP][PAD] [MASK]', '[UNK]', '##a', '## a', 'a##b', '#', '##',
      'don\'t stop-it', 'a\0b', '[unused0]', '\ufeffa', 'a\r\nb')]
  assert not differing(reference, ours, texts)


@pytest.mark.conformance(67)
@CASES
def test_vocabularies_made_to_confuse(tmp_path, lower_case):
  rng = random.Random(3)
  pool = ['#', '##', '###', '##a', '##b', 'a', 'b', 'ab', '##ab', 'a#', 'a##b', '!', '##!', 'a!',
          'a b', ' a', 'a ', '中', '##中', '中a', '中中', 'é', '##é', 'e', '##e', 'E', '##E',
          '[', ']', 'CLS', 'cls', '##\u00a0', '\u00a0', '\u2028', 'a\u2028b', '\u1b4e', '##\u1b4e',
          '\ue000', '##\ue000', '\ue001', '\U000f0000', '\u0378', '\ufffd', '##\ufffd', '\u0301',
          'a\u0301', '\u302e', '##\u302e', '##\u1b44', '\u1b44', '\U0001d165', '##\U0001d16d',
          '\U00010d6e', '##' + 'a' * 60, 'b' * 120, '\t', '\x01', '##\x01', 'ab\u3000']
  alphabet = ['#', '##', 'a', 'b', '!', ' ', '中', 'é', 'E', '[', 'CLS]', '\u00a0', '\u2028',
              '\u1b4e', '\ue000', '\ue001', '\ue002', '\u0378', '\U000f0000', '\ufffd', '\u0301',
              '\u302e', '\u1b44', '\U0001d165', '\U0001d16d', '\U00010d6e', 'a' * 60, '\x01',
              '\u3000']
  seen = set()
  for number in range(12):
    tokens = SPECIAL + rng.sample(pool, rng.randrange(5, len(pool)))
    rng.shuffle(tokens)
    vocab_file = write(tmp_path / f'{number}.txt', tokens)
    reference, ours = both(vocab_file, lower_case)
    texts = [''.join(rng.choice(alphabet) for _ in range(rng.randrange(8))) for _ in range(2_000)]
    assert not differing(reference, ours, texts), tokens
    seen |= set(ours(tf.constant(texts)).flat_values.numpy())
  assert len(seen) > 20  # Control: the texts do hit tokens.


@CASES
def test_a_vocabulary_of_many_spacing_marks_is_in_canonical_order(tmp_path, lower_case):
  # U+302E has combining class 224 and U+1B44 class 9, so NFD swaps them.
  vocab_file = write(tmp_path / 'v.txt', [*SPECIAL, 'a', '##\u302e', '##\u1b44'])
  reference, ours = both(vocab_file, lower_case)
  text = ['a\u302e\u1b44']
  assert not differing(reference, ours, text)
  graph = WordPieceGraph(tokenizers.wordpiece(vocab_file, lower_case))
  assert (graph._change is not None) == lower_case
  graph._change = None
  assert bool(differing(reference, tf.function(graph.tokenize), text)) == lower_case  # control


def test_parity_test_sees_a_difference(minilm_dir):
  reference, _ = both(f'{minilm_dir}/vocab.txt', True)
  _, ours = both(f'{minilm_dir}/vocab.txt', False)
  assert differing(reference, ours, ['same', 'Other']) == ['Other']


def test_word_starts_need_the_table(minilm_dir):
  # A word that is not known has one piece, [UNK]; two such words are two rows.
  reference, ours = both(f'{minilm_dir}/vocab.txt', True)
  text = tf.constant(['unaffable \u4e02\u4e03 x\ue000 \ue000'])
  assert ours(text).to_list() == [[[14477, 20961, 3468], [100], [100], [100], [100]]]
  assert ours(text).to_list() == reference(text).to_list()
