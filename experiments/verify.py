"""Does a SavedModel, ours or anybody's, do what TF Hub's text API promises?"""

from __future__ import annotations

from collections.abc import Sequence

import gin

from nlp_export import files, names
from nlp_export.experiment import Outcome, Plan, Run, experiment, require
from nlp_export.handles import is_handle, resolved
from nlp_export.saved_models import verification

_SCHEMA_VERSION = 1


@experiment(conditional=('export', 'preprocessing'))
def verify(
    export: str | None = gin.REQUIRED,
    preprocessing: str | None = gin.REQUIRED,
    allowed_ops: Sequence[str] = (),
) -> Plan:
  """Checks of TF Hub's text API on finished SavedModels; no checkpoint needed.

  Args:
    export: EXPORT: directory of an encoder's SavedModel (or of a preprocessing one: which it is is
      told by its content), a .tar.gz of one, or a handle that tensorflow_hub resolves.
    preprocessing: PREPROCESSING: of the preprocessing SavedModel that belongs to it, to check that
      the two fit.
    allowed_ops: ALLOWED_OPS: operations that the graphs may hold although they do more than
      compute (writing files, running Python ...); without, such a SavedModel is not loaded.
  """
  require({'export': export, 'preprocessing': preprocessing})
  given = {label: path for label, path in (('EXPORT', export), ('PREPROCESSING', preprocessing))
           if path}
  return Plan(
      lines=[f'load {path} in a fresh process and check it' for path in given.values()],
      inputs=tuple(path for path in given.values() if not is_handle(path)),
      execute=lambda run: _execute(given, allowed_ops, run))


def _execute(given: dict[str, str], allowed_ops: Sequence[str], run: Run) -> Outcome:
  with verification.FreshProcess() as fresh:  # It gets ready while the graphs are looked through.
    jobs = []
    for label, path in given.items():
      encoder = 'EXPORT' if label == 'PREPROCESSING' and 'EXPORT' in given else ''
      with run.step(f'look through {label}'):
        place = resolved(path, allowed_ops)
      jobs.append(verification.Job(place, label, encoder=encoder))
    with run.step('verify'):
      reports = fresh.verify(jobs)
  passed = verification.all_passed(reports)
  result = {'schema_version': _SCHEMA_VERSION, 'passed': passed,
            'saved_models': {report.name: report.to_json() for report in reports}}
  files.write_json(files.join(run.out_dir, names.VERIFICATION_FILE), result)
  lines = [line for report in reports for line in report.lines()]
  for report in reports:
    lines += [f'{report.name} shows known defect {number} of the reference exporter: {text}'
              for number, text in report.known_defects.items()]
  return Outcome(lines=lines, passed=passed, result=result)
