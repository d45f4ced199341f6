"""What do fine-tuned exports say about GLUE's test sets, as its server wants to be told?"""

from __future__ import annotations

from collections.abc import Sequence

import gin

from experiments.export import export as plan_export
from nlp_export.ablation.sources import Given
from nlp_export.ablation.study import Study
from nlp_export.experiment import Plan, experiment, require
from nlp_export.submitting import planning


@experiment(conditional=('checkpoint', 'export', 'preprocessing'))
def glue_submission(
    checkpoint: str | None = gin.REQUIRED,
    export: str | None = gin.REQUIRED,
    preprocessing: str | None = gin.REQUIRED,
    study: Study = gin.REQUIRED,
    majority: Sequence[str] = (),
    submission: str | None = None,
    allowed_ops: Sequence[str] = (),
) -> Plan:
  """The zip for the GLUE server, of fine-tuned exports, checked; or a check of a zip.

  Args:
    checkpoint: CHECKPOINT, which `export` gets too, and all that it needs.
    export: EXPORT: a SavedModel to fine-tune instead of exporting one, or a handle that
      tensorflow_hub resolves.
    preprocessing: PREPROCESSING: the one that belongs to EXPORT.
    study: @ablation.study(): tasks, seeds, recipe.
    majority: MAJORITY: tasks whose every row gets one label instead of a model's answer.
    submission: SUBMISSION: a zip, whoever wrote it, to check and do nothing else.
    allowed_ops: ALLOWED_OPS: what EXPORT's graph may do besides computing.
  """
  if submission is not None:
    return planning.check_plan(submission)
  require({'checkpoint': checkpoint, 'export': export})
  given = None
  if export is not None or preprocessing is not None:
    require(export=export, preprocessing=preprocessing, why='the two are used together')
    given = Given(str(export), str(preprocessing),
                  None if checkpoint is None else plan_export().request, allowed_ops)
  return planning.plan(study, plan_export, majority, given)
