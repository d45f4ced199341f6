"""How does a function of an export become a graph without variables, right under any settings?"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2
from tensorflow.python.framework import convert_to_constants

from nlp_export import files
from nlp_export.forms import layer_norms
from nlp_export.forms.graphs import Graph, to_bytes
from nlp_export.forms.source import Source

# Weights that are kept in bfloat16, though what reads them is not arithmetic: tables of embeddings.
_TABLE_ELEMENTS = 1_000


def freeze(source: Source) -> Graph:
  """The graph of an export's function, variables as constants, inputs and outputs by their names.

  Layer norms are written as nlp_export/forms/layer_norms.py explains.
  """
  function = source.any_length.get_concrete_function()
  frozen = convert_to_constants.convert_variables_to_constants_v2(function)
  graph_def = frozen.graph.as_graph_def()
  made = Graph(graph_def, source.inputs, ())
  # In the order of tf.nest: that of the keys. The functions of 2.20 lose the names of outputs.
  for name, tensor in zip(sorted(source.outputs), frozen.outputs, strict=True):
    _name_output(made, name, tensor)
  made.outputs = tuple(sorted(source.outputs))
  tidy = made.tidied()
  layer_norms.rewrite(tidy)
  return tidy.tidied()


def _name_output(graph: Graph, name: str, tensor: tf.Tensor) -> None:
  """Adds an Identity called `name`; what was called so before is renamed."""
  behind = tensor.name.removesuffix(':0')
  if name in graph.nodes:
    old = graph.nodes.pop(name)
    old.name = f'{name}/before_output'
    graph.nodes[old.name] = old
    graph.replace(name, old.name)
    behind = old.name if behind == name else behind
  graph.add(name, 'Identity', [behind], T=tensor.dtype)


def write(graph: Graph, path: str) -> None:
  """Writes the GraphDef."""
  files.write_bytes(path, to_bytes(graph))


def in_bfloat16(graph: Graph) -> Graph:
  """The graph with matrix products and what is between them in bfloat16, outputs in float32.

  Grappler chooses what, as it does for `auto_mixed_precision_onednn_bfloat16`; here it is done
  once, and the weights are stored as they are computed with.
  """
  from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2
  from tensorflow.python.grappler import tf_optimizer

  with tf.Graph().as_default() as imported:
    tf.graph_util.import_graph_def(graph.graph_def(), name='')
    meta_graph = tf.compat.v1.train.export_meta_graph(graph=imported)
  meta_graph.collection_def['train_op'].node_list.value.extend((*graph.outputs, *graph.inputs))
  config = config_pb2.ConfigProto()
  options = config.graph_options.rewrite_options
  options.min_graph_nodes = -1
  options.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
  options.auto_mixed_precision_onednn_bfloat16 = rewriter_config_pb2.RewriterConfig.ON
  options.optimizers.extend(['constfold', 'auto_mixed_precision_onednn_bfloat16', 'constfold'])
  optimized = tf_optimizer.OptimizeGraph(config, meta_graph)
  mixed = Graph(_without_devices(optimized), graph.inputs, graph.outputs).tidied()
  _halve_tables(mixed)
  return mixed.tidied()


def is_bfloat16(graph: Graph) -> bool:
  """Whether any matrix product is in bfloat16."""
  kind = tf.bfloat16.as_datatype_enum
  return any(node.attr['T'].type == kind for node in graph.nodes.values()
             if node.op in ('MatMul', 'Einsum', 'BatchMatMulV2'))


def _without_devices(graph_def: graph_pb2.GraphDef) -> graph_pb2.GraphDef:
  for node in graph_def.node:
    node.device = ''
  return graph_def


def _halve_tables(graph: Graph) -> None:
  """Rows of embeddings are stored in bfloat16 and cast when they are read."""
  for gather in graph.of_type('GatherV2'):
    table = graph.constant(gather.input[0])
    if table is None or table.dtype != np.float32 or table.size < _TABLE_ELEMENTS:
      continue
    halved = graph.add_constant(f'{gather.name}/table', table, tf.bfloat16)
    gather.input[0] = halved
    gather.attr['Tparams'].type = tf.bfloat16.as_datatype_enum
    widened = graph.add(f'{gather.name}/widened', 'Cast', [gather.name],
                        SrcT=tf.bfloat16, DstT=tf.float32)
    graph.replace(gather.name, widened)
