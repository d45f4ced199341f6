"""What can be fine-tuned: an encoder from anywhere, with its values to go back to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from nlp_export import declared_losses, encoder_parts, names, poolers
from nlp_export.errors import RequestError
from nlp_export.glue.fine_tuning.arms import PoolerStart
from nlp_export.glue.fine_tuning.tokenised import TokenisedTexts
from nlp_export.initial_values import truncated_normal

NOT_REPRODUCIBLE = 'dropout not reproducible'

Call = Callable[[dict[str, tf.Tensor], bool], Mapping[str, Any]]
Tokenise = Callable[[Sequence[Sequence[str]], int], TokenisedTexts]


class TrainableEncoder:
  """An encoder and the values that each training starts from.

  Attributes:
    variables: canonical name -> trainable variable, in the encoder's own order. Names are those
      of TF-NLP's network, so that they are equal between an export and its baseline.
    dropout_state: int64 [2], see nlp_export/dropout.py; None where masks cannot be set.
    width: of a token's vector.
    num_layers: Transformer layers, as far as the encoder returns their outputs.
    has_pooled_output: whether it returns `pooled_output`.
    notes: for the reader of its results.
    pooler: to draw the pooler anew; None to take it as it is.
    regularization_losses: functions of nothing to a scalar, which are added to the loss of every
      batch.
    tokenise: (segments: each N strings, max_seq_length) -> TokenisedTexts.
  """

  def __init__(
      self,
      call: Call,
      variables: Sequence[tf.Variable],
      tokenise: Tokenise,
      *,
      dropout_state: tf.Variable | None,
      pooler: PoolerStart | None = None,
      pooler_source: poolers.PoolerSource | None = None,
      regularization_losses: declared_losses.Losses = (),
  ):
    """Takes the variables' present values as those to start from.

    Args:
      call: (dict of three int32 [batch, seq_length], training) -> outputs of TF Hub's text API.
      variables: the trainable ones.
      tokenise: see the class.
      dropout_state: see the class.
      pooler: see the class.
      pooler_source: for poolers that read the checkpoint.
      regularization_losses: see the class.
    """
    self._call = call
    self.variables = encoder_parts.by_name(variables)
    self.dropout_state = dropout_state
    self.tokenise = tokenise
    self.pooler = pooler
    self.regularization_losses = regularization_losses
    self.notes: tuple[str, ...] = () if dropout_state is not None else (NOT_REPRODUCIBLE,)
    self._pooler_source = pooler_source
    probe = self.outputs(
        {name: tf.ones([1, 3], tf.int32) * (name == names.INPUT_MASK)
         for name in names.ENCODER_INPUTS}, training=False)
    self.has_pooled_output = names.POOLED_OUTPUT in probe
    self.width = int(probe[names.SEQUENCE_OUTPUT].shape[-1])
    self.num_layers = len(probe.get(names.ENCODER_OUTPUTS, ()))
    self._initial: dict[str, np.ndarray] = {}
    self.start_from(list(self.variables.values()))

  def outputs(self, inputs: dict[str, tf.Tensor], training: bool) -> Mapping[str, Any]:
    """Calls the encoder.

    Args:
      inputs: names.ENCODER_INPUTS, each int32 [batch, seq_length].
      training: with dropout; advances `dropout_state`.

    Returns:
      `pooled_output` [batch, width], `sequence_output` [batch, seq_length, width],
      `encoder_outputs`: one [batch, seq_length, width] a layer.
    """
    return self._call(inputs, training)

  def start_from(self, values: Sequence[Any]) -> None:
    """Trainings start from these from now on.

    Args:
      values: one for each of `variables`, in their order: arrays or variables.
    """
    self._initial = {name: np.array(value)
                     for name, value in zip(self.variables, values, strict=True)}

  def initial(self, name: str) -> np.ndarray:
    """The value of a variable that trainings start from, unless the pooler is drawn."""
    return self._initial[name]

  def take_pooler_weights(self) -> None:
    """Lets trainings start from the weights that `pooler` gives without another seed.

    Without any the encoder counts as one without `pooled_output`, as its export is.
    """
    weights = self._pooler_weights(None)
    self.has_pooled_output = bool(weights)  # The network computes one all the same.
    self._initial |= weights

  def reset(self, pooler_seed: int | None = None) -> None:
    """Puts every variable back to its start.

    Args:
      pooler_seed: to draw the pooler with, if it is drawn.
    """
    start = self._initial
    if pooler_seed is not None and self.pooler is not None and self.pooler.draws:
      start = start | self._pooler_weights(pooler_seed)
    for name, variable in self.variables.items():
      variable.assign(start[name])

  def _pooler_weights(self, seed: int | None) -> dict[str, np.ndarray]:
    if self.pooler is None:
      return {}
    weights = self.pooler.weights(self.width, seed, self._pooler_source)
    if weights is None:
      return {}
    kernel, bias = self.pooler_names()
    return {kernel: weights.kernel, bias: weights.bias}

  def pooler_names(self) -> tuple[str, str]:
    """Names of the pooler's kernel and bias.

    Raises:
      RequestError: there is no layer of a known name.
    """
    for layer in names.POOLER_LAYER_NAMES:
      found = [name for part in ('kernel', 'bias') for name in self.variables
               if name == f'{layer}/{part}' or name.endswith(f'/{layer}/{part}')]
      if len(found) == 2:
        return found[0], found[1]
    raise RequestError(
        'The pooler was to be drawn anew, but the encoder has no variables of a pooler called '
        f'{", ".join(names.POOLER_LAYER_NAMES)}. Set POOLER_SEED to a number that is the same for '
        'all seeds, to take the pooler as it was exported')

  def last_layers(self, count: int) -> list[str]:
    """Names of the variables of the last `count` Transformer layers.

    Raises:
      RequestError: fewer layers have variables of their own.
    """
    return encoder_parts.last_layers(
        self.variables, count, 'trainable_layers or reinit_top_layers')

  def reinitialise(self, count: int, stddev: float, seed: int) -> None:
    """Starts the last `count` layers anew, after `reset` (Zhang et al. 2021)."""
    for index, name in enumerate(self.last_layers(count)):
      variable = self.variables[name]
      part = name.rpartition('/')[2].partition('#')[0]
      if part == 'kernel':
        # Each its own draw: the seeds of neighbours are far apart.
        variable.assign(truncated_normal(variable.shape, stddev, seed * 10_007 + index))
      else:
        variable.assign(tf.ones_like(variable) if part == 'gamma' else tf.zeros_like(variable))
