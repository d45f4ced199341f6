"""What does a checkpoint hold, and which exports and poolers can it give?"""

from __future__ import annotations

from collections.abc import Mapping

import gin

from nlp_export.checkpoints import find_checkpoint, open_checkpoint
from nlp_export.experiment import Outcome, Plan, Run, experiment


@experiment
def inspect_checkpoint(
    checkpoint: str = gin.REQUIRED, checkpoint_items: Mapping[str, str] | None = None
) -> Plan:
  """What does a checkpoint hold, and which exports and poolers can it give?

  Args:
    checkpoint: a TF1 or TF2 prefix or directory, an Orbax directory, or a Hugging Face directory.
    checkpoint_items: what the file calls its items; see pretrainer.checkpoint_items.

  Returns:
    A plan whose outcome has one line for each thing that the checkpoint holds, each export type
    and each pooler, with the reason for each no; the same as JSON in its result.

  Raises:
    RequestError: there is no checkpoint, or none that can be read.
  """
  found = find_checkpoint(checkpoint)

  def execute(run: Run) -> Outcome:
    from nlp_export.checkpoints import contents

    with run.step(f'open {found.name}'):
      held = contents.inspect(open_checkpoint(found, checkpoint_items, whole=True))
    return Outcome(lines=held.lines(), result=held.to_json())

  lines = [f'would say what {found.path} ({found.kind}) holds', *found.notes]
  return Plan(lines=lines, inputs=found.files, execute=execute)
