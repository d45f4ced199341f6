"""How does a function of an export become a graph without variables, right under any settings?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2

from nlp_export import files
from nlp_export.forms.source import Source
from nlp_export.graphs import freezing, gelus, layer_norms, products, proving
from nlp_export.graphs.graph import Graph, to_bytes

# Weights that are kept in bfloat16, though what reads them is not arithmetic: tables of embeddings.
_TABLE_ELEMENTS = 1_000
# Of the tolerance: what is used passes with other rows, too.
_SHARE = 0.5


def freeze(source: Source) -> Graph:
  """The graph of an export's function, variables as constants, inputs and outputs by their names.

  Layer norms are written as nlp_export/graphs/layer_norms.py explains.
  """
  return _safe(_frozen(source))


def freeze_fast(
    source: Source, probe: Sequence[tf.Tensor], tolerance: float) -> tuple[Graph, str]:
  """The same with faster products and GELUs, if it computes the same.

  They are written as nlp_export/graphs/products.py and gelus.py explain.

  Args:
    source: the export.
    probe: its inputs, in their order, to compare on.
    tolerance: of an output, as a share of its largest value; half of it is asked for here.

  Returns:
    The graph, and why it is not the faster one: '' if it is.
  """
  graph = _frozen(source)
  found, why = proving.proven(
      lambda: _safe(_faster(graph)),
      source.any_length, source.specs(), probe, _SHARE * tolerance)
  return (_safe(graph), why) if found is None else (found.graph, '')


def _frozen(source: Source) -> Graph:
  function = source.any_length.get_concrete_function()
  return freezing.frozen(function, sorted(source.outputs)).tidied()


def _faster(graph: Graph) -> Graph:
  copied = graph.copy()
  products.rewrite(copied)
  gelus.rewrite(copied)
  return copied


def _safe(graph: Graph) -> Graph:
  """Without layer norms of which TensorFlow's optimizer makes others."""
  layer_norms.rewrite(graph)
  return graph.tidied()


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
