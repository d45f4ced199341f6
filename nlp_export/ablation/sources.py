"""Where do the SavedModels of an arm come from: exported by this run, or given by their user?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nlp_export import exporting, files, names, staging
from nlp_export.ablation.arms import BASELINE, NamedArm, poolers_of
from nlp_export.errors import RequestError
from nlp_export.exporting import ExportPlan, ExportRequest
from nlp_export.handles import is_handle, resolved
from nlp_export.running.once import once
from nlp_export.running.run_context import Run

# Of an export whose maker has not recorded it.
_UNKNOWN_POOLER = 'as_exported'


@dataclasses.dataclass(frozen=True)
class Made:
  """Exported and verified by this run.

  Attributes:
    plan: of the export.
    request: of the plan, with those poolers alone that some arm takes.
  """

  plan: ExportPlan
  request: ExportRequest

  @property
  def poolers(self) -> tuple[str, ...]:
    """Names of the poolers."""
    return tuple(self.request.pooler_functions)

  @property
  def positions(self) -> int | None:
    """How long a row the encoder takes, in tokens; None if nothing tells."""
    return self.request.encoder.max_positions if self.request.encoder else None

  @property
  def lines(self) -> Sequence[str]:
    """The plan for a human."""
    own = set(self.request.destinations().values())
    others = set(self.plan.request.destinations().values()) - own
    return [line for line in self.plan.lines if line.rpartition(' ')[2] not in others]

  @property
  def inputs(self) -> Sequence[str]:
    """What the exports are made of."""
    return self.plan.inputs

  @property
  def outputs(self) -> Sequence[str]:
    """Relative paths that are there when it is made."""
    return [files.join(path, staging.MARKER) for path in self.request.destinations().values()]

  def places(self, out_dir: str, pooler: str) -> tuple[str, str]:
    """Directories of the encoder and of the preprocessing."""
    paths = self.request.destinations()
    return (files.join(out_dir, paths[f'{pooler}/{names.MODEL}']),
            files.join(out_dir, paths[names.PREPROCESSING]))

  def is_made(self, out_dir: str) -> bool:
    """Whether all of it is in place."""
    return all(staging.is_complete(files.join(out_dir, path))
               for path in self.request.destinations().values())

  def make(self, run: Run) -> None:
    """Exports what is not there; one process does, others wait."""
    if self.is_made(run.out_dir):
      run.say(f'exports in {files.join(run.out_dir, self.request.exports_dir)}: done before')
    once(files.join(run.out_dir, names.CLAIMS_DIR), self.request.exports_dir.replace('/', '.'),
         lambda: self.is_made(run.out_dir), lambda: self._make(run), say=run.say)

  def _make(self, run: Run) -> None:
    for note in self.plan.notes:
      run.say(note)
    exporting.export(self.request, run)


@dataclasses.dataclass(frozen=True)
class Given:
  """SavedModels of anybody, by path or as handles that tensorflow_hub fetches.

  Attributes:
    model: EXPORT.
    preprocessing: PREPROCESSING.
    request: of the checkpoint that they come from, for the baseline; None if it is not known.
    allowed_ops: ALLOWED_OPS: what their graphs may do besides computing, see handles.resolved.
  """

  model: str
  preprocessing: str
  request: ExportRequest | None = None
  allowed_ops: Sequence[str] = ()

  @property
  def _record(self) -> Mapping[str, Any]:
    """provenance.json, if it is there before anything is fetched."""
    path = files.join(self.model, names.EXTRA_DIR, names.PROVENANCE_FILE)
    known = not is_handle(self.model) and files.exists(path)
    return files.read_json(path) if known else {}

  @property
  def positions(self) -> int | None:
    """How long a row the encoder takes, in tokens; None if nothing tells."""
    if self.request is not None and self.request.encoder is not None:
      return self.request.encoder.max_positions
    return self._record.get('encoder', {}).get('max_positions')

  @property
  def poolers(self) -> tuple[str, ...]:
    """One name: what the export's own record says, or the only one of POOLERS."""
    if record := self._record:
      return (str(record['pooler']['name']),)
    if self.request is not None:
      if len(self.request.pooler_functions) != 1:
        raise RequestError(
            f'EXPORT is one SavedModel and POOLERS names {len(self.request.pooler_functions)}. '
            "Which of them does it have? Write --set POOLERS='(@poolers.copy_nsp,)' or another one")
      return tuple(self.request.pooler_functions)
    return (_UNKNOWN_POOLER,)

  @property
  def lines(self) -> Sequence[str]:
    """The plan for a human."""
    return [f'load {self.model} with the preprocessing {self.preprocessing}']

  @property
  def inputs(self) -> Sequence[str]:
    """The directories, and what the baseline is made of."""
    found = [path for path in (self.model, self.preprocessing) if not is_handle(path)]
    if self.request is not None and self.request.checkpoint is not None:
      found += self.request.checkpoint.files
      if self.request.tokenizer.asset_file:
        found.append(self.request.tokenizer.asset_file)
    return list(dict.fromkeys(found))

  @property
  def outputs(self) -> Sequence[str]:
    """Nothing is made."""
    return ()

  def places(self, out_dir: str, pooler: str) -> tuple[str, str]:
    """Directories of the encoder and of the preprocessing; fetched if they are not local."""
    return (resolved(self.model, self.allowed_ops),
            resolved(self.preprocessing, self.allowed_ops))

  def is_made(self, out_dir: str) -> bool:
    """Whether both can be read without fetching anything."""
    return not (is_handle(self.model) or is_handle(self.preprocessing))

  def make(self, run: Run) -> None:
    """Fetches what is not local."""
    if not self.is_made(run.out_dir):
      with run.step('fetch'):
        self.places(run.out_dir, '')


