"""What is done to text before it is cut into words or pieces, and where did each byte of it stand?

Lower-casing and stripping accents change how many bytes a character has, so a tokenizer that works
on the changed text counts other bytes than its caller. `Alignment` takes its offsets back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow_text.python.ops.normalize_ops import case_fold_utf8, normalize_utf8
from tensorflow_text.python.ops.regex_split_ops import gen_regex_split_ops

from nlp_export.tokenization.row_splits import of_lengths, row_of

# What changes each by itself: a character when it is lower-cased, one with the marks that follow it
# in Unicode's normal form D. In form KC also with what is dropped or may compose with it: format
# characters, the voiced sound marks of half-width Katakana, and Hangul given as Jamo.
_CHARACTERS = '(?s:.)'
_MARKED = r'[^\p{M}]\p{M}*|\p{M}+'
_JAMO = r'\x{1100}-\x{11FF}\x{3131}-\x{318E}\x{A960}-\x{A97F}\x{D7B0}-\x{D7FF}\x{FFA0}-\x{FFDC}'
_FOLLOW = r'\p{M}\p{Cf}\x{FF9E}\x{FF9F}'
_CLUSTERS = (rf'[\x{{AC00}}-\x{{D7A3}}]?(?:[{_JAMO}][{_FOLLOW}]*)+|[^{_FOLLOW}][{_FOLLOW}]*'
             rf'|[{_FOLLOW}]+')


@dataclasses.dataclass(frozen=True)
class Change:
  """A change of text.

  Attributes:
    apply: string [n] -> string [n].
    parts: a regular expression (RE2) of what it changes each by itself.
  """

  apply: Callable[[tf.Tensor], tf.Tensor]
  parts: str

  def then(self, change: Change) -> Change:
    """This change and then another one, of parts that are no larger."""
    return Change(lambda text: change.apply(self.apply(text)), self.parts)


def _without_accents(text: tf.Tensor) -> tf.Tensor:
  return tf.strings.regex_replace(normalize_utf8(text, 'NFD'), r'\p{Mn}', '')


NOTHING = Change(tf.identity, _CHARACTERS)
# Otherwise as it is: accents stay. (The operation loses what follows a NUL, which is a space to all
# tokenizers here.)
LOWER_CASED = Change(
    lambda text: tf.strings.lower(tf.strings.regex_replace(text, r'\x00', ' '), encoding='utf-8'),
    _CHARACTERS)
# Decomposed, too; case stays.
WITHOUT_ACCENTS = Change(_without_accents, _MARKED)
CASE_FOLDED = Change(case_fold_utf8, _CLUSTERS)
# As BERT's uncased tokenizer has it, and as ALBERT's: they do the two in another order.
FOLDED = Change(lambda text: _without_accents(case_fold_utf8(text)), _CLUSTERS)
FOLDED_LAST = Change(lambda text: case_fold_utf8(_without_accents(text)), _CLUSTERS)


def of_wordpiece(tokenizer: Any) -> Change:
  """What a `tokenizers.WordPiece` does to text first."""
  return {(True, True): FOLDED, (True, False): LOWER_CASED, (False, True): WITHOUT_ACCENTS,
          (False, False): NOTHING}[tokenizer.lower_case, tokenizer.strips_accents]


def of_sentencepiece(lower_case: bool, strip_diacritics: bool) -> Change:
  """What a `tokenizers.SentencePiece` does to text before its model sees it."""
  return {(True, True): FOLDED_LAST, (True, False): CASE_FOLDED, (False, True): WITHOUT_ACCENTS,
          (False, False): NOTHING}[lower_case, strip_diacritics]


def replaced(pattern: str, replacement: str) -> Change:
  """Single characters that match a regular expression (RE2), by something else."""
  return Change(
      lambda text: tf.strings.regex_replace(text, pattern, replacement), _CHARACTERS)


class Alignment:
  """Changed text, and the places of its bytes in the text that it was made of.

  The text is also changed part by part. Where that gives the same (it does for all but text that
  is not UTF-8, in parts), the bytes of a changed part came from that part.

  Attributes:
    text: string [batch], changed.
  """

  def __init__(self, sentences: tf.Tensor, change: Change):
    """Changes string [batch]."""
    pattern = f'({change.parts})'
    parts, begins, ends, splits = gen_regex_split_ops.regex_split_with_offsets(
        tf.strings.regex_replace(sentences, r'\x00', '\x01'), pattern, pattern)  # It ends at a NUL.
    self.text = change.apply(sentences)
    changed = change.apply(parts)
    count = tf.size(sentences)
    row = row_of(splits, tf.size(parts, tf.int64))
    joined = tf.strings.unsorted_segment_join(changed, row, count)
    self._known = tf.equal(_comparable(joined), _comparable(self.text))
    before = of_lengths(tf.cast(tf.strings.length(changed), tf.int64))
    part = row_of(before, before[-1])
    # One more, for what ends at the end of everything.
    self._begins = tf.concat([tf.gather(begins, part), [0]], 0)
    self._ends = tf.concat([tf.gather(ends, part), [0]], 0)
    self._rows = tf.gather(before, splits)
    self._sizes = tf.cast(tf.strings.length(sentences), tf.int64)

  def original(
      self, starts: tf.Tensor, limits: tf.Tensor, row: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Where pieces of the changed text came from.

    Args:
      starts, limits: first byte of each piece and the byte after its last, int64 [pieces].
      row: which text it is a piece of, integers [pieces].

    Returns:
      The same in bytes of the original text. A piece of a character's changed form takes in all of
      the character with its marks. Where a place is not known, it is the whole text.
    """
    first, end = tf.gather(self._rows, row), tf.gather(self._rows, row + 1)
    size = tf.gather(self._sizes, row)
    begin = tf.where(first + starts < end, tf.gather(self._begins, self._within(first + starts)),
                     size)
    limit = tf.where(limits > starts, tf.gather(self._ends, self._within(first + limits - 1)),
                     begin)
    known = tf.gather(self._known, row)
    return tf.where(known, begin, 0), tf.where(known, limit, size)

  def _within(self, places: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(places, 0, tf.size(self._begins, tf.int64) - 1)


def _comparable(text: tf.Tensor) -> tf.Tensor:
  """Without what the neighbours of a part decide, or was replaced to find it; of as many bytes.

  A final sigma is one by its place in the word.
  """
  return tf.strings.regex_replace(
      tf.strings.regex_replace(text, 'ς', 'σ'), r'[\x00\x01]', ' ')
