"""Do an encoder and the preprocessing that is named with it belong together?"""

from __future__ import annotations

import os

from nlp_export import files, names
from nlp_export.saved_models.verification.encoder_attribute_checks import asset_path
from nlp_export.saved_models.verification.preprocessing_subject import (
  TEXTS,
  WORDPIECE,
  PreprocessingSubject,
)
from nlp_export.saved_models.verification.registry import (
  Failed,
  Kind,
  Level,
  NotApplicable,
  Passed,
  check,
)
from nlp_export.saved_models.verification.subject import EncoderSubject, first_line

_PREPROCESSING = (Kind.PREPROCESSING,)


def _encoder(subject: PreprocessingSubject) -> EncoderSubject:
  if not isinstance(subject.partner, EncoderSubject):
    raise NotApplicable('no encoder was named with it')
  return subject.partner


@check('pair.feeds_encoder', 93, level=Level.MUST, kinds=_PREPROCESSING)
def feeds_encoder(subject: PreprocessingSubject) -> Passed:
  """The encoder takes its outputs as they are."""
  import tensorflow as tf

  encoder = _encoder(subject)
  limit = encoder.max_positions
  if limit is not None and subject.default_seq_length > limit:
    raise Failed(f'default_seq_length is {subject.default_seq_length}; the encoder has {limit} '
                 'positions', subject.default_seq_length, known_defect=13)
  fixed = encoder.sequence.fixed_length
  if fixed is not None and subject.default_seq_length != fixed:
    raise Failed(f'default_seq_length is {subject.default_seq_length}; the encoder takes {fixed} '
                 'tokens only', subject.default_seq_length, known_defect=13)
  try:
    found = encoder.obj(subject.obj(tf.constant(TEXTS[:2])))
  except Exception as error:
    raise Failed(f'the encoder refuses its outputs: {first_line(error)}') from error
  return Passed(list(found[names.DEFAULT].shape))


@check('pair.same_tokenizer', 45, 93, level=Level.REF, kinds=_PREPROCESSING)
def same_tokenizer(subject: PreprocessingSubject) -> Passed:
  """Both have the same vocabulary and the same lower-casing."""
  encoder = _encoder(subject)
  has_files = subject.asset_names and hasattr(encoder.obj, names.VOCAB_FILE)
  if subject.has_own_tokenizer and not has_files:
    raise NotApplicable('its tokenizer, its maker\'s own, has no file in one of the two')
  wordpiece = subject.kind_of_tokenizer == WORDPIECE or subject.has_own_tokenizer
  path = asset_path(encoder, names.VOCAB_FILE if wordpiece else names.SP_MODEL_FILE)
  if path is None:
    raise Failed(f'the preprocessing is {subject.kind_of_tokenizer}; the encoder has no such file')
  if not os.path.exists(path):
    raise NotApplicable('the encoder\'s tokenizer file is missing: see files.assets')
  if not wordpiece:
    if files.read_bytes(path) != subject.sentencepiece_model:
      raise Failed('the SentencePiece models of the two differ')
    return Passed()
  if files.read_bytes(path) != files.read_bytes(subject.file('assets', subject.asset_names[0])):
    raise Failed('the vocabularies of the two differ')
  lower = getattr(encoder.obj, names.DO_LOWER_CASE, None)
  if lower is not None and bool(lower.numpy()) != subject.lower_case:
    raise Failed(f'the encoder says do_lower_case={bool(lower.numpy())}; the preprocessing has '
                 f'{subject.lower_case}')
  return Passed()
