"""What is to be converted into which forms?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from nlp_export import files
from nlp_export.forms.form import Form
from nlp_export.glue.data import Source as GlueSource
from nlp_export.glue.tasks import Task

# Below out_dir.
FORMS_DIR = 'forms'
PREPROCESSING_DIR = files.join(FORMS_DIR, 'preprocessing')
REPORT_FILE, RESULTS_FILE = 'report.md', 'forms.json'


@dataclasses.dataclass(frozen=True)
class FormsRequest:
  """One run.

  Attributes:
    export: EXPORT: an encoder, a text embedding or a classifier.
    preprocessing: PREPROCESSING of an encoder; None: what is inside.
    forms: name as written in gin -> form.
    outputs: OUTPUTS; None: all but the vectors of inner layers.
    max_seq_length: tokens in a row, of what forms of any length are timed on.
    task: whose score is compared; None: none.
    glue: where its data is.
    allowed_ops: what the SavedModels may hold, see safety.refuse_dangerous.
  """

  export: str
  preprocessing: str | None
  forms: Mapping[str, Form]
  outputs: tuple[str, ...] | None
  max_seq_length: int
  task: Task | None = None
  glue: GlueSource | None = None
  allowed_ops: Sequence[str] = ()

  def destinations(self) -> dict[str, str]:
    """Name -> directory below out_dir."""
    return {name: files.join(FORMS_DIR, name) for name in self.forms}
