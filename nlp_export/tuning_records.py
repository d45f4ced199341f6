"""What became of an export since it was written: how is that said in its card and its record?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from nlp_export import files, names

# The pooler's name in the record of an encoder that was trained since it was exported: no strategy
# of poolers.py makes that one again.
TUNED_POOLER = 'tuned'


@dataclasses.dataclass(frozen=True)
class Score:
  """How good it is.

  Attributes:
    metric: its name: 'accuracy', 'matthews_correlation', 'mlm_loss'.
    value: of the tuned model.
    on: what it was measured on: 'dev, 872 examples'.
    before: of the model before it was tuned; None where that was not measured.
  """

  metric: str
  value: float
  on: str
  before: float | None = None


@dataclasses.dataclass(frozen=True)
class Tuning:
  """What was done to an encoder after it was exported. It stands in the card and in the record.

  Attributes:
    what: a few words that continue a title: 'fine-tuned on sst2'.
    how: a sentence or two without paths and times: length, learning rate, batch, seed.
    scores: with the metrics' names.
    data: name of each file, of `paths.names_apart` -> SHA-256.
    settings: everything that can be set, as JSON values.
    notes: for the reader, a sentence each, without a full stop.
  """

  what: str
  how: str
  scores: tuple[Score, ...] = ()
  data: Mapping[str, str] = dataclasses.field(default_factory=dict)
  settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  notes: tuple[str, ...] = ()

  def to_json(self) -> dict[str, Any]:
    """Fields as JSON values."""
    return {**dataclasses.asdict(self), 'scores': [dataclasses.asdict(s) for s in self.scores],
            'data': dict(self.data), 'settings': dict(self.settings), 'notes': list(self.notes)}


def export_type(root: Any) -> str:
  """'model_with_mlm' for a loaded encoder with `.mlm`, else 'model'."""
  return names.MODEL_WITH_MLM if hasattr(root, names.MLM) else names.MODEL


def record_of(export: str) -> dict[str, Any]:
  """An encoder's provenance.json as this package writes it; {} for a stranger's export."""
  path = files.join(export, names.EXTRA_DIR, names.PROVENANCE_FILE)
  record = files.read_json(path) if files.exists(path) else None
  return record if isinstance(record, dict) and 'export_type' in record else {}


def name_of(export: str) -> str:
  """What to call an export where no path may stand: its card's title, or its directory's name."""
  return str(record_of(export).get('title') or files.basename(export.rstrip('/')))


def step_of(tuning: Tuning, export: str, name: str) -> dict[str, Any]:
  """The entry of a record's list `tuning`.

  Args:
    tuning: what was done.
    export: directory of what it was done to.
    name: what to call that.
  """
  hashes = {part: files.sha256(files.join(export, part))
            for part in ('saved_model.pb', 'variables', 'assets')
            if files.exists(files.join(export, part))}
  return {**tuning.to_json(), 'source': {'name': name, 'sha256': hashes}}


def of_tuned(
    export: str, root: Any, before: Mapping[str, Any], tuning: Tuning, name: str, moved: int
) -> dict[str, Any]:
  """The record of a tuned encoder: that of the export, and what became of it since.

  Args:
    export: directory of the export.
    root: the loaded encoder.
    before: `record_of` the export.
    tuning: what was done.
    name: what to call the export.
    moved: how many of its variables have other values now.
  """
  from nlp_export.saved_models import provenance

  step = {**step_of(tuning, export, name), 'variables_changed': moved}
  common = {
      'export_type': export_type(root),
      'title': f'{before.get("title", name)}, {tuning.what}',
      'made_by': provenance.versions(),
      'tuning': [*before.get('tuning', ()), step],
  }
  if 'encoder' not in before:
    return {
        'schema_version': provenance.SCHEMA_VERSION, **common,
        'pooler': {'name': TUNED_POOLER, 'origin': 'as in the export that it was made from',
                   'arguments': {}, 'has_pooled_output': _has_pooled_output(root)},
        'variables': {'trainable': sum(
            v.shape.num_elements() for v in root.trainable_variables)},
    }
  pooler = before['pooler']
  origin = pooler['origin']
  if pooler['name'] != TUNED_POOLER and pooler['has_pooled_output']:
    origin += ' All of this was before the training that stands under "Tuning".'
  return {
      **before, **common,
      'pooler': {**pooler, 'name': TUNED_POOLER, 'arguments': {}, 'origin': origin},
      'preprocessor': provenance.fitting_preprocessor(before['tokenizer']) + '.',
  }


def restore_of_tuned(
    export: str, tuning: Tuning, moved: Iterable[str]) -> dict[str, Any] | None:
  """The record of where values came from, restore.json, of a tuned encoder.

  It is that of the export, which says of each variable what it had been restored from, and of
  each whether that is still its value: `tuned` is true where it is not, in this tuning or an
  earlier one. `tuned_since` says what was done since, and `note` how to read it.

  Args:
    export: directory of the export.
    tuning: what was done.
    moved: names of the variables that have other values than in the export.

  Returns:
    JSON values; None if the export has no such record.
  """
  path = files.join(export, names.EXTRA_DIR, names.RESTORE_FILE)
  if not files.exists(path):
    return None
  before = files.read_json(path)
  changed = set(moved)
  return {
      **before,
      'note': 'This says where values came from when the encoder was exported. It was trained '
              "since: a variable with 'tuned': true has another value now.",
      'tuned_since': [*before.get('tuned_since', ()), tuning.what],
      'matched': [{**match, 'tuned': match.get('tuned', False) or match['variable'] in changed}
                  for match in before['matched']],
  }


def _has_pooled_output(root: Any) -> bool:
  from nlp_export.saved_models.verification.traces import concrete_functions

  return any(names.POOLED_OUTPUT in (function.structured_outputs or {})
             for function in concrete_functions(root))
