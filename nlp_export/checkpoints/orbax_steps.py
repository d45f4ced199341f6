"""Which step of which Orbax checkpoint does a path mean, and is it whole?

A path may be the root of a CheckpointManager (its newest whole step is taken), a step, an item of
a step, or a file in one. Looks at listings and `_CHECKPOINT_METADATA` alone: no TensorFlow, no
manager (a second manager could remove what the first is writing).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import NoReturn

from nlp_export import files
from nlp_export.checkpoints import orbax_arrays
from nlp_export.checkpoints import orbax_layout as layout
from nlp_export.errors import RequestError

# Endings of Orbax's names for what writes trees of arrays.
_ARRAY_HANDLERS = ('StandardCheckpointHandler', 'PyTreeCheckpointHandler')
_DEEPEST = 4  # Levels from a file (1000/encoder/ocdbt.process_0/d/1f0e...) up to its step.


@dataclass(frozen=True)
class FoundStep:
  """A step, and what to say about how it was found."""

  path: str
  notes: tuple[str, ...] = ()


def find_step(path: str) -> FoundStep | None:
  """The step that a path means; None if nothing there is Orbax's.

  Raises:
    RequestError: what is there is Orbax's but no step that can be read.
  """
  if not files.exists(path):
    _refuse_absent(path)
    return None
  if not files.is_dir(path):
    return _step_of_file(path)
  if layout.UNFINISHED in files.basename(path):
    _refuse_unfinished(path, files.dirname(path), 'it')
  if layout.is_item(path):
    return _step_of_item(path)
  if layout.is_step(path) or layout.array_items(path):
    return _checked(path)
  return _newest(path)


def listed(directory: str) -> str:
  """What of Orbax lies in a directory, for messages: 'steps 500, 1000'; '' for nothing."""
  if layout.is_step(directory) or layout.is_item(directory):
    return 'arrays'
  steps = layout.steps(directory)
  names = ', '.join(files.basename(path) for path in [*steps.values()][-3:])
  return f'step{"s" * (len(steps) > 1)} {names}' if steps else ''


def missing(step: str) -> str:
  """What a step should hold and does not ('encoder/manifest.ocdbt'), '' if it is whole.

  Looks at what weights and metadata need. The optimizer and other state may be absent.
  """
  promised, present = _promised(step), layout.array_items(step)
  for name, handler in promised.items():
    item = files.join(step, name)
    if not layout.is_weights(name) and name != layout.METADATA_ITEM:
      continue
    if not files.exists(item):
      return name
    file = layout.JSON_FILE if name == layout.METADATA_ITEM else (
        layout.TREE_FILE if handler.endswith(_ARRAY_HANDLERS) else '')
    if not files.exists(files.join(item, file)):
      return f'{name}/{file}'
  for name, item in present.items():
    database = files.join(item, layout.DATABASE_FILE)
    if layout.is_weights(name) and not files.exists(database) and _has_database(item):
      return f'{name}/{layout.DATABASE_FILE}'
  return '' if present else layout.TREE_FILE


def _has_database(item: str) -> bool:
  """Whether an item's arrays should lie in one database; False too if nothing tells."""
  try:
    return bool(json.loads(files.read_bytes(files.join(item, layout.TREE_FILE)))['use_ocdbt'])
  except (ValueError, KeyError, TypeError):
    return False  # Damaged: told where it is read.


def _promised(step: str) -> dict[str, str]:
  """Items that were saved -> Orbax's handler, as the step itself lists them; {} if it does not."""
  path = files.join(step, layout.STEP_FILE)
  try:
    handlers = json.loads(files.read_bytes(path))['item_handlers'] if files.exists(path) else {}
  except (ValueError, KeyError, TypeError):
    return {}  # Not needed for reading: a cut one is no reason to refuse the weights.
  if not isinstance(handlers, dict):
    return {}  # Of a checkpoint without named items.
  return {name: str(handler) for name, handler in handlers.items()}


def _checked(step: str, *notes: str) -> FoundStep:
  if lacking := missing(step):
    raise orbax_arrays.refuse_incomplete(step, lacking)
  return FoundStep(step, notes)


