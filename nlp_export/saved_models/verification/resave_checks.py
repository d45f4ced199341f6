"""Does an export survive being loaded and saved again? (conformance A, 4, and H, 91)"""

from __future__ import annotations

import os
import tempfile
from typing import Any, cast

import numpy as np
import tensorflow as tf

from nlp_export import files, names
from nlp_export.saved_models.verification.classifier_subject import ClassifierSubject
from nlp_export.saved_models.verification.file_checks import declared_assets
from nlp_export.saved_models.verification.preprocessing_subject import TEXTS, PreprocessingSubject
from nlp_export.saved_models.verification.registry import (
  ANY_KIND,
  Failed,
  Level,
  NotRun,
  Passed,
  check,
)
from nlp_export.saved_models.verification.subject import (
  TOLERANCE,
  EncoderSubject,
  Subject,
  as_numpy,
  as_tensors,
  first_line,
  max_difference,
)
from nlp_export.saved_models.verification.text_subject import TextEmbeddingSubject

# Saving again needs the weights twice in memory and once on disk. It is the graph that decides
# whether it works, so tests with smaller encoders of the same graph stand for the larger ones.
RESAVE_MAX_BYTES = 600 * 2**20


@check('files.resaved', 4, 91, level=Level.REF, kinds=ANY_KIND)
def resaved(subject: Subject) -> Passed:
  """Loaded, saved elsewhere and loaded from there, without the first copy, it gives the same."""
  size = sum(int(v.dtype.size) * int(v.shape.num_elements() or 0)
             for v in getattr(subject.obj, 'variables', ()) if v.dtype != tf.string)
  if size > RESAVE_MAX_BYTES:
    raise NotRun(f'{size / 2**20:.0f} MB of variables; it is done up to '
                 f'{RESAVE_MAX_BYTES / 2**20:.0f} MB')
  # The subject's own values, while its files are in their place.
  expected = _own_values(subject)
  assets = set(declared_assets(subject)) & set(subject.asset_names)
  with tempfile.TemporaryDirectory(prefix='resaved_') as directory:
    again = os.path.join(directory, 'again')
    try:
      tf.saved_model.save(subject.obj, again,
                          signatures=dict(getattr(subject.obj, 'signatures', {})) or None)
    except Exception as error:
      raise Failed(f'it cannot be saved again: {first_line(error)}') from error
    hidden = f'{subject.path}.hidden'
    files.rename(subject.path, hidden)
    try:
      found = _values_of_copy(subject, again)
      missing = sorted(n for n in assets if not os.path.exists(os.path.join(again, 'assets', n)))
    finally:
      files.rename(hidden, subject.path)
  if missing:
    raise Failed(f'saved again, it has no assets/{missing[0]}')
  worst = max(max_difference(found.get(name, ()), value) for name, value in expected.items())
  if worst > TOLERANCE:
    raise Failed('saved again, it gives other values', worst, TOLERANCE)
  return Passed(worst, TOLERANCE)


def _own_values(subject: Subject) -> dict[str, np.ndarray]:
  if isinstance(subject, EncoderSubject):
    return _encoder_values(subject)
  if isinstance(subject, TextEmbeddingSubject):
    return {'root': subject.vectors}
  if isinstance(subject, ClassifierSubject):
    return {'root': subject.logits}
  return _preprocessing_values(cast(PreprocessingSubject, subject))


def _encoder_values(subject: EncoderSubject) -> dict[str, np.ndarray]:
  """One call of each part, by the export itself."""
  values = _arrays(subject.probe[1])
  if subject.mlm is not None:
    values[names.MLM_LOGITS] = subject.mlm_outputs[0][1][names.MLM_LOGITS]
  return values


def _preprocessing_values(subject: PreprocessingSubject) -> dict[str, np.ndarray]:
  expected = subject.root_outputs[names.INPUT_WORD_IDS]
  return {'root': expected, 'bert_pack_inputs': expected}


def _values_of_copy(subject: Subject, again: str) -> dict[str, Any]:
  """Loads the second copy and calls the same."""
  try:
    loaded = tf.saved_model.load(again)
    if isinstance(subject, PreprocessingSubject):
      texts = tf.constant(TEXTS)
      packed = loaded.bert_pack_inputs([loaded.tokenize(texts)],
                                       seq_length=subject.default_seq_length)
      return {'root': loaded(texts)[names.INPUT_WORD_IDS].numpy(),
              'bert_pack_inputs': packed[names.INPUT_WORD_IDS].numpy()}
    if isinstance(subject, TextEmbeddingSubject):
      arguments = {'training': False} if subject.takes_training else {}
      return {'root': loaded(tf.constant(subject.texts), **arguments).numpy()}
    if isinstance(subject, ClassifierSubject):
      texts = [tf.constant(list(of_segment)) for of_segment in subject.texts]
      return {'root': loaded(*texts)[names.LOGITS].numpy()}
    encoder = cast(EncoderSubject, subject)
    values = _arrays(as_numpy(loaded(as_tensors(encoder.probe[0]), training=False)))
    if encoder.mlm is not None:
      inputs = as_tensors(encoder.mlm_outputs[0][0].mlm_inputs)
      values[names.MLM_LOGITS] = as_numpy(loaded.mlm(inputs))[names.MLM_LOGITS]
    return values
  except Exception as error:
    raise Failed(f'saved again, it does not work: {first_line(error)}') from error


def _arrays(outputs: dict[str, Any]) -> dict[str, np.ndarray]:
  return {k: v for k, v in outputs.items() if k in (names.SEQUENCE_OUTPUT, names.DEFAULT)}
