"""What do these gin files and --set arguments say, statement by statement, and what is wrong there?

Gin's own parser reads the statements; finding files, importing, and naming mistakes are done here,
so that each statement keeps its place (`export.gin:12`) and several mistakes are told at once.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import gin
from gin import config_parser

from nlp_export import files
from nlp_export.binding import gin_imports, gin_index, gin_names, gin_text
from nlp_export.binding.gin_names import MACRO, Key
from nlp_export.errors import RequestError


@dataclasses.dataclass(frozen=True)
class Binding:
  """One value for one parameter or macro.

  Attributes:
    key: what is bound.
    value: as gin keeps it; references and macros inside are gin's ConfigurableReference.
    where: 'gin/runs/export.gin:12', or '--set NAME=VALUE'.
    is_setting: from the command line.
    is_included: from a file that a given one includes.
  """

  key: Key
  value: Any
  where: str
  is_setting: bool = False
  is_included: bool = False


class Reader:
  """Reads gin files and settings in order.

  Attributes:
    bindings: key -> the binding that counts, the last one.
    imports: module -> the given file that imports it, directly or through includes.
    files: paths that were read.
  """

  def __init__(self) -> None:
    self.bindings: dict[Key, Binding] = {}
    self.imports: dict[str, str] = {}
    self.files: list[str] = []
    self._problems: list[str] = []
    self._including: list[str] = []

  def read_file(self, path: str, place: str = '') -> None:
    """Reads a file with its includes.

    Args:
      path: as given; see `find_file`.
      place: the include statement's, if it is one.
    """
    found = find_file(path, self._including[-1] if self._including else None, place)
    if found in self._including:
      raise RequestError(f'{place}: {path} includes itself, by way of '
                         f'{" and ".join(self._including)}. Remove one of these includes.')
    self.files.append(found)
    self._including.append(found)
    text = files.read_text(found).removeprefix('\ufeff')  # Some editors begin with one.
    self._read(text, lambda line: f'{found}:{line}', is_setting=False)
    self._including.pop()

  def read_setting(self, setting: str) -> None:
    """Reads one NAME=VALUE (see `gin_text.parse_setting`), or a `gin_text.GinText`."""
    if isinstance(setting, gin_text.GinText):
      self._read(setting, lambda line: f'--gin_params {str(setting)!r}', is_setting=True)
      return
    name, value, where = gin_text.parse_setting(setting)
    scope, selector, parameter = config_parser.parse_binding_key(name)
    self._bind(scope, selector, parameter, value, where, is_setting=True)

  def finish(self) -> None:
    """Refuses what was wrong with the names, all of it at once."""
    if self._problems:
      raise RequestError('\n'.join(self._problems))

  def _read(self, text: str, place: Callable[[int], str], is_setting: bool) -> None:
    for statement in gin_text.statements(text, place):
      where = place(statement.location.line_num)
      if isinstance(statement, config_parser.ImportStatement):
        self._import(statement, where)
      elif isinstance(statement, config_parser.IncludeStatement):
        self.read_file(statement.filename, where)
      elif isinstance(statement, config_parser.BindingStatement):
        self._bind(statement.scope, statement.selector, statement.arg_name, statement.value, where,
                   is_setting)

  def _import(self, statement: config_parser.ImportStatement, where: str) -> None:
    if statement.module.startswith('__gin__'):
      raise RequestError(
          f'{where}: gin\'s dynamic registration is not used here, since each part says itself '
          'what it is called. Register the part with @gin.register and import its module.')
    gin_imports.import_module(statement.module, where)
    gin.parse_config(statement.format())  # So that gin's config_str writes it.
    self.imports.setdefault(statement.module, self._including[0] if self._including else where)

  def _bind(self, scope: str, selector: str, parameter: str, value: Any, where: str,
            is_setting: bool) -> None:
    for reference in gin_text.unknown_references(value):
      self._problems.append(f'{where}: {reference.problem}')
    if not parameter:
      key = (f'{scope}/{selector}' if scope else selector, MACRO, 'value')
    else:
      matches = gin_names.matching(selector)
      if len(matches) != 1:
        self._problems.append(f'{where}: {gin_text.no_single(selector, matches)}')
        return
      key = (scope, matches[0], parameter)
      if not gin_names.has_parameter(matches[0], parameter):
        self._problems.append(f'{where}: {gin_names.unknown_parameter(matches[0], parameter)}')
        return
    if gin_text.unknown_references(value):
      return
    try:
      gin.bind_parameter(key, value)
    except ValueError as error:  # On gin's deny list: what run.py gives.
      raise RequestError(f'{where}: {gin_names.shown(key)} is not bound in gin. '
                         f'Remove the line; run.py gives it (--{parameter}).') from error
    self.bindings[key] = Binding(
        key, value, where, is_setting, is_included=len(self._including) > 1)


def find_file(path: str, includer: str | None = None, place: str = '') -> str:
  """Where a gin file is: tried from here, from the including file's folder, from the repository.

  Args:
    path: as given.
    includer: path of the file that includes it.
    place: of the include statement, for the message.

  Returns:
    The path, relative as far as it was given so.

  Raises:
    RequestError: it is in none of these places.
  """
  folders = [''] + ([os.path.dirname(includer)] if includer else []) + [gin_index.REPO_ROOT]
  tried = []
  for folder in folders:
    candidate = files.join(folder, path) if folder else path
    if candidate not in tried:
      if files.exists(candidate) and not files.is_dir(candidate):
        return candidate
      tried.append(candidate)
  have = [os.path.relpath(p, gin_index.REPO_ROOT)
          for p in files.glob(os.path.join(gin_index.REPO_ROOT, 'gin', '*', '*.gin'))]
  by_base = {files.basename(p): p for p in reversed(have)}
  nearest = gin_names.close(path, have, 1) or [
      by_base[b] for b in gin_names.close(files.basename(path), by_base, 1)]
  raise RequestError(
      f'{place and place + ": "}There is no gin file {path} (tried {", ".join(tried)}). '
      + (f'Did you mean {nearest[0]}?' if nearest else '`run.py --list` shows the run files.'))
