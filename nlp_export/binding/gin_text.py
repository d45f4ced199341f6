"""How does gin text become statements and values, and what is said when it is not gin?

Gin's own parser does the reading; its errors get the place, the reason and the line to write.
"""

from __future__ import annotations

import dataclasses
import io
import re
import tokenize
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from gin import config as gin_config
from gin import config_parser

from nlp_export.binding import gin_names
from nlp_export.errors import NlpExportError, RequestError

# What makes a --set value gin instead of a plain string.
_LOOKS_LIKE_GIN = re.compile(r'''[\[({'"\d+\-@%]|(True|False|None)$''')
_SETTING_NAME = re.compile(r'(\w+/)*[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$')


class GinText(str):
  """A setting that is gin text as it stands ('A = 1'), from --gin_params."""


def parse_setting(setting: str) -> tuple[str, Any, str]:
  """A --set argument.

  Args:
    setting: 'NAME=VALUE'. A VALUE that starts with a bracket, quote, digit, sign, '@' or '%', or
      is True, False or None, must be gin; anything else is a string as it stands.

  Returns:
    The name, the value, and how messages call the setting.

  Raises:
    RequestError: there is no '=', the name is none, or the value has to be gin and is not.
  """
  name, equals, text = setting.partition('=')
  name, where = name.strip(), f'--set {setting}'
  if not equals or not _SETTING_NAME.fullmatch(name):
    raise RequestError(f'{where}: this is not NAME=VALUE, with a macro or part.parameter as NAME. '
                       'Write for example --set CHECKPOINT=bert/ckpt-1000')
  if not _LOOKS_LIKE_GIN.match(text.strip()):
    return name, text, where
  try:
    return name, parse_value(text.strip()), where
  except (SyntaxError, tokenize.TokenError) as error:
    raise RequestError(
        f'{where}: a value that starts with {text.strip()[0]!r} has to be gin, and this is not '
        f'({_reason(error)}). If it is meant as a string, quote it twice: '
        f'--set {name}="{text.strip()!r}"') from error


def parse_value(text: str) -> Any:
  """One gin value and nothing behind it.

  Raises:
    SyntaxError, tokenize.TokenError: it is not one.
  """
  parser = config_parser.ConfigParser(text, _Delegate())
  value = parser.parse_value()
  parser._skip_whitespace_and_comments()
  if parser.current_token.type not in (tokenize.NEWLINE, tokenize.ENDMARKER):
    raise SyntaxError(f'{parser.current_token.string!r} after the value')
  return value


@dataclasses.dataclass(frozen=True)
class UnknownReference:
  """Stands where a reference names no single part."""

  problem: str


class _Delegate(config_parser.ParserDelegate):
  """Makes gin's reference objects, with our words for what is wrong with them."""

  def __init__(self) -> None:
    self._gin = gin_config.ParserDelegate()

  def configurable_reference(self, scoped_selector: str, evaluate: bool) -> Any:
    """Called by gin's parser for `@scope/name` and `@scope/name()`."""
    selector = scoped_selector.rpartition('/')[2]
    matches = gin_names.matching(selector)
    if len(matches) != 1:
      return UnknownReference(no_single(selector, matches, '@'))
    reference = self._gin.configurable_reference(scoped_selector, evaluate)
    if reference.scopes:
      # A function of this reference's own, made by gin: it can carry its name.
      reference.scoped_configurable_fn.gin_reference = '/'.join([*reference.scopes, matches[0]])
    return reference

  def macro(self, name: str) -> Any:
    """Called by gin's parser for `%NAME`."""
    return self._gin.macro(name)


def no_single(selector: str, matches: Sequence[str], sign: str = '') -> str:
  """What to say of a selector that stands for no part, or for several."""
  if not matches:
    return gin_names.unknown(selector, sign)
  return (f'{sign}{selector} could be {" or ".join(matches)}. '
          f'Write the prefix: {sign}{matches[0]}')


def leaves(value: Any) -> Iterator[Any]:
  """Everything inside lists, tuples and dicts (keys too), depth first."""
  if isinstance(value, dict):
    for key, inner in value.items():
      yield from leaves(key)
      yield from leaves(inner)
  elif isinstance(value, list | tuple):
    for inner in value:
      yield from leaves(inner)
  else:
    yield value


def unknown_references(value: Any) -> list[UnknownReference]:
  """The references in a value that name no single part."""
  return [leaf for leaf in leaves(value) if isinstance(leaf, UnknownReference)]


def statements(text: str, place: Callable[[int], str]) -> Iterator[Any]:
  """Gin's statements in a text, one by one.

  Args:
    text: of a gin file.
    place: what messages call a line, given its number.

  Raises:
    RequestError: the text is not gin.
  """
  parser = None
  try:
    parser = config_parser.ConfigParser(io.StringIO(text), _Delegate())
    while statement := parser.parse_statement():
      yield statement
  except NlpExportError:
    raise
  except tokenize.TokenError as error:
    raise RequestError(f'{place(error.args[1][0])}: the text ends inside a bracket or a quote. '
                       'Close the one that was opened last.') from error
  except SyntaxError as error:
    line = error.lineno or 1
    raise RequestError(f'{place(line)}: {_reason(error)}{_quoted(error.text)}'
                       f'{_cure(error.text)}') from error
  except (ValueError, StopIteration) as error:
    line = parser.current_token.start[0] if parser else 1
    raise RequestError(f'{place(line)}: {_reason(error)}{_quoted(None)}{_cure(None)}') from error


def _reason(error: Exception) -> str:
  text = str(error.args[0]) if error.args else type(error).__name__
  first = text.partition('\n')[0].rstrip('.')
  # From Python's literal_eval, about a word that is neither quoted nor a value.
  return 'a word without quotes' if first.startswith('malformed node') else first


def _quoted(line: str | None) -> str:
  return f' in "{line.strip()}".' if line and line.strip() else '.'


def _cure(line: str | None) -> str:
  name, equals, value = (line or '').partition('=')
  value = value.partition('#')[0].strip()
  if equals and re.match(r'[A-Za-z./~]', value) and not any(c in value for c in '\'"()[]{}'):
    return f' A string needs quotes: {name.strip()} = {value!r}'
  return " Each line is NAME = VALUE, part.parameter = VALUE, import MODULE or include 'FILE'."
