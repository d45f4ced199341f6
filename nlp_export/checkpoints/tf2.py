"""How is a TF2 (object-based) checkpoint opened? Through the object graph that it stores.

Flat keys do not do: a shared variable is written once, under the shortest of its paths, so a
checkpoint with a masked LM head has no key for the encoder's word embeddings (they lie under
`masked_lm/embedding_table`). The graph says which objects share what.

Format: tensorflow/core/protobuf/trackable_object_graph.proto.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from nlp_export import files
from nlp_export.checkpoints import locate, tf2_items
from nlp_export.checkpoints.checkpoint import UNREACHABLE, Checkpoint, Node, StoredTensor
from nlp_export.errors import RequestError

FORMAT = 'TF2 object graph'
GRAPH_KEY = '_CHECKPOINTABLE_OBJECT_GRAPH'


def open_tf2(
    prefix: str, item_names: Mapping[str, str] | None = None, notes: tuple[str, ...] = ()
) -> Checkpoint:
  """Opens the checkpoint at a prefix (`prefix.index` exists). No values are read.

  Args:
    prefix: path without '.index'.
    item_names: canonical item or head name -> its name in the file; see `open_checkpoint`.
    notes: how the prefix was found.

  Raises:
    RequestError: files are missing, cut short or damaged; it is a TF1 checkpoint; an item that
      `item_names` promises is not there.
  """
  import tensorflow as tf
  from tensorflow.core.protobuf import trackable_object_graph_pb2

  index_file, *shards = locate.prefix_files(prefix)
  with _explain_damage(prefix):
    reader = tf.compat.v1.train.NewCheckpointReader(prefix)
    shapes = reader.get_variable_to_shape_map()
    dtypes = {key: dtype.name for key, dtype in reader.get_variable_to_dtype_map().items()}
  if GRAPH_KEY not in shapes:
    raise RequestError(_tf1_message(prefix, shapes))
  _check_sizes(prefix, shards, reader)
  graph = trackable_object_graph_pb2.TrackableObjectGraph()
  graph.ParseFromString(_read(reader, prefix, GRAPH_KEY))

  objects = tf2_items.Objects(graph)
  layout = tf2_items.find_items(objects, files.basename(prefix), item_names or {})
  nodes = [Node() for _ in graph.nodes]
  tensors = []
  for index, stored in enumerate(graph.nodes):
    nodes[index].children = {child.local_name: nodes[child.node_id] for child in stored.children}
    for attribute in stored.attributes:
      key = attribute.checkpoint_key
      if key not in shapes:
        continue
      owner = layout.owner(index, shapes[key], dtypes[key], attribute.name)
      tensor = StoredTensor(
          key=key,
          shape=tuple(shapes[key]),
          dtype=dtypes[key],
          group=owner.group,
          item=owner.item,
          path=owner.path or key,
          name=attribute.full_name,
          read=partial(_read, reader, prefix, key),
      )
      tensors.append(tensor)
      if attribute.name == 'VARIABLE_VALUE':
        nodes[index].tensor = tensor
  known = {tensor.key for tensor in tensors} | {GRAPH_KEY}
  for key in sorted(set(shapes) - known):  # Not in the graph: nothing says what it is.
    read = partial(_read, reader, prefix, key)
    tensors.append(
        StoredTensor(key, tuple(shapes[key]), dtypes[key], UNREACHABLE, '', key, '', read)
    )
  return Checkpoint(
      format=FORMAT,
      path=prefix,
      files=(index_file, *shards),
      nodes={item: nodes[index] for item, index in layout.roots.items()},
      tensors=tuple(tensors),
      stored_names=layout.stored_names,
      aliases=layout.aliases,
      notes=notes,
  )


def _check_sizes(prefix: str, shards: list[str], reader: Any) -> None:
  """The data files are at least as large as the tensors they should hold."""
  shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
  needed = 0
  for key, shape in shapes.items():
    count = 1
    for size in shape:
      count *= size
    needed += count * (1 if dtypes[key].name in ('string', 'variant') else dtypes[key].size)
  found = sum(files.size(path) for path in shards)
  if found < needed:
    raise RequestError(_damage_message(prefix, f'{found:,} bytes of at least {needed:,} are there'))


def _read(reader: Any, prefix: str, key: str) -> Any:
  with _explain_damage(prefix, key):
    return reader.get_tensor(key)


@contextlib.contextmanager
def _explain_damage(prefix: str, key: str = '') -> Iterator[None]:
  """Turns a reader's error into a RequestError. 'Read less bytes than requested' is IndexError."""
  import tensorflow as tf

  try:
    yield
  except (IndexError, tf.errors.OpError) as error:
    found = f'"{error}" at {key}' if key else f'"{error}"'
    raise RequestError(_damage_message(prefix, found)) from error


def _damage_message(prefix: str, found: str) -> str:
  return (
      f'Cannot read checkpoint {prefix}: its data was cut short or damaged ({found}). Copy its '
      'files again or name another checkpoint.'
  )


def _tf1_message(prefix: str, shapes: Mapping[str, Any]) -> str:
  some = ', '.join(sorted(shapes)[:3])
  albert = any('/group_0/' in key for key in shapes)
  tool = 'tf2_albert_encoder_checkpoint_converter' if albert else (
      'tf2_bert_encoder_checkpoint_converter'
  )
  return (
      f'Cannot read checkpoint {prefix}: it stores variables by name ({some} ...), the format of '
      'TensorFlow 1, which holds no object graph and cannot be read here yet. Convert it with '
      f"TF-NLP's {tool} and give the file that it writes (PATH-1)."
  )
