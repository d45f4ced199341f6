"""Which function of an export is converted, and which of its operations stand in the way?"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_text  # noqa: F401 - registers the operations of preprocessing.
from tensorflow.core.framework import graph_pb2
from tensorflow.python.framework import op_def_registry

from nlp_export import files, names
from nlp_export.errors import RequestError

# A check of shapes has a message, and is left out of a form with it.
_HARMLESS = ('NoOp', 'Assert', 'Const', 'Placeholder')


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
  """An export, loaded, and the function of it that becomes forms.

  Attributes:
    path: its directory.
    kind: its export type, '' of a stranger's.
    obj: what tf.saved_model.load returned.
    signature: name of the signature that is converted, '' for the root's call.
    inputs: those of names.ENCODER_INPUTS that it takes.
    outputs: names of what it returns, as far as it is converted.
    fixed_length: the only number of tokens in a row that it takes, None for any.
    weights_bytes: size of its variables.
  """

  path: str
  kind: str
  obj: Any
  signature: str
  inputs: tuple[str, ...]
  outputs: tuple[str, ...]
  fixed_length: int | None
  weights_bytes: int

  def specs(self, seq_length: int | None = None) -> list[tf.TensorSpec]:
    """int32 [batch, seq_length] for each input, by name."""
    length = self.fixed_length or seq_length
    return [tf.TensorSpec([None, length], tf.int32, name=name) for name in self.inputs]

  def function(self, seq_length: int | None = None, **options: Any) -> Any:
    """A TF function of the inputs by name -> dict of the outputs.

    Args:
      seq_length: static length, None for any.
      **options: of tf.function.
    """
    call = self._call()

    @tf.function(input_signature=self.specs(seq_length), autograph=False, **options)
    def form(*given):
      found = call(dict(zip(self.inputs, given, strict=True)))
      return {name: found[name] for name in self.outputs}

    return form

  @functools.cached_property
  def any_length(self) -> Any:
    """`function()`, traced once."""
    return self.function()

  def _call(self) -> Any:
    if self.signature:
      signature = self.obj.signatures[self.signature]
      return lambda given: signature(**given)
    return self.obj

  def second_text(self) -> bool:
    """Whether its own preprocessing takes pairs of texts."""
    serving = self.obj.signatures.get(names.SERVING_DEFAULT) if hasattr(
        self.obj, 'signatures') else None
    return serving is not None and names.SECOND_TEXT in serving.structured_input_signature[1]


def load(path: str, outputs: Sequence[str] | None = None) -> Source:
  """Loads an export and finds the function that can be converted.

  Args:
    path: directory of a SavedModel: an encoder's, a text embedding's or a classifier's.
    outputs: OUTPUTS; None: all but the vectors of inner layers.

  Raises:
    RequestError: it takes nothing but text; an operation on strings is in the way; an output is
      unknown.
  """
  obj = tf.saved_model.load(path)
  record = files.join(path, names.EXTRA_DIR, names.PROVENANCE_FILE)
  kind = files.read_json(record).get('export_type', '') if files.exists(record) else ''
  signature, specs, found = _function_of(obj, path)
  unknown = set(outputs or ()) - set(found)
  if unknown:
    raise RequestError(f'OUTPUTS names {", ".join(sorted(unknown))}, which {path} does not return. '
                       f'It returns {", ".join(found)}')
  kept = tuple(outputs) if outputs else tuple(
      name for name in found if not name.startswith(names.ENCODER_OUTPUTS))
  inputs = tuple(name for name in names.ENCODER_INPUTS if name in specs)
  lengths = {spec.shape[1] for spec in specs.values()} - {None}
  weights = sum(int(v.shape.num_elements() or 0) * v.dtype.size
                for v in getattr(obj, 'variables', ()))
  source = Source(path, kind, obj, signature, inputs, kept, lengths.pop() if lengths else None,
                  weights)
  _refuse_strings(source)
  return source


def _function_of(obj: Any, path: str) -> tuple[str, dict[str, tf.TensorSpec], list[str]]:
  """Name of the signature ('' for the root), its inputs, and names of its outputs."""
  signatures = getattr(obj, 'signatures', {})
  taken, others = [], []
  for name in (names.TOKENS, names.SERVING_DEFAULT):
    if name not in signatures:
      continue
    specs = signatures[name].structured_input_signature[1]
    found = signatures[name].structured_outputs
    if not set(specs) <= set(names.ENCODER_INPUTS):
      taken.append(f'{name} takes {", ".join(sorted(specs))}')
    elif name == names.TOKENS or names.SEQUENCE_OUTPUT in found:
      return name, dict(specs), sorted(found)
    else:
      others.append((name, dict(specs), sorted(found)))
  root = _root_outputs(obj)
  if root is not None:
    specs = {name: tf.TensorSpec([None, None], tf.int32, name=name)
             for name in names.ENCODER_INPUTS}
    return '', specs, root
  if others:  # A Keras model on top of an encoder.
    return others[0]
  raise RequestError(
      f'{path} cannot become a form: none of its functions goes from token ids to vectors '
      f'({"; ".join(taken) or "it has no signature"}). Text is split into tokens by operations on '
      'strings, which no other runtime has. Convert an encoder, a text embedding or a classifier '
      f'with a signature {names.TOKENS!r}, and keep the preprocessing as a SavedModel beside it: '
      '--set EXPORT=... --set PREPROCESSING=...')


def _root_outputs(obj: Any) -> list[str] | None:
  """Names of the tensors that calling the root returns; None if it takes no token ids."""
  if not callable(obj):
    return None
  given = {name: tf.constant([[0]], tf.int32) for name in names.ENCODER_INPUTS}
  try:
    found = obj(given)
  except (TypeError, ValueError):  # What a SavedModel raises that has no such function.
    return None
  if not isinstance(found, dict) or names.SEQUENCE_OUTPUT not in found:
    return None
  return sorted(name for name, value in found.items() if tf.is_tensor(value))


def _refuse_strings(source: Source) -> None:
  """Says before any work what no other runtime could compute."""
  graph_def = source.any_length.get_concrete_function().graph.as_graph_def()
  in_the_way = sorted({node.op for node in _reached(graph_def) if _has_strings(node)})
  if in_the_way:
    raise RequestError(
        f'{source.path} cannot become a form: its function from token ids has '
        f'{", ".join(in_the_way)}, which work on strings or are no operations of TensorFlow, and '
        'no other runtime has them. Leave them out of the encoder, and keep them in the '
        'preprocessing')


def _reached(graph_def: graph_pb2.GraphDef) -> list[Any]:
  """The nodes of a graph and of the functions that it calls, directly or by way of others."""
  library = {f.signature.name: f for f in graph_def.library.function}
  nodes, waiting, seen = list(graph_def.node), list(graph_def.node), set()
  while waiting:
    for value in waiting.pop().attr.values():
      for called in (value.func, *value.list.func):
        if called.name in library and called.name not in seen:
          seen.add(called.name)
          nodes += library[called.name].node_def
          waiting += library[called.name].node_def
  return nodes


def _has_strings(node: Any) -> bool:
  if node.op in _HARMLESS:
    return False
  definition = op_def_registry.get(node.op)
  if definition is None:
    return True
  string = tf.string.as_datatype_enum
  arguments = (*definition.input_arg, *definition.output_arg)
  return any(argument.type == string or (
      argument.type_attr and node.attr[argument.type_attr].type == string)
             for argument in arguments)
