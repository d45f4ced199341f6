"""How long does it take, in words?"""

from __future__ import annotations


def duration(seconds: float) -> str:
  """'45 s', '12 min', '3 h 05 min', '2 d 4 h'."""
  if seconds < 99.5:
    return f'{seconds:.0f} s'
  minutes = round(seconds / 60)
  if minutes < 100:
    return f'{minutes} min'
  hours, minutes = divmod(minutes, 60)
  if hours < 48:
    return f'{hours} h {minutes:02d} min'
  days, hours = divmod(hours, 24)
  return f'{days} d {hours} h'


def about(seconds: float | None) -> str:
  """'about 14 min left', or nothing where it cannot be told."""
  return f'about {duration(seconds)} left' if seconds else ''
