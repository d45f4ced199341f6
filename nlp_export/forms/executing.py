"""How do an export's forms come to stand in their places: all verified, or none at all?"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from nlp_export import files, handles, names, staging
from nlp_export.errors import CheckError, NlpExportError, RequestError
from nlp_export.experiment import Outcome, Run
from nlp_export.forms import card, comparing, converting, glue_difference, table, texts
from nlp_export.forms import form as forms_lib
from nlp_export.forms import source as sources
from nlp_export.forms.comparing import Difference, Speed
from nlp_export.forms.form import SAVED_MODEL, Form
from nlp_export.forms.reading import Reader
from nlp_export.forms.request import (
    FORMS_DIR,
    PREPROCESSING_DIR,
    REPORT_FILE,
    RESULTS_FILE,
    FormsRequest,
)
from nlp_export.forms.source import Source
from nlp_export.saved_models.verification.report import VerificationReport

SCHEMA_VERSION = 1
KIND = 'form'
# A GraphDef is one protocol buffer, which cannot be larger; ONNX and LiteRT files neither.
_MOST_BYTES = 2**31 - 2**20


@dataclasses.dataclass(frozen=True)
class Measured:
  """What was found of one form."""

  differences: Mapping[str, Difference]
  speed: Speed
  size: int
  report: VerificationReport
  scores: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  notes: tuple[str, ...] = ()


def check(request: FormsRequest) -> tuple[Source, texts.Tokeniser]:
  """Loads the export and says what cannot be converted, before any work.

  Raises:
    RequestError: strings, an unknown output, a length that the export does not take; no
      preprocessing.
  """
  path = handles.resolved(request.export, request.allowed_ops)
  source = sources.load(path, request.outputs)
  for name, form in request.forms.items():
    if form.kind != forms_lib.XLA and source.weights_bytes > _MOST_BYTES:
      raise RequestError(
          f'{name} of {request.export} would be one file of {source.weights_bytes / 1e9:.1f} GB, '
          'and 2 GB is the most that its format holds. Only XLA keeps variables: write --set '
          "FORMS='(@forms.xla,)'")
    if source.fixed_length and form.seq_length not in (None, source.fixed_length):
      raise RequestError(
          f'{name} is asked for with seq_length = {form.seq_length}, but {request.export} takes '
          f'rows of {source.fixed_length} tokens only. Write {form.kind}.seq_length = '
          f'{source.fixed_length}')
    _check_length(request, source, _length(request, source, form))
  tokeniser = texts.tokeniser(source, request.preprocessing, request.allowed_ops)
  if request.task is not None:
    glue_difference.check(source, tokeniser, request.task)
  return source, tokeniser


def convert(request: FormsRequest, run: Run) -> Outcome:
  """Converts, verifies, times and puts in place what is not there yet.

  Raises:
    RequestError: see `check`; or an operation that a form does not have.
    CheckError: a form does not compute what the SavedModel does. Nothing was put in place then.
  """
  places = {name: files.join(run.out_dir, path) for name, path in request.destinations().items()}
  todo = {name: path for name, path in places.items() if not staging.is_complete(path)}
  for name in places.keys() - todo.keys():
    run.say(f'{name}: converted before')
  with run.step('load'):
    source, tokeniser = check(request)
  with staging.whole_exports(files.join(run.out_dir, FORMS_DIR)), \
       contextlib.ExitStack() as stack:
    work = stack.enter_context(tempfile.TemporaryDirectory(prefix='nlp_export_'))
    beside = {name: stack.enter_context(staging.staged(path, work))
              for name, path in todo.items()}
    converter = converting.Converter(source, texts.probe(tokeniser, source.fixed_length))
    notes = {name: _notes(path) for name, path in places.items()}
    for name, path in beside.items():
      with run.step(f'convert {name}'):
        notes[name] = converter.write(request.forms[name], path)
    _write_preprocessing(request, run, source, stack, work)
    measured, baseline = _measure(request, run, source, tokeniser, {**places, **beside}, work)
    measured = {name: dataclasses.replace(found, notes=notes[name])
                for name, found in measured.items()}
    failed = [found.report for found in measured.values() if not found.report.passed]
    if failed:
      raise CheckError('\n'.join(line for report in failed for line in report.lines()) +
                       '\nNo form was put in place.')
    with run.step('finish'):
      for name, path in beside.items():
        _finish(request, run, source, name, path, measured[name])
  return _report(request, run, source, measured, baseline, places)


def _notes(path: str) -> tuple[str, ...]:
  """What the record of a form says that stands in its place."""
  record = files.join(path, names.EXTRA_DIR, names.PROVENANCE_FILE)
  return tuple(files.read_json(record).get('notes', ())) if files.exists(record) else ()


def _write_preprocessing(request: FormsRequest, run: Run, source: Source,
                         stack: contextlib.ExitStack, work: str) -> None:
  place = files.join(run.out_dir, PREPROCESSING_DIR)
  if files.exists(files.join(place, 'saved_model.pb')):
    return
  given = request.preprocessing
  resolved = handles.resolved(given, request.allowed_ops) if given else None
  path = stack.enter_context(staging.staged(place, work))
  converting.write_preprocessing(source, resolved, path)


def _measure(request: FormsRequest, run: Run, source: Source, tokeniser: texts.Tokeniser,
             directories: Mapping[str, str], work: str
             ) -> tuple[dict[str, Measured], dict[str, Any]]:
  """What each form computes, and how fast, in processes without this package."""
  kinds = {form.kind for form in request.forms.values()}
  measured = {}
  with contextlib.ExitStack() as stack:
    with_tensorflow = stack.enter_context(Reader(work))
    without = with_tensorflow
    if kinds & {forms_lib.ONNX, forms_lib.LITERT}:
      without = stack.enter_context(Reader(work, ['tensorflow']))
    with_tensorflow.load(SAVED_MODEL, SAVED_MODEL, source.path, source.inputs, source.outputs,
                         source.signature)
    compared = glue_difference.Comparison(request, source, tokeniser) if request.task else None
    scores = compared.of(with_tensorflow, SAVED_MODEL) if compared else {}
    baseline = {'size': converting.size(source.path), 'scores': scores}
    for name, form in request.forms.items():
      reader = without if form.kind in (forms_lib.ONNX, forms_lib.LITERT) else with_tensorflow
      with run.step(f'verify {name}'):
        path = files.join(directories[name], form.file)
        reader.load(name, form.kind, path, source.inputs, source.outputs)
        measured[name] = _measure_one(request, source, tokeniser, name, reader, with_tensorflow)
        measured[name] = dataclasses.replace(measured[name], size=converting.size(path), scores=(
            compared.of(reader, name, form.seq_length) if compared else {}))
        if form.kind == forms_lib.FROZEN_GRAPH:
          _check_session(source, path, with_tensorflow, measured, name, tokeniser)
        reader.unload(name)
      run.say(f'  {measured[name].report.summary()}')
  return measured, baseline


def _measure_one(request: FormsRequest, source: Source, tokeniser: texts.Tokeniser, name: str,
                 reader: Reader, saved_model: Reader) -> Measured:
  form = request.forms[name]
  rows = texts.batch(tokeniser, _length(request, source, form))
  expected, _ = saved_model.call(SAVED_MODEL, rows)
  found, seconds = reader.call(name, rows)
  differences = comparing.differences(found, expected, rows)
  if form.seq_length is None and source.fixed_length is None:
    few = texts.short(rows)
    found, seconds = reader.call(name, few)
    expected, _ = saved_model.call(SAVED_MODEL, few)
    differences = comparing.worst(differences, comparing.differences(found, expected, few))
  report = VerificationReport(name, KIND, True, tuple(comparing.checks(form, differences)))
  speed = comparing.speed(reader, saved_model, name, rows, seconds)
  return Measured(differences, speed, 0, report)


def _length(request: FormsRequest, source: Source, form: Form) -> int:
  """Tokens in a row, of what a form is compared and timed on."""
  return form.seq_length or source.fixed_length or request.max_seq_length


def _check_length(request: FormsRequest, source: Source, seq_length: int) -> None:
  try:
    source.any_length(*(np.zeros((1, seq_length), np.int32) for _ in source.inputs))
  except Exception as error:  # TensorFlow's errors of shapes have no common class but this.
    if isinstance(error, NlpExportError):
      raise
    first = str(error).strip().partition('\n')[0]
    raise RequestError(
        f'{request.export} does not take rows of {seq_length} tokens: {first}. It may have fewer '
        'positions: write --set MAX_SEQ_LENGTH=64') from error


def _check_session(source: Source, path: str, reader: Reader, measured: dict[str, Measured],
                   name: str, tokeniser: texts.Tokeniser) -> None:
  """The file read as document 002 does, in a session: another optimizer's run on the same graph."""
  rows = texts.probe(tokeniser, source.fixed_length)
  label = f'{name} in a session'
  reader.load(label, 'frozen_graph_in_session', path, source.inputs, source.outputs)
  found, _ = reader.call(label, rows)
  expected, _ = reader.call(SAVED_MODEL, rows)
  reader.unload(label)
  done = measured[name]
  differences = comparing.worst(
      done.differences, comparing.differences(found, expected, rows))
  form = forms_lib.Form(forms_lib.FROZEN_GRAPH, *_limits(done.report))
  report = VerificationReport(name, KIND, True, tuple(comparing.checks(form, differences)))
  measured[name] = dataclasses.replace(done, differences=differences, report=report)


