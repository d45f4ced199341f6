"""Which variables does an output of a traced function depend on?

A gradient does not tell: of what a called function returns and nobody uses, it is zero and not
None. So the graph is followed from the output back, into the functions that it calls.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

_CALLS = frozenset({'PartitionedCall', 'StatefulPartitionedCall'})


def read_by(concrete: Any, output: tf.Tensor, variables: Sequence[tf.Variable]) -> set[int]:
  """`id`s of the variables that are read for an output.

  Args:
    concrete: a concrete function.
    output: one of its outputs, a tensor of `concrete.graph`.
    variables: that may be.
  """
  graph_def = concrete.graph.as_graph_def()
  library = _Library({f.signature.name: f for f in graph_def.library.function})
  nodes = {node.name: node for node in graph_def.node}
  needed = library.leaves(nodes, [output.name])
  by_handle = {id(variable.handle): id(variable) for variable in variables}
  return {by_handle[id(given)] for given, inside in concrete.graph.captures
          if id(given) in by_handle and inside.op.name in needed}


class _Library:
  """The functions of a graph."""

  def __init__(self, functions: Mapping[str, Any]):
    self._functions = functions
    self.arguments = functools.cache(self._arguments)

  def leaves(self, nodes: Mapping[str, Any], tensors: Iterable[str]) -> set[str]:
    """Names of the arguments and placeholders that tensors are computed from."""
    waiting, seen, found = list(tensors), set(), set()
    while waiting:
      tensor = waiting.pop()
      name, index = _parsed(tensor)
      node = nodes.get(name)
      if node is None or node.op == 'Placeholder':
        found.add(name)
        continue
      called = node.attr['f'].func.name if node.op in _CALLS else ''
      # Of a call each output has its own needs; of any other operation all have the same.
      key = (name, index if called else 0)
      if key in seen:
        continue
      seen.add(key)
      inputs = [value for value in node.input if not value.startswith('^')]
      if called in self._functions:
        waiting += [inputs[at] for at in self.arguments(called, index)]
      else:
        waiting += inputs
    return found

  def _arguments(self, name: str, output: int) -> tuple[int, ...]:
    """Positions of the arguments that an output of a function needs."""
    function = self._functions[name]
    returned = function.ret[function.signature.output_arg[output].name]
    needed = self.leaves({node.name: node for node in function.node_def}, [returned])
    return tuple(at for at, argument in enumerate(function.signature.input_arg)
                 if argument.name in needed)


def _parsed(tensor: str) -> tuple[str, int]:
  """'a:out:2' and 'a:2' as ('a', 2), 'a' as ('a', 0)."""
  name, _, rest = tensor.partition(':')
  return name, int(rest.rpartition(':')[2] or 0)
