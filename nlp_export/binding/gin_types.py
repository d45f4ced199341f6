"""Has a value that gin binds the type that the parameter's annotation asks for?

Gin passes anything on, and a string where a number belongs fails far away. Only what the text of
the configuration shows is judged: what a reference returns is not known before it is called.
"""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

from gin import config as gin_config

from nlp_export.binding import gin_names
from nlp_export.binding.gin_names import MACRO
from nlp_export.binding.gin_reach import Bindings, is_macro

UNKNOWN = object()  # A value that only the run will show.


def problems(bindings: Bindings) -> list[str]:
  """A line for each binding whose value cannot be right."""
  lines = []
  for (_, selector, parameter), binding in bindings.items():
    if selector == MACRO:
      continue  # Judged where it is read.
    value = _resolved(binding.value, bindings, ())
    hint = _hint(selector, parameter)
    if not fits(value, hint):
      source = f' = {binding.value!r}' if is_macro(binding.value) else ''
      lines.append(
          f'{binding.where}: {gin_names.shown(binding.key)}{source} is {_shown(value)}, and has to '
          f'be {_hint_text(hint)}.{_cure(value, hint, binding, bindings)}')
  return lines


def fits(value: Any, hint: Any) -> bool:
  """Whether a value has a type. True where the annotation is beyond what is judged here.

  An int does where a float is asked for, a list where a tuple is and the reverse; a bool is not
  an int, and a string is not a sequence of strings.
  """
  origin, arguments = typing.get_origin(hint), typing.get_args(hint)
  if value is UNKNOWN or hint in (Any, UNKNOWN):
    return True
  if origin in (typing.Union, types.UnionType):
    return any(fits(value, option) for option in arguments)
  if origin is typing.Annotated:
    return fits(value, arguments[0])
  if origin is typing.Literal:
    return any(type(value) is type(option) and value == option for option in arguments)
  kind = origin or hint
  if kind in (None, type(None)):
    return value is None
  if not isinstance(kind, type):
    return True  # A type variable, a NewType: not judged.
  if kind is collections.abc.Callable:
    return callable(value)
  if kind in (bool, str, bytes):
    return isinstance(value, kind)
  if kind is int:
    return isinstance(value, int) and not isinstance(value, bool)
  if kind is float:
    return isinstance(value, int | float) and not isinstance(value, bool)
  if issubclass(kind, collections.abc.Mapping):
    return isinstance(value, dict) and (not arguments or all(
        fits(k, arguments[0]) and fits(v, arguments[1]) for k, v in value.items()))
  if issubclass(kind, collections.abc.Iterable) and kind.__module__ in (
      'builtins', 'collections.abc'):
    return isinstance(value, list | tuple) and _items_fit(value, kind, arguments)
  # A class of ours: a literal or an uncalled part is none; protocols are left to the call.
  return getattr(kind, '_is_protocol', False) or isinstance(value, kind)


def _items_fit(value: Any, kind: type, arguments: tuple[Any, ...]) -> bool:
  if kind is tuple and arguments and arguments[-1] is not Ellipsis:
    return len(value) == len(arguments) and all(
        fits(item, hint) for item, hint in zip(value, arguments, strict=True))
  return not arguments or all(fits(item, arguments[0]) for item in value)


def _resolved(value: Any, bindings: Bindings, on_the_way: tuple[Any, ...]) -> Any:
  """A value with its macros filled in, and UNKNOWN for what a call would return."""
  if isinstance(value, list | tuple):
    return type(value)(_resolved(item, bindings, on_the_way) for item in value)
  if isinstance(value, dict):
    return {k: _resolved(v, bindings, on_the_way) for k, v in value.items()
            if not isinstance(k, gin_config.ConfigurableReference)}
  if not isinstance(value, gin_config.ConfigurableReference):
    return value
  if is_macro(value):
    key = ('/'.join(value.scopes), MACRO, 'value')
    if key in on_the_way or key not in bindings:
      return UNKNOWN
    return _resolved(bindings[key].value, bindings, (*on_the_way, key))
  return UNKNOWN if value.evaluate else value.scoped_configurable_fn


def _hint(selector: str, parameter: str) -> Any:
  """The evaluated annotation; UNKNOWN where there is none or it cannot be evaluated."""
  function = gin_names.function(selector)
  if inspect.isclass(function):
    function = function.__init__
  annotation = getattr(function, '__annotations__', {}).get(parameter, UNKNOWN)
  if annotation is UNKNOWN:
    return UNKNOWN
  holder: Callable[..., Any] = types.FunctionType((lambda: None).__code__, function.__globals__)
  holder.__annotations__ = {parameter: annotation}
  try:
    return typing.get_type_hints(holder)[parameter]
  except (NameError, TypeError, AttributeError):  # Names imported for type checkers alone.
    return UNKNOWN


def _shown(value: Any) -> str:
  if callable(value):
    return f'the part {_reference_text(value)} itself'
  return f'{value!r} ({type(value).__name__})' if value is not None else 'None'


def _reference_text(part: Any) -> str:
  selector = getattr(part, 'gin_reference', None) or gin_names.selector_of(part)
  return f'@{gin_names.short(selector or part.__name__)}'


def _hint_text(hint: Any) -> str:
  if isinstance(hint, type) and not typing.get_args(hint):
    return hint.__name__
  text = str(hint).replace('typing.', '').replace('collections.abc.', '')
  return text.replace('NoneType', 'None')


def _cure(value: Any, hint: Any, binding: Any, bindings: Bindings) -> str:
  name = gin_names.shown(binding.key)
  if is_macro(binding.value):
    name = '/'.join(binding.value.scopes)
  if isinstance(value, str) and fits([value], hint):
    return f' Write {name} = ({value!r},)'
  if callable(value) and fits([value], hint):
    return f' Write {name} = ({_reference_text(value)},)'
  if isinstance(value, int | float) and fits(str(value), hint):
    return f' Write {name} = {str(value)!r}; after --set: {name}="{str(value)!r}"'
  if isinstance(value, int | float) and not isinstance(value, bool) and fits([value], hint):
    return f' Write {name} = ({value!r},)'
  if callable(value):
    return f' With parentheses, {name} = @...() is what the part returns.'
  if isinstance(value, str):
    try:
      number = float(value)
    except ValueError:
      return f' Give {name} another value.'
    for candidate in (int(number), number):
      if fits(candidate, hint):
        return f' Write {name} = {candidate}'
  return f' Give {name} another value.'
