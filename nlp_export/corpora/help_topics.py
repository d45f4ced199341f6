"""Which texts stand behind `help()`? The language reference, by topic."""

from __future__ import annotations

from collections.abc import Mapping

from nlp_export.errors import RequestError


def topics(use: str, otherwise: str) -> Mapping[str, str]:
  """Text by the name of its topic.

  Args:
    use: what wants them, for the error: 'The builtin tasks use the texts behind help()'.
    otherwise: what may be given instead, for the error.

  Raises:
    RequestError: this Python has no `pydoc_data`.
  """
  try:
    from pydoc_data import topics as found
  except ImportError as error:
    raise RequestError(
        f'{use}, but this Python has no module pydoc_data. Install the full standard library '
        f"(Debian's package libpython3-stdlib), or {otherwise}") from error
  return found.topics
