"""How are results kept for programs: results.json, written and read back?"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.glue.cells import CellResult
from nlp_export.reports.content import Report

SCHEMA_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Results:
  """The content of results.json.

  Attributes:
    cells: every cell.
    analysis: `Analysis.to_json()`, or None where there was none.
    agreement, changed_from_defaults, provenance, commands: as in `Report`.
    config, operative_config: gin text; config_sha256 is the hash of `config`.
  """

  title: str
  question: str
  cells: tuple[CellResult, ...]
  analysis: Mapping[str, Any] | None
  agreement: Sequence[Mapping[str, Any]]
  config: str
  operative_config: str
  config_sha256: str
  changed_from_defaults: Sequence[Mapping[str, Any]]
  provenance: Mapping[str, Any]
  commands: Sequence[str]


def render(report: Report) -> str:
  """The text of results.json: sorted keys, so equal reports give equal bytes."""
  value = {
      'schema_version': SCHEMA_VERSION,
      'title': report.title,
      'question': report.question,
      'cells': [cell.to_json() for cell in report.cells],
      'analysis': report.analysis.to_json() if report.analysis else None,
      'agreement': list(report.agreement),
      'config': report.config_text,
      'operative_config': report.operative_config_text,
      'config_sha256': hashlib.sha256(report.config_text.encode()).hexdigest(),
      'changed_from_defaults': list(report.changed_from_defaults),
      'provenance': dict(report.provenance),
      'commands': list(report.commands),
  }
  return json.dumps(
      finite(value), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + '\n'


def finite(value: Any) -> Any:
  """The same with null for NaN and infinities, which are not JSON."""
  if isinstance(value, Mapping):
    return {str(key): finite(item) for key, item in value.items()}
  if isinstance(value, (list, tuple)):
    return [finite(item) for item in value]
  return None if isinstance(value, float) and not math.isfinite(value) else value


def read(path: str) -> Results:
  """Reads what `render` made.

  Args:
    path: of results.json.

  Raises:
    RequestError: it is not a results.json, or of another schema_version, or its cells are wrong.
  """
  value = files.read_json(path)
  if not isinstance(value, Mapping) or 'schema_version' not in value:
    raise RequestError(f'{path} is not the results of a matrix: it has no schema_version. '
                       'Name the results.json of an out_dir')
  if value['schema_version'] != SCHEMA_VERSION:
    raise RequestError(
        f'{path} has schema_version {value["schema_version"]!r}, this version of nlp_export reads '
        f'{SCHEMA_VERSION}. Read it with the version that wrote it')
  names = [field.name for field in dataclasses.fields(Results)]
  missing = [name for name in names if name not in value]
  if missing or not isinstance(value['cells'], list):
    told = f'it lacks {", ".join(missing)}' if missing else 'its cells are no list'
    raise RequestError(f'{path} is not the results of a matrix: {told}. '
                       'Run its command again, which writes it anew')
  given = {name: value[name] for name in names}
  given['cells'] = tuple(CellResult.from_json(cell, f'{path}, cell {place}')
                         for place, cell in enumerate(value['cells']))
  return Results(**given)
