"""Which forms for inference does an export have, how fast is each, and how far from the export?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gin

from nlp_export import config, files, handles, staging, text_inputs
from nlp_export.errors import RequestError
from nlp_export.experiment import Outcome, Plan, Run, experiment
from nlp_export.forms.form import Form
from nlp_export.forms.request import FORMS_DIR, REPORT_FILE, RESULTS_FILE, FormsRequest
from nlp_export.glue import data as glue_data
from nlp_export.glue import tasks
from nlp_export.own_parts import explain_part


@experiment
def forms(
    export: str = gin.REQUIRED,
    preprocessing: str | None = None,
    forms: Sequence[Callable[[], Any]] = gin.REQUIRED,
    outputs: Sequence[str] | None = None,
    max_seq_length: int = 128,
    task: str | None = None,
    glue_dir: str | None = None,
    tfds_data_dir: str | None = None,
    allowed_ops: Sequence[str] = (),
) -> Plan:
  """Frozen graph, ONNX, LiteRT ... of an export: each verified, timed and put beside the others.

  Args:
    export: EXPORT: an encoder's SavedModel, a text embedding or a classifier.
    preprocessing: PREPROCESSING, of an encoder; the other two have theirs inside.
    forms: FORMS: a tuple of references such as @forms.onnx.
    outputs: OUTPUTS that the forms return; None: all but the vectors of inner layers.
    max_seq_length: MAX_SEQ_LENGTH: tokens in a row, of what is timed.
    task: TASK: of GLUE, whose score is compared; None: none.
    glue_dir: GLUE_DIR: of the official TSV files.
    tfds_data_dir: TFDS_DATA_DIR: of prepared tensorflow_datasets instead.
    allowed_ops: ALLOWED_OPS: what the graphs may do besides computing.
  """
  if not forms:
    raise RequestError('FORMS is empty: nothing is to be converted. Write for example '
                       "--set FORMS='(@forms.frozen_graph, @forms.onnx)'")
  made: dict[str, Form] = {}
  for name, part in zip(config.reference_names(forms), forms, strict=True):
    with explain_part(part, f'Form {name}'):
      made[name] = part()
    if not isinstance(made[name], Form):
      raise RequestError(f'Form {name} returned {type(made[name]).__name__}, not a Form. Return '
                         'nlp_export.forms.Form(...)')
    made[name].check_packages()
  if 'preprocessing' in made:
    raise RequestError("A form is called 'preprocessing', which is the folder beside the forms. "
                       'Give its reference another name')
  text_inputs.check_max_seq_length(max_seq_length, 2)
  found = tasks.get(task) if task else None
  glue = glue_data.source_for(found, glue_dir, tfds_data_dir) if found else None
  request = FormsRequest(export, preprocessing, made, tuple(outputs) if outputs else None,
                         max_seq_length, found, glue, tuple(allowed_ops))
  given = [path for path in (export, preprocessing) if path and not handles.is_handle(path)]
  inputs = [*given, *(glue.inputs(found, (*found.dev_splits, tasks.TRAIN)) if glue and found
                      else ())]
  return Plan(
      lines=[f'convert {export} to {", ".join(made)}',
             'verify and time each in a process of its own, against the SavedModel',
             *([f'compare scores on {found.name}'] if found else [])],
      inputs=tuple(dict.fromkeys(inputs)),
      outputs=(*(files.join(FORMS_DIR, name, staging.MARKER) for name in made), REPORT_FILE,
               RESULTS_FILE),
      preview=lambda out_dir: _preview(request),
      execute=lambda run: _execute(request, run))


def _preview(request: FormsRequest) -> list[str]:
  from nlp_export.forms import executing

  source, _ = executing.check(request)
  return [f'{source.path} can be converted: {", ".join(source.inputs)} to '
          f'{", ".join(source.outputs)}']


def _execute(request: FormsRequest, run: Run) -> Outcome:
  from nlp_export.forms import executing

  return executing.convert(request, run)
