"""Which bindings will be read, and which values are still open, as far as the text alone tells?

Starting at the root, references and macros are followed through the bindings, scopes as gin has
them: a call in scope a/b sees bindings of a/b, a and none, the innermost first; a reference without
a scope is called in that of its surroundings; a macro's surroundings are its own name.
"""

from __future__ import annotations

import collections
import dataclasses
import graphlib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import gin
from gin import config as gin_config

from nlp_export.binding import gin_names
from nlp_export.binding.gin_files import Binding
from nlp_export.binding.gin_names import CONSTANT, MACRO, Key
from nlp_export.binding.gin_text import leaves
from nlp_export.errors import RequestError
from nlp_export.experiment import Experiment

Bindings = Mapping[Key, Binding]
Node = tuple[tuple[str, ...], str]  # Scopes, selector.


@dataclasses.dataclass
class Reach:
  """What a root's bindings lead to.

  Attributes:
    read: keys of bindings that something reads.
    macros: names of macros that something reads, bound or not.
    open: keys that something reads and that have no value: name them to bind them.
    conditional: parameters of the root that are open and may be; they get None.
    left_open: keys of the bindings that say so.
    nodes: (scopes, selector) of every part that may be called.
  """

  read: set[Key] = dataclasses.field(default_factory=set)
  macros: set[str] = dataclasses.field(default_factory=set)
  open: list[Key] = dataclasses.field(default_factory=list)
  conditional: list[str] = dataclasses.field(default_factory=list)
  left_open: set[Key] = dataclasses.field(default_factory=set)
  nodes: set[Node] = dataclasses.field(default_factory=set)


def effective(bindings: Bindings, scopes: tuple[str, ...], selector: str) -> dict[str, Binding]:
  """The bindings that a call in a scope sees, by parameter."""
  found: dict[str, Binding] = {}
  for length in range(len(scopes) + 1):
    scope = '/'.join(scopes[:length])
    for key, binding in bindings.items():
      if key[:2] == (scope, selector):
        found[key[2]] = binding
  return found


def follow(bindings: Bindings, experiment: Experiment) -> Reach:
  """Follows everything from the root, then what code may call besides."""
  walk = _Walk(bindings, experiment)
  walk.visit([(((), experiment.selector), True)])
  # A part handed on as a function may be called in any scope that occurs, and a configurable one
  # by any Python code; whether it is, only the run shows.
  walk.certain = False
  count = 0
  while count < len(walk.reach.nodes):
    count = len(walk.reach.nodes)
    scopes = {scopes for scopes, selector in walk.reach.nodes if selector != MACRO}
    callable_parts = {*walk.handed_on, *gin_names.called_from_python()} - {experiment.selector}
    walk.visit([((scope, selector), False) for scope in sorted(scopes)
                for selector in sorted(callable_parts)])
  _check_circles(walk.calls)
  return walk.reach


def _check_circles(calls: Mapping[Node, Iterable[Node]]) -> None:
  """Refuses a value that gin would have to know in order to make it.

  Raises:
    RequestError: names the references that form the circle.
  """
  try:
    graphlib.TopologicalSorter(calls).prepare()
  except graphlib.CycleError as error:
    names = ['%' + '/'.join(scopes) if selector == MACRO
             else '@' + '/'.join([*scopes, gin_names.short(selector)]) + '()'
             for scopes, selector in error.args[1][::-1]]
    raise RequestError(f'A value needs itself: {" -> ".join(names)}. '
                       'Bind one of these to something else.') from error