def _limits(report: VerificationReport) -> tuple[float, float]:
  """Tolerance and least cosine of a form, as its checks have them."""
  tolerance = next(float(c.tolerance or 0) for c in report.checks
                   if not c.name.endswith('.cosine'))
  cosine = next((float(c.tolerance or 0) for c in report.checks if c.name.endswith('.cosine')), 0.0)
  return tolerance, cosine


def _finish(request: FormsRequest, run: Run, source: Source, name: str, path: str,
            found: Measured) -> None:
  """Writes the card and the records; the marker last."""
  form = request.forms[name]
  record = {**_record(request, run, source, name, form, path), 'notes': list(found.notes)}
  extra = files.join(path, names.EXTRA_DIR)
  files.make_dirs(extra)
  files.write_text(files.join(path, names.CARD_FILE), card.render(record, found.report))
  files.write_json(files.join(extra, names.PROVENANCE_FILE), record)
  files.write_text(files.join(extra, names.OPERATIVE_CONFIG_FILE),
                   run.operative_config_text(public=True))
  files.write_json(files.join(extra, names.VERIFICATION_FILE), found.report.to_json())


def _record(request: FormsRequest, run: Run, source: Source, name: str, form: Form, path: str
            ) -> dict[str, Any]:
  """provenance.json: base names and hashes, no paths and no times."""
  return {
      'schema_version': SCHEMA_VERSION,
      'kind': KIND,
      'name': name,
      'form': dict(form.to_json()),
      'file': form.file,
      'sha256': files.sha256(files.join(path, form.file)),
      'made_by': card.versions(form),
      'export': {'name': files.basename(source.path), 'export_type': source.kind,
                 'sha256': run.input_hashes.get(request.export)},
      'inputs': list(source.inputs),
      'outputs': list(source.outputs),
      'seq_length': form.seq_length or source.fixed_length,
  }


def _report(request: FormsRequest, run: Run, source: Source, measured: Mapping[str, Measured],
            baseline: Mapping[str, Any], places: Mapping[str, str]) -> Outcome:
  result = table.results(request, measured, baseline)
  report = files.join(run.out_dir, REPORT_FILE)
  files.write_json(files.join(run.out_dir, RESULTS_FILE), result)
  files.write_text(report, table.markdown(files.basename(source.path), result))
  lines = [*table.lines(result), *(f'{name}: {path}' for name, path in places.items())]
  return Outcome(lines=lines, result=result, report=report)
