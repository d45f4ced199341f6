"""How is a plot drawn that fits every width: SVG whose horizontal places are percentages?

Text, marks and heights are in pixels and stay as they are; only distances along x stretch. So one
plot serves a phone and a wide screen without a script. Colours are classes, set by the page.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

from markupsafe import Markup, escape

# The drawing's part of the width [%]: marks at the ends stay inside.
_LEFT, _RIGHT = 2.0, 98.0
_THINNEST = 0.5
_LONGEST_LABEL = 34
_ENDING = 14
SECOND_LINE = 15  # px.


def element(name: str, *children: str, **attributes: object) -> Markup:
  """`<name attributes>children</name>`, everything escaped that is not markup already.

  Args:
    name: of the element.
    *children: Markup as it is, other text escaped.
    **attributes: `class_` is class, other '_' are '-'; None leaves one out.
  """
  given = Markup('').join(
      Markup(' {}="{}"').format(key.rstrip('_').replace('_', '-'), _short(value))
      for key, value in attributes.items() if value is not None)
  inner = Markup('').join(escape(child) for child in children)
  return Markup('<{0}{1}>{2}</{0}>').format(Markup(name), given, inner)  # noqa: S704 - ours.


def _short(value: object) -> object:
  return f'{value:.2f}'.rstrip('0').rstrip('.') if isinstance(value, float) else value


@dataclasses.dataclass(frozen=True)
class Scale:
  """Values to places along x.

  Attributes:
    low, high: the ends of what is shown.
  """

  low: float
  high: float

  def number(self, value: float) -> float:
    """Place of a value in percent of the width; what is outside lies on the edge."""
    part = (value - self.low) / (self.high - self.low)
    return _LEFT + (_RIGHT - _LEFT) * min(1.0, max(0.0, part))

  def __call__(self, value: float) -> str:
    """The same for an attribute: '43.2%'."""
    return f'{self.number(value):.2f}%'

  def width(self, low: float, high: float) -> str:
    """Distance of two values, for an attribute; never nothing, which would not be drawn."""
    return f'{max(_THINNEST, self.number(high) - self.number(low)):.2f}%'


def scale_of(values: Iterable[float], *, least: float = 0.0, margin: float = 0.06) -> Scale:
  """A scale with room around the finite values.

  Args:
    values: all that has to be seen.
    least: smallest span.
    margin: room at each end, as a share of the span.
  """
  known = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
  low, high = min(known), max(known)
  if high - low < least:
    middle = (low + high) / 2
    low, high = middle - least / 2, middle + least / 2
  room = margin * (high - low) or 1.0
  return Scale(low - room, high + room)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
  """Round numbers between two ends: steps of 1, 2 or 5 times a power of ten."""
  span = high - low
  if not span > 0:
    return [low]
  step = 10 ** math.floor(math.log10(span / most))
  while span / step > most:
    step *= 2.5 if f'{step:e}'.startswith('2') else 2
  first = math.ceil(low / step - 1e-9)
  return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def plain(value: float) -> str:
  """A tick's text: '5', '-2.5', '1200', with a minus sign."""
  return f'{value + 0.0:.6g}'.replace('-', '−')


def label(text: str) -> str:
  """A name, without its middle where it does not fit a phone; the table has all of it."""
  if len(text) <= _LONGEST_LABEL:
    return text
  return f'{text[:_LONGEST_LABEL - _ENDING - 1]}…{text[-_ENDING:]}'


@dataclasses.dataclass(frozen=True)
class Drawing:
  """A whole SVG element; a template shows it as it is.

  Attributes:
    markup: of the element; it fills the width it is given.
    height: px.
  """

  markup: Markup
  height: float

  def __html__(self) -> str:
    return str(self.markup)


def two_lines(heads: Iterable[tuple[str, str]]) -> bool:
  """Whether some name and value do not fit beside each other on a phone (300 px)."""
  return any(6.7 * len(label(name)) + 6.9 * len(value) > 294 for name, value in heads)


def head(name: str, value: str, top: float, stacked: bool) -> list[Markup]:
  """A row's name on the left and its numbers on the right, or below where `stacked`."""
  numbers = ({'x': 0, 'y': top + 14 + SECOND_LINE} if stacked else
             {'x': '100%', 'y': top + 14, 'text_anchor': 'end'})
  return [element('text', label(name), class_='name', x=0, y=top + 14),
          element('text', value.replace('-', '−'), class_='value', **numbers)]


def drawing(body: Iterable[str], height: float, name: str, table_id: str) -> Drawing:
  """The whole SVG element.

  Args:
    body: elements.
    height: px.
    name: what assistive technology says of it.
    table_id: id of the table with the same numbers.
  """
  return Drawing(element(
      'svg', *body, class_='plot', width='100%', height=height, role='img', aria_label=name,
      aria_details=table_id, focusable='false'), height)


def gridlines(
    scale: Scale, top: float, bottom: float, *, names: bool = True, most: int = 5
) -> list[Markup]:
  """Vertical lines at round values, with the values below."""
  found = []
  for value in ticks(scale.low, scale.high, most):
    x = scale(value)
    found.append(element('line', class_='grid', x1=x, x2=x, y1=top, y2=bottom))
    if names:
      found.append(element('text', plain(value), class_='tick', x=x, y=bottom + 15,
                           text_anchor='middle'))
  return found


def mark(shape: str, x: str, y: float, size: float, class_: str, title: str = '') -> Markup:
  """A dot of a shape at a percentage along x.

  Shapes other than circles are paths around 0, in an SVG of their own that x can place.
  """
  told = element('title', title) if title else Markup('')
  if shape == 'circle':
    return element('circle', told, cx=x, cy=y, r=size, class_=class_)
  s = size
  path = {
      'square': f'M{-s * .9:.1f} {-s * .9:.1f}h{s * 1.8:.1f}v{s * 1.8:.1f}h{-s * 1.8:.1f}z',
      'triangle': f'M0 {-s * 1.2:.1f}L{s * 1.15:.1f} {s * .9:.1f}H{-s * 1.15:.1f}z',
      'diamond': f'M0 {-s * 1.3:.1f}L{s * 1.3:.1f} 0L0 {s * 1.3:.1f}L{-s * 1.3:.1f} 0z',
      'cross': f'M{-s:.1f} {-s:.1f}L{s:.1f} {s:.1f}M{-s:.1f} {s:.1f}L{s:.1f} {-s:.1f}',
  }[shape]
  return element('svg', element('path', told, d=path, class_=class_), x=x, y=y, width=1, height=1,
                 overflow='visible')


def whisker(scale: Scale, low: float, high: float, y: float, class_: str) -> Markup:
  """An interval: a line with ends."""
  line = [element('line', x1=scale(low), x2=scale(high), y1=y, y2=y)]
  line += [element('line', x1=scale(end), x2=scale(end), y1=y - 4, y2=y + 4)
           for end in (low, high)]
  return element('g', *line, class_=f'whisker {class_}')
