"""How is one loaded SavedModel checked? Every check of its kind, one after the other."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from nlp_export.saved_models.verification import report as reports
from nlp_export.saved_models.verification.classifier_subject import ClassifierSubject
from nlp_export.saved_models.verification.job import Job
from nlp_export.saved_models.verification.preprocessing_subject import PreprocessingSubject
from nlp_export.saved_models.verification.registry import (
  Check,
  Failed,
  Kind,
  Level,
  NotApplicable,
  NotRun,
  Passed,
  Scope,
  checks_for,
)
from nlp_export.saved_models.verification.report import CheckResult, VerificationReport
from nlp_export.saved_models.verification.subject import (
  EncoderSubject,
  Subject,
  first_line,
)
from nlp_export.saved_models.verification.text_subject import TextEmbeddingSubject
from nlp_export.saved_models.verification.traces import kind_of

# Answers of per-graph checks, by name.
Answers = Mapping[str, CheckResult]


def load(job: Job, path: str, isolation: str = '', partner: Subject | None = None,
         memory: dict[Any, Any] | None = None) -> Subject:
  """Loads a SavedModel from a local directory; errors of TensorFlow pass through."""
  obj = tf.saved_model.load(path)
  maker = {Kind.ENCODER: EncoderSubject,
           Kind.PREPROCESSING: PreprocessingSubject,
           Kind.TEXT_EMBEDDING: TextEmbeddingSubject,
           Kind.CLASSIFIER: ClassifierSubject}.get(kind_of(obj), Subject)
  return maker(job, obj, path, isolation, partner, memory)


def run_checks(subject: Subject, known: Answers | None = None) -> VerificationReport:
  """Runs every check of the subject's kind.

  Args:
    subject: a loaded SavedModel.
    known: answers for an export with the same graph, whose per-graph ones are taken over.
  """
  start = time.monotonic()
  if subject.kind == Kind.UNKNOWN:
    why = ('it is neither an encoder (a call with input_word_ids) nor preprocessing (tokenize, '
           'bert_pack_inputs) nor a text embedding (a call from string [batch] to float '
           '[batch, dim]) nor a classifier (from string [batch] to a dict with logits)')
    result = CheckResult('files.recognised', (), Level.MUST, 'Its type is one that is known.',
                         reports.FAILED, why=why)
    return VerificationReport(subject.job.label, subject.kind, False, (result,))
  results = []
  for check in checks_for(subject.kind):
    earlier = (known or {}).get(check.name)
    if check.scope == Scope.GRAPH and earlier is not None and earlier.status != reports.FAILED:
      results.append(earlier)
    else:
      results.append(run_check(check, subject))
  _no_failure_unseen(results)
  return VerificationReport(subject.job.label, subject.kind, subject.job.ours,
                            tuple(results), time.monotonic() - start)


def run_check(check: Check, subject: Subject) -> CheckResult:
  """The answer of one check; an exception it did not foresee is a failure."""

  def result(status: str, **fields: object) -> CheckResult:
    return CheckResult(check.name, check.numbers, check.level.value, check.title, status,
                       **fields)  # type: ignore[arg-type]

  try:
    passed = check.function(subject) or Passed()
  except Failed as error:
    return result(reports.FAILED, value=_finite(error.value), tolerance=error.tolerance,
                  why=error.why, known_defect=error.known_defect)
  except NotApplicable as error:
    return result(reports.NOT_APPLICABLE, why=str(error))
  except NotRun as error:
    status = _AFTER_FAILURE if error.after_failure else reports.NOT_RUN
    return result(status, why=str(error))
  except Exception as error:
    return result(reports.FAILED, why=first_line(error))
  if passed.value is not None and _finite(passed.value) is None:
    return result(reports.FAILED, tolerance=passed.tolerance,
                  why=f'it measured {passed.value}: the outputs are not finite')
  return result(reports.PASSED, value=passed.value, tolerance=passed.tolerance, why=passed.why)


_AFTER_FAILURE = 'after_failure'


def _finite(value: object) -> object:
  """JSON knows no infinity: an incomparable value (other shapes, NaN) is null there."""
  if isinstance(value, float) and value - value != 0:
    return None
  return value


def _no_failure_unseen(results: list[CheckResult]) -> None:
  """What could not run after a failure is 'not run' if that failure is reported, else failed."""
  reported = any(r.status == reports.FAILED for r in results)
  for i, r in enumerate(results):
    if r.status == _AFTER_FAILURE:
      status = reports.NOT_RUN if reported else reports.FAILED
      results[i] = dataclasses.replace(r, status=status)


def not_loadable(job: Job, error: BaseException) -> VerificationReport:
  """The report on something that tf.saved_model.load refuses."""
  result = CheckResult('files.loads_alone', (2,), Level.MUST, 'It loads in a fresh process.',
                       reports.FAILED, why=f'it does not load: {first_line(error)}')
  return VerificationReport(job.label, Kind.UNKNOWN, job.ours, (result,))
