"""Do the offsets of tokens point at their bytes in the text? (conformance G)"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from nlp_export.saved_models.verification.preprocessing_subject import (
  TEXTS,
  WORDPIECE,
  PreprocessingSubject,
  flat_ids,
)
from nlp_export.saved_models.verification.registry import (
  Failed,
  Kind,
  Level,
  NotApplicable,
  Passed,
  check,
)
from nlp_export.saved_models.verification.subject import first_line

_PREPROCESSING = (Kind.PREPROCESSING,)


def _offsets_of(subject: PreprocessingSubject) -> Any:
  found = getattr(subject.obj, 'tokenize_with_offsets', None)
  if found is None:
    raise NotApplicable('an export without tokenize_with_offsets')
  return found


@check('preprocessing.offsets', 73, 76, level=Level.MUST, kinds=_PREPROCESSING)
def offsets(subject: PreprocessingSubject) -> None:
  """tokenize_with_offsets, if asked for, gives the tokens and two int64 of the same rows."""
  present = hasattr(subject.obj, 'tokenize_with_offsets')
  told = subject.told.offsets
  if told is not None and told != present:
    raise Failed('tokenize_with_offsets is ' + ('there, though not asked for' if present else
                                                'missing'))
  try:
    tokens, starts, limits = _offsets_of(subject)(tf.constant(TEXTS))
  except NotApplicable:
    raise
  except Exception as error:
    raise Failed(f'tokenize_with_offsets failed: {first_line(error)}') from error
  if [t.dtype for t in (tokens, starts, limits)] != [tf.int32, tf.int64, tf.int64]:
    raise Failed(f'the types are {[t.dtype.name for t in (tokens, starts, limits)]}, not int32, '
                 'int64, int64')
  if tokens.to_list() != subject.tokens.to_list():
    raise Failed('its tokens differ from those of tokenize')
  for what, value in (('starts', starts), ('limits', limits)):
    for mine, theirs in zip(value.nested_row_splits, tokens.nested_row_splits, strict=True):
      if mine.numpy().tolist() != theirs.numpy().tolist():
        raise Failed(f'{what} have other rows than the tokens')


@check('preprocessing.ascii_offsets', 74, 75, level=Level.REF, kinds=_PREPROCESSING)
def ascii_offsets(subject: PreprocessingSubject) -> Passed:
  """In ASCII text, text[start:limit] is the token, case apart."""
  return _compare_surfaces(subject, [t for t in TEXTS if t.isascii()])


@check('preprocessing.byte_offsets', 75, level=Level.GOAL, kinds=_PREPROCESSING)
def byte_offsets(subject: PreprocessingSubject) -> Passed:
  """In any text, start and limit are places in the bytes that were given."""
  if subject.has_own_tokenizer:
    raise NotApplicable("its tokenizer is one of its maker's own")
  call = _offsets_of(subject)
  # A word after letters that lower-casing makes shorter or longer: É 2 bytes to 1, İ 2 to 1.
  texts = ['É a', 'ÉÉÉ É a', '中 a', 'e\u0301 a', 'ﬁ a']
  padded = texts + [''] * (len(TEXTS) - len(texts))  # The size of the call before: no new trace.
  _, starts, limits = (flat_ids(t)[:len(texts)] for t in call(tf.constant(padded)))
  for text, start, limit in zip(texts, starts, limits, strict=True):
    data = text.encode()
    # A piece of SentencePiece takes in the space before it.
    if data[start[-1]:limit[-1]].strip() != b'a':
      raise Failed(f'in {text!r} the last word is said to be at bytes {start[-1]} to {limit[-1]}; '
                   f'it is at {len(data) - 1}', known_defect=12)
    if any(s > e or e > len(data) for s, e in zip(start, limit, strict=True)):
      raise Failed(f'in {text!r} an offset lies outside of the text')
  return Passed(len(texts))


def _compare_surfaces(subject: PreprocessingSubject, texts: list[bytes]) -> Passed:
  padded = texts + [b''] * (len(TEXTS) - len(texts))  # The size of the call before: no new trace.
  tokens, starts, limits = (flat_ids(t)[:len(texts)]
                            for t in _offsets_of(subject)(tf.constant(padded)))
  compared = 0
  for text, ids, start, limit in zip(texts, tokens, starts, limits, strict=True):
    if any(s > e for s, e in zip(start, limit, strict=True)) or start != sorted(start):
      raise Failed(f'in {text[:40]!r} the offsets do not rise')
    if limit and limit[-1] > len(text):
      raise Failed(f'in {text[:40]!r} an offset lies behind the end')
    for token, s, e in zip(ids, start, limit, strict=True):
      surface = _surface(subject, token)
      if surface is None:
        continue
      if text[s:e].lower() != surface.lower():
        raise Failed(f'in {text[:40]!r} token {surface!r} is said to be {text[s:e]!r}')
      compared += 1
  return Passed(compared)


def _surface(subject: PreprocessingSubject, token: int) -> bytes | None:
  """The bytes that a token stands for; None for [UNK], a wrong id, and SentencePiece."""
  if subject.kind_of_tokenizer != WORDPIECE or not 0 <= token < len(subject.vocab):
    return None
  piece = subject.vocab[token]
  if piece == subject.unknown_token:
    return None
  return piece[2:] if piece.startswith(b'##') else piece


@check('preprocessing.offsets_special_tokens', 80, level=Level.REF, kinds=_PREPROCESSING)
def offsets_special_tokens(subject: PreprocessingSubject) -> None:
  """get_special_tokens_dict of tokenize_with_offsets is the very object of tokenize."""
  found = getattr(_offsets_of(subject), 'get_special_tokens_dict', None)
  if found is None:
    raise Failed('tokenize_with_offsets has no get_special_tokens_dict')
  if found is not subject.tokenize.get_special_tokens_dict:
    raise Failed('tokenize_with_offsets has a get_special_tokens_dict of its own')
