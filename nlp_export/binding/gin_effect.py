"""Which bindings had no effect, and why?

Gin itself says nothing of a macro that nobody reads, or of a misspelt scope.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from nlp_export.binding import gin_names
from nlp_export.binding.gin_files import Binding
from nlp_export.binding.gin_names import MACRO, Key
from nlp_export.binding.gin_reach import Bindings, Reach, effective, is_macro
from nlp_export.binding.gin_text import leaves
from nlp_export.errors import RequestError

Calls = Mapping[tuple[str, str], Collection[str]]  # (scope, selector) -> parameters gin filled.


def used(bindings: Bindings, calls: Calls) -> set[Key]:
  """Keys of the bindings whose values some call got."""
  found: set[Key] = set()
  for (scope, selector), parameters in calls.items():
    seen = effective(bindings, _split(scope), selector)
    found.update(seen[p].key for p in parameters if p in seen)
  return found


def check_settings(bindings: Bindings, reach: Reach) -> None:
  """Refuses what was set on the command line and nothing reads.

  Raises:
    RequestError: names each with the reason and what may have been meant.
  """
  problems = []
  for key, binding in bindings.items():
    if binding.is_setting and key not in reach.read:
      problems.append(f'{binding.where}: {why_unread(key, bindings, reach)}')
  if problems:
    raise RequestError('\n'.join(problems))


def why_unread(key: Key, bindings: Bindings, reach: Reach) -> str:
  """Why no part reads a binding, with what may have been meant."""
  scope, selector, _ = key
  if selector == MACRO:
    readers = [b for b in bindings.values() if _names_macro(b, scope)]
    if readers:
      return (f'only {gin_names.shown(readers[0].key)} ({readers[0].where}) reads {scope}, and '
              'nothing reads that. Bind what is used, or leave it out.')
    return (f'nothing reads a macro {scope}.'
            + (gin_names.did_you_mean(scope, reach.macros - {scope})
               or f' Read here: {", ".join(sorted(reach.macros - {scope})) or "none"}. '
                  'Use one of these, or leave it out.'))
  called = sorted('/'.join(scopes) for scopes, s in reach.nodes if s == selector)
  return _why_not_called(key, called, bindings, tense='is')


def _why_not_called(key: Key, scopes: Collection[str], bindings: Bindings, tense: str) -> str:
  scope, selector, parameter = key
  name = gin_names.short(selector)
  if not scopes:
    return (f'nothing {"uses" if tense == "is" else "used"} {name}. '
            f'Refer to @{name} somewhere, or leave it out.')
  inside = [s for s in scopes if _split(s)[:len(_split(scope))] == _split(scope)]
  if not inside:
    in_scopes = ', '.join(s or 'no scope' for s in sorted(scopes))
    return (f'{name} {tense} not called in scope {scope} (it {tense} in: {in_scopes}).'
            + (gin_names.did_you_mean(scope, [s for s in scopes if s])
               or ' Correct the scope, or leave it out.'))
  for inner in inside:
    winner = effective(bindings, _split(inner), selector).get(parameter)
    if winner and winner.key != key:
      return (f'{gin_names.shown(winner.key)} ({winner.where}) comes first. '
              'Change that line, or leave this one out.')
  return (f'the code that calls {name} gives {parameter} itself. '
          'Leave it out.')


def unread(bindings: Bindings, reach: Reach) -> list[str]:
  """A line for each binding of the gin files that nothing can read, known before the run."""
  return [f'{gin_names.shown(key)} ({binding.where}) will have no effect: '
          f'{why_unread(key, bindings, reach)}'
          for key, binding in bindings.items() if key not in reach.read]


def unused(bindings: Bindings, calls: Calls, reach: Reach, earlier: Collection[Key]) -> list[str]:
  """A line for each binding that had no effect in a run that has ended.

  Included files serve many requests: what this one could have read of them, and has not, is no
  news. What nothing could ever read is told wherever it stands.

  Args:
    bindings: all.
    calls: what gin filled.
    reach: what could be read.
    earlier: keys that earlier attempts of a resumed run used.
  """
  # What was left open on purpose is read in its way: by its being open.
  idle = used(bindings, calls) | set(earlier) | reach.left_open
  lines = []
  for key, binding in bindings.items():
    if key in idle or (binding.is_included and key in reach.read):
      continue
    if key not in reach.read or key[1] == MACRO:
      why = why_unread(key, bindings, reach) if key not in reach.read else (
          'what would read it was not called. Leave it out if that is right.')
    else:
      scopes = sorted(scope for scope, selector in calls if selector == key[1])
      why = _why_not_called(key, scopes, bindings, tense='was')
    lines.append(f'{gin_names.shown(key)} ({binding.where}) had no effect: {why}')
  return lines


def _names_macro(binding: Binding, name: str) -> bool:
  return any(is_macro(leaf) and '/'.join(leaf.scopes) == name for leaf in leaves(binding.value))


def _split(scope: str) -> tuple[str, ...]:
  return tuple(scope.split('/')) if scope else ()
