"""How do written SavedModels come to stand under their names: all verified, or none at all?

They are written beside their places, loaded by a fresh process and checked; then cards and records
are added, the marker last, and all are renamed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nlp_export import files, names, staging
from nlp_export.errors import CheckError
from nlp_export.running.run_context import Run
from nlp_export.saved_models import verification

if TYPE_CHECKING:
  from nlp_export.saved_models.verification import Job, VerificationReport


@dataclasses.dataclass(frozen=True)
class Written:
  """A SavedModel that is written and not yet in place.

  Attributes:
    path: where it lies now.
    provenance: becomes assets.extra/provenance.json and, with the verification, the card.
    job: how it is verified; its path is `path`.
    restore: becomes assets.extra/restore.json; None for none.
  """

  path: str
  provenance: Mapping[str, Any]
  job: Job
  restore: Mapping[str, Any] | None = None


# (label -> path to write to, a directory for other files) -> label -> what was written.
Write = Callable[[Mapping[str, str], str], Mapping[str, Written]]


def place(run: Run, exports_dir: str, destinations: Mapping[str, str], write: Write
          ) -> dict[str, str]:
  """Writes, verifies and puts in place what is not there yet.

  Args:
    run: its out_dir is where to.
    exports_dir: below out_dir; all destinations lie in it.
    destinations: label -> directory below out_dir.
    write: is called for those that are missing, unless none is. It writes every one of them;
      encoders come before a preprocessing that names them.

  Returns:
    label -> directory, of all.

  Raises:
    RequestError: a destination cannot be written; and what `write` raises.
    CheckError: a SavedModel is not what it should be. Nothing was put in place then.
  """
  places = {label: files.join(run.out_dir, path) for label, path in destinations.items()}
  todo = {label: path for label, path in places.items() if not staging.is_complete(path)}
  for label in places.keys() - todo.keys():
    run.say(f'{label}: done before')
  if not todo:
    return places
  with verification.FreshProcess() as fresh, \
       staging.whole_exports(files.join(run.out_dir, exports_dir)), \
       contextlib.ExitStack() as stack:
    work = stack.enter_context(tempfile.TemporaryDirectory(prefix='nlp_export_'))
    # Ends before `work`: what is put in place was staged there if out_dir is remote.
    beside = {label: stack.enter_context(staging.staged(path, work))
              for label, path in todo.items()}
    written = write(beside, work)
    with run.step('verify'):
      reports = fresh.verify([item.job for item in written.values()])
    for report in reports:
      run.say(report.summary())
    failed = [report for report in reports if not report.passed]
    if failed:
      raise CheckError('\n'.join(line for report in failed for line in report.lines()) +
                       '\nNo export was put in place.')
    with run.step('finish'):
      for item, report in zip(written.values(), reports, strict=True):
        _finish(item, report, run)
  return places


def _finish(item: Written, report: VerificationReport, run: Run) -> None:
  """Writes the card and the records; the marker last."""
  from nlp_export.saved_models import model_card

  extra = files.join(item.path, names.EXTRA_DIR)
  files.make_dirs(extra)
  files.write_text(files.join(item.path, names.CARD_FILE),
                   model_card.render(item.provenance, report.to_json()))
  files.write_json(files.join(extra, names.PROVENANCE_FILE), item.provenance)
  if item.restore is not None:
    files.write_json(files.join(extra, names.RESTORE_FILE), item.restore)
  files.write_text(files.join(extra, names.OPERATIVE_CONFIG_FILE),
                   run.operative_config_text(public=True))
  files.write_json(files.join(extra, names.VERIFICATION_FILE), report.to_json())
