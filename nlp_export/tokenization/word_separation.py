"""Where do tf.text's fast and classic BERT tokenizers part words differently, what evens it out?

FastBertTokenizer separates words at some code points that BasicTokenizer, the classic one, takes
for parts of words. Found by trying all 1,112,063 code points with tensorflow-text 2.20
(tests/saved_models/test_preprocessing_parity.py does it again). Replacing each such code point by
one without meaning, before the fast op, gives the classic result: a word that holds it is unknown
either way. Where the vocabulary has such a code point, it keeps a stand-in of its own.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

# Spaces (Unicode Z*) that are no spaces to the classic tokenizer. Case folding (NFKC) turns most of
# them into ASCII spaces, so fewer are left when lower-casing.
SPACES_FOLDED = '\u1680\u2028\u2029'
SPACES_CASED = '\u00a0\u1680' + ''.join(map(chr, range(0x2000, 0x200b))) + (
    '\u2028\u2029\u202f\u205f\u3000')
# Punctuation of Unicode 15 and 16, which the regular expressions of the classic one do not know.
NEW_PUNCTUATION = (
    '\u1b4e\u1b4f\u1b7f\U00010d6e\U000113d4\U000113d5\U000113d7\U000113d8\U00011be1\U00016d6d'
    '\U00016d6e\U00016d6f\U0001e5ff')

_ASCII_SPACES = frozenset(' \t\n\v\f\r')

# Code points that are parts of words to both, as ranges by the number of their UTF-8 bytes:
# unassigned ones and, as only cased text needs two bytes, letters; private use; private use.
_STAND_INS = {2: ((0x378, 0x37a), (0x380, 0x384), (0x180, 0x250)), 3: ((0xe000, 0xf900),),
              4: ((0xf0000, 0xffffe),)}


@dataclasses.dataclass(frozen=True)
class Replacements:
  """What to replace before the fast tokenizer.

  Attributes:
    meaningless: characters that the vocabulary does not have: any of them may become any other.
    stand_ins: character of the vocabulary to the one that stands for it, there and in text.
    spaces: character of the vocabulary that is in no word to the one that stands for it there.
    free: for each number of UTF-8 bytes a character that is left over.
  """

  meaningless: frozenset[str]
  stand_ins: Mapping[str, str]
  spaces: Mapping[str, str]
  free: Mapping[int, str]

  def token(self, token: str) -> str:
    """A token of the vocabulary as the fast tokenizer is to know it."""
    return token.translate({ord(k): v for k, v in {**self.stand_ins, **self.spaces}.items()})

  def in_text(self, keep_bytes: bool) -> list[tuple[str, str]]:
    """(regular expression, replacement), to be applied to text in this order.

    Args:
      keep_bytes: whether replacements have as many bytes as what they replace, for offsets. (If
        not, one replacement is enough in most cases, and faster.)
    """
    sizes = sorted({_size(c) for c in self.meaningless})
    if keep_bytes:
      classes = [({c for c in self.meaningless if _size(c) == n}, self.free[n]) for n in sizes]
    else:
      classes = [(set(self.meaningless), self.free[3])]
    return [(_pattern(characters), free) for characters, free in classes] + [
        (_pattern({c}), stand_in) for c, stand_in in self.stand_ins.items()]


def replacements(
    vocabulary: Iterable[str], lower_case: bool, split_at_unicode_spaces: bool) -> Replacements:
  """The replacements that make the fast tokenizer equal to the classic one for a vocabulary.

  Args:
    vocabulary: tokens.
    lower_case: whether the tokenizer folds case.
    split_at_unicode_spaces: True leaves the spaces alone, so that they separate words.
  """
  used = set().union(*vocabulary)
  different = set(NEW_PUNCTUATION)
  if not split_at_unicode_spaces:
    different |= set(SPACES_FOLDED if lower_case else SPACES_CASED)
  unused = {size: _unused(size, used) for size in _STAND_INS}
  stand_ins = {c: next(unused[_size(c)]) for c in sorted(different & used)}
  # The fast tokenizer can find a token with a space in it, across words; the classic one cannot.
  never_in_words = _ASCII_SPACES | (set(SPACES_CASED) if split_at_unicode_spaces else set())
  spaces = {c: next(unused[3]) for c in sorted(never_in_words & used)}
  # Text may hold a stand-in, too: it must not turn into what it stands for.
  meaningless = (different - used) | set(stand_ins.values()) | set(spaces.values())
  return Replacements(
      frozenset(meaningless), stand_ins, spaces, {size: next(unused[size]) for size in unused})


def _size(character: str) -> int:
  return len(character.encode('utf-8'))


def _unused(size: int, used: set[str]) -> Iterator[str]:
  for first, end in _STAND_INS[size]:
    yield from (chr(c) for c in range(first, end) if chr(c) not in used)


def _pattern(characters: set[str]) -> str:
  """A regular expression (RE2) for any one of the characters."""
  return f'[{"".join(sorted(characters))}]'


def may_be_reordered(vocabulary: Iterable[str]) -> bool:
  """Whether canonical ordering can tell on this vocabulary when lower-casing.

  The fast normaliser decomposes character by character; the classic one also puts combining marks
  in canonical order. Most marks are dropped (category Mn) before that shows. Of the spacing ones
  (Mc) with a combining class, 25 in all, two of different class must stand in the vocabulary.
  """
  marks = {c for c in set().union(*vocabulary) if unicodedata.category(c) != 'Mn'}
  return len({unicodedata.combining(c) for c in marks} - {0}) > 1
