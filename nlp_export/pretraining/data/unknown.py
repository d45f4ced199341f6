"""How much of a text is unknown to a vocabulary, and is it the right vocabulary then?"""

from __future__ import annotations

from typing import Any

import numpy as np

from nlp_export.errors import RequestError
from nlp_export.tokenization.tokenizer_types import SentencePiece, WordPiece

MOST_UNKNOWN = 0.2


def unknown_id(tokenizer: Any) -> int | None:
  """The id of what the vocabulary does not have; None of a tokenizer of one's own."""
  if isinstance(tokenizer, WordPiece):
    return tokenizer.vocabulary.index(tokenizer.unknown)
  if isinstance(tokenizer, SentencePiece):
    tokenizer.check()  # Says what is wrong with a file that is no model.
    import sentencepiece as sp

    return sp.SentencePieceProcessor(model_proto=tokenizer.model).unk_id()
  return None


def count_unknown(tokens: np.ndarray, tokenizer: Any, what: str) -> int | None:
  """How many of the tokens are unknown; None where that cannot be told.

  Args:
    tokens: integers [tokens].
    tokenizer: that made them.
    what: the text, for the message.

  Raises:
    RequestError: more than a fifth of them: it is not the vocabulary for this text.
  """
  number = unknown_id(tokenizer)
  if number is None:
    return None
  unknown = int((tokens == number).sum())
  if unknown > MOST_UNKNOWN * len(tokens):
    uncased = '' if tokenizer.lower_case else 'write --set DO_LOWER_CASE=True if it is uncased, or '
    raise RequestError(
        f'{unknown / len(tokens):.0%} of the {len(tokens)} tokens of {what} are unknown to '
        f'{tokenizer.asset_file} (at most {MOST_UNKNOWN:.0%} make sense), so it is not the '
        f'vocabulary for this text. Give another one, {uncased}build one: '
        'gin/runs/build_vocabulary.gin')
  return unknown
