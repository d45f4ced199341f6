"""What lies in a directory of checkpoints: steps of a run, their remains, or something else?"""

from __future__ import annotations

from dataclasses import dataclass

from nlp_export import files
from nlp_export.checkpoints import orbax_layout as layout
from nlp_export.errors import RequestError


@dataclass(frozen=True)
class Root:
  """A directory of checkpoints, by listing alone.

  Attributes:
    path: the directory; it need not exist.
    steps: numbers of all that has a step's name, the newest first: finished or not any more whole.
    unfinished: numbers of steps whose saving was cut off, the newest first.
  """

  path: str
  steps: tuple[int, ...] = ()
  unfinished: tuple[int, ...] = ()

  def step_path(self, step: int) -> str:
    """The directory of a step."""
    return files.join(self.path, str(step))


def look(path: str) -> Root:
  """Looks at a directory of checkpoints.

  Raises:
    RequestError: it is a directory of something else, which must not be written to.
  """
  if not files.exists(path):
    return Root(path)
  if not files.is_dir(path):
    raise RequestError(
        f'Checkpoints cannot be kept in {path}: it is a file. Name a directory of their own.')
  found = files.list_dir(path)
  steps, unfinished, others = [], [], []
  for name in found:
    number, _, _ = name.partition(layout.UNFINISHED)
    if name.isdecimal() and files.is_dir(files.join(path, name)):
      steps.append(int(name))
    elif layout.UNFINISHED in name and number.isdecimal():
      unfinished.append(int(number))
    elif layout.ASIDE not in name and not name.startswith('.'):
      others.append(name)
  root = Root(path, tuple(sorted(steps, reverse=True)), tuple(sorted(unfinished, reverse=True)))
  ours = [step for step in steps if _is_ours(root.step_path(step))]
  if steps and not ours and any(layout.is_step(root.step_path(step)) for step in steps):
    raise RequestError(
        f'{path} holds checkpoints that no pre-training run of this package wrote: '
        f'{root.steps[0]} has the items {", ".join(_items(root.step_path(root.steps[0])))}. '
        'Name another --out_dir.')
  if others and not ours:
    shown = ', '.join(others[:4]) + (' ...' if len(others) > 4 else '')
    raise RequestError(
        f'{path} is a directory of something else: it holds {shown}. Checkpoints need one of their '
        'own, where old ones can be deleted. Name another --out_dir.')
  return root


def _is_ours(step: str) -> bool:
  return files.exists(files.join(step, layout.METADATA_ITEM, layout.JSON_FILE))


def _items(step: str) -> list[str]:
  return [name for name in files.list_dir(step)
          if name not in (layout.STEP_FILE, layout.COMMIT_FILE)] or ['(none)']


def set_aside(root: Root, step: int) -> str:
  """Renames a damaged step so that Orbax takes it for none; returns its new base name.

  Otherwise the step could not be saved again, nor any before it.
  """
  path = root.step_path(step)
  name, number = f'{step}{layout.ASIDE}', 1
  while files.exists(files.join(root.path, name)):
    number += 1
    name = f'{step}{layout.ASIDE}-{number}'
  if files.is_remote(path):  # It is copied and removed: without this file it counts no more.
    files.remove(files.join(path, layout.COMMIT_FILE), missing_ok=True)
  files.rename(path, files.join(root.path, name))
  return name


def remove_unfinished(root: str, step: int) -> None:
  """Removes what a failed save of a step left, and no finished step."""
  for name in files.list_dir(root):
    path = files.join(root, name)
    if name.startswith(f'{step}{layout.UNFINISHED}') or (
        files.is_remote(root) and name == str(step) and not layout.is_step(path)):
      files.remove_tree(path)
