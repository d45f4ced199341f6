"""What do the traces of a loaded object tell, without calling them?"""

from __future__ import annotations

import collections
import re
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from nlp_export import names
from nlp_export.saved_models.verification.registry import Kind

RANDOM_OP = re.compile(r'Random|Multinomial|Bernoulli')


def kind_of(obj: Any) -> Kind:
  """The type of a loaded SavedModel, by its content."""
  if any(embeds_text(function) for function in concrete_functions(obj)):
    return Kind.TEXT_EMBEDDING
  if any(classifies_text(function) for function in concrete_functions(obj)):
    return Kind.CLASSIFIER
  if hasattr(obj, 'bert_pack_inputs') or hasattr(obj, 'tokenize'):
    return Kind.PREPROCESSING
  for function in concrete_functions(obj):
    if names.INPUT_WORD_IDS in str(function.structured_input_signature):
      return Kind.ENCODER
  return Kind.UNKNOWN


def embeds_text(function: Any) -> bool:
  """Whether a trace is that of TF Hub's text embedding: string [batch] -> float [batch, dim]."""
  args, _ = function.structured_input_signature
  given = args[0] if args else None
  found = function.structured_outputs
  return bool(
      isinstance(given, tf.TensorSpec) and given.dtype == tf.string
      and given.shape.rank in (1, None) and isinstance(found, (tf.TensorSpec, tf.Tensor))
      and found.dtype.is_floating and found.shape.rank in (2, None))


def classifies_text(function: Any) -> bool:
  """Whether a trace is that of our classifiers: strings [batch] -> dict with `logits`."""
  found = function.structured_outputs
  return bool(text_inputs_of(function) and isinstance(found, Mapping) and names.LOGITS in found)


def text_inputs_of(function: Any) -> int:
  """How many of a trace's arguments are string [batch]."""
  args, kwargs = function.structured_input_signature
  return sum(isinstance(value, tf.TensorSpec) and value.dtype == tf.string
             and value.shape.rank == 1 for value in (*args, *kwargs.values()))


def concrete_functions(obj: Any) -> list[Any]:
  """The traces of a loaded callable object or tf.function; [] if it is not callable."""
  call = obj if hasattr(obj, 'concrete_functions') else getattr(obj, '__call__', None)  # noqa: B004
  return list(getattr(call, 'concrete_functions', ()))


def ops_below(graph_def: Any) -> collections.Counter[str]:
  """The ops of a graph and of every function that it, or a function in it, calls; each once."""
  library = {f.signature.name: f.node_def for f in graph_def.library.function}
  ops: collections.Counter[str] = collections.Counter()
  seen, to_visit = set(), [graph_def.node]
  while to_visit:
    for node in to_visit.pop():
      called = [node.op, *(a.func.name for a in node.attr.values() if a.HasField('func'))]
      if node.op not in library:
        ops[node.op] += 1
      for name in called:
        if name in library and name not in seen:
          seen.add(name)
          to_visit.append(library[name])
  return ops


def training_of(function: Any) -> Any:
  """The value of `training` in a trace: by keyword, or the second positional argument."""
  args, kwargs = function.structured_input_signature
  if 'training' in kwargs:
    return kwargs['training']
  return args[1] if len(args) > 1 else None


def fixed_length(obj: Any) -> int | None:
  """The static seq_length of the encoder inputs in every trace; None if it is open."""
  lengths = {tuple(spec.shape)[1:2] for function in concrete_functions(obj)
             for spec in _word_ids_of(function)}
  only = lengths.pop() if len(lengths) == 1 else ()
  return int(only[0]) if only and only[0] is not None else None


def _word_ids_of(function: Any) -> list[Any]:
  args, kwargs = function.structured_input_signature
  return [value[names.INPUT_WORD_IDS] for value in (*args, *kwargs.values())
          if isinstance(value, dict) and names.INPUT_WORD_IDS in value]


def training_values(obj: Any) -> list[Any]:
  """`training` of each trace of a loaded callable."""
  return [training_of(f) for f in concrete_functions(obj)]
