"""How does Ctrl-C end a run wherever it comes?

A signal becomes KeyboardInterrupt in the main thread, so that every `finally` on the way tidies up.
Two places cannot have it: while a module is imported (TensorFlow's libraries crash), so it waits
for the end of that; and a callback of the garbage collector (jax has one) or a destructor, where
an exception is printed and forgotten, so it is raised again. What a bare `except:` of a library
swallows is raised again at the next step. `held_back` marks what must not be done by half.
"""

from __future__ import annotations

import _thread
import contextlib
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator
from typing import Any

_AGAIN_SECONDS = 0.05
# An import that takes longer is somebody's module at work, and not the loading of libraries.
_MAX_IMPORT_SECONDS = 10.0

_first: float | None = None  # When the signal came, monotonic [s].
_held = 0  # Blocks of `held_back` around what the main thread does.


def install() -> None:
  """Makes Ctrl-C, SIGTERM and the end of the terminal KeyboardInterrupt. Main thread only."""
  global _first
  _first = None
  signal.signal(signal.SIGTERM, _interrupt)
  for name in ('SIGINT', 'SIGHUP'):
    number = getattr(signal, name, None)  # Windows has no SIGHUP.
    # Ignored under nohup, and SIGINT in the background of a script.
    if number is not None and signal.getsignal(number) != signal.SIG_IGN:
      signal.signal(number, _interrupt)
  sys.unraisablehook = _unraisable


def received() -> bool:
  """Whether a signal came since `install`."""
  return _first is not None


def check() -> None:
  """Raises KeyboardInterrupt if one was raised since `install`, and lost on its way."""
  if _first is not None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def held_back() -> Iterator[None]:
  """Lets a signal wait for the end of the block, where it is raised. Main thread only.

  For a second or so of work that must not be done by half. Without `install` it does nothing.
  """
  global _held
  _held += 1
  try:
    yield
  finally:
    _held -= 1
  if not _held:
    check()


def _interrupt(number: int, frame: types.FrameType | None) -> None:
  global _first
  _first = time.monotonic() if _first is None else _first
  if _held:
    return
  if _importing(frame) and time.monotonic() - _first < _MAX_IMPORT_SECONDS:
    _again()
    return
  raise KeyboardInterrupt


def _importing(frame: types.FrameType | None) -> bool:
  while frame is not None:
    if frame.f_code.co_filename.startswith('<frozen importlib'):
      return True
    frame = frame.f_back
  return False


def _unraisable(unraisable: Any) -> None:
  if issubclass(unraisable.exc_type, KeyboardInterrupt):
    _again()
  else:
    sys.__unraisablehook__(unraisable)


def _again() -> None:
  timer = threading.Timer(_AGAIN_SECONDS, _signal_main_thread)
  timer.daemon = True
  timer.start()


def _signal_main_thread() -> None:
  main = threading.main_thread().ident
  if hasattr(signal, 'pthread_kill') and main is not None:
    signal.pthread_kill(main, signal.SIGTERM)  # Ends what it waits for, too.
  else:
    _thread.interrupt_main(signal.SIGTERM)