Source = Made | Given


def sources(
    arms: Sequence[NamedArm], export: Callable[..., ExportPlan], given: Given | None = None
) -> dict[str, Source]:
  """The source of each arm, by the arm's name; arms that differ in nothing of it share one.

  Args:
    arms: all of them.
    export: plans the export with parameters that differ from the common ones.
    given: what EXPORT and PREPROCESSING name; then nothing is exported.

  Raises:
    RequestError: an export cannot be planned, or EXPORT fits no arm.
  """
  if given is not None:
    for arm in arms:
      if arm.export:
        raise RequestError(
            f'Arm {arm.name!r} changes {", ".join(arm.export)} of the export, but EXPORT is a '
            'SavedModel that is there already. Leave out EXPORT, or these keys')
    return dict.fromkeys((arm.name for arm in arms), given)
  found: dict[str, Source] = {}
  for arm in arms:
    if arm.name not in found:
      alike = [other for other in arms if other.export == arm.export]
      made = _planned(alike, export)
      found |= dict.fromkeys((other.name for other in alike), made)
  return found


def _planned(arms: Sequence[NamedArm], export: Callable[..., ExportPlan]) -> Made:
  """The export that arms share."""
  first = arms[0]
  options = dict(first.export)
  if options:
    options['exports_dir'] = files.join(names.EXPORTS_DIR, first.name)
  try:
    plan = export(**options)
  except RequestError as error:
    if not first.export:
      raise
    raise RequestError(f'Arm {first.name!r}: {error.message}') from error
  types = plan.request.export_types
  for kind in (names.MODEL, names.PREPROCESSING):
    if kind not in types:
      raise RequestError(f'EXPORT_TYPES is {types!r}, and fine-tuning needs the {kind} too. Write '
                         "--set EXPORT_TYPES=\"('model', 'preprocessing')\", or leave it out")
  functions = plan.request.pooler_functions
  taken = {pooler for arm in arms for pooler in poolers_of(arm, tuple(functions))}
  return Made(plan, dataclasses.replace(plan.request, pooler_functions={
      name: function for name, function in functions.items() if name in taken}))


def without_baselines(arms: Sequence[NamedArm]) -> tuple[NamedArm, ...]:
  """The arms that need no checkpoint."""
  return tuple(arm for arm in arms if arm.built != BASELINE)