class _Walk:
  """A breadth-first walk over the parts that may be called.

  Attributes:
    reach: what was found so far.
    handed_on: parts that a value holds as functions, without a scope.
    certain: whether a value that is open on the way will be missed.
    calls: what gin has to call, or read, before it can call a part.
  """

  def __init__(self, bindings: Bindings, experiment: Experiment):
    self.reach = Reach()
    self.handed_on: set[str] = set()
    self.certain = True
    self.calls: dict[Node, set[Node]] = {}
    self._visited: set[tuple[Node, bool]] = set()
    self._bindings = bindings
    self._experiment = experiment

  def visit(self, start: list[tuple[Node, bool]]) -> None:
    """Visits nodes and what they lead to; the flag says whether gin itself makes the call."""
    queue = collections.deque(start)
    while queue:
      node, by_gin = queue.popleft()
      if (node, by_gin) in self._visited:
        continue
      self._visited.add((node, by_gin))
      self.reach.nodes.add(node)
      for reference in self._next(node, by_gin):
        queue.append(reference)
        if reference[1]:
          self.calls.setdefault(node, set()).add(reference[0])

  def _next(self, node: Node, by_gin: bool) -> Iterator[tuple[Node, bool]]:
    scopes, selector = node
    seen = effective(self._bindings, scopes, selector)
    is_root = selector == self._experiment.selector
    if selector == MACRO:
      self.reach.macros.add('/'.join(scopes))
      if not seen:
        self._add_open(('/'.join(scopes), MACRO, 'value'))
    elif by_gin:
      for parameter in unfilled(selector, is_root):
        if parameter not in seen:
          self._unfilled(parameter, scopes, selector)
    for parameter, binding in seen.items():
      self.reach.read.add(binding.key)
      chain, is_open = resolve(self._bindings, binding)
      if is_open and is_root and parameter in self._experiment.conditional:
        if parameter not in self.reach.conditional:
          self.reach.conditional.append(parameter)
        self.reach.read.update(chain)
        self.reach.left_open.update(chain)
        self.reach.macros.update(key[0] for key in chain if key[1] == MACRO)
      else:
        yield from self._leaves(binding, scopes)

  def _leaves(self, binding: Binding, scopes: tuple[str, ...]) -> Iterator[tuple[Node, bool]]:
    for leaf in leaves(binding.value):
      if gin_names.is_required(leaf):
        self._add_open(binding.key)
      elif (isinstance(leaf, gin_config.ConfigurableReference)
            and leaf.configurable.selector != CONSTANT):
        own, selector = tuple(leaf.scopes), leaf.configurable.selector
        if own or leaf.evaluate:
          yield (own or scopes, selector), leaf.evaluate
        else:
          self.handed_on.add(selector)
          yield ((), selector), False

  def _unfilled(self, parameter: str, scopes: tuple[str, ...], selector: str) -> None:
    if selector == self._experiment.selector and parameter in self._experiment.conditional:
      self.reach.conditional.append(parameter)
    else:
      self._add_open(('/'.join(scopes), selector, parameter))

  def _add_open(self, key: Key) -> None:
    if self.certain and key not in self.reach.open:
      self.reach.open.append(key)


def unfilled(selector: str, is_root: bool) -> list[str]:
  """Parameters that gin has to fill where it makes the call.

  Args:
    selector: of the part.
    is_root: whether it is called by run.py, which gives `out_dir`.
  """
  kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
  return [name for name, parameter in gin_names.signature(selector).items()
          if parameter.kind not in kinds and (
              parameter.default is gin.REQUIRED
              or (parameter.default is parameter.empty and not (is_root and name == 'out_dir')))]


def resolve(bindings: Bindings, binding: Binding) -> tuple[list[Key], bool]:
  """Follows a value that is a macro to where it is set.

  Returns:
    The keys on the way, the binding's own first; and whether the last one is open.
  """
  chain = [binding.key]
  value = binding.value
  while is_macro(value):
    key = ('/'.join(value.scopes), MACRO, 'value')
    if key in chain:
      return chain, False  # A macro that names itself: gin tells it.
    chain.append(key)
    if key not in bindings:
      return chain, True
    value = bindings[key].value
  return chain, gin_names.is_required(value)


def is_macro(value: Any) -> bool:
  """True for `%NAME`, unless NAME is a constant."""
  return (isinstance(value, gin_config.ConfigurableReference)
          and value.configurable.selector == MACRO)


def setting_names(bindings: Bindings, experiment: Experiment) -> dict[str, str]:
  """What --set takes for each parameter of the root: the macro it is bound to, or its own name."""
  seen = effective(bindings, (), experiment.selector)
  names = {}
  for parameter in gin_names.signature(experiment.selector):
    key: Key = ('', experiment.selector, parameter)
    if parameter in seen:
      key = resolve(bindings, seen[parameter])[0][-1]
    names[parameter] = gin_names.shown(key)
  return names
