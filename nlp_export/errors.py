"""Which failures are whose: the exceptions that end a run, each with its exit status.

A message says four things: what was asked, what was found, why that happens, and the line to write
instead. run.py prints the message alone; a traceback is for defects of ours (exit status 70).
"""

from __future__ import annotations

from typing import ClassVar


class NlpExportError(Exception):
  """Base of every failure that this project can explain. Raise one of its subclasses."""

  exit_status: ClassVar[int] = 70

  def __init__(self, message: str):
    super().__init__(message)
    # gin re-raises what a configurable raises as a proxy with 'In call to configurable ...' behind
    # the text. The proxy hands on attributes, so this is always the bare message.
    self.message = message


class RequestError(NlpExportError):
  """The request or an input was wrong: a name, a value, a file. Nothing was left behind."""

  exit_status: ClassVar[int] = 2


class CheckError(NlpExportError):
  """The work was done and a check on it failed: an export that differs from its source, say."""

  exit_status: ClassVar[int] = 1
