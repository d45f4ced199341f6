"""How is a TF2 (object-based) checkpoint opened? Through the object graph that it stores.

Flat keys do not do: a shared variable is written once, under the shortest of its paths, so a
checkpoint with a masked LM head has no key for the encoder's word embeddings (they lie under
`masked_lm/embedding_table`). The graph says which objects share what.

Format: tensorflow/core/protobuf/trackable_object_graph.proto.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from nlp_export import files
from nlp_export.checkpoints import locate, tf2_items
from nlp_export.checkpoints.checkpoint import UNREACHABLE, Checkpoint, Node, StoredTensor
from nlp_export.checkpoints.tensor_bundle import TensorBundle

FORMAT = 'TF2 object graph'


def open_tf2(
    bundle: TensorBundle, item_names: Mapping[str, str] | None = None, notes: tuple[str, ...] = ()
) -> Checkpoint:
  """Opens a checkpoint that tf.train.Checkpoint wrote. No values are read.

  Args:
    bundle: its tensors, the object graph among them.
    item_names: canonical item or head name -> its name in the file; see `open_checkpoint`.
    notes: how the prefix was found.

  Raises:
    RequestError: the graph is damaged; an item that `item_names` promises is not there.
  """
  from tensorflow.core.protobuf import trackable_object_graph_pb2

  graph = trackable_object_graph_pb2.TrackableObjectGraph()
  graph.ParseFromString(bundle.read(locate.GRAPH_KEY))

  objects = tf2_items.Objects(graph)
  layout = tf2_items.find_items(objects, files.basename(bundle.prefix), item_names or {})
  nodes = [Node() for _ in graph.nodes]
  tensors = []
  for index, stored in enumerate(graph.nodes):
    nodes[index].children = {child.local_name: nodes[child.node_id] for child in stored.children}
    for attribute in stored.attributes:
      key = attribute.checkpoint_key
      if key not in bundle.shapes:
        continue
      owner = layout.owner(index, bundle.shapes[key], bundle.dtypes[key], attribute.name)
      tensor = StoredTensor(
          key=key,
          shape=bundle.shapes[key],
          dtype=bundle.dtypes[key],
          group=owner.group,
          item=owner.item,
          path=owner.path or key,
          name=attribute.full_name,
          read=partial(bundle.read, key),
      )
      tensors.append(tensor)
      if attribute.name == 'VARIABLE_VALUE':
        nodes[index].tensor = tensor
  known = {tensor.key for tensor in tensors} | {locate.GRAPH_KEY}
  for key in sorted(set(bundle.shapes) - known):  # Not in the graph: nothing says what it is.
    tensors.append(
        StoredTensor(key, bundle.shapes[key], bundle.dtypes[key], UNREACHABLE, '', key, '',
                     partial(bundle.read, key))
    )
  return Checkpoint(
      format=FORMAT,
      path=bundle.prefix,
      files=bundle.files,
      nodes={item: nodes[index] for item, index in layout.roots.items()},
      tensors=tuple(tensors),
      stored_names=layout.stored_names,
      aliases=layout.aliases,
      notes=notes,
  )
