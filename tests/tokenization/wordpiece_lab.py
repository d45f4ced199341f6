"""What do the tests of tokenizers share? Vocabularies, every code point, and a comparison."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

CODE_POINTS = [c for c in range(0x110000) if not 0xd800 <= c < 0xe000]
SPECIAL = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')


def write(path: Path, tokens: Sequence[str]) -> str:
  """A vocabulary file, one token a line."""
  path.write_bytes(''.join(token + '\n' for token in tokens).encode('utf-8'))
  return str(path)


def of_every_letter() -> list[str]:
  """Tokens that make 'a', any assigned character but Chinese ones and Hangul syllables, and 'b'
  three pieces: what becomes of a character can be told by the ids."""
  def has_piece(c: int) -> bool:
    wide = 0x3400 <= c < 0xa000 or 0xac00 <= c < 0xd7a4 or c >= 0x20000
    return not wide and unicodedata.category(chr(c)) not in ('Cn', 'Co', 'Cc')

  return [*SPECIAL, 'a', *(f'##{chr(c)}' for c in CODE_POINTS if has_piece(c))]


def parts(ragged: tf.RaggedTensor) -> list[np.ndarray]:
  """Values and row splits."""
  return [x.numpy() for x in (ragged.flat_values, *ragged.nested_row_splits)]


def differing(first: Any, second: Any, texts: Sequence[Any]) -> list[Any]:
  """Texts of which two functions of string [batch] give different words or pieces."""
  tensor = tf.constant(texts)
  a, b = first(tensor), second(tensor)
  if all(x.shape == y.shape and np.array_equal(x, y)
         for x, y in zip(parts(a), parts(b), strict=True)):
    return []
  return [t for t, x, y in zip(texts, a.to_list(), b.to_list(), strict=True) if x != y]
