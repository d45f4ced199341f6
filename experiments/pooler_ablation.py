"""Does the pooler's start matter for fine-tuning?"""

from __future__ import annotations

import gin

from experiments.export import export
from nlp_export.ablation import planning
from nlp_export.ablation.study import Study
from nlp_export.experiment import Plan, experiment

_QUESTION = ('With which pooler should the encoder be published: which start fine-tunes best, and '
             'how sure is that?')


@experiment
def pooler_ablation(checkpoint: str = gin.REQUIRED, study: Study = gin.REQUIRED) -> Plan:
  """Poolers side by side on GLUE: exports, fine-tunings over tasks and seeds, a report.

  Args:
    checkpoint: CHECKPOINT, which has to be set: `export` gets it too, and all that it needs.
    study: @ablation.study(): tasks, arms, seeds, recipe.
  """
  return planning.plan(study, export, title='Pooler ablation', question=_QUESTION)