def _newest(root: str) -> FoundStep | None:
  """The newest step of a root that is whole; None if it is no root."""
  steps = layout.steps(root)
  lacking = {}
  for number in sorted(steps, reverse=True):
    lacking[number] = missing(steps[number])
    if not lacking[number]:
      name = files.basename(steps[number])
      passed_over = [
          f'{files.basename(steps[n])} is incomplete ({what} is missing) and was passed over.'
          for n, what in lacking.items() if what]
      return FoundStep(
          steps[number],
          (*passed_over, f'{name} is the newest {"whole " if passed_over else ""}step of '
           f'{files.basename(root)}.'))
  if steps:
    raise orbax_arrays.refuse_incomplete(steps[max(steps)], lacking[max(steps)])
  names = files.list_dir(root)
  if any(layout.UNFINISHED in name for name in names):
    _refuse_unfinished(root, root, 'the only save there')
  roots = [name for name in names if _holds_steps(files.join(root, name))]
  if roots:
    raise RequestError(
        f'There is no checkpoint in {root} itself, but steps that Orbax wrote lie in '
        f'{", ".join(roots)}. Name the directory that holds the steps: '
        f'{files.join(root, roots[0])}.')
  empty = [name for name in names if layout.step_number(name) is not None
           and files.is_dir(files.join(root, name))]
  if empty and len(empty) == len(names):
    raise RequestError(
        f'There is no checkpoint in {root}: {", ".join(empty[:3])} are named like steps, but none '
        f'holds {layout.STEP_FILE}, which Orbax writes into each. They are what is left of removed '
        'steps, or of something else. Name the directory that holds the steps.')
  return None


def _holds_steps(path: str) -> bool:
  try:
    return files.is_dir(path) and bool(layout.steps(path))
  except RequestError:
    return False  # Not ours to look into.


def _step_of_item(item: str) -> FoundStep:
  step, name = files.dirname(item), files.basename(item)
  if layout.is_step(step):
    return _checked(step, f'{files.basename(step)} was taken for its item {name}.')
  raise RequestError(
      f'Cannot read {item} as a checkpoint: it is one tree of arrays, which Orbax saved without a '
      'step around it, and its items (encoder, masked_lm ...) have no names. Save it as an item: '
      'CheckpointManager(ROOT).save(0, args=args.Composite(encoder=args.StandardSave(TREE))).')


def _step_of_file(path: str) -> FoundStep | None:
  directory = files.dirname(path)
  for _ in range(_DEEPEST):
    if layout.UNFINISHED in files.basename(directory):
      _refuse_unfinished(directory, files.dirname(directory), 'it')
    if layout.is_step(directory) and not layout.is_item(directory):
      return _checked(
          directory, f'{files.basename(directory)} was taken for its file {files.basename(path)}.')
    directory = files.dirname(directory)
  return None


def _refuse_absent(path: str) -> None:
  """Refuses a path that is not there, if its directory holds steps."""
  root, number = files.dirname(path), layout.step_number(files.basename(path))
  steps = layout.steps(root) if files.is_dir(root) else {}
  if not steps or any(name.endswith('.index') for name in files.list_dir(root)):
    return  # Beside TF2 checkpoints the name may be one of theirs.
  near = sorted(steps, key=lambda n: abs(n - number)) if number is not None else [*steps][::-1]
  listed = ', '.join(files.basename(steps[n]) for n in sorted(near[:3]))
  raise RequestError(
      f'There is no step {files.basename(path)} in {root}, which holds {len(steps)} '
      f'(the nearest: {listed}). Name one of them, or {root} for the newest.')


def _refuse_unfinished(path: str, root: str, what: str) -> NoReturn:
  others = layout.steps(root)
  another = files.basename(others[max(others)]) if others else 'another checkpoint'
  raise RequestError(
      f'Cannot read {path}: {what} was never finished (*{layout.UNFINISHED} is what a save leaves '
      f'that was interrupted, or that is going on). Wait for it, or name {another}.')
