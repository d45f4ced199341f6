"""What lies in a run's out_dir already, and may this run use it?

The same command on a finished out_dir is done; on an unfinished one it goes on; another
configuration or other inputs are refused. What failed before it left anything but its record does
not stand in the way of the corrected command.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import re
import types
from collections.abc import Mapping, Sequence
from typing import Any

from nlp_export import files, names
from nlp_export.errors import RequestError

CONFIG = 'config.gin'
OPERATIVE_CONFIG = 'operative_config.gin'
RECORD = 'run.json'
LOG = 'log.txt'
RECORD_FILES = (CONFIG, OPERATIVE_CONFIG, RECORD, LOG)
# Of processes that joined a run, see sharing.py.
_JOINED_LOG = re.compile(r'log\.[^/]+\.\d+\.txt')

_MAX_DIFF_LINES = 30


class Status(enum.StrEnum):
  """`status` in run.json."""

  RUNNING = 'running'  # Or ended without a word: killed, power cut.
  DONE = 'done'
  CHECKS_FAILED = 'checks_failed'  # All the work was done; exit status 1.
  FAILED = 'failed'
  INTERRUPTED = 'interrupted'


class Action(enum.Enum):
  """What a command does with an out_dir."""

  START = 'starts'
  GO_ON = 'goes on'
  JOIN = 'joins the run'
  NOTHING = 'is done already'


@dataclasses.dataclass(frozen=True)
class Earlier:
  """What an earlier run left.

  Attributes:
    record: content of run.json.
    config_text: content of config.gin.
    has_results: whether there is anything but the record's own files.
  """

  record: Mapping[str, Any]
  config_text: str
  has_results: bool

  @property
  def status(self) -> Status:
    """How it ended."""
    return Status(self.record['status'])

  @property
  def keeps_place(self) -> bool:
    """Whether it must not be overwritten by another run."""
    return self.has_results or self.status in (Status.DONE, Status.CHECKS_FAILED)


def look(out_dir: str) -> Earlier | None:
  """What an earlier run left in a directory; None for nothing.

  Raises:
    RequestError: the path is a file, or a directory of something else.
  """
  if not files.exists(out_dir):
    return None
  if not files.is_dir(out_dir):
    raise RequestError(f'--out_dir {out_dir} is a file. Give a directory, new or of this run.')
  others = results(out_dir)
  if not files.exists(files.join(out_dir, RECORD)):
    if others:
      raise RequestError(
          f'--out_dir {out_dir} is no run\'s: it has no {RECORD}, and holds {others[0]}'
          f'{f" and {len(others) - 1} more" if len(others) > 1 else ""}. '
          'Give an empty or a new directory.')
    return None
  record = files.read_json(files.join(out_dir, RECORD))
  if not isinstance(record, dict) or record.get('status') not in list(Status):
    raise RequestError(f'{files.join(out_dir, RECORD)} is not the record of a run. '
                       'Give an empty or a new --out_dir.')
  config = files.join(out_dir, CONFIG)
  text = files.read_text(config) if files.exists(config) else ''
  return Earlier(record, text, bool(others))


def moved(text: str, before: str | None, now: str) -> str:
  """A line that a finished run said, with the paths in its out_dir where they are now.

  Args:
    text: the line.
    before: out_dir when it was said; None if the record is of an older version.
    now: out_dir.
  """
  if not before:
    return text
  path = re.escape(before.rstrip('/'))
  return re.sub(rf'(?<![\w./-]){path}(?=/|$)', lambda _: now.rstrip('/'), text)


def results(out_dir: str) -> list[str]:
  """Files in an out_dir besides the record's own, claims, and what a killed process left."""
  return [name for name in files.list_tree(out_dir)
          if not is_record(name) and not any(
              part == names.CLAIMS or (part.startswith('.') and '.partial-' in part)
              for part in name.split('/'))]


def is_record(name: str) -> bool:
  """Whether a relative path is one of the record's files."""
  return name in RECORD_FILES or is_joined_log(name)


def is_joined_log(name: str) -> bool:
  """Whether a file is the log of a process that joined a run."""
  return _JOINED_LOG.fullmatch(name) is not None


def check_config(out_dir: str, earlier: Earlier, config_text: str) -> None:
  """Refuses an out_dir of another configuration.

  Raises:
    RequestError: with the difference.
  """
  if earlier.config_text == config_text:
    return
  lines = [line for line in difflib.unified_diff(
      earlier.config_text.splitlines(), config_text.splitlines(),
      f'{files.join(out_dir, CONFIG)} (that run)', 'this command', lineterm='', n=0)
      if not line.startswith('@@')]
  if len(lines) > _MAX_DIFF_LINES:
    lines = [*lines[:_MAX_DIFF_LINES], f'... and {len(lines) - _MAX_DIFF_LINES} lines more']
  raise RequestError('\n'.join([
      f'{out_dir} holds a run with another configuration:', *lines, _other_place(out_dir)]))


def check_inputs(
    out_dir: str, earlier: Earlier, input_hashes: Mapping[str, str],
    module_hashes: Mapping[str, str],
) -> None:
  """Refuses an out_dir whose run read other files, or ran other code of someone's own.

  Raises:
    RequestError: names each that changed.
  """
  before, now = dict(earlier.record.get('inputs', {})), dict(input_hashes)
  if earlier.status in (Status.DONE, Status.CHECKS_FAILED):
    # On the way a mistake in them may be corrected, which run_record notes.
    before |= _as_imports(earlier.record.get('modules', {}))
    now |= _as_imports(module_hashes)
  lines = []
  for path in sorted({*before, *now}):
    if path not in now:
      lines.append(f'  {path}: read by that run, not by this one')
    elif path not in before:
      lines.append(f'  {path}: read by this run, not by that one')
    elif before[path] != now[path]:
      lines.append(f'  {path}: SHA-256 was {before[path][:12]}..., is {now[path][:12]}...')
  if lines:
    raise RequestError('\n'.join([
        f'{out_dir} holds a run of the same configuration on other inputs:', *lines,
        _other_place(out_dir)]))


def _as_imports(module_hashes: Mapping[str, str]) -> dict[str, str]:
  return {f'import {module}': digest for module, digest in module_hashes.items()}


def _other_place(out_dir: str) -> str:
  return ('Give another directory, or remove this one if it is not needed: '
          f'--out_dir {out_dir.rstrip("/")}-2')


def decide(
    out_dir: str,
    earlier: Earlier | None,
    config_text: str,
    input_hashes: Mapping[str, str] | None,
    module_hashes: Mapping[str, str] = types.MappingProxyType({}),
    outputs: Sequence[str] = (),
) -> Action:
  """What a command does with an out_dir.

  Args:
    out_dir: the directory.
    earlier: what `look` found there.
    config_text: this command's config.gin.
    input_hashes: path -> SHA-256; None to leave the inputs out (--dry_run).
    module_hashes: own module -> SHA-256.
    outputs: relative paths that a finished run must still have.

  Raises:
    RequestError: the directory belongs to a run with another configuration or other inputs.
  """
  if earlier is None or not earlier.keeps_place:
    return Action.START
  check_config(out_dir, earlier, config_text)
  if input_hashes is not None:
    check_inputs(out_dir, earlier, input_hashes, module_hashes)
  complete = all(files.exists(files.join(out_dir, name)) for name in outputs)
  return Action.NOTHING if earlier.status is Status.DONE and complete else Action.GO_ON
