"""What do the results of a study come from: code, packages, machine, exports, inputs?"""

from __future__ import annotations

from typing import Any

from nlp_export import files, names
from nlp_export.ablation.planning import Prepared
from nlp_export.experiment import Run
from nlp_export.running import origin


def of_study(prepared: Prepared, run: Run) -> dict[str, Any]:
  """The record for results.json: inputs by the last two parts of their paths, not by place."""
  exports = {}
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
      'inputs': {'/'.join(path.rstrip('/').split('/')[-2:]): digest
                 for path, digest in run.input_hashes.items()},
  }


def _recorded(path: str) -> dict[str, Any]:
  record = files.join(path, names.EXTRA_DIR, names.PROVENANCE_FILE)
  if not files.exists(record):
    return {'record': 'none: this SavedModel was not written by nlp_export'}
  return files.read_json(record)
