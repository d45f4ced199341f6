"""How does a run keep its record in out_dir: config.gin, operative_config.gin, run.json, log.txt?

config.gin comes first and run.json's final status last, so a run that was cut off at any point is
known as unfinished. A request that fails before anything was made leaves no trace. A process that
joins another one's run (sharing.py) keeps its record to itself, unless it has to write the end.
"""

from __future__ import annotations

import datetime
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.running import origin, sharing
from nlp_export.running.log_file import LogFile, LogHandler
from nlp_export.running.out_dir import (
  CONFIG,
  LOG,
  OPERATIVE_CONFIG,
  RECORD,
  RECORD_FILES,
  Earlier,
  Status,
  results,
)

SCHEMA_VERSION = 1


class RunChanged(Exception):
  """Another process has begun or ended a run in out_dir since it was looked at. Look again."""


class RunRecord:
  """Writes the record; also the screen's progress lines. Call `begin`, later `end`."""

  def __init__(
      self,
      out_dir: str,
      *,
      experiment: str,
      command: Sequence[str],
      config_text: str,
      input_hashes: Mapping[str, str],
      module_hashes: Mapping[str, str] | None = None,
      found: Earlier | None = None,
      goes_on: bool = False,
      shared: bool = False,
  ):
    """Nothing is written before `begin`.

    Args:
      out_dir: directory of the run; made if missing.
      experiment: name of the root.
      command: arguments as given.
      config_text: complete configuration.
      input_hashes: path -> SHA-256.
      module_hashes: module that the gin files import from outside of this repository -> SHA-256.
      found: what lay in out_dir when it was decided what to do there.
      goes_on: whether this is the next attempt at the run found; else a new one.
      shared: whether this process may join a run that goes on at this moment.
    """
    self.out_dir = out_dir
    self.joined = False
    self._shared = shared
    self._config_text = config_text
    self._found = found.record if found else {}
    before = self._found if goes_on else {}
    self._new = not goes_on
    self._leaves_trace = False
    self._made: list[str] = []
    self._log: LogFile | None = None
    self._handler: LogHandler | None = None
    self._line_open = False
    self._log_failed = False
    self._screen_gone = False
    self._start = time.perf_counter()
    self.data: dict[str, Any] = {
        'schema_version': SCHEMA_VERSION,
        'status': Status.RUNNING.value,
        'exit_status': None,
        'experiment': experiment,
        'command': list(command),
        'out_dir': out_dir,
        'attempt': before.get('attempt', 0) + 1,
        'started': _now(),
        'machine': origin.machine(),
        'versions': origin.versions(),
        'git': origin.git_state(),
        'inputs': dict(input_hashes),
        'modules': dict(module_hashes or {}),
        'steps': list(before.get('steps', [])),
        'recorded': dict(before.get('recorded', {})),
        'used_bindings': list(before.get('used_bindings', [])),
        'result': {},
    }
    self._changes = _changes(before, self.data)

  # Beginning and end.

  def begin(self) -> None:
    """Makes out_dir, locks it and writes what is known now; `joined` tells whether it could.

    Raises:
      RunChanged: what lies in out_dir is not `found` any more, so the decision has to be made anew.
      RequestError: out_dir cannot be written, or another process uses it.
    """
    self._make_out_dir()
    # The log of a run that failed here before is not ours to remove.
    self._leaves_trace = files.exists(files.join(self.out_dir, LOG))
    try:
      self._log = self._open_log()
      if not self.joined:
        self._check_unchanged()
      self._log.write(f'{_now()} begins: {" ".join(self.data["command"])}')
      if not self.joined:
        if self._new:
          files.remove(files.join(self.out_dir, OPERATIVE_CONFIG), missing_ok=True)
        files.write_text(files.join(self.out_dir, CONFIG), self._config_text)
        self._save()
    except RunChanged:
      self._close()
      raise
    except BaseException:
      if self._log is not None:  # Otherwise what lies there is not ours: another run has the lock.
        self.discard()
      self._remove_made()
      raise
    self._handler = LogHandler(self._log)
    logging.getLogger().addHandler(self._handler)
    logging.getLogger().setLevel(logging.INFO)
    logging.captureWarnings(True)
    for change in () if self.joined else self._changes:
      self.say(f'note: {change}')

  def _open_log(self) -> LogFile:
    if not self._shared:
      return LogFile(files.join(self.out_dir, LOG))
    log, self.joined = sharing.open_log(
        self.out_dir, self._config_text, self.data['inputs'], self.data['modules'])
    return log

  def _check_unchanged(self) -> None:
    path = files.join(self.out_dir, RECORD)
    found = files.read_json(path) if files.exists(path) else {}
    if found != self._found:
      raise RunChanged

  def end(
      self, status: Status, exit_status: int, *, lines: Sequence[str] = (), report: str = '',
      result: Mapping[str, Any] | None = None, operative_config_text: str = '',
      used_bindings: Sequence[str] = (), unused: Sequence[str] = (), error: str = '',
  ) -> None:
    """Writes the final record.

    Args:
      status: how it ended.
      exit_status: of the command.
      lines: last lines on the screen.
      report: path of what to look at.
      result: JSON values of the outcome.
      operative_config_text: what was used.
      used_bindings: as written in gin.
      unused: the notes on bindings without effect.
      error: message of the failure.
    """
    self.data.update(
        status=status.value, exit_status=exit_status, ended=_now(),
        seconds=round(time.perf_counter() - self._start, 3), lines=list(lines), report=report,
        result=dict(result or {}), unused=list(unused), error=error,
        used_bindings=sorted({*self.data['used_bindings'], *used_bindings}))
    first_log = None
    if self.joined:
      found = (sharing.record_to_end(self.out_dir)
               if status in (Status.DONE, Status.CHECKS_FAILED) else None)
      if found is None:  # Its end is, or will be, another process's.
        self.log(f'{_now()} ends: {status.value}, exit status {exit_status}')
        self._close()
        return
      first_log, record = found
      self._take_over(record)
    files.write_text(files.join(self.out_dir, OPERATIVE_CONFIG), operative_config_text)
    self.log(f'{_now()} ends: {status.value}, exit status {exit_status}')
    if self._log is not None:
      self._log.flush()
    # Before the lock goes: between the two a joined process would find the run unfinished.
    self._save()
    self._close()
    if first_log is not None:
      first_log.close()

  def _take_over(self, record: Mapping[str, Any]) -> None:
    """Makes this process's record that of the run, whose first process has ended before."""
    self.joined = False
    self.data['attempt'] = record.get('attempt', 0) + 1
    steps = [{**step, 'attempt': self.data['attempt']} for step in self.data['steps']]
    self.data['steps'] = [*record.get('steps', ()), *steps]
    self.data['recorded'] = {**record.get('recorded', {}), **self.data['recorded']}
    files.write_text(files.join(self.out_dir, CONFIG), self._config_text)

  def discard(self) -> bool:
    """Removes the record of a new run that has made nothing else; True if it was removed.

    A directory that was there before stays, empty as it was; so does the record where an earlier
    run left its log. Of a process that joined only its log is removed.
    """
    if self.joined:
      self._close(discard=True)
      return True
    if not self._new or self._leaves_trace or results(self.out_dir) or (
        self._shared and sharing.others_at_work(self.out_dir)):
      return False
    for name in RECORD_FILES:
      if name != LOG:
        files.remove(files.join(self.out_dir, name), missing_ok=True)
    self._close(discard=True)  # Nobody else begins here before.
    for name in files.list_dir(self.out_dir):
      # Empty directories and what a killed process left half-written, as `results` says.
      path = files.join(self.out_dir, name)
      files.remove_tree(path) if files.is_dir(path) else files.remove(path)
    self._remove_made()
    return True

  def _make_out_dir(self) -> None:
    path = self.out_dir.rstrip('/')
    while not files.exists(path):
      self._made.append(path)
      if files.is_remote(path):  # Its parents are no directories that could be left empty.
        break
      path = files.dirname(path)
    files.make_dirs(self.out_dir)

  def _remove_made(self) -> None:
    for directory in self._made:  # Innermost first.
      if files.exists(directory) and not files.list_dir(directory):
        files.remove_tree(directory)

  def _close(self, discard: bool = False) -> None:
    if self._handler is not None:
      logging.getLogger().removeHandler(self._handler)
      logging.captureWarnings(False)
      self._handler = None
    if self._log is not None:
      self._log.discard() if discard else self._log.close()
      self._log = None

  def _save(self) -> None:
    if self.joined:
      return
    files.write_json(files.join(self.out_dir, RECORD), self.data)

  # While it runs: see nlp_export.running.run_context.Recorder.

  def say(self, line: str) -> None:
    """A line on the screen and in log.txt."""
    self._new_line()
    self._print(line)
    self.log(line)

  def begin_step(self, name: str) -> None:
    """'name ... ' on the screen."""
    self._new_line()
    self._print(f'{name} ... ', end='')
    self._line_open = True
    self.log(f'{_now()} {name} begins')

  def end_step(self, name: str, seconds: float, finished: bool) -> None:
    """Its wall time [s], on the screen and in run.json."""
    text = f'{seconds:.1f} s' if finished else f'stopped after {seconds:.1f} s'
    self._print(text if self._line_open else f'{name}: {text}')
    self._line_open = False
    self.log(f'{_now()} {name}: {text}')
    self.add_step(name, seconds, finished)
    if finished:  # Otherwise an exception is on its way, which a full disk here would hide.
      self._save()
      if self._log is not None:
        self._log.flush()

  def add_step(self, name: str, seconds: float, finished: bool = True) -> None:
    """Keeps the wall time [s] of something that has ended."""
    self.data['steps'].append({'name': name, 'seconds': round(seconds, 3), 'finished': finished,
                               'attempt': self.data['attempt']})

  def record(self, key: str, value: Any) -> None:
    """Keeps a JSON value."""
    self.data['recorded'][key] = value

  def log(self, text: str) -> None:
    """Into log.txt alone. Where that fails the work goes on, and the screen says so once."""
    if self._log is None or self._log_failed:
      return
    try:
      self._log.write(text)
    except RequestError as error:
      self._log_failed = True
      print(f'note: {error.message} The run goes on without its log.', file=sys.stderr)

  def _new_line(self) -> None:
    if self._line_open:
      self._print('')
      self._line_open = False

  def _print(self, text: str, end: str = '\n') -> None:
    if self._screen_gone:
      return
    try:
      print(text, end=end, flush=True)
    except BrokenPipeError:  # `run.py ... | head`: hours of work do not depend on the reader.
      self._screen_gone = True
      self.log('note: nobody reads the screen any more')


def _now() -> str:
  return datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
  """What changed around a run since it was begun: allowed, and worth a line."""
  notes = []
  old, new = before.get('versions', {}), now['versions']
  for package in sorted(old.keys() & new.keys()):
    if old[package] != new[package]:
      notes.append(f'this run was begun with {package} {old[package]}, goes on with {new[package]}')
  for module, digest in before.get('modules', {}).items():
    if now['modules'].get(module, digest) != digest:
      notes.append(f'{module} has changed since this run was begun')
  if before and before.get('git') != now['git']:
    notes.append('this run was begun with another state of the code')
  return notes
