"""How does a message call a setting: as a macro of gin files, or as an argument in Python?"""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Spelling:
  """One of the two.

  Attributes:
    call: what is called with arguments: 'TextEncoder'; '' for macros.
  """

  call: str = ''

  def name(self, argument: str) -> str:
    """'MAX_SEQ_LENGTH', or 'max_seq_length' of a call.

    Args:
      argument: 'max_seq_length'.
    """
    return argument if self.call else argument.upper()

  def line(self, argument: str, value: Any) -> str:
    """What to write: '--set POOLING=mean', or "TextEncoder(pooling='mean')".

    Args:
      argument: 'pooling'.
      value: of it.
    """
    if self.call:
      return f'{self.call}({argument}={value!r})'
    shown = f'"{value!r}"' if isinstance(value, tuple) else value
    return f'--set {argument.upper()}={shown}'


MACROS = Spelling()
