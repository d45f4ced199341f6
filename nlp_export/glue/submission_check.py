"""Would the GLUE server take this zip? Everything wrong with it is found before it is uploaded."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator, Mapping

from nlp_export import files
from nlp_export.errors import CheckError
from nlp_export.glue.tasks import TASKS, Split, Task

HEADER = ('index', 'prediction')

_WRONG_ROWS_SHOWN = 3


def test_sets() -> Mapping[str, tuple[Task, Split]]:
  """Task and split of each file of the zip, by its name."""
  return {split.submission: (task, split)
          for task in TASKS.values() for split in task.splits if split.is_test}


test_sets.__test__ = False  # type: ignore[attr-defined]  # No test, whatever pytest makes of it.


def check(path: str) -> list[str]:
  """Checks a zip of predictions.

  Args:
    path: of the zip, whoever wrote it; may be remote.

  Returns:
    A line for each file: its name, rows and how often each label is predicted.

  Raises:
    CheckError: the server would refuse it or score it low; every problem with file, line and cure.
  """
  data = files.read_bytes(path)
  problems = check_bytes(data)
  if problems:
    raise CheckError('\n'.join([
        f'{path} is not what the GLUE server takes:', *problems,
        'Correct these places and check it again.']))
  with zipfile.ZipFile(io.BytesIO(data)) as archive:
    return [f'{name}: {split.rows} rows, {_summary(task, archive.read(name).decode())}'
            for name, (task, split) in test_sets().items()]


def check_bytes(data: bytes) -> list[str]:
  """Everything wrong with the bytes of a zip, a line each with the cure; empty if nothing is."""
  try:
    archive = zipfile.ZipFile(io.BytesIO(data))
    broken = archive.testzip()
  except zipfile.BadZipFile as error:
    return [f'- It is no zip ({error}). Pack the TSV files with zip.']
  if broken:
    return [f'- {broken} is damaged. Pack it again.']
  problems = list(_name_problems(archive))
  for name, (task, split) in test_sets().items():
    if archive.namelist().count(name) == 1:
      problems += [f'- {name}{problem}' for problem in _file_problems(
          task, split, archive.read(name))]
  return problems


def _name_problems(archive: zipfile.ZipFile) -> Iterator[str]:
  names = archive.namelist()
  for name in test_sets():
    if name not in names:
      nested = next((other for other in names if other.split('/')[-1] == name), None)
      if nested:
        yield f'- {name} lies in a folder ({nested}). Zip the files themselves, not their folder.'
      else:
        yield f'- {name} is missing. The server wants all of {len(test_sets())}. Add it.'
  for name in sorted(set(names)):
    if names.count(name) > 1:
      yield f'- {name} is there {names.count(name)} times. Keep one.'
    if name not in test_sets() and name.split('/')[-1] not in test_sets():
      yield f'- {name} is not a file of the server. Remove it.'


def _file_problems(task: Task, split: Split, data: bytes) -> Iterator[str]:
  try:
    lines = data.decode('ascii').split('\n')
  except UnicodeDecodeError as error:
    line = data.count(b'\n', 0, error.start) + 1
    yield f', line {line}: byte {data[error.start]:#04x} is not ASCII. Save it as plain ASCII text.'
    return
  if lines[-1]:
    yield f', line {len(lines)}: the last line has no end. Is the file cut off? Write it again.'
  else:
    lines.pop()
  if not lines or tuple(lines[0].split('\t')) != HEADER:
    found = repr(lines[0][:60]) if lines else 'nothing'
    yield f', line 1: {found} where index<TAB>prediction should be. Write that line first.'
    return
  wrong = 0
  for index, row in enumerate(lines[1:]):
    problem = _row_problem(task, index, row)
    if problem:
      wrong += 1
      if wrong <= _WRONG_ROWS_SHOWN:
        yield f', line {index + 2}: {problem}'
  if wrong > _WRONG_ROWS_SHOWN:
    yield f': {wrong - _WRONG_ROWS_SHOWN} more lines like these.'
  if len(lines) - 1 != split.rows:
    yield (f': {len(lines) - 1} predictions, but {task.name} {split.name} has {split.rows} rows. '
           'Predict each row of the official test file.')


def _row_problem(task: Task, index: int, line: str) -> str:
  fields = line.split('\t')
  if len(fields) != 2:
    return f'{line[:60]!r} is not index<TAB>prediction. Write two fields with a tab.'
  if fields[0] != str(index):
    return f'index {fields[0]!r} where {index} should be. Count from 0 in every file, in order.'
  if task.values is not None:
    if fields[1] not in task.values:
      return f'{fields[1]!r} is none of {", ".join(task.values)}. Write those.'
    return ''
  low, high = task.value_range or (-math.inf, math.inf)
  try:
    value = float(fields[1])
  except ValueError:
    value = math.nan
  if not low <= value <= high:
    return f'{fields[1]!r} is no number from {low:g} to {high:g}. Clip the scores.'
  return ''


def _summary(task: Task, text: str) -> str:
  words = [line.split('\t')[1] for line in text.splitlines()[1:]]
  if task.values is None:
    return f'{min(words, key=float)} to {max(words, key=float)}'
  counts = ', '.join(f'{value} {words.count(value)}' for value in task.values)
  return counts + (' (constant)' if len(set(words)) == 1 else '')
