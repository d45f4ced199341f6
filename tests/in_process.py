"""run.py inside the test's own process: TensorFlow is imported once for many runs."""

from __future__ import annotations

import contextlib
import io
import logging
import signal
import warnings

import gin

import run
from tests.conftest import Finished

_SIGNALS = [getattr(signal, name) for name in ('SIGTERM', 'SIGHUP') if hasattr(signal, name)]


def run_main(*arguments: object) -> Finished:
  """What `python run.py ARGUMENTS` does; what it sets in the process is set back."""
  out, err = io.StringIO(), io.StringIO()
  handlers = {number: signal.getsignal(number) for number in _SIGNALS}
  level = logging.getLogger().level
  try:
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), \
         warnings.catch_warnings():
      status = run.main([str(argument) for argument in arguments])
  finally:
    gin.clear_config()
    logging.getLogger().setLevel(level)
    for number, handler in handlers.items():
      signal.signal(number, handler)
  return Finished(status, out.getvalue(), err.getvalue())


def settings(**values: object) -> list[str]:
  """`--set NAME=VALUE` for each; those that are None are left out."""
  return [f'--set={name}={value}' for name, value in values.items() if value is not None]
