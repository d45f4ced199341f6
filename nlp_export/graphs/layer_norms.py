"""Why is a frozen encoder off by 0.3 a layer, and how is it written so that it is not?

On processors with oneDNN TensorFlow's optimizer takes the operations of a Keras layer norm, once
gamma and beta are constants, for one kernel, `_MklLayerNorm`, and hands on everything but epsilon:
the kernel then adds its own default of 1e-3, where BERT has 1e-12 (TensorFlow 2.20,
core/grappler/optimizers/remapper.cc, `IsCommonNormPattern`). The cure lies in the graph and not in
its reader's settings: the same function is written as

    (x - mean) * rsqrt(variance + epsilon) * gamma + beta

which the optimizer leaves alone, and which passes over memory fewer times.
"""

from __future__ import annotations

import tensorflow as tf

from nlp_export.graphs import patterns
from nlp_export.graphs.graph import Graph, dtype_of


def rewrite(graph: Graph) -> int:
  """Writes every layer norm as above, in place; returns how many."""
  found = list(patterns.layer_norms(graph))
  for node, norm in found:
    write(graph, node.name, norm, dtype_of(node))
  return len(found)


def write(graph: Graph, name: str, norm: patterns.LayerNorm, dtype: tf.DType) -> None:
  """Writes one: the node `name` gives its result, whether it was there before or not."""
  keep = norm.keep_dims
  mean = graph.add(f'{name}/mean', 'Mean', [norm.x, norm.axes[0]], T=dtype, Tidx=tf.int32,
                   keep_dims=keep)
  difference = graph.add(f'{name}/difference', 'Sub', [norm.x, mean], T=dtype)
  squared = graph.add(f'{name}/squared', 'Mul', [difference, difference], T=dtype)
  variance = graph.add(f'{name}/variance', 'Mean', [squared, norm.axes[0]], T=dtype, Tidx=tf.int32,
                       keep_dims=keep)
  more = graph.add(f'{name}/more', 'AddV2', [variance, norm.epsilon[0]], T=dtype)
  rsqrt = graph.add(f'{name}/rsqrt', 'Rsqrt', [more], T=dtype)
  scaled = graph.add(f'{name}/normalized', 'Mul', [difference, rsqrt], T=dtype)
  with_gamma = graph.add(f'{name}/scaled', 'Mul', [scaled, norm.gamma], T=dtype)
  graph.put(name, 'AddV2', [with_gamma, norm.beta], T=dtype)


def unchanged(graph: Graph) -> list[str]:
  """Names of the nodes of layer norms that are still written in the way that is mistaken."""
  return [node.name for node, _ in patterns.layer_norms(graph)]
