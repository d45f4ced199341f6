"""Does the encoder carry its tokenizer's file and settings? (conformance D)"""

from __future__ import annotations

import os
from typing import Any

import tensorflow as tf

from nlp_export import files, names
from nlp_export.saved_models.verification.registry import (
  Failed,
  Kind,
  Level,
  NotApplicable,
  Passed,
  Scope,
  check,
)
from nlp_export.saved_models.verification.subject import EncoderSubject

_ENCODER = (Kind.ENCODER,)
_VARIABLES = Scope.VARIABLES


def asset_path(subject: EncoderSubject, name: str) -> str | None:
  """Where an asset attribute of the root points to, or None if there is no such attribute."""
  asset: Any = getattr(subject.obj, name, None)
  return None if asset is None else asset.asset_path.numpy().decode()


@check('encoder.tokenizer_file', 41, 43, level=Level.REF, kinds=_ENCODER, scope=_VARIABLES)
def tokenizer_file(subject: EncoderSubject) -> Passed:
  """It has vocab_file (WordPiece) or sp_model_file (SentencePiece), one of them, readable."""
  found = {n: p for n in (names.VOCAB_FILE, names.SP_MODEL_FILE) if (p := asset_path(subject, n))}
  expected = {'wordpiece': names.VOCAB_FILE, 'sentencepiece': names.SP_MODEL_FILE}.get(
      subject.told.tokenizer)
  if subject.told.tokenizer == 'none' and not found:
    raise NotApplicable('its tokenizer has no file')
  if len(found) != 1:
    raise Failed(f'it has {" and ".join(found) or "neither vocab_file nor sp_model_file"}')
  name, path = next(iter(found.items()))
  if expected and name != expected:
    raise Failed(f'it has {name} though its tokenizer is {subject.told.tokenizer}')
  if not os.path.exists(path):
    # The check of assets/ says so and judges it.
    return Passed(name, why='the file itself is missing: see files.assets')
  if name == names.VOCAB_FILE and not files.read_bytes(path).strip():
    raise Failed('vocab_file is empty')
  return Passed(name)


@check('encoder.do_lower_case', 42, 43, level=Level.REF, kinds=_ENCODER, scope=_VARIABLES)
def do_lower_case(subject: EncoderSubject) -> Passed:
  """With a WordPiece vocabulary there is an untrained scalar bool do_lower_case, else none."""
  variable: Any = getattr(subject.obj, names.DO_LOWER_CASE, None)
  if not hasattr(subject.obj, names.VOCAB_FILE):
    if variable is not None:
      raise Failed('do_lower_case is there, which belongs to WordPiece vocabularies only')
    raise NotApplicable('it has no WordPiece vocabulary')
  if variable is None:
    raise Failed('there is a vocab_file but no do_lower_case')
  if variable.dtype != tf.bool or variable.shape.rank != 0 or variable.trainable:
    raise Failed(f'do_lower_case is {variable.dtype.name} {variable.shape} '
                 f'trainable={variable.trainable}, not an untrained scalar bool')
  value = bool(variable.numpy())
  if subject.told.lower_case is not None and value != subject.told.lower_case:
    raise Failed(f'do_lower_case is {value}; the tokenizer has {subject.told.lower_case}', value)
  return Passed(value)


@check('encoder.vocab_size', 45, level=Level.GOAL, kinds=_ENCODER, scope=_VARIABLES)
def vocab_size(subject: EncoderSubject) -> Passed:
  """The vocabulary has a row for each token, and no more rows than padding explains."""
  path = asset_path(subject, names.VOCAB_FILE)
  if path is None or not os.path.exists(path) or subject.word_embeddings is None:
    raise NotApplicable('it has no vocabulary file to count, or no word embeddings of that name')
  lines = vocabulary(files.read_bytes(path))
  rows = subject.vocab_size
  if len(lines) > rows:
    raise Failed(f'the vocabulary has {len(lines)} tokens, the word embeddings {rows} rows', rows)
  if rows > len(lines) and (rows % 8 or rows - len(lines) >= 128):
    raise Failed(f'the word embeddings have {rows} rows for {len(lines)} tokens: another '
                 'vocabulary?', rows)
  return Passed(len(lines))


def vocabulary(data: bytes) -> list[bytes]:
  """The tokens of a vocabulary file: one a line, LF or CRLF."""
  lines = data.split(b'\n')
  if lines and not lines[-1].strip():
    lines.pop()
  return [line.rstrip(b'\r') for line in lines]
