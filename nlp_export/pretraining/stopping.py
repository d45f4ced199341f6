"""How does a signal end a loop that runs inside of TensorFlow, within a step?

Python calls a signal's handler only between its own instructions: while TensorFlow runs a loop of a
thousand steps, none. But Python writes the signal's number to a file descriptor at once, a thread
that waits for it sets a variable, and the loop's condition reads that.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

import tensorflow as tf

# What `running.interrupts` takes for the end of a run.
_SIGNALS = frozenset(
    getattr(signal, name) for name in ('SIGINT', 'SIGTERM', 'SIGHUP') if hasattr(signal, name))
_END = 0  # No signal has this number.


class StopSwitch:
  """A wish to stop that a running loop sees.

  Attributes:
    variable: bool scalar, on the host.
  """

  def __init__(self) -> None:
    with tf.device('CPU:0'):
      self.variable = tf.Variable(False, trainable=False, name='stop')

  def stop(self) -> None:
    """Asks for the end. From any thread."""
    self.variable.assign(True)

  def reset(self) -> None:
    """Takes the wish back."""
    self.variable.assign(False)

  @contextlib.contextmanager
  def on_signals(self) -> Iterator[None]:
    """Within this context SIGTERM, SIGINT and SIGHUP call `stop`, besides what they do anyway.

    In another thread than the main one, where Python has no signals, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
      yield
      return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    thread = threading.Thread(target=self._wait, args=(reader,), daemon=True)
    thread.start()
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
      yield
    finally:
      signal.set_wakeup_fd(before)
      os.write(writer, bytes([_END]))
      thread.join()
      os.close(reader)
      os.close(writer)

  def _wait(self, reader: int) -> None:
    while (number := os.read(reader, 1)[0]) != _END:
      if number in _SIGNALS:
        self.stop()
