"""Are the files of an export complete, clean and free to move? (conformance A)"""

from __future__ import annotations

import os
import re

import tensorflow as tf

from nlp_export import files
from nlp_export.saved_models.verification.registry import (
  ANY_KIND,
  Failed,
  Level,
  Passed,
  Scope,
  check,
)
from nlp_export.saved_models.verification.subject import Subject

_VARIABLES = Scope.VARIABLES
# An absolute path of the usual places of homes and temporary files, or one with a bucket.
_BUILD_PATH = re.compile(
    rb'(?:/(?:tmp|home|Users|root|var/folders|var/tmp|mnt|content|workspace)/|gs://)[\w./~+@-]{3,}')


@check('files.layout', 1, level=Level.MUST, kinds=ANY_KIND, scope=_VARIABLES)
def layout(subject: Subject) -> None:
  """saved_model.pb and a complete checkpoint of variables are there; all names can be published."""
  found = files.list_tree(subject.path)
  for name in ('saved_model.pb', 'variables/variables.index'):
    if name not in found:
      raise Failed(f'{name} is missing')
  if not any(name.startswith('variables/variables.data-') for name in found):
    raise Failed('no data shard lies in variables/')
  odd = [n for n in found if not all(re.match(r'\w', part) for part in n.split('/'))]
  if odd:
    raise Failed(f'TF Hub takes names that start with a letter, digit or _; found {odd[:3]}')


@check('files.loads_alone', 2, level=Level.MUST, kinds=ANY_KIND, scope=_VARIABLES)
def loads_alone(subject: Subject) -> None:
  """It loads in a fresh process where neither official nor tf_keras can be imported."""
  if subject.isolation:
    raise Failed(subject.isolation)


@check('files.moved', 3, level=Level.MUST, kinds=ANY_KIND, scope=_VARIABLES)
def moved(subject: Subject) -> Passed:
  """After a move, every asset is read from the new place."""
  if os.path.realpath(subject.path) == os.path.realpath(subject.job.path):
    raise Failed('the directory was not moved before it was loaded')
  assets = [v for v in vars(subject.obj).values() if hasattr(v, 'asset_path')]
  inside = os.path.realpath(subject.file('assets')) + os.sep
  for asset in assets:
    path = asset.asset_path.numpy().decode()
    if not os.path.realpath(path).startswith(inside):
      raise Failed(f'an asset is read from outside of the SavedModel: {os.path.basename(path)}')
  return Passed(len(assets))


@check('files.no_build_paths', 6, level=Level.REF, kinds=ANY_KIND, scope=_VARIABLES)
def no_build_paths(subject: Subject) -> Passed:
  """No file holds a path of the machine on which it was built."""
  needles = sorted({os.path.abspath(p).encode() for p in subject.job.build_paths if p})
  looked_at = 0
  for name in files.list_tree(subject.path):
    # Shards hold the raw values of variables; the strings among them are looked at below.
    data = (_string_tensors(subject) if name.startswith('variables/variables.data-')
            else files.read_bytes(subject.file(*name.split('/'))))
    looked_at += 1
    for needle in needles:
      if needle in data:
        raise Failed(f'{name} holds the build path {needle.decode()}', known_defect=None)
    is_text = name.startswith(('assets/', 'assets.extra/')) or name == 'README.md'
    found = None if is_text else _BUILD_PATH.search(data)
    if found:
      path = found.group().decode()
      # The reference copies the vocabulary to <temporary directory>/<SHA-1 of its path>/.
      known = 8 if re.search(r'/[0-9a-f]{40}/', path) else None
      raise Failed(f'{name} holds the path {path}', known_defect=known)
  return Passed(looked_at)


def _string_tensors(subject: Subject) -> bytes:
  """All string tensors in the checkpoint of variables, joined."""
  reader = tf.train.load_checkpoint(subject.file('variables', 'variables'))
  texts = []
  for name, dtype in reader.get_variable_to_dtype_map().items():
    if dtype == tf.string:
      value = reader.get_tensor(name)
      texts.append(value if isinstance(value, bytes) else b'\n'.join(value.reshape(-1)))
  return b'\n'.join(texts)


@check('files.assets', 7, level=Level.REF, kinds=ANY_KIND, scope=_VARIABLES)
def assets(subject: Subject) -> Passed:
  """assets/ holds the tokenizer's file, byte by byte, and nothing else."""
  declared = declared_assets(subject)
  found = subject.asset_names
  missing = sorted(set(declared) - set(found))
  if missing:
    # The reference does not look whether the vocabulary exists; no assets/ comes of it then.
    known = 3 if not os.path.isdir(subject.file('assets')) else None
    raise Failed(f'the graph reads assets/{missing[0]}, which is not there', known_defect=known)
  if set(found) - set(declared):
    raise Failed(f'the graph does not know assets/{sorted(set(found) - set(declared))[0]}')
  if subject.told.asset_sha256 is not None:
    for name, expected in subject.told.asset_sha256.items():
      if name not in found:
        raise Failed(f'assets/{name} is missing')
      if files.sha256(subject.file('assets', name)) != expected:
        raise Failed(f'assets/{name} differs from its source')
    extra = sorted(set(found) - set(subject.told.asset_sha256))
    if extra:
      raise Failed(f'assets/{extra[0]} has no source')
  return Passed(len(found))


def declared_assets(subject: Subject) -> list[str]:
  """Base names of the files that the graph reads from assets/."""
  model = read_saved_model(subject)
  return sorted({a.filename for a in model.meta_graphs[0].asset_file_def})


def read_saved_model(subject: Subject):  # type: ignore[no-untyped-def]  # A protocol buffer.
  """The parsed saved_model.pb; read once."""
  from tensorflow.core.protobuf import saved_model_pb2

  cache = subject.__dict__
  if 'saved_model_proto' not in cache:
    data = files.read_bytes(subject.file('saved_model.pb'))
    cache['saved_model_proto'] = saved_model_pb2.SavedModel.FromString(data)
  return cache['saved_model_proto']


@check('files.no_bytecode', 8, level=Level.MUST, kinds=ANY_KIND)
def no_bytecode(subject: Subject) -> Passed:
  """Nothing in it is Python code: no Lambda layer, no op that calls back into Python."""
  ops = {n.op for g in read_saved_model(subject).meta_graphs for n in g.graph_def.node}
  for graph in read_saved_model(subject).meta_graphs:
    for function in graph.graph_def.library.function:
      ops.update(node.op for node in function.node_def)
  python = sorted(ops & {'PyFunc', 'PyFuncStateless', 'EagerPyFunc'})
  if python:
    raise Failed(f'the graph calls Python: op {python[0]}')
  if not os.path.exists(subject.file('keras_metadata.pb')):
    return Passed(why='no Keras metadata')
  if b'"class_name": "Lambda"' in files.read_bytes(subject.file('keras_metadata.pb')):
    raise Failed('keras_metadata.pb holds a Lambda layer, which is Python bytecode')
  return Passed()
