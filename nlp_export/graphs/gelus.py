"""How is the exact GELU written so that it is quick?

    (x / 2) * erfc(-x / sqrt(2))  ->  (x / 2) * (1 + erf(x / sqrt(2)))

The same function: TensorFlow computes Erf on many numbers at once, and Erfc one by one.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from nlp_export.graphs import patterns
from nlp_export.graphs.graph import Graph, dtype_of


def rewrite(graph: Graph) -> int:
  """Writes every exact GELU as above, in place; returns how many."""
  found = [(node, x) for node in graph.of_type('Mul')
           if (x := patterns.gelu(graph, node)) is not None]
  for node, x in found:
    write(graph, node.name, x, dtype_of(node))
  return len(found)


def write(graph: Graph, name: str, x: str, dtype: tf.DType) -> None:
  """Writes one: the node `name` gives its result, whether it was there before or not."""
  root, one, half = (graph.add_constant(f'{name}/{part}', np.array(value), dtype)
                     for part, value in (('root', 0.5**0.5), ('one', 1), ('half', 0.5)))
  inner = graph.add(f'{name}/inner', 'Mul', [x, root], T=dtype)
  erf = graph.add(f'{name}/erf', 'Erf', [inner], T=dtype)
  one_more = graph.add(f'{name}/one_more', 'AddV2', [erf, one], T=dtype)
  halved = graph.add(f'{name}/halved', 'Mul', [x, half], T=dtype)
  graph.put(name, 'Mul', [halved, one_more], T=dtype)
