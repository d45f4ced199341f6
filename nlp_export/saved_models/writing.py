"""How does a SavedModel get onto disk: the same bytes for the same inputs, each graph once?"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import (
    fingerprint_pb2,
    saved_model_pb2,
    trackable_object_graph_pb2,
)
from tensorflow.python.saved_model import save_context
from tensorflow.python.saved_model.pywrap_saved_model import (
    fingerprinting as pywrap_fingerprinting,
)

from nlp_export import files, names

_OBJECT_GRAPH_KEY = '_CHECKPOINTABLE_OBJECT_GRAPH'
_VARIABLES = ('variables', 'variables')


_OPTIONS = tf.saved_model.SaveOptions(save_debug_info=False)


def tracing() -> contextlib.AbstractContextManager[None]:
  """Functions that are traced in here are the ones that `write` saves.

  TensorFlow keys its traces by the save options, so those made outside are made a second time
  when they are saved: half of the time of an export.
  """
  return save_context.save_context(_OPTIONS)


def write(root: Any, path: str) -> None:
  """Saves an object of this package as a SavedModel.

  Args:
    root: an object with TF functions; its `serving_signature()` becomes `serving_default`, or its
      `serving_signatures()`, name -> function, become all of the signatures.
    path: a local directory, empty or not there yet.
  """
  tf.saved_model.save(root, path, signatures=_signatures(root), options=_OPTIONS)
  _fix_order(path)
  _fix_fingerprint(path)


def _signatures(root: Any) -> dict[str, Any] | None:
  if hasattr(root, 'serving_signatures'):
    return dict(root.serving_signatures())
  if hasattr(root, 'serving_signature'):
    return {names.SERVING_DEFAULT: root.serving_signature()}
  return None


def write_with_present_values(root: Any, written: str, path: str) -> None:
  """Writes `root` again, with the values its variables have now, without saving its graph again.

  What `write` wrote is the same for all values of the variables but for the files under
  `variables/`. Exports that differ in their pooler alone share the rest.

  Args:
    root: the object that was written to `written`.
    written: a SavedModel that `write` wrote.
    path: a local directory, empty or not there yet.
  """
  shutil.copytree(written, path, ignore=_leave_out_variables, dirs_exist_ok=True)
  os.makedirs(os.path.join(path, _VARIABLES[0]))
  reader = tf.train.load_checkpoint(os.path.join(written, *_VARIABLES))
  graph = reader.get_tensor(_OBJECT_GRAPH_KEY)
  values = {_OBJECT_GRAPH_KEY: tf.constant(graph), **_present_values(root, graph)}
  missing = set(reader.get_variable_to_shape_map()) - set(values)
  if missing:
    raise RuntimeError(f'variables of the SavedModel without a value: {sorted(missing)}')
  keys = sorted(values)
  tf.raw_ops.SaveV2(
      prefix=os.path.join(path, *_VARIABLES),
      tensor_names=keys,
      shape_and_slices=[''] * len(keys),
      tensors=[values[key] for key in keys])
  _fix_fingerprint(path)


def values_missing(root: Any, written: str) -> list[str]:
  """What a SavedModel's checkpoint holds and no variable below `root` has; sorted keys.

  Args:
    root: the object that `written` was loaded into.
    written: a SavedModel of anybody.
  """
  reader = tf.train.load_checkpoint(os.path.join(written, *_VARIABLES))
  values = _present_values(root, reader.get_tensor(_OBJECT_GRAPH_KEY))
  return sorted(set(reader.get_variable_to_shape_map()) - set(values) - {_OBJECT_GRAPH_KEY})


def changed_variables(root: Any, written: str) -> tuple[dict[str, str], int]:
  """Which variables below `root` have other values than in the SavedModel it was loaded from.

  Args:
    root: as in `values_missing`.
    written: likewise.

  Returns:
    Their keys in the checkpoint, sorted -> their names; and the number of all variables.
  """
  reader = tf.train.load_checkpoint(os.path.join(written, *_VARIABLES))
  variables = _variables_below(root, reader.get_tensor(_OBJECT_GRAPH_KEY))
  changed = {key: variable.name.partition(':')[0] for key, variable in variables.items()
             if variable.dtype != tf.string
             and variable.numpy().tobytes() != np.asarray(reader.get_tensor(key)).tobytes()}
  return dict(sorted(changed.items())), len(variables)


def save_loaded(root: Any, path: str) -> None:
  """Saves what tf.saved_model.load returned, with its signatures, as TensorFlow does it.

  Args:
    root: of anybody's SavedModel.
    path: a local directory, empty or not there yet.
  """
  tf.saved_model.save(root, path, signatures=dict(getattr(root, 'signatures', {})) or None,
                      options=_OPTIONS)
  _fix_order(path)
  _fix_fingerprint(path)


def _leave_out_variables(directory: str, content: list[str]) -> list[str]:
  return ['variables'] if 'saved_model.pb' in content else []


def _present_values(root: Any, serialized_graph: bytes) -> dict[str, tf.Tensor]:
  """Checkpoint key to value, for each variable below `root`."""
  # On CPU this shares the variable's memory: no second copy of the weights.
  return {key: variable.read_value()
          for key, variable in _variables_below(root, serialized_graph).items()}


def _variables_below(root: Any, serialized_graph: bytes) -> dict[str, tf.Variable]:
  """Checkpoint key to variable, of those below `root`, by the written object graph."""
  graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(serialized_graph)
  found: dict[str, tf.Variable] = {}
  to_visit: list[tuple[Any, int]] = [(root, 0)]
  seen: set[int] = set()
  while to_visit:
    trackable, number = to_visit.pop()
    if number in seen:
      continue
    seen.add(number)
    node = graph.nodes[number]
    if isinstance(trackable, tf.Variable):
      for attribute in node.attributes:
        found[attribute.checkpoint_key] = trackable
    children = trackable._trackable_children()
    to_visit.extend((children[c.local_name], c.node_id)
                    for c in node.children if c.local_name in children)
  return found


def _fix_order(path: str) -> None:
  """Writes saved_model.pb again with its maps in a fixed order: TensorFlow's is by chance."""
  name = os.path.join(path, 'saved_model.pb')
  model = saved_model_pb2.SavedModel.FromString(files.read_bytes(name))
  files.write_bytes(name, model.SerializeToString(deterministic=True))


def _fix_fingerprint(path: str) -> None:
  """Writes fingerprint.pb for the files as they are, without TensorFlow's random number in it."""
  fingerprint = fingerprint_pb2.FingerprintDef.FromString(
      pywrap_fingerprinting.CreateFingerprintDef(path))
  fingerprint.uuid = ''
  digest = hashlib.sha256(fingerprint.SerializeToString(deterministic=True)).digest()
  fingerprint.uuid = str(int.from_bytes(digest[:16], 'little'))
  files.write_bytes(
      os.path.join(path, 'fingerprint.pb'), fingerprint.SerializeToString(deterministic=True))
