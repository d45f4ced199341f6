"""Does an export fine-tune as well as the encoder that it was made of?"""

from __future__ import annotations

from collections.abc import Sequence

import gin

from experiments.export import export as plan_export
from nlp_export.ablation import planning
from nlp_export.ablation.sources import Given
from nlp_export.ablation.study import Study
from nlp_export.experiment import Plan, experiment, require

_QUESTION = ('Does the export fine-tune as well as the same encoder built in Python from the '
             'checkpoint?')


@experiment(conditional=('checkpoint', 'export', 'preprocessing'))
def glue_check(
    checkpoint: str | None = gin.REQUIRED,
    export: str | None = gin.REQUIRED,
    preprocessing: str | None = gin.REQUIRED,
    study: Study = gin.REQUIRED,
    allowed_ops: Sequence[str] = (),
) -> Plan:
  """An export and its baseline on GLUE: compared on a batch, then fine-tuned with equal seeds.

  Args:
    checkpoint: CHECKPOINT, which `export` gets too, and all that it needs. Not needed for an
      EXPORT that is to be looked at alone.
    export: EXPORT: a SavedModel to check instead of exporting one; any that keeps TF Hub's text
      API, or a handle that tensorflow_hub resolves.
    preprocessing: PREPROCESSING: the one that belongs to EXPORT.
    study: @ablation.study(): tasks, arms, seeds, recipe.
    allowed_ops: ALLOWED_OPS: what EXPORT's graph may do besides computing.
  """
  given = None
  require({'checkpoint': checkpoint, 'export': export})
  if export is not None or preprocessing is not None:
    require(export=export, preprocessing=preprocessing, why='the two are used together')
    request = None if checkpoint is None else plan_export().request
    given = Given(str(export), str(preprocessing), request, allowed_ops)
  return planning.plan(
      study, plan_export, title='GLUE check', question=_QUESTION, given=given,
      compares_before=True)
