"""What stands in the graph of a SavedModel on disk?"""

from __future__ import annotations

from tensorflow.core.protobuf import saved_model_pb2

from nlp_export import files


def nodes_of_type(path: str, op: str) -> list[str]:
  """Names of the nodes with an op type, in the graph and in all its functions.

  Args:
    path: directory of a SavedModel.
    op: type of op, 'Assert' for one.

  Returns:
    'node' or 'function/node', in the order of the file.
  """
  model = saved_model_pb2.SavedModel.FromString(
      files.read_bytes(files.join(path, 'saved_model.pb')))
  found = []
  for meta_graph in model.meta_graphs:
    graph = meta_graph.graph_def
    found += [node.name for node in graph.node if node.op == op]
    for function in graph.library.function:
      found += [f'{function.signature.name}/{node.name}'
                for node in function.node_def if node.op == op]
  return found
