"""What do checks share? One loaded SavedModel and the few calls whose results serve several checks.

A shared result that cannot be had makes the checks that need it 'not run'; the check whose claim
it is makes the same call itself and fails.
"""

from __future__ import annotations

import collections
import functools
import os
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from nlp_export import names
from nlp_export.encoder_config.sequence_form import SequenceForm
from nlp_export.saved_models.verification import reference
from nlp_export.saved_models.verification.job import EXPECTATIONS, Job, PreprocessingExpectation
from nlp_export.saved_models.verification.registry import NotApplicable, NotRun
from nlp_export.saved_models.verification.traces import (
  RANDOM_OP,
  concrete_functions,
  fixed_length,
  kind_of,
  ops_below,
  training_of,
)

TOLERANCE = 1e-5

_T = TypeVar('_T')


def shared(function: Callable[[Any], _T]) -> Any:
  """A cached property whose failure is a NotRun for every check that reads it."""
  slot = f'_shared_{function.__name__}'

  @functools.wraps(function)
  def get(self: Any) -> _T:
    if slot not in self.__dict__:
      try:
        self.__dict__[slot] = (True, function(self))
      except (NotApplicable, NotRun) as error:
        self.__dict__[slot] = (False, error)
      except Exception as error:
        what = (function.__doc__ or function.__name__).splitlines()[0].rstrip('.')
        why = f'{what}: this did not work ({first_line(error)})'
        self.__dict__[slot] = (False, NotRun(why, after_failure=True))
    good, value = self.__dict__[slot]
    if not good:
      raise value
    return value

  return property(get)


def first_line(error: BaseException) -> str:
  """'ValueError: the message', cut to a readable length."""
  text = next((line.strip() for line in str(error).splitlines() if line.strip()), '')
  return f'{type(error).__name__}: {text}'[:300]


class Subject:
  """A loaded SavedModel.

  Attributes:
    job: what is verified and what is known about it.
    obj: what tf.saved_model.load returned.
    path: where it was loaded from.
    kind: its type.
    isolation: '' if the process is as it must be, else what is wrong with it (the worker's word).
    partner: the Subject of the encoder that belongs to this preprocessing, or None.
    memory: what checks remember for the other SavedModels of the same process.
  """

  def __init__(self, job: Job, obj: Any, path: str, isolation: str = '',
               partner: Subject | None = None, memory: dict[Any, Any] | None = None):
    self.job = job
    self.obj = obj
    self.path = path
    self.kind = kind_of(obj)
    self.isolation = isolation
    self.partner = partner
    self.memory = {} if memory is None else memory

  @property
  def told(self) -> Any:
    """What the maker knows; an empty expectation for a stranger's export."""
    if self.job.expected is not None:
      return self.job.expected
    return EXPECTATIONS.get(self.kind, PreprocessingExpectation)()

  def file(self, *parts: str) -> str:
    """Path of a file of the export."""
    return os.path.join(self.path, *parts)

  @property
  def asset_names(self) -> list[str]:
    """Base names of the files in assets/."""
    directory = self.file('assets')
    return sorted(os.listdir(directory)) if os.path.isdir(directory) else []


class TrainedSubject(Subject):
  """A loaded SavedModel with weights, and with a call that may drop."""

  def __init__(self, *args: Any, **kwargs: Any):
    super().__init__(*args, **kwargs)
    self.trainable = list(getattr(self.obj, 'trainable_variables', ()))
    self.variables = list(getattr(self.obj, 'variables', ()))

  @property
  def draws_random_numbers(self) -> bool | None:
    """Whether the trace for training holds a random op; None if there is no such trace."""
    ops = self.ops(training=True)
    return None if ops is None else any(RANDOM_OP.search(op) for op in ops)

  def ops(self, training: bool) -> collections.Counter[str] | None:
    """How often each op stands in a trace of the call; None if there is no such trace."""
    for function in concrete_functions(self.obj):
      if training_of(function) is training:
        return ops_below(function.graph.as_graph_def())
    return None


