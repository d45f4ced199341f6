"""What may an experiment use while it executes: its out_dir, steps, messages, child processes?"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from nlp_export import files
from nlp_export.running import children, interrupts


class Recorder(Protocol):
  """Where a run's progress goes: the screen and log.txt, and run.json."""

  def say(self, line: str) -> None:
    """Shows a line."""

  def begin_step(self, name: str) -> None:
    """Shows that a step has begun."""

  def end_step(self, name: str, seconds: float, finished: bool) -> None:
    """Shows and records a step that has ended, well or by an exception."""

  def record(self, key: str, value: Any) -> None:
    """Keeps a value for run.json."""


class PlainRecorder:
  """Prints and keeps values in memory: for use from Python and in tests."""

  def __init__(self) -> None:
    self.lines: list[str] = []
    self.steps: list[tuple[str, float]] = []
    self.values: dict[str, Any] = {}

  def say(self, line: str) -> None:
    """Prints a line."""
    self.lines.append(line)
    print(line)

  def begin_step(self, name: str) -> None:
    """Nothing to show yet."""

  def end_step(self, name: str, seconds: float, finished: bool) -> None:
    """Keeps name and wall time [s]."""
    if finished:
      self.steps.append((name, seconds))

  def record(self, key: str, value: Any) -> None:
    """Keeps a value."""
    self.values[key] = value


class Run:
  """Given to `Plan.execute`.

  Attributes:
    out_dir: directory of the run; it exists.
    input_hashes: SHA-256 of each of `Plan.inputs`, by path as given there.
    resumed: whether an earlier, unfinished run of the same command left things in out_dir.
    command: the command line, '' where there is none.
  """

  def __init__(
      self,
      out_dir: str,
      *,
      input_hashes: Mapping[str, str] | None = None,
      resumed: bool = False,
      recorder: Recorder | None = None,
      config_text: str = '',
      operative_config_text: Callable[..., str] | None = None,
      command: str = '',
  ):
    """A run; for use from Python only `out_dir` is needed.

    Args:
      out_dir: an existing directory.
      input_hashes: path -> SHA-256.
      resumed: see the class.
      recorder: where progress goes; prints by default.
      config_text: the complete configuration as gin text.
      operative_config_text: called with `public=`, returns what was used of it so far.
      command: see the class.
    """
    self.out_dir = out_dir
    self.input_hashes: Mapping[str, str] = dict(input_hashes or {})
    self.resumed = resumed
    self.command = command
    self._recorder: Recorder = recorder or PlainRecorder()
    self._config_text = config_text
    self._operative_config_text = operative_config_text

  @contextlib.contextmanager
  def step(self, name: str) -> Iterator[None]:
    """Times a part of the work: shown on the screen, and its wall time [s] kept in run.json."""
    interrupts.check()
    self._recorder.begin_step(name)
    start = time.perf_counter()
    finished = False
    try:
      yield
      interrupts.check()
      finished = True
    finally:
      self._recorder.end_step(name, time.perf_counter() - start, finished)

  def say(self, line: str) -> None:
    """Shows a line on the screen and in log.txt."""
    self._recorder.say(line)

  def add_inputs(self, paths: Iterable[str]) -> None:
    """Adds to `input_hashes` what this run has made itself and goes on from."""
    more = {path: files.sha256(path) for path in paths if path not in self.input_hashes}
    self.input_hashes = {**self.input_hashes, **more}

  def record(self, key: str, value: Any) -> None:
    """Keeps a JSON value in run.json under `recorded`, also if the run fails later."""
    self._recorder.record(key, value)

  def child(
      self, command: Sequence[str], **popen: Any
  ) -> contextlib.AbstractContextManager[subprocess.Popen]:
    """Starts a process that ends with the `with` block, see `nlp_export.running.children.child`."""
    return children.child(command, **popen)

  def config_text(self) -> str:
    """The complete configuration: what out_dir/config.gin holds. Has full paths."""
    return self._config_text

  def operative_config_text(self, public: bool = True) -> str:
    """What was used of the configuration so far, defaults included, as gin text.

    Args:
      public: write paths as their base names, as in everything inside an export.
    """
    return self._operative_config_text(public=public) if self._operative_config_text else ''
