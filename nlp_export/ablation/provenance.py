"""What do the results of a study come from: code, packages, machine, exports, inputs?"""

from __future__ import annotations

from typing import Any

from nlp_export import files, names
from nlp_export.ablation.planning import Prepared
from nlp_export.experiment import Run
from nlp_export.running import origin, public_form


def of_study(prepared: Prepared, run: Run) -> dict[str, Any]:
  """The record for results.json: inputs by what tells their paths apart, not by place."""
  exports = {}
  called = public_form.names(run.input_hashes)
  for arm in prepared.arms:
    for pooler in prepared.poolers(arm):
      model, preprocessing = prepared.sources[arm.name].places(run.out_dir, pooler)
      for name, path in ((f'{arm.name}/{pooler}', model), (f'{arm.name}/preprocessing',
                                                           preprocessing)):
        exports[name] = _recorded(path)
  return {
      'git': origin.git_state(),
      'versions': origin.versions(),
      'machine': origin.machine(),
      'exports': exports,
      'inputs': {called[path]: digest for path, digest in run.input_hashes.items()},
  }


def _recorded(path: str) -> dict[str, Any]:
  record = files.join(path, names.EXTRA_DIR, names.PROVENANCE_FILE)
  if not files.exists(record):
    return {'record': 'none: this SavedModel was not written by nlp_export'}
  return files.read_json(record)
