"""Does an export survive being loaded and saved again? (conformance A, 4, and H, 91)"""

from __future__ import annotations

import os
import tempfile
from typing import Any

import tensorflow as tf

from nlp_export import files, names
from nlp_export.saved_models.verification.preprocessing_subject import TEXTS, PreprocessingSubject
from nlp_export.saved_models.verification.registry import (
    ANY_KIND, Failed, Level, NotRun, Passed, check)
from nlp_export.saved_models.verification.subject import (
    TOLERANCE, EncoderSubject, Subject, as_numpy, as_tensors, first_line, max_difference)

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
  with tempfile.TemporaryDirectory(prefix='resaved_') as directory:
    again = os.path.join(directory, 'again')
    # A fresh copy: the checks before this one may have changed nothing, but nothing shall depend
    # on that, and the signatures must be those of the file.
    try:
      tf.saved_model.save(subject.obj, again,
                          signatures=dict(getattr(subject.obj, 'signatures', {})) or None)
    except Exception as error:
      raise Failed(f'it cannot be saved again: {first_line(error)}') from error
    hidden = f'{subject.path}.hidden'
    files.rename(subject.path, hidden)
    try:
      return _compare(subject, again)
    finally:
      files.rename(hidden, subject.path)


def _compare(subject: Subject, again: str) -> Passed:
  """Loads the second copy and compares one call of each part."""
  try:
    loaded = tf.saved_model.load(again)
    worst = (_same_encoder(subject, loaded) if isinstance(subject, EncoderSubject)
             else _same_preprocessing(subject, loaded))  # type: ignore[arg-type]
  except (Failed, NotRun):
    raise
  except Exception as error:
    raise Failed(f'saved again, it does not work: {first_line(error)}') from error
  if sorted(os.listdir(os.path.join(again, 'assets'))) != subject_assets(subject):
    raise Failed('saved again, it has other assets')
  if worst > TOLERANCE:
    raise Failed('saved again, it gives other values', worst, TOLERANCE)
  return Passed(worst, TOLERANCE)


def subject_assets(subject: Subject) -> list[str]:
  """Names in assets/ of the first copy, which is hidden at this time."""
  directory = os.path.join(f'{subject.path}.hidden', 'assets')
  return sorted(os.listdir(directory)) if os.path.isdir(directory) else []


def _same_encoder(subject: EncoderSubject, loaded: Any) -> float:
  given, expected = subject.probe
  found = as_numpy(loaded(as_tensors(given), training=False))
  worst = max(max_difference(found[name], expected[name])
              for name in (names.SEQUENCE_OUTPUT, names.DEFAULT))
  if subject.mlm is not None:
    batch, outputs = subject.mlm_outputs[0]
    logits = as_numpy(loaded.mlm(as_tensors(batch.mlm_inputs)))[names.MLM_LOGITS]
    worst = max(worst, max_difference(logits, outputs[names.MLM_LOGITS]))
  return worst


def _same_preprocessing(subject: PreprocessingSubject, loaded: Any) -> float:
  expected = subject.root_outputs[names.INPUT_WORD_IDS]
  found = loaded(tf.constant(TEXTS))[names.INPUT_WORD_IDS]
  packed = loaded.bert_pack_inputs([loaded.tokenize(tf.constant(TEXTS))])
  return max(max_difference(found, expected),
             max_difference(packed[names.INPUT_WORD_IDS], expected))
