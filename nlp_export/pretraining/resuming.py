"""From which state does a training begin: its own checkpoint, another's, or initial values?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from nlp_export import checkpoints, files, names
from nlp_export.checkpoints import projections
from nlp_export.errors import RequestError
from nlp_export.pretraining import agreement
from nlp_export.pretraining.loop import TrainingLoop
from nlp_export.pretraining.model import Pretrainer
from nlp_export.pretraining.request import InitialWeights
from nlp_export.pretraining.saving import resume, roots
from nlp_export.pretraining.saving.metadata import Metadata
from nlp_export.pretraining.saving.tree import RunVariables
from nlp_export.pretraining.strategies import Begun

_NONE = -1  # No checkpoint; of processes that do not choose.


@dataclasses.dataclass(frozen=True)
class Beginning:
  """Where a training begins.

  Attributes:
    step: number of steps that were done.
    notes: lines to say.
  """

  step: int
  notes: tuple[str, ...] = ()


def begin(
    root: str, resume_from: str | None, initial: InitialWeights | None, variables: RunVariables,
    metadata: Metadata, training: TrainingLoop, begun: Begun, say: Callable[[str], None],
) -> Beginning:
  """Gives every variable its value of the beginning, the same in all processes of a training.

  Args:
    root: of this run's checkpoints.
    resume_from: of another run's, which this one goes on from if it has none itself.
    initial: weights to start from if there is neither.
    variables: of the training.
    metadata: of this run; a checkpoint of another configuration is refused.
    training: built.
    begun: its devices.
    say: shows a line.

  Raises:
    RequestError: see `resume.newest_readable`; or the checkpoint does not fit.
  """
  stored: resume.StoredStep | None = None
  notes: tuple[str, ...] = ()
  place = root
  if resume_from is not None and not roots.look(root).steps:
    place = resume_from
  if begun.is_chief:
    if place == resume_from and not roots.look(place).steps:
      raise RequestError(f'There is no checkpoint in {place} to go on from. Correct RESUME_FROM, '
                         'or leave it out')
    # Nothing is changed in the directory of another run.
    found = resume.newest_readable(place, metadata, set_aside=(place == root))
    stored, notes = found.stored, found.notes
  step = _agreed(stored.step if stored else _NONE, begun, training)
  if step != _NONE:
    if stored is None:
      stored = resume.read_step(place, step)
    variables.assign(stored.values, source=f'{stored.name} of {place}')
    if int(training.iterations) != step:
      raise RequestError(
          f'{stored.name} of {place} says that {int(training.iterations)} steps were done. It was '
          f'changed or damaged: remove {files.join(place, str(step))}')
    notes = (*notes, f'going on from checkpoint {step}'
             + (f' of {place}' if place == resume_from else ''))
  elif initial is not None:
    notes = (*notes, *_initial(initial, variables, training.pretrainer))
  agreement.check(begun.strategy, max(step, 0), training.pretrainer.trained)
  for note in notes:
    say(note)
  return Beginning(max(step, 0), tuple(notes))


def _agreed(step: int, begun: Begun, training: TrainingLoop) -> int:
  """The chief's step, in all processes."""
  if begun.workers == 1:
    return step
  mine = step if begun.is_chief else _NONE
  with begun.explained(0):
    rows = agreement.gathered(begun.strategy, training.pretrainer.trained, mine)
  return int(rows[:, 0].max())


def _initial(
    initial: InitialWeights, variables: RunVariables, pretrainer: Pretrainer) -> tuple[str, ...]:
  """Weights alone, of a pre-training run or of any checkpoint that the export reads."""
  found = initial.found
  is_root = files.dirname(found.path) == initial.path.rstrip('/')
  if found.kind == checkpoints.ORBAX and found.tokenizer_settings and is_root:
    return resume.start_from_weights(initial.path, variables)[1]
  opened = projections.as_items(checkpoints.open_checkpoint(found))
  items, new = {}, []
  for name, item in pretrainer.items().items():
    if name in opened.nodes or name in (names.ENCODER, names.MASKED_LM):
      items[name] = item
    else:
      new.append(name)
  report = checkpoints.restore(opened, items, without=(checkpoints.ENCODER_POOLER,))
  return (*opened.notes,
          f'weights of {", ".join(items)} from {found.name} ({len(report.matched)} variables)',
          *([f'{", ".join(new)}: not there, so as initialised'] if new else []))