class EncoderSubject(TrainedSubject):
  """A loaded encoder."""

  def __init__(self, *args: Any, **kwargs: Any):
    super().__init__(*args, **kwargs)
    self.mlm: Any = getattr(self.obj, names.MLM, None)

  def call(self, inputs: dict[str, np.ndarray], training: bool = False) -> dict[str, Any]:
    """The root's outputs as NumPy arrays (`encoder_outputs` a list of them)."""
    return as_numpy(self._function(self.obj, training, tuple(inputs))(as_tensors(inputs)))

  def call_mlm(self, inputs: dict[str, np.ndarray], training: bool = False) -> dict[str, Any]:
    """The outputs of `.mlm` as NumPy arrays."""
    return as_numpy(self._function(self.mlm, training, tuple(inputs))(as_tensors(inputs)))

  def _function(self, obj: Any, training: bool, keys: tuple[str, ...]) -> Any:
    """A tf.function around a call, for every shape.

    Called directly, a loaded object is traced and its whole graph optimised anew for each shape.
    """
    cache = self.__dict__.setdefault('_functions', {})
    key = (id(obj), training, *sorted(keys))
    if key not in cache:
      spec = self.specs(keys)
      cache[key] = tf.function(lambda x: obj(x, training=training), input_signature=[spec],
                               autograph=False)
    return cache[key]

  def specs(self, keys: Iterable[str]) -> dict[str, tf.TensorSpec]:
    """int32 [None, seq_length] by name; seq_length is None unless there is only one."""
    return {name: tf.TensorSpec(
        [None, self.sequence.fixed_length if name in names.ENCODER_INPUTS else None], tf.int32)
        for name in keys}

  @property
  def sequence(self) -> SequenceForm:
    """Which lengths it takes: as told, or by the inputs of its traces."""
    if self.told.sequence is not None:
      return self.told.sequence
    if '_sequence' not in self.__dict__:
      self.__dict__['_sequence'] = SequenceForm(fixed_length=fixed_length(self.obj))
    return self.__dict__['_sequence']

  def length(self, wanted: int) -> int:
    """The seq_length of an input where `wanted` tokens would do."""
    return self.sequence.length(wanted)

  def named(self, pattern: str) -> tf.Variable | None:
    """The first trainable variable whose name matches a regular expression, or None."""
    return next((v for v in self.trainable if re.search(pattern, v.name)), None)

  @property
  def word_embeddings(self) -> tf.Variable | None:
    """The variable [vocab_size, embedding_width], or None if no name tells."""
    return self.named(r'word_embeddings?/embeddings')

  @property
  def vocab_size(self) -> int:
    """Rows of the word embeddings; 100, which any real vocabulary has, if they are not found."""
    table = self.word_embeddings
    return int(table.shape[0]) if table is not None else 100

  @property
  def max_positions(self) -> int | None:
    """The longest sequence, as told or by the position embeddings; None if neither tells."""
    if self.told.max_positions:
      return self.told.max_positions
    table = self.named(r'position_embeddings?/embeddings')
    return int(table.shape[0]) if table is not None else None

  @property
  def type_vocab_size(self) -> int | None:
    """Number of segments, as told or by the type embeddings; None if neither tells."""
    if self.told.type_vocab_size:
      return self.told.type_vocab_size
    table = self.named(r'type_embeddings?/embeddings')
    return int(table.shape[0]) if table is not None else None

  @property
  def num_layers(self) -> int | None:
    """Number of layers, as told or by the variables' names; None if neither tells."""
    if self.told.num_layers:
      return self.told.num_layers
    found = {m.group(1) for v in self.trainable if (m := re.search(r'layer_(\d+)/', v.name))}
    return len(found) or None

  @shared
  def direct(self) -> dict[str, Any]:
    """Calling the encoder, without `training`, on a dict of NumPy arrays in reverse order."""
    inputs, _ = self.probe
    return as_numpy(self.obj({name: inputs[name] for name in reversed(names.ENCODER_INPUTS)}))

  @shared
  def sentence_outputs(self) -> list[tuple[reference.Batch, dict[str, Any]]]:
    """Calling the encoder on the reference batches."""
    return [(batch, self.call(batch.inputs)) for batch in self.batches]

  @shared
  def batches(self) -> list[reference.Batch]:
    """Reading the reference values."""
    if self.told.reference_file:
      return reference.load_reference(self.told.reference_file)
    return reference.random_batches(self.vocab_size, self.max_positions or 512,
                                    self.type_vocab_size or 1)

  @shared
  def probe(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Calling the encoder on the probe batch.

    Rows: 0 six tokens padded with zeros to ten (or to the only length there is); 1 the same with
    other ids and types under mask 0; 2 the tokens of row 0 with other types. Inputs and outputs.
    """
    ids = 1 + np.arange(6) % max(self.vocab_size - 1, 1)
    length = self.length(10)
    inputs = {name: np.zeros((3, length), np.int32) for name in names.ENCODER_INPUTS}
    inputs[names.INPUT_WORD_IDS][:, :6] = ids[:length]
    inputs[names.INPUT_MASK][:, :6] = 1
    inputs[names.INPUT_WORD_IDS][1, 6:] = np.resize(ids, max(length - 6, 0))
    if (self.type_vocab_size or 1) > 1:
      inputs[names.INPUT_TYPE_IDS][1, 6:] = 1
      inputs[names.INPUT_TYPE_IDS][2, 3:6] = 1
    return inputs, self.call(inputs)

  @shared
  def mlm_outputs(self) -> list[tuple[reference.Batch, dict[str, Any]]]:
    """Calling .mlm on the reference batches."""
    return [(batch, self.call_mlm(batch.mlm_inputs)) for batch in self.batches]

  @property
  def head(self) -> list[tf.Variable]:
    """The trainable variables that `.mlm` has and the root has not."""
    root = {id(v) for v in self.trainable}
    return [v for v in getattr(self.mlm, 'trainable_variables', ()) if id(v) not in root]


def output(found: dict[str, Any], name: str) -> Any:
  """An output that `encoder.outputs` requires; without it a check that needs it is 'not run'."""
  if name not in found:
    raise NotRun(f'{name} is missing: see encoder.outputs', after_failure=True)
  return found[name]


def as_tensors(inputs: dict[str, np.ndarray]) -> dict[str, tf.Tensor]:
  """int32 tensors of the same keys."""
  return {name: tf.constant(value, tf.int32) for name, value in inputs.items()}


def as_numpy(outputs: Any) -> Any:
  """Tensors in dicts and lists as NumPy arrays; other values unchanged."""
  return tf.nest.map_structure(
      lambda t: t.numpy() if isinstance(t, tf.Tensor) else t, _plain(outputs))


def _plain(outputs: Any) -> Any:
  if isinstance(outputs, dict):
    return {k: _plain(v) for k, v in outputs.items()}
  if isinstance(outputs, (list, tuple)):
    return [_plain(v) for v in outputs]
  return outputs


def max_difference(a: Any, b: Any) -> float:
  """The largest absolute difference; infinite if shapes differ or a value is NaN."""
  a, b = np.asarray(a), np.asarray(b)
  if a.shape != b.shape:
    return float('inf')
  if not a.size:
    return 0.0
  difference = np.max(np.abs(a.astype(np.float64) - b.astype(np.float64)))
  return float('inf') if np.isnan(difference) else float(difference)
