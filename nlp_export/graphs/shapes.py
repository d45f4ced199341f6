"""How does a graph give a tensor a shape that is known when it runs, not before?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from nlp_export.graphs.graph import Graph


def begun_as(graph: Graph, name: str, like: str, kept: int, rest: Sequence[int]) -> str:
  """Adds a shape: the first dimensions of a tensor, then known ones.

  Args:
    graph: gets the nodes.
    name: what theirs begin with.
    like: a float tensor.
    kept: how many of its dimensions; -1 for all but the last.
    rest: the known ones.

  Returns:
    The tensor, int32 [kept + len(rest)].
  """
  shape = graph.add(f'{name}/shape', 'Shape', [like], T=tf.float32, out_type=tf.int32)
  first = graph.add(f'{name}/kept', 'StridedSlice', [shape, *(
      graph.add_constant(f'{name}/{part}', np.array([value], np.int32))
      for part, value in (('begin', 0), ('end', kept), ('stride', 1)))],
      T=tf.int32, Index=tf.int32)
  known = graph.add_constant(f'{name}/known', np.array(rest, np.int32))
  axis = graph.add_constant(f'{name}/axis', np.int32(0))
  return graph.add(f'{name}/joined', 'ConcatV2', [first, known, axis], T=tf.int32, Tidx=tf.int32,
                   N=2)
