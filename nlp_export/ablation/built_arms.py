"""What does FineTuning get for an arm with a pooler, and what do its numbers depend on?"""

from __future__ import annotations

import dataclasses
from typing import Any

import nlp_export
from nlp_export import files, names
from nlp_export.ablation.arms import BASELINE, NamedArm
from nlp_export.ablation.sources import Given, Source
from nlp_export.glue.fine_tuning.arms import BaselineArm, ExportArm, PoolerStart
from nlp_export.glue.grid import Variant
from nlp_export.running import origin

# Another version of these may give other numbers.
_PACKAGES = ('tensorflow', 'tensorflow-text', 'tf-models-official', 'tf-keras')


@dataclasses.dataclass(frozen=True)
class BuiltArm:
  """An arm with one of its poolers, as soon as its SavedModels are there.

  Attributes:
    named: what it is.
    pooler: name of the pooler.
    arm: for FineTuning.
    start: how the pooler was made; None if that is not known, or there is none.
    draws: whether the pooler is drawn anew for each seed.
  """

  named: NamedArm
  pooler: str
  arm: ExportArm | BaselineArm
  start: PoolerStart | None
  draws: bool

  def variant(self, pooler_seed: int | None) -> Variant:
    """For `grid`; `pooler_seed` is one draw for all seeds."""
    return Variant(
        self.named.name, self.pooler, self._recipe(), self.arm.content_hashes(),
        draws_pooler=self.draws, pooler_seed=pooler_seed if self.draws else None)

  def _recipe(self) -> dict[str, Any]:
    versions = origin.versions()
    start = self.start and {'name': self.start.name, 'arguments': dict(self.start.arguments)}
    return {
        **self.named.recipe.to_json(),
        'built': self.named.built,
        'pooler_start': start,
        'versions': {'nlp_export': nlp_export.__version__,
                     **{name: versions[name] for name in _PACKAGES if name in versions}},
    }


def build(named: NamedArm, source: Source, pooler: str, out_dir: str) -> BuiltArm:
  """The arm; its SavedModels are not loaded yet.

  Args:
    named: what it is.
    source: of its SavedModels, which must be there.
    pooler: name of the pooler.
    out_dir: of the run.
  """
  model, preprocessing = source.places(out_dir, pooler)
  start = _start(source, pooler, model)
  draws = start is not None and start.draws and not isinstance(source, Given)
  arm: ExportArm | BaselineArm
  if named.built == BASELINE:
    arm = _baseline(source, start)
  else:
    arm = ExportArm(model, preprocessing, start if draws else None)
  return BuiltArm(named, pooler, arm, start, draws)


def _start(source: Source, pooler: str, model: str) -> PoolerStart | None:
  functions = dict(source.request.pooler_functions) if source.request else {}
  record = files.join(model, names.EXTRA_DIR, names.PROVENANCE_FILE)
  if files.exists(record):
    # Without a checkpoint there is no baseline to tell it, and the name may be anybody's.
    block = files.read_json(record)['pooler']
    return PoolerStart.of_provenance(block, functions) if functions else None
  # A stranger's: POOLERS says it, for a baseline.
  return PoolerStart(functions[pooler], pooler) if pooler in functions else None


def _baseline(source: Source, start: PoolerStart | None) -> BaselineArm:
  request = source.request
  if request is None or request.checkpoint is None or request.encoder is None:
    raise ValueError('a baseline needs the checkpoint of its export')
  return BaselineArm(
      request.checkpoint, request.encoder, request.tokenizer, request.item_names, start)
