"""Which names does gin know in this process, and what did someone mean who wrote another one?

The one file that looks into gin's registry, whose interface is private: gin-config 0.5.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Iterable
from typing import Any

import gin
from gin import config as gin_config

from nlp_export.binding import gin_index

MACRO = 'gin.macro'
CONSTANT = 'gin.constant'

# (scope, complete selector, parameter); a macro's is (name, 'gin.macro', 'value').
Key = tuple[str, str, str]


def selectors() -> list[str]:
  """Complete selectors of all registered parts, gin's own left out."""
  return sorted(s for s, _ in gin_config._REGISTRY.items() if not s.startswith('gin.'))


def matching(selector: str) -> list[str]:
  """Complete selectors that a (partial) selector stands for: none, one, or an ambiguity."""
  return sorted(gin_config._REGISTRY.matching_selectors(selector))


def function(selector: str) -> Any:
  """The function or class, as it was before gin wrapped it."""
  return gin_config._REGISTRY[selector].wrapped


def selector_of(part: Any) -> str | None:
  """Complete selector of a registered function or class, wrapped by gin or not."""
  for selector, configurable in gin_config._REGISTRY.items():
    if part is configurable.wrapper or part is configurable.wrapped:
      return selector
  return None


def signature(selector: str) -> dict[str, inspect.Parameter]:
  """Parameters by name; empty where there is no signature to be had."""
  part = function(selector)
  try:
    return dict(inspect.signature(part).parameters)
  except (TypeError, ValueError):
    return {}


def short(selector: str) -> str:
  """A selector as people write it: `export.seed`, not `experiments.export.seed`."""
  prefix = gin_index.GIN_MODULE + '.'
  return selector.removeprefix(prefix)


def shown(key: Key) -> str:
  """A key as one writes it in a gin file: `NAME`, `scope/poolers.random.seed`."""
  scope, selector, parameter = key
  if selector == MACRO:
    return scope
  return f'{scope}{"/" if scope else ""}{short(selector)}.{parameter}'


def called_from_python() -> list[str]:
  """Parts that Python code may call with gin filling parameters: `@gin.configurable` ones.

  A registered part is reached by references alone: its name in Python is the bare function.
  """
  found = []
  for selector, configurable in gin_config._REGISTRY.items():
    module = sys.modules.get(getattr(configurable.wrapped, '__module__', ''))
    name = getattr(configurable.wrapped, '__name__', '')
    if getattr(module, name, None) is configurable.wrapper:
      found.append(selector)
  return sorted(found)


def operative() -> dict[tuple[str, str], set[str]]:
  """(scope, selector) -> parameters that gin filled or left at their defaults, so far."""
  with gin_config._OPERATIVE_CONFIG_LOCK:
    return {key: set(values) for key, values in gin_config._OPERATIVE_CONFIG.items()}


def is_required(reference: Any) -> bool:
  """True for `%gin.REQUIRED`."""
  return (isinstance(reference, gin_config.ConfigurableReference)
          and reference.configurable.selector == CONSTANT
          and reference.scoped_configurable_fn() is gin.REQUIRED)


def close(name: str, candidates: Iterable[str], count: int = 3) -> list[str]:
  """Candidates that look like a name, best first; case does not matter."""
  matcher = difflib.SequenceMatcher(b=name.casefold())
  rated = []
  for candidate in candidates:
    matcher.set_seq1(candidate.casefold())
    rated.append((-matcher.ratio(), candidate))
  rated.sort()
  # Much alike, and not much less so than the best.
  return [c for rating, c in rated[:count] if -rating >= 0.7 and rating - rated[0][0] < 0.05]


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
  """' Did you mean a or b?', or nothing."""
  found = close(name, candidates)
  return f' Did you mean {" or ".join(found)}?' if found else ''


def unknown(selector: str, sign: str = '') -> str:
  """What to say of a selector that nothing registered: the missing import, or what was meant.

  Args:
    selector: without scopes, as written.
    sign: '@' for a reference.
  """
  said = f'There is no {sign}{selector}.'
  name = selector.rpartition('.')[2]
  exact = [part for part in gin_index.parts()
           if part.selector == selector or part.selector.endswith('.' + selector)]
  if exact:
    imports = ' or '.join(f'`import {part.module}`' for part in exact)
    return f'{said} Add {imports} above that line.'
  known = dict.fromkeys(selectors(), '')
  indexed = {part.selector: f' (with `import {part.module}`)' for part in gin_index.parts()
             if part.selector not in known}
  options = known | indexed
  # People misspell the name or the prefix; the whole selector weighs the longer of the two.
  found = close(selector, [short(s) for s in options]) or close(selector, options)
  if not found:
    by_name = {s.rpartition('.')[2]: s for s in options}
    found = [by_name[n] for n in close(name, by_name)]
  if not found:
    return (f'{said} Add the import of the module that registers it above that line; '
            '`run.py --list` shows the parts of this repository.')
  full = [s if s in options else f'{gin_index.GIN_MODULE}.{s}' for s in found]
  # If nothing but the prefix is alike, it is perhaps nobody's misspelling.
  own = '' if close(name, [s.rpartition('.')[2] for s in full]) else (
      f' If {name} is your own, import its module above that line.')
  return f'{said} Did you mean ' + ' or '.join(
      f'{sign}{shown_name}{options[s]}' for shown_name, s in zip(found, full, strict=True)
  ) + f'?{own}'


def unknown_parameter(selector: str, parameter: str) -> str:
  """What to say of a parameter that a registered part does not have."""
  names = list(signature(selector))
  has = ', '.join(names) or 'none'
  return (f'{short(selector)} has no parameter {parameter} (it has: {has}).'
          f'{did_you_mean(parameter, names) or " Use one of those, or remove the line."}')


def has_parameter(selector: str, parameter: str) -> bool:
  """Whether a part takes a parameter of that name."""
  parameters = signature(selector)
  return parameter in parameters or not parameters or any(
      p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
