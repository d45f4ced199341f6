"""Which token ids begin a word? Whole-word masking asks. Light: no TensorFlow."""

from __future__ import annotations

import unicodedata
from typing import Any

from nlp_export.errors import RequestError
from nlp_export.own_parts import explain_part
from nlp_export.tokenizers import SentencePiece, WordPiece

_CONTINUES_WORD = '##'  # WordPiece.
_SPACE = '\u2581'  # SentencePiece writes a space so.
_WIDE = ('W', 'F')  # East Asian: written without spaces, a character is taken as a word.


def starts_word(tokenizer: Any) -> tuple[bool, ...] | None:
  """For each token id, whether a word begins with it.

  WordPiece: a token that does not start with '##'. SentencePiece: a piece that starts with a space
  (U+2581), and one that is not letters and digits of a script written with spaces: punctuation,
  Chinese characters (as ALBERT's script has it; by the space alone a Chinese sentence would be one
  word). A tokenizer of one's own says it by a method `starts_word()` that returns a bool for each
  id.

  Returns:
    [vocab_size], or None if the tokenizer cannot tell.

  Raises:
    RequestError: its `starts_word()` fails or has another length.
  """
  if hasattr(tokenizer, 'starts_word'):
    with explain_part(tokenizer, f'starts_word() of the {tokenizer.kind} tokenizer'):
      found = tuple(bool(value) for value in tokenizer.starts_word())
    if len(found) != tokenizer.vocab_size:
      raise RequestError(
          f'starts_word() of the {tokenizer.kind} tokenizer gives {len(found)} values, but the '
          f'vocabulary has {tokenizer.vocab_size} ids. Return one bool for each id, in their order')
    return found
  if isinstance(tokenizer, WordPiece):
    return tuple(not token.startswith(_CONTINUES_WORD) for token in tokenizer.vocabulary)
  if isinstance(tokenizer, SentencePiece):
    return _of_pieces(tokenizer)
  return None


def _of_pieces(tokenizer: SentencePiece) -> tuple[bool, ...]:
  size = tokenizer.vocab_size  # Says what is wrong with a file that is no model.
  import sentencepiece as sp

  pieces = sp.SentencePieceProcessor(model_proto=tokenizer.model)
  return tuple(not _continues(pieces.id_to_piece(number)) for number in range(size))


def _continues(piece: str) -> bool:
  """Whether a piece is nothing but letters, marks and digits of scripts written with spaces."""
  return all(unicodedata.category(character)[0] in 'LMN'
             and unicodedata.east_asian_width(character) not in _WIDE for character in piece)
