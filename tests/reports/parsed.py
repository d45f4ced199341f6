"""report.html as a reader without eyes finds it: elements, tables, drawings, and what is wrong."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {'meta', 'link', 'img', 'br', 'hr', 'input'}
LOADING = ('src', 'href', 'xlink:href', 'srcset', 'poster', 'data', 'action', 'background')


class Page(HTMLParser):
  """Reads a page at once.

  Attributes:
    elements: (name, attributes, names of the elements around it).
    tables: id -> {'caption', 'columns', 'rows', 'inside': names of the elements around it}.
    drawings: outer svg elements: {'attributes', 'marks': [(attributes, title)], 'texts'}.
    text: of everything that is shown, one space between pieces.
  """

  def __init__(self, html: str):
    super().__init__()
    self.html = html
    self.elements: list[tuple[str, dict, list[str]]] = []
    self.tables: dict[str, dict] = {}
    self.drawings: list[dict] = []
    self.problems: list[str] = []
    self._open: list[tuple[str, dict]] = []
    self._pieces: list[str] = []
    self._table: dict | None = None
    self.feed(html)
    self.close()
    self.problems += [f'<{name}> is not closed' for name, _ in self._open]
    self.text = ' '.join(' '.join(self._pieces).split())

  def handle_starttag(self, tag, attrs):
    given = dict(attrs)
    around = [name for name, _ in self._open]
    self.elements.append((tag, given, around))
    if tag == 'table':
      self._table = self.tables[given['id']] = {
          'caption': '', 'columns': [], 'rows': [], 'inside': around, 'scopes': []}
    elif tag == 'tr' and 'tbody' in around:
      self._table['rows'].append([])
    elif tag in ('th', 'td') and 'table' in around:
      line = self._table['rows'][-1] if 'tbody' in around else self._table['columns']
      line.append('')
      if tag == 'th':
        self._table['scopes'].append(given.get('scope'))
    elif tag == 'svg' and 'svg' not in around:
      self.drawings.append({'attributes': given, 'marks': [], 'texts': [], 'inside': around})
    if tag not in VOID:
      self._open.append((tag, given))

  def handle_endtag(self, tag):
    if not self._open or self._open[-1][0] != tag:
      self.problems.append(f'</{tag}> does not close {self._open[-1:]}')
      return
    self._open.pop()

  def handle_data(self, data):
    around = [name for name, _ in self._open]
    if not around or around[-1] in ('style', 'script'):
      return
    if around[-1] == 'title' and 'svg' in around:
      self.drawings[-1]['marks'].append((self._place(), data))
      return
    if 'svg' in around:
      self.drawings[-1]['texts'].append(data)
    self._pieces.append(data)
    if 'table' in around:
      if 'caption' in around:
        self._table['caption'] += data.strip()
      elif around[-1] in ('th', 'td'):
        line = self._table['rows'][-1] if 'tbody' in around else self._table['columns']
        line[-1] += data

  def _place(self) -> dict:
    """Attributes of the mark that is open, with those of the svg around a path."""
    given = dict(self._open[-2][1])
    if self._open[-2][0] in ('path', 'polyline'):
      given = {**self._open[-3][1], **given}
    return given

  def first(self, tag: str, **attributes: str) -> dict:
    """Attributes of the first element of that name with these attributes."""
    return next(given for name, given, _ in self.elements
                if name == tag and attributes.items() <= given.items())

  def drawing_of(self, table_id: str, place: int = 0) -> dict:
    """A drawing that refers to a table."""
    found = [d for d in self.drawings if d['attributes'].get('aria-details') == table_id]
    return found[place]


def table_like(page: Page, caption: str) -> dict:
  """The table whose caption begins so."""
  return next(table for table in page.tables.values() if table['caption'].startswith(caption))


def column(table: dict, name: str) -> dict[str, str]:
  """First cell of each row -> its cell in a column."""
  return {row[0]: row[table['columns'].index(name)] for row in table['rows']}


def problems(page: Page) -> list[str]:
  """What keeps people without eyes, mouse or network from reading the page."""
  found = list(page.problems)
  ids = [given['id'] for _, given, _ in page.elements if 'id' in given]
  found += [f'id {name} is there twice' for name in {i for i in ids if ids.count(i) > 1}]
  for drawing in page.drawings:
    given = drawing['attributes']
    if given.get('role') != 'img' or len(given.get('aria-label', '')) < 10:
      found.append('a drawing has no name')
    if given.get('aria-details') not in page.tables:
      found.append(f'a drawing has no table {given.get("aria-details")}')
  for name, table in page.tables.items():
    if not table['caption'] or None in table['scopes'] or not table['columns']:
      found.append(f'table {name} lacks a caption or headings')
    if any(len(row) != len(table['columns']) for row in table['rows']):
      found.append(f'table {name} has rows of another length')
  for tag, given, _ in page.elements:
    found += [f'<{tag}> loads {given[name]}' for name in LOADING
              if name in given and not re.match(r'#|data:,$', given[name])]
    found += [f'<{tag}> has {name}' for name in given if name.startswith('on') or name == 'style']
    if tag == 'a' and given['href'][1:] not in ids:
      found.append(f'nothing has the id of the link {given["href"]}')
  style = page.html.partition('<style>')[2].partition('</style>')[0]
  found += [f'the style sheet has {sign}' for sign in ('url(', '@import', '@font-face')
            if sign in style]
  return found
