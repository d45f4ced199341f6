"""Which checks exist, how much does each weigh, and in which words does one answer?

A check is a function of a loaded SavedModel (a `Subject`). It returns `Passed(...)` (or None), or
raises `Failed`, `NotApplicable` or `NotRun`. Any other exception it raises is a failure too: an
export that breaks under a permitted call is a wrong export.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from typing import Any, TypeVar


class Level(enum.StrEnum):
  """How binding a check is."""

  MUST = 'MUST'  # Written in TF Hub's API.
  REF = 'REF'  # The reference exporter does it and its users rely on it.
  GOAL = 'GOAL'  # Better than the reference; a stranger's export may lack it.


class Kind(enum.StrEnum):
  """What a SavedModel is, told by its content."""

  ENCODER = 'encoder'
  PREPROCESSING = 'preprocessing'
  TEXT_EMBEDDING = 'text_embedding'
  CLASSIFIER = 'classifier'
  UNKNOWN = 'unknown'


class Scope(enum.StrEnum):
  """Over which exports a check's answer holds."""

  GRAPH = 'graph'  # Equal bytes of saved_model.pb give equal answers: run once for them.
  VARIABLES = 'variables'  # Run for every export.


# Weaknesses of the reference exporter (TF-NLP 2.20, export_tfhub_lib.py) that are visible in what
# it writes. A stranger's export may show them and still pass; the report names each by number.
KNOWN_DEFECTS = {
    3: 'a missing vocabulary file is not noticed',
    8: 'the temporary build path stays in the graph',
    9: 'signature names without meaning',
    12: 'byte offsets refer to the normalised text when lower-casing',
    13: 'degenerate inputs pass silently (id -1 without [UNK])',
}


@dataclasses.dataclass(frozen=True)
class Passed:
  """A check that held.

  Attributes:
    value: what was measured (JSON-able), or None.
    tolerance: the largest value that passes, or None for exact checks.
    why: a remark for the report, or ''.
  """

  value: Any = None
  tolerance: float | None = None
  why: str = ''


class Failed(Exception):
  """A check that did not hold.

  Attributes:
    why: what was expected and what was found.
    value, tolerance: as in `Passed`.
    known_defect: number in KNOWN_DEFECTS if this is exactly what the reference is known to do.
  """

  def __init__(self, why: str, value: Any = None, tolerance: float | None = None,
               known_defect: int | None = None):
    super().__init__(why)
    self.why = why
    self.value = value
    self.tolerance = tolerance
    self.known_defect = known_defect


class NotApplicable(Exception):
  """This type of SavedModel has nothing that the check could look at."""


class NotRun(Exception):
  """The check could not or need not be made; the message says why.

  Attributes:
    after_failure: something that the check needs did not work, so another check must fail.
  """

  def __init__(self, why: str, after_failure: bool = False):
    super().__init__(why)
    self.after_failure = after_failure


@dataclasses.dataclass(frozen=True)
class Check:
  """One run-time check.

  Attributes:
    name: '<what>.<claim>', unique.
    numbers: the conformance numbers that it verifies, wholly or in part.
    level: MUST, REF or GOAL.
    kinds: types of SavedModel that it looks at.
    scope: once per graph, or for every export.
    function: takes a Subject.
    title: the claim in one line, the first of the function's docstring.
  """

  name: str
  numbers: tuple[int, ...]
  level: Level
  kinds: tuple[Kind, ...]
  scope: Scope
  function: Callable[[Any], Passed | None]
  title: str


_CHECKS: dict[str, Check] = {}
_Function = TypeVar('_Function', bound=Callable[..., Any])

ANY_KIND = (Kind.ENCODER, Kind.PREPROCESSING, Kind.TEXT_EMBEDDING, Kind.CLASSIFIER)


def check(name: str, *numbers: int, level: Level, kinds: tuple[Kind, ...],
          scope: Scope = Scope.GRAPH) -> Callable[[_Function], _Function]:
  """Decorator that registers a check function; the first line of its docstring is the claim."""

  def register(function: _Function) -> _Function:
    if name in _CHECKS and _CHECKS[name].function.__module__ != function.__module__:
      raise ValueError(f'Two checks are called {name}.')
    if not function.__doc__:
      raise ValueError(f'Check {name} needs a docstring: its first line is the claim.')
    title = function.__doc__.strip().splitlines()[0]
    _CHECKS[name] = Check(name, numbers, level, kinds, scope, function, title)
    return function

  return register


def all_checks() -> tuple[Check, ...]:
  """Every check, in the order in which they run. Imports TensorFlow (with the check modules)."""
  from nlp_export.saved_models.verification import check_modules  # Registers them.

  del check_modules
  return tuple(_CHECKS.values())


def checks_for(kind: Kind) -> tuple[Check, ...]:
  """The checks of one type of SavedModel."""
  return tuple(c for c in all_checks() if kind in c.kinds)
