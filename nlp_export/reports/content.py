"""What goes into a report? One value that every form of it is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from nlp_export.glue.cells import CellResult
from nlp_export.glue.statistics import Analysis


@dataclasses.dataclass(frozen=True)
class Report:
  """Everything that a report shows.

  Attributes:
    title: of the page, 'Pooler ablation'.
    question: what the run was to answer, a sentence.
    cells: every finished cell, failed ones too.
    analysis: of these cells; None where there are no dev predictions to analyse.
    agreement: the check before training, one dict for each pooler: {pooler, passed, tolerance,
      rows: [{name, difference, tolerance, passed}], first_difference}, and if known `suggestion`
      and `notes`. A difference that is not finite may be None.
    config_text: the complete config.gin, as it may be published: without a machine's paths.
    operative_config_text: what was used of it, defaults included.
    changed_from_defaults: [{name, value, default}].
    provenance: commit, package versions, machine, provenance of the exports, hashes of inputs.
    commands: the command line that made it, or several.
    pretraining: how the encoder was pre-trained, if this run did that: {summary, curves}, see
      pretraining/trained.py and history.py; empty otherwise.
  """

  title: str
  question: str
  cells: Sequence[CellResult]
  analysis: Analysis | None = None
  agreement: Sequence[Mapping[str, Any]] = ()
  config_text: str = ''
  operative_config_text: str = ''
  changed_from_defaults: Sequence[Mapping[str, Any]] = ()
  provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  commands: Sequence[str] = ()
  pretraining: Mapping[str, Any] = dataclasses.field(default_factory=dict)
