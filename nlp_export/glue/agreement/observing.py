"""What does one arm make of a batch with dropout off: outputs, loss and gradients?"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from nlp_export import names
from nlp_export.glue.fine_tuning import runtime
from nlp_export.glue.fine_tuning.classifier import Classifier
from nlp_export.glue.fine_tuning.recipe import FLOAT32
from nlp_export.glue.fine_tuning.trainable_encoder import TrainableEncoder


@dataclasses.dataclass(frozen=True)
class Observation:
  """Values of one arm.

  Attributes:
    layers: `encoder_outputs`, each float32 [B, S, h].
    sequence: `sequence_output`, float32 [B, S, h].
    pooled: `pooled_output`, float32 [B, h]; None if the encoder has none.
    logits: float32 [B, outputs].
    loss: float32, a scalar.
    gradients: norm of the loss' gradient by variable of the encoder; None where there is none.
    head_gradients: likewise for the head: 'head/kernel', 'head/bias'.
  """

  layers: tuple[np.ndarray, ...]
  sequence: np.ndarray
  pooled: np.ndarray | None
  logits: np.ndarray
  loss: np.ndarray
  gradients: Mapping[str, float | None]
  head_gradients: Mapping[str, float | None]


def observe(
    classifier: Classifier, inputs: Mapping[str, np.ndarray], labels: np.ndarray
) -> Observation:
  """One forward and one backward pass in a float32 graph, as training makes them, dropout off.

  Args:
    classifier: nothing of it is changed.
    inputs: of the encoder, int32 [B, S].
    labels: int32 [B]; float32 [B] for a regression.
  """
  variables, encoder = classifier.variables(), _Recorder(classifier.encoder)
  recording: Any = copy.copy(classifier)
  recording.encoder = encoder  # Logits come from the very outputs that are compared.

  @tf.function(autograph=False)
  def step(inputs: dict[str, tf.Tensor], labels: tf.Tensor) -> dict[str, Any]:
    with tf.GradientTape() as tape:
      logits = recording.logits(inputs, training=False)
      loss = recording.loss(logits, labels)
    gradients = tape.gradient(loss, list(variables.values()))
    return {'outputs': encoder.recorded, 'logits': logits, 'loss': loss,
            'norms': [_norm(g) for g in gradients]}

  with runtime.precision(FLOAT32):
    seen = step({name: tf.constant(value) for name, value in inputs.items()}, tf.constant(labels))
  outputs = seen['outputs']
  norms = {name: None if norm is None else float(norm)
           for name, norm in zip(variables, seen['norms'], strict=True)}
  pooled = outputs.get(names.POOLED_OUTPUT)
  return Observation(
      tuple(layer.numpy() for layer in outputs.get(names.ENCODER_OUTPUTS, ())),
      outputs[names.SEQUENCE_OUTPUT].numpy(), None if pooled is None else pooled.numpy(),
      seen['logits'].numpy(), seen['loss'].numpy(),
      {name: norm for name, norm in norms.items() if name not in classifier.head},
      {name: norms[name] for name in classifier.head})


class _Recorder:
  """An encoder that keeps the outputs of its last call."""

  def __init__(self, encoder: TrainableEncoder):
    self._encoder = encoder
    self.recorded: dict[str, Any] = {}

  def outputs(self, inputs: dict[str, tf.Tensor], training: bool) -> Mapping[str, Any]:
    """See TrainableEncoder."""
    outputs = self._encoder.outputs(inputs, training)
    self.recorded = {name: outputs[name] for name in _KEPT if name in outputs}
    return outputs


_KEPT = (names.ENCODER_OUTPUTS, names.SEQUENCE_OUTPUT, names.POOLED_OUTPUT)


def _norm(gradient: Any) -> tf.Tensor | None:
  """Of a dense or sparse gradient; the rows of a sparse one are summed first."""
  return None if gradient is None else tf.norm(tf.convert_to_tensor(gradient))
