"""From which checkpoint does a run go on?

From the newest one all of whose arrays, checksums included, and records can be read. Damaged newer
ones are said and set aside; if none can be read the run ends, for starting anew would throw away
what they hold. Reads with TensorStore alone: no Orbax and no manager, which only a writer may have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nlp_export import files
from nlp_export.checkpoints import orbax_arrays
from nlp_export.checkpoints import orbax_layout as layout
from nlp_export.checkpoints.orbax_arrays import DamagedCheckpoint
from nlp_export.errors import RequestError
from nlp_export.pretraining.saving import metadata as metadata_lib
from nlp_export.pretraining.saving import roots
from nlp_export.pretraining.saving.metadata import STEP_KEY, Metadata
from nlp_export.pretraining.saving.tree import RunVariables, Values


@dataclass(frozen=True, eq=False)
class StoredStep:
  """A checkpoint that was read and checked wholly.

  Attributes:
    step: number of training steps done.
    path: its directory.
    values: item -> path -> array, the optimizer's and the state's included.
    progress: as it was saved.
    metadata: JSON as it was saved.
  """

  step: int
  path: str
  values: Values
  progress: Mapping[str, Any]
  metadata: Mapping[str, Any]

  @property
  def name(self) -> str:
    """'checkpoint 1000'."""
    return f'checkpoint {self.step}'


@dataclass(frozen=True, eq=False)
class Resumed:
  """Where a run goes on.

  Attributes:
    stored: the checkpoint; None if none was ever finished: the run starts from the beginning.
    notes: lines to say.
  """

  stored: StoredStep | None
  notes: tuple[str, ...] = ()


def newest_readable(
    root: str, now: Metadata | None = None, set_aside: bool = True
) -> Resumed:
  """Reads the newest checkpoint that can be read and sets damaged newer ones aside.

  For the one process of a run that writes; others then call `read_step` with its number.

  Args:
    root: directory of a run's checkpoints; it need not exist.
    now: of the run that would go on: refused if its configuration is another one.
    set_aside: False for another run's directory, where nothing may be changed.

  Raises:
    RequestError: it is a directory of something else; no checkpoint can be read; another
      configuration. Nothing was changed.
  """
  found = roots.look(root)
  damaged: dict[int, DamagedCheckpoint] = {}
  for step in found.steps:
    try:
      stored = read_step(root, step)
    except DamagedCheckpoint as error:
      damaged[step] = error
      continue
    changed = metadata_lib.check_same(stored.metadata, now, root, step) if now else ()
    lines = []
    for bad, why in damaged.items():
      aside = f' and is set aside as {roots.set_aside(found, bad)}' if set_aside else ''
      lines.append(f'checkpoint {bad} cannot be read{aside}: going on from {step}. What was found: '
                   f'{why.found}')
    return Resumed(stored, (*lines, *changed))
  if damaged:
    lines = [f'{bad}: {why.found}' for bad, why in damaged.items()]
    raise RequestError(
        f'No checkpoint in {root} can be read, and starting anew would lose them:\n  '
        + '\n  '.join(lines)
        + '\nNothing was changed. Bring back a copy of one of them, or give another --out_dir to '
        'start anew.')
  if found.unfinished:
    return Resumed(None, (
        f'no checkpoint was finished yet ({found.unfinished[0]} was being written): starting from '
        'the beginning',))
  return Resumed(None)


def read_step(root: str, step: int) -> StoredStep:
  """Reads one checkpoint wholly, and checks it.

  Raises:
    DamagedCheckpoint: something of it is missing, cut short or changed.
  """
  path = files.join(root, str(step))
  if not layout.is_step(path):
    raise orbax_arrays.refuse_incomplete(path, layout.STEP_FILE)
  metadata = _json_item(path, layout.METADATA_ITEM)
  orbax_arrays.check_metadata_files(path, metadata)
  progress = _json_item(path, layout.PROGRESS_ITEM)
  if progress.get(STEP_KEY) != step:
    raise orbax_arrays.refuse_damaged(
        files.join(path, layout.PROGRESS_ITEM), f'it is of step {progress.get(STEP_KEY)}')
  checksums = orbax_arrays.read_checksums(path)
  if not checksums:
    raise orbax_arrays.refuse_incomplete(
        path, f'{layout.METADATA_ITEM}/{layout.CHECKSUMS_FILE}')
  values = {}
  for item, sums in checksums.items():
    arrays = orbax_arrays.read_arrays(files.join(path, item), sums)
    if lacking := sorted(sums.keys() - arrays.keys()):
      raise orbax_arrays.refuse_incomplete(path, f'{item}/{lacking[0]}')
    values[item] = arrays
  return StoredStep(step, path, values, progress, metadata)


def _json_item(step: str, item: str) -> Mapping[str, Any]:
  path = files.join(step, item, layout.JSON_FILE)
  if not files.exists(path):
    raise orbax_arrays.refuse_incomplete(step, f'{item}/{layout.JSON_FILE}')
  return orbax_arrays.read_json_item(files.join(step, item))


def start_from_weights(root: str, variables: RunVariables) -> tuple[StoredStep, tuple[str, ...]]:
  """Gives a new run the weights of another one's newest readable checkpoint, and nothing else.

  Args:
    root: directory of the other run's checkpoints; nothing in it is changed.
    variables: of the new run. Heads that only one of the two has are left alone.

  Returns:
    The checkpoint, and lines to say.

  Raises:
    RequestError: no checkpoint there can be read, or its weights have other names or shapes.
  """
  found, notes = roots.look(root), []
  for step in found.steps:
    try:
      stored = read_step(root, step)
    except DamagedCheckpoint as error:
      notes.append(f'checkpoint {step} was passed over: {error.found}')
      continue
    both = [item for item in variables.weights if item in stored.values]
    new = [item for item in variables.weights if item not in stored.values]
    required = [item for item in new if not layout.is_head(item)]
    if required:
      raise RequestError(
          f'{root} has no weights for {", ".join(required)} (its items: '
          f'{", ".join(stored.values)}). Name the checkpoints of a pre-training run.')
    variables.assign(stored.values, both, source=f'{stored.name} of {root}')
    notes.append(f'weights of {", ".join(both)} from {stored.name} of {files.basename(root)}')
    if new:
      notes.append(f'{", ".join(new)}: not there, so as initialised')
    return stored, tuple(notes)
  raise RequestError(
      f'There is no checkpoint in {root} that can be read, to start from its weights'
      + (': ' + ' '.join(notes) if notes else '')
      + f'. Correct {metadata_lib.INITIAL_CHECKPOINT}.')
