"""Which sequence lengths does an encoder take, and how many vectors come out of each layer?

Most encoders take every length up to their positions and give one vector for each token. Of
TF-NLP's types bigbird, fnet, sparse_mixer and funnel differ. No TensorFlow here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from nlp_export.encoder_config import block_facts, support
from nlp_export.errors import RequestError


@dataclasses.dataclass(frozen=True)
class SequenceForm:
  """Lengths of what goes in and of what comes out.

  Attributes:
    fixed_length: the only seq_length that the encoder takes; None: any.
    padded_length: any seq_length up to this is taken and padded to it inside; None: not padded.
    strides: pooling by these factors, one a layer; () for no pooling.
    unpooled: leading tokens that are left out of the pooling.
    drops_rest: whether a last window that is not full is dropped (it is pooled otherwise).
  """

  fixed_length: int | None = None
  padded_length: int | None = None
  strides: tuple[int, ...] = ()
  unpooled: int = 0
  drops_rest: bool = False

  def __post_init__(self) -> None:
    object.__setattr__(self, 'strides', tuple(self.strides))  # JSON has lists.

  def length(self, wanted: int) -> int:
    """The length an input must have where `wanted` tokens would do."""
    return self.fixed_length or wanted

  @property
  def pools(self) -> bool:
    """Whether there are fewer vectors than tokens."""
    return any(stride != 1 for stride in self.strides)

  def layer_lengths(self, seq_length: int, num_layers: int) -> tuple[int, ...]:
    """How many vectors each layer returns for inputs of `seq_length` tokens."""
    lengths = []
    for stride in self.strides or (1,) * num_layers:
      if stride != 1 and self.drops_rest:
        seq_length //= stride
      elif stride != 1:
        kept = min(self.unpooled, seq_length)
        seq_length = kept + -(-(seq_length - kept) // stride)
      lengths.append(seq_length)
    return tuple(lengths)

  def output_length(self, seq_length: int | None) -> int | None:
    """How many vectors sequence_output has for each row; None for an unknown seq_length."""
    if seq_length is None:
      return None
    return self.layer_lengths(seq_length, 1)[-1]

  def to_json(self) -> dict[str, Any]:
    """Fields as JSON values: `SequenceForm(**value)` makes an equal one."""
    return {**dataclasses.asdict(self), 'strides': list(self.strides)}


# Every length up to the positions, one vector for each token: most encoders.
PLAIN = SequenceForm()


def of(spec: Any) -> SequenceForm:
  """The form of an encoder.

  Args:
    spec: EncoderSpec or BuiltEncoder. A built network says by the static shape of its `inputs`
      whether it takes one length only.
  """
  if spec.type in ('any', 'own'):
    return SequenceForm(fixed_length=_declared_length(getattr(spec, 'network', None)))
  kind = support.of(spec.type).seq_length
  if spec.type == 'funnel':
    return _of_funnel(spec.config)
  return SequenceForm(
      fixed_length=spec.max_positions if kind == support.FIXED else None,
      padded_length=spec.max_positions if kind == support.PADDED else None)


def _of_funnel(block: Mapping[str, Any]) -> SequenceForm:
  one_length = block_facts.pools_for_one_length(block)
  return SequenceForm(
      fixed_length=block['max_position_embeddings'] if one_length else None,
      strides=block_facts.strides(block), unpooled=block['unpool_length'], drops_rest=one_length)


def _declared_length(network: Any) -> int | None:
  """The static seq_length of a built network's inputs, if it has declared one."""
  inputs = getattr(network, 'inputs', None)
  values = inputs.values() if isinstance(inputs, Mapping) else inputs or ()
  lengths = {tuple(getattr(value, 'shape', ()))[1:2] for value in values}
  if len(lengths) != 1:
    return None
  only = lengths.pop()
  return int(only[0]) if only and only[0] is not None else None


def check_default_seq_length(spec: Any, default_seq_length: int) -> None:
  """Refuses a DEFAULT_SEQ_LENGTH whose rows the encoder does not take.

  Raises:
    RequestError: the encoder takes another length only.
  """
  form = of(spec)
  if form.fixed_length is not None and default_seq_length != form.fixed_length:
    raise RequestError(
        f'DEFAULT_SEQ_LENGTH is {default_seq_length}, but the {spec.type} encoder from '
        f'{spec.source} takes rows of {form.fixed_length} tokens and no others, so it would refuse '
        f'what the preprocessing gives. Write --set DEFAULT_SEQ_LENGTH={form.fixed_length}')


def output_description(
    form: SequenceForm, num_layers: int | None, max_positions: int | None) -> str:
  """How many vectors sequence_output has; '' for one a token, as everybody expects.

  Args:
    form: of the encoder.
    num_layers: its Transformer layers.
    max_positions: its longest sequence.
  """
  if not form.pools or num_layers is None:
    return ''
  example = form.fixed_length or min(128, max_positions or 128)
  lengths = ', '.join(map(str, form.layer_lengths(example, num_layers)))
  return f'S\' is the length after pooling: for S = {example}, the layers return {lengths} vectors.'


def description(form: SequenceForm, max_positions: int | None) -> str:
  """One sentence for the model card: which seq_length S the encoder takes.

  Args:
    form: of the encoder.
    max_positions: its longest sequence; None if there is no limit.
  """
  if form.fixed_length is not None:
    return f'S is {form.fixed_length}: other lengths are refused.'
  if form.padded_length is not None:
    return (f'S is at most {form.padded_length}; shorter rows are padded to {form.padded_length} '
            'inside, so that every length costs as much as the longest. Results are those of rows '
            f'that were padded to {form.padded_length} before.')
  if max_positions is None:
    return 'S is any length.'
  return f'S is at most {max_positions}.'
