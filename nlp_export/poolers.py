"""How does the pooler of an exported encoder start?

A pooler is a function with the parameters it needs of these two, plus its own with defaults:

    width       hidden size h of the encoder
    checkpoint  a `PoolerSource`: the poolers that the checkpoint holds

and returns `PoolerWeights`, or None for an encoder without a pooler. One that has a parameter
`seed` is random: where encoders are fine-tuned, it is drawn anew for each seed. Register it with
`@gin.register(module='poolers')`, import its module in the gin file, and name it in POOLERS.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import gin
import numpy as np

from nlp_export import names
from nlp_export.errors import RequestError
from nlp_export.initial_values import truncated_normal
from nlp_export.own_parts import explain_part


@dataclasses.dataclass(frozen=True)
class PoolerWeights:
  """The weights of `pooled_output = tanh(sequence_output[:, 0] @ kernel + bias)`.

  Attributes:
    kernel: float32 [h, h].
    bias: float32 [h].
    origin: one plain sentence for the model card: where these weights come from.
    arguments: what the strategy was given, as JSON values: enough to make them again.
  """

  kernel: np.ndarray
  bias: np.ndarray
  origin: str = ''
  arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class DenseReader(Protocol):
  """The part of an open checkpoint that poolers use."""

  @property
  def name(self) -> str:
    """Base name of the checkpoint."""

  def dense(self, item: str) -> tuple[np.ndarray, np.ndarray]:
    """Kernel [in, out] and bias [out] of a dense layer; RequestError if there is none."""


class PoolerSource:
  """What a pooler may read of a checkpoint."""

  def __init__(
      self,
      checkpoint: DenseReader,
      encoder_pooler: tuple[np.ndarray, np.ndarray] | None,
      item_names: Mapping[str, str] | None = None,
      why_no_pooler: str = '',
  ):
    """Binds a checkpoint that is being exported.

    Args:
      checkpoint: the open checkpoint.
      encoder_pooler: kernel [h, h] and bias [h] of the encoder's own pooler, if it has one.
      item_names: what the file calls a canonical item, where it differs.
      why_no_pooler: the reason where `encoder_pooler` is None.
    """
    self._checkpoint = checkpoint
    self._encoder_pooler = encoder_pooler
    self._item_names = item_names or {}
    self._why_no_pooler = why_no_pooler

  @property
  def name(self) -> str:
    """Base name of the checkpoint, for sentences."""
    return self._checkpoint.name

  def encoder_pooler(self) -> PoolerWeights:
    """The pooler that is part of the encoder in the checkpoint.

    Raises:
      RequestError: the checkpoint's encoder has none.
    """
    if self._encoder_pooler is None:
      raise RequestError(
          f'Pooler keep needs the encoder\'s own pooler, but {self.name} holds none'
          f'{self._why_no_pooler and ": " + self._why_no_pooler}. '
          "Use --set POOLERS='(@poolers.random,)', @poolers.identity or @poolers.none.")
    return PoolerWeights(*self._encoder_pooler)

  def head_dense(self, head: str) -> PoolerWeights:
    """The dense layer of a pre-training head, for example 'next_sentence'.

    Raises:
      RequestError: the checkpoint holds no such head, or one without a dense layer.
    """
    item = f'{self._item_names.get(head, head)}.pooler_dense'
    return PoolerWeights(*self._checkpoint.dense(item))


Pooler = Callable[..., PoolerWeights | None]


@gin.register(module='poolers')
def keep(checkpoint: PoolerSource) -> PoolerWeights:
  """What the checkpoint's encoder holds: right for converted TF1 models and Hugging Face's.

  BertPretrainerV2 does not train the encoder's pooler: kept from there it is the untrained
  initial value.

  Args:
    checkpoint: the checkpoint that is exported.

  Returns:
    kernel [h, h] and bias [h], float32.

  Raises:
    RequestError: the checkpoint's encoder has no pooler.
  """
  return dataclasses.replace(
      checkpoint.encoder_pooler(),
      origin='The pooler is kept as the checkpoint\'s encoder holds it. (TF-NLP\'s '
             'BertPretrainerV2 does not train that layer; converted TF1 checkpoints and '
             'Hugging Face folders hold the one that was trained, if any was.)')


@gin.register(module='poolers')
def copy_nsp(checkpoint: PoolerSource, head: str = 'next_sentence') -> PoolerWeights:
  """The dense layer of the next-sentence (or other) head, as in classic BERT.

  Args:
    checkpoint: the checkpoint that is exported.
    head: name of the classification head: its item is `<head>.pooler_dense`.

  Returns:
    kernel [h, h] and bias [h], float32.

  Raises:
    RequestError: the checkpoint holds no such head, or one without a dense layer.

  Source: TF-NLP docs/tfhub.md, flag --copy_pooler_dense_to_encoder.
  """
  return dataclasses.replace(
      checkpoint.head_dense(head), arguments={'head': head},
      origin=f'The pooler is a copy of the dense layer of the pre-training head "{head}", '
             'as in classic BERT.')


@gin.register(module='poolers')
def random(width: int, seed: int = 0, stddev: float = 0.02) -> PoolerWeights:
  """Untrained: truncated normal kernel, zero bias. The same seed gives the same bytes.

  Args:
    width: hidden size h of the encoder.
    seed: of the draw; not shared with anything else.
    stddev: standard deviation of the normal distribution before it is cut at two of them
      (TF-NLP's `initializer_range`).

  Returns:
    kernel [h, h] and bias [h], float32.

  Source: BERT's initialisation (Devlin et al. 2018, google-research/bert modeling.py,
    create_initializer); that untrained poolers fine-tune better is folklore that TF-NLP
    docs/tfhub.md reports.
  """
  if not stddev > 0:
    raise RequestError(f'Pooler random got stddev = {stddev!r}, which gives no random kernel. '
                       'Set random.stddev to a positive number such as 0.02.')
  if seed < 0:
    raise RequestError(f'Pooler random got seed = {seed!r}; seeds start at 0. Set random.seed to 0 '
                       'or a positive whole number.')
  return PoolerWeights(
      truncated_normal((width, width), stddev, seed), np.zeros(width, np.float32),
      origin=f'The pooler is untrained: drawn from a truncated normal distribution with '
             f'standard deviation {stddev:g}, seed {seed}.',
      arguments={'seed': seed, 'stddev': stddev})


@gin.register(module='poolers')
def identity(width: int) -> PoolerWeights:
  """pooled_output = tanh of the [CLS] vector itself, as in Google's BERT Experts (2020).

  Args:
    width: hidden size h of the encoder.

  Returns:
    kernel [h, h] and bias [h], float32: the identity matrix and zeros.

  Source: TF-NLP docs/tfhub.md, "Exporting the Encoder alone".
  """
  return PoolerWeights(
      np.eye(width, dtype=np.float32), np.zeros(width, np.float32),
      origin='The pooler is the identity: pooled_output is tanh of the [CLS] vector.')


@gin.register(module='poolers')
def none() -> None:
  """No pooler: an export without pooled_output, whose default is the [CLS] vector."""
  return None


NO_POOLER = ('There is no pooler: the export has no pooled_output, and default is the [CLS] '
             'vector of sequence_output.')


def draws(pooler: Pooler) -> bool:
  """Whether a pooler is random: it takes a `seed`."""
  return 'seed' in inspect.signature(pooler).parameters


def check_arguments(functions: Mapping[str, Pooler], width: int) -> None:
  """Calls the poolers that need no checkpoint, so that a wrong argument is told before any work.

  Args:
    functions: name as written in gin -> strategy.
    width: hidden size h.

  Raises:
    RequestError: see `initialise`.
  """
  for name, pooler in functions.items():
    if 'checkpoint' not in inspect.signature(pooler).parameters:
      initialise(pooler, name, width, None)


def initialise(
    pooler: Pooler, name: str, width: int, checkpoint: PoolerSource | None,
    arguments: Mapping[str, Any] | None = None,
) -> PoolerWeights | None:
  """Calls a pooler with what it asks for, and checks what it returns.

  Args:
    pooler: one of this file, or a user's.
    name: the reference as written in gin, for messages.
    width: hidden size h.
    checkpoint: the checkpoint that is exported; None for a pooler that does not ask for it.
    arguments: of its own, instead of what gin binds.

  Returns:
    Weights of the right shapes, float32 and finite; None for no pooler.

  Raises:
    RequestError: the pooler refuses, or returns something else.
  """
  offered = {'width': width, 'checkpoint': checkpoint}
  parameters = inspect.signature(pooler).parameters
  with explain_part(pooler, f'Pooler {name}'):
    weights = pooler(**{k: v for k, v in offered.items() if k in parameters}, **(arguments or {}))
  if weights is None:
    return None
  if not isinstance(weights, PoolerWeights):
    raise RequestError(
        f'Pooler {name} returned {type(weights).__name__}. A pooler returns '
        'nlp_export.poolers.PoolerWeights(kernel, bias), or None for no pooler.')
  kernel, bias = _array(weights.kernel, 'kernel', name), _array(weights.bias, 'bias', name)
  if kernel.shape != (width, width) or bias.shape != (width,):
    raise RequestError(
        f'Pooler {name} returned kernel {list(kernel.shape)} and bias {list(bias.shape)}; the '
        f'encoder is {width} wide. Return kernel [{width}, {width}] and bias [{width}].')
  if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
    raise RequestError(f'Pooler {name} returned weights that are NaN or infinite as float32. '
                       'Return finite ones.')
  try:
    json.dumps(dict(weights.arguments), allow_nan=False)
  except (TypeError, ValueError) as error:
    raise RequestError(
        f'Pooler {name} returned the arguments {weights.arguments!r}, which JSON cannot hold '
        f'({error}). Return a dict of plain numbers, strings and lists.') from error
  return dataclasses.replace(
      weights, kernel=kernel, bias=bias,
      origin=weights.origin or f'The pooler was made by {name}.')


def _array(value: Any, what: str, name: str) -> np.ndarray:
  """float32; what is beyond its range is infinite there."""
  try:
    array = np.asarray(value)
  except (TypeError, ValueError):  # Ragged lists.
    array = np.array(None)
  if array.dtype.kind not in 'fiub':
    raise RequestError(
        f'Pooler {name} returned a {what} of type {type(value).__name__} ({array.dtype}), which is '
        'no array of real numbers. Return numpy arrays of float32.')
  with np.errstate(over='ignore'):
    return array.astype(np.float32)


def layer_of(network: Any) -> Any:
  """The dense layer that makes `pooled_output` of a TF-NLP encoder; None where there is none.

  Args:
    network: a built encoder. BERT has the attribute `pooler_layer`; ALBERT's functional
      model has only the layer's name.
  """
  layer = getattr(network, 'pooler_layer', None) or getattr(network, '_pooler_layer', None)
  if layer is not None:
    return layer
  return next((m for m in network.submodules
               if getattr(m, 'name', None) in names.POOLER_LAYER_NAMES), None)
