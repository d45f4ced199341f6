"""Which compiled functions train and predict, and how long do they stay?

A function is compiled for one length of its batch; batches have few lengths (batches.py). It stays
for every later training of the same graph: other seeds, other poolers, other tasks of as many
classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from nlp_export import names
from nlp_export.glue.fine_tuning import batches, runtime
from nlp_export.glue.fine_tuning.adamw import AdamW
from nlp_export.glue.fine_tuning.classifier import Classifier
from nlp_export.glue.fine_tuning.recipe import Recipe
from nlp_export.glue.fine_tuning.tokenised import TokenisedTexts

_EVALUATION_BATCH = 64
_PADDING = 0  # The word id that fills up rows, as in every one of TF Hub's text encoders.


class Trainer:
  """A classifier, its optimizer and their compiled functions.

  Attributes:
    classifier: what is trained.
  """

  def __init__(self, classifier: Classifier, recipe: Recipe):
    """Nothing is compiled yet.

    Args:
      classifier: what is trained.
      recipe: of the trainings; all but its learning rate and length of training is compiled in.
    """
    self.classifier = classifier
    self._recipe = recipe
    self._trained = classifier.trained()
    self._optimizer = AdamW(self._trained, recipe, whole=classifier.regularized_names())
    self._steps: dict[int, Callable[..., Any]] = {}
    self._predictions: dict[int, Callable[..., Any]] = {}

  def reset(self, init_seed: int, pooler_seed: int | None) -> None:
    """Everything as it is before the first step of a training with these seeds."""
    self.classifier.reset(init_seed, pooler_seed)
    self._optimizer.reset()

  def state(self) -> tf.train.Checkpoint:
    """All that a training changes; writing and restoring it resumes exactly."""
    parts = {'variables': list(self.classifier.variables().values()),
             'moments': [moment for pair in self._optimizer.moments.values() for moment in pair],
             'head_dropout': self.classifier.head_dropout.variable}
    if self.classifier.encoder.dropout_state is not None:
      parts['dropout'] = self.classifier.encoder.dropout_state
    return tf.train.Checkpoint(**parts)

  def restored(self) -> None:
    """After `state` was read."""
    self._optimizer.read_back()

  def finish(self, learning_rates: Iterable[float]) -> None:
    """Does what steps leave to do, before the variables are read; may be repeated, or come again.

    Args:
      learning_rates: of all steps since `reset`.
    """
    self._optimizer.decay_absent(learning_rates)

  def prepare(self, texts: TokenisedTexts, lengths: Iterable[int]) -> None:
    """Compiles for these lengths, so that no measured step does. The values are lost: `reset`.

    Args:
      texts: all that there is to train on.
      lengths: of the batches.
    """
    self._optimizer.choose_words(np.append(texts.word_ids, _PADDING))  # Also for texts of no token.
    missing = sorted(set(lengths) - set(self._steps))
    if missing:  # Their first steps need moments of these words; `reset` makes them else.
      self._optimizer.reset()
    for length in missing:
      rows = TokenisedTexts(
          np.full(1, _PADDING, np.int32), np.zeros(1, np.int32), np.array([0, 1]))
      self.step(rows, np.zeros(1, self._label_dtype()), batches.Batch(np.zeros(1, int), length),
                step=0, learning_rate=0.0)

  def step(
      self, texts: TokenisedTexts, labels: np.ndarray, batch: batches.Batch, step: int,
      learning_rate: float,
  ) -> tuple[float, float]:
    """One training step.

    Args:
      texts: the whole split.
      labels: [N] of the whole split.
      batch: which rows.
      step: its number from 0.
      learning_rate: of this step.

    Returns:
      The batch's loss of its task, and the global norm of the gradients before clipping, to which
      the encoder's regularization losses add theirs.
    """
    inputs = _filled(texts, batch, self._recipe.batch_size)
    weights = np.zeros(self._recipe.batch_size, np.float32)
    weights[:len(batch.rows)] = 1
    padded = np.zeros(self._recipe.batch_size, self._label_dtype())
    padded[:len(batch.rows)] = labels[batch.rows]
    if batch.length not in self._steps:
      self._steps[batch.length] = self._compiled_step(batch.length)
    loss, norm = self._steps[batch.length](
        *inputs, *(tf.constant(value) for value in (padded, weights)),
        *(tf.constant(value, tf.float32)
          for value in (learning_rate, *self._optimizer.powers(step))))
    return float(loss), float(norm)

  def predict(self, texts: TokenisedTexts, check: Callable[[], None] | None = None) -> np.ndarray:
    """Logits, or values of a regression, without dropout.

    Args:
      texts: N rows.
      check: called before each batch; may raise.

    Returns:
      float32 [N, outputs].
    """
    outputs = np.zeros([len(texts), self.classifier.outputs], np.float32)
    for batch in batches.for_evaluation(
        texts.lengths, _EVALUATION_BATCH, self._recipe.max_seq_length):
      if check is not None:
        check()
      if batch.length not in self._predictions:
        self._predictions[batch.length] = self._compiled_prediction(batch.length)
      found = self._predictions[batch.length](*_filled(texts, batch, _EVALUATION_BATCH))
      outputs[batch.rows] = found.numpy()[:len(batch.rows)]
    return outputs

  def _label_dtype(self) -> Any:
    return np.float32 if self.classifier.is_regression else np.int32

  def _compiled_step(self, length: int) -> Callable[..., Any]:
    size = self._recipe.batch_size
    specs = [*_input_specs(size, length), tf.TensorSpec([size], self._label_dtype()),
             tf.TensorSpec([size], tf.float32), *[tf.TensorSpec([], tf.float32)] * 3]
    classifier, trained = self.classifier, list(self._trained.values())

    @tf.function(input_signature=specs, autograph=False)
    def train(word_ids, input_mask, type_ids, labels, weights, rate, power_1, power_2):
      with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(trained)
        logits = classifier.logits(_inputs(word_ids, input_mask, type_ids), training=True)
        loss = classifier.loss(logits, labels, weights)
        with_weights = classifier.regularized(loss)
      gradients = tape.gradient(with_weights, trained)
      return loss, self._optimizer.apply(gradients, rate, (power_1, power_2))

    return self._concrete(train)

  def _compiled_prediction(self, length: int) -> Callable[..., Any]:
    specs = _input_specs(_EVALUATION_BATCH, length)

    @tf.function(input_signature=specs, autograph=False)
    def predict(word_ids, input_mask, type_ids):
      return self.classifier.logits(_inputs(word_ids, input_mask, type_ids), training=False)

    return self._concrete(predict)

  def _concrete(self, function: Any) -> Callable[..., Any]:
    compiled = function.get_concrete_function()

    def run(*values: Any) -> Any:
      with runtime.precision(self._recipe.precision):
        return compiled(*values)

    return run


def _input_specs(batch_size: int, length: int) -> list[tf.TensorSpec]:
  return [tf.TensorSpec([batch_size, length], tf.int32, name=name)
          for name in names.ENCODER_INPUTS]


def _inputs(word_ids: tf.Tensor, input_mask: tf.Tensor, type_ids: tf.Tensor
            ) -> dict[str, tf.Tensor]:
  return dict(zip(names.ENCODER_INPUTS, (word_ids, input_mask, type_ids), strict=True))


def _filled(texts: TokenisedTexts, batch: batches.Batch, batch_size: int) -> Sequence[tf.Tensor]:
  """The inputs with rows up to the batch size, so that the last batch has the others' shape."""
  inputs = texts.padded(batch.rows, batch.length)
  missing = batch_size - len(batch.rows)
  if missing:
    inputs = {name: np.pad(value, [(0, missing), (0, 0)]) for name, value in inputs.items()}
    inputs[names.INPUT_MASK][-missing:, 0] = 1  # A row without any token would attend to nothing.
  return [tf.constant(inputs[name]) for name in names.ENCODER_INPUTS]
