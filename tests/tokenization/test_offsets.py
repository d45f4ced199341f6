"""Offsets are places in the bytes that were given, whatever is done to the text first."""

from __future__ import annotations

import random

import pytest
import tensorflow as tf

from nlp_export import tokenizers
from nlp_export.tokenization import text_changes
from tests.sentencepiece_model import sentencepiece_model
from tests.tokenization import wordpiece_lab

CHANGES = {
    'lower case': text_changes.LOWER_CASED, 'no accents': text_changes.WITHOUT_ACCENTS,
    'case folded': text_changes.CASE_FOLDED, 'folded': text_changes.FOLDED,
    'folded last': text_changes.FOLDED_LAST,
}


@pytest.fixture(scope='module')
def model_file(tmp_path_factory) -> str:
  path = tmp_path_factory.mktemp('sp') / 'spiece.model'
  path.write_bytes(sentencepiece_model(cased=True))
  return str(path)


def spans(graph, text) -> list[str]:
  """The bytes of each piece."""
  data = text.encode()
  _, starts, limits = graph.tokenize_with_offsets(tf.constant([text]))
  return [data[a:b].decode() for a, b in zip(
      starts.flat_values.numpy(), limits.flat_values.numpy(), strict=True)]


def test_sentencepiece_by_hand(model_file):
  graph = tokenizers.sentencepiece(model_file, True).build(True)
  assert ''.join(spans(graph, 'The CAFÉ sat')) == 'The CAFÉ sat'
  found = spans(graph, 'İ x ÉÉ café')  # 3 bytes more in NFD, fewer without marks.
  assert ''.join(found) == 'İ x ÉÉ café'
  # Counted in the changed text, as the model has them, they would be others.
  text = tf.constant(['İ x ÉÉ café'])
  _, starts, _ = graph._tokenizer.tokenize_with_offsets(graph._change.apply(text))
  assert starts.to_list() != graph.tokenize_with_offsets(text)[1].to_list()


def by_hand(text, apply, starts, limits):
  """The offsets in the original, for text of which each character changes by itself."""
  changed = apply(tf.constant(list(text))).numpy() if text else []
  place, owner = 0, []
  for character, other in zip(text, changed, strict=True):
    size = len(character.encode())
    owner += [(place, place + size)] * len(other)
    place += size
  owner.append((place, place))
  return ([owner[n][0] for n in starts],
          [owner[m - 1][1] if m > n else owner[n][0]
           for n, m in zip(starts, limits, strict=True)])


@pytest.mark.conformance(75, 76)
@pytest.mark.parametrize('lower_case', [True, False])
@pytest.mark.parametrize('strip_diacritics', [True, False])
def test_sentencepiece_offsets_equal_those_counted_by_hand(
    model_file, lower_case, strip_diacritics):
  graph = tokenizers.sentencepiece(model_file, lower_case, strip_diacritics).build(True)
  rng = random.Random(2)
  texts = [''.join(rng.choice('abcdeTHE ÉéßΩİÅñ中文x.한가ﬀ') for _ in range(rng.randrange(24)))
           for _ in range(400)]
  tokens, starts, limits = graph.tokenize_with_offsets(tf.constant(texts))
  assert tokens.to_list() == graph.tokenize(tf.constant(texts)).to_list()
  changed = graph._change.apply(tf.constant(texts))
  _, changed_starts, changed_limits = graph._tokenizer.tokenize_with_offsets(changed)
  expected = [by_hand(text, graph._change.apply, a, b) for text, a, b in zip(
      texts, changed_starts.to_list(), changed_limits.to_list(), strict=True)]
  assert list(zip(starts.to_list(), limits.to_list(), strict=True)) == expected
  moved = starts.to_list() != changed_starts.to_list()  # Control: counting the other text differs.
  assert moved == (lower_case or strip_diacritics)


@pytest.mark.parametrize('name', CHANGES)
def test_parts_change_by_themselves(name):
  """What `Alignment` builds on: nearly no text changes otherwise as a whole than in parts."""
  rng = random.Random(4)
  pool = [chr(c) for c in wordpiece_lab.CODE_POINTS[0x20:0x3400]]
  hard = list('ΣΟİßÉé가한ㅎㅏㄴｶﾞﾟ') + ['e\u0301', '\u0301', '\u1112', '\u1161', '\u11ab', '\u00ad',
                                        '\u200d', '\u302e', '\u1b44', '\u0345', 'ﷺ', '①']
  texts = [''.join(rng.choice(pool if rng.random() < .5 else hard) for _ in range(12))
           for _ in range(3_000)]
  aligned = text_changes.Alignment(tf.constant(texts), CHANGES[name])
  known = aligned._known.numpy()
  assert known.mean() > .999, [t for t, k in zip(texts, known, strict=True) if not k][:5]
  # Control: by single characters it would be so for lower-casing alone.
  wrong = text_changes.Alignment(
      tf.constant(texts), text_changes.Change(CHANGES[name].apply, text_changes._CHARACTERS))
  assert (wrong._known.numpy().mean() < known.mean() - .005) == (name != 'lower case')


def test_where_a_place_is_not_known_it_is_the_whole_text():
  broken = b'\xe4\xb8 a'
  # Of this change parts say nothing: only as a whole is the text other.
  odd = text_changes.Change(
      lambda x: tf.strings.regex_replace(x, '^(.)..*', r'\1\1'), text_changes._CHARACTERS)
  aligned = text_changes.Alignment(tf.constant(['abc', 'x', broken]), odd)
  assert aligned._known.numpy()[:2].tolist() == [False, True]
  starts, limits = aligned.original(
      tf.constant([1, 0], tf.int64), tf.constant([2, 1], tf.int64), tf.constant([0, 1]))
  assert (starts.numpy().tolist(), limits.numpy().tolist()) == ([0, 0], [3, 1])


def test_wordpiece_that_keeps_accents(tmp_path):
  vocab = wordpiece_lab.write(
      tmp_path / 'v.txt', [*wordpiece_lab.SPECIAL, 'i', '##\u0307', 'é', '##x', 'ⱥ', 'a'])
  graph = tokenizers.wordpiece(vocab, True, strip_accents=False).build(True)
  # Of two, two and two bytes that become three, two and three.
  assert spans(graph, 'İ ÉX Ⱥ a') == ['İ', 'İ', 'É', 'X', 'Ⱥ', 'a']
  assert spans(graph, 'É\0a\x01É') == ['É', 'a', 'É']
  only = tokenizers.wordpiece(vocab, False, strip_accents=True).build(True)
  # What was dropped belongs to the piece before it.
  assert spans(only, 'i\u0307x a\u0301 a') == ['i\u0307', 'x', 'a\u0301', 'a']
