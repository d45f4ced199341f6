"""What does a Keras model on a text layer score? Built and fitted as document 002 does."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from nlp_export import encoder_parts
from nlp_export.errors import RequestError
from nlp_export.glue import data, metrics
from nlp_export.glue.examples import Examples
from nlp_export.glue.fine_tuning import runtime
from nlp_export.glue.tasks import TRAIN
from nlp_export.question_pairs.request import SEPARATOR, Request, label
from nlp_export.running import interrupts
from nlp_export.text_layers.tf_keras_layer import TextEncoder


@dataclasses.dataclass(frozen=True)
class Pairs:
  """Strings 'first ||| second' and their labels.

  Attributes:
    texts: N strings.
    labels: int32 [N], 0 or 1.
  """

  texts: tuple[str, ...]
  labels: np.ndarray

  def __len__(self) -> int:
    return len(self.texts)


def load(request: Request) -> tuple[Pairs, Pairs]:
  """Training and validation pairs.

  Raises:
    RequestError: the data are missing or malformed, or have the separator in a text.
  """
  splits = data.load_for_training(request.glue_task, request.source)
  (dev,) = request.glue_task.dev_splits
  return (_pairs(splits[TRAIN], request.train_examples, request.seed),
          _pairs(splits[dev], request.dev_examples, request.seed))


def _pairs(examples: Examples, count: int | None, seed: int) -> Pairs:
  for row, both in enumerate(zip(*examples.texts, strict=True)):
    if any(SEPARATOR in text for text in both):
      raise RequestError(
          f'{examples.where(row)}: a text has {SEPARATOR!r} in it, which separates the two texts '
          'of a pair here. Remove it from the text')
  rows = np.arange(len(examples))
  if count is not None and count < len(rows):
    rows = np.sort(np.random.default_rng([seed, len(rows)]).permutation(rows)[:count])
  first, second = examples.texts
  if examples.labels is None:
    raise RequestError(f'{examples.place} has no labels. Take the labelled file')
  return Pairs(tuple(f'{first[row]} {SEPARATOR} {second[row]}' for row in rows),
               examples.labels[rows])


def build(request: Request, pooling: Any) -> tuple[Any, TextEncoder]:
  """The compiled model of one pooling, and its text layer."""
  tf_keras.utils.set_random_seed(request.seed)
  settings = request.settings(pooling)
  layer = TextEncoder(**{**settings.to_config(), 'name': 'text_encoder'})
  state = layer.exported.variables.get('dropout_state')
  if state is not None:
    state.assign([request.seed, 0])
  text = tf_keras.Input((), dtype=tf.string, name='text')
  probability = tf_keras.layers.Dense(1, 'sigmoid', name='head')(layer(text))
  model = tf_keras.Model(text, probability)
  model.compile(tf_keras.optimizers.Adam(request.learning_rate), 'binary_crossentropy',
                metrics=['accuracy'])
  return model, layer


def run(request: Request, pooling: Any, train: Pairs, dev: Pairs, say: Callable[[str], None]
        ) -> dict[str, Any]:
  """Trains one model.

  Args:
    request: how.
    pooling: which.
    train, dev: of `load`.
    say: shows a line after each epoch.

  Returns:
    JSON values: `history` (a dict an epoch), `metrics` of the dev set after the last one, `seconds`
    of training and evaluations, what the encoder is and how much of it trained.
  """
  runtime.make_deterministic()
  model, layer = build(request, pooling)
  batches = tf.data.Dataset.from_tensor_slices((list(train.texts), train.labels))
  batches = batches.shuffle(len(train), seed=request.seed).batch(request.batch_size)
  validation = tf.data.Dataset.from_tensor_slices((list(dev.texts), dev.labels))
  validation = validation.batch(request.batch_size)
  history: list[dict[str, float]] = []

  def epoch_ended(epoch: int, logs: Mapping[str, float]) -> None:
    interrupts.check()
    history.append({'epoch': epoch + 1, **{name: float(value) for name, value in logs.items()}})
    say(f'  {label(pooling)}, epoch {epoch + 1} of {request.epochs}: loss {logs["loss"]:.4f}, '
        f'accuracy {logs["accuracy"]:.1%}; validation loss {logs["val_loss"]:.4f}, accuracy '
        f'{logs["val_accuracy"]:.1%}')

  start = time.perf_counter()
  model.fit(batches.prefetch(1), validation_data=validation, epochs=request.epochs, verbose=0,
            callbacks=[tf_keras.callbacks.LambdaCallback(on_epoch_end=epoch_ended)])
  seconds = time.perf_counter() - start
  predictions = (model.predict(validation, verbose=0)[:, 0] > 0.5).astype(np.int32)
  (split,) = request.glue_task.dev_splits
  return {
      'pooling': label(pooling),
      'history': history,
      'metrics': metrics.compute(request.glue_task, predictions, dev.labels, split),
      'constant_scores': metrics.constant_scores(request.glue_task, dev.labels, split),
      'predicts_one_label': len(set(predictions.tolist())) == 1,
      'seconds': round(seconds, 1),
      'train_examples': len(train),
      'dev_examples': len(dev),
      **_facts(layer),
  }


def _facts(layer: TextEncoder) -> dict[str, Any]:
  layers = {encoder_parts.layer_of(name) for name in layer.exported.variables} - {None}
  return {
      'num_layers': len(layers) or None,
      'width': layer.exported.encoder_width,
      'weights': int(sum(np.prod(v.shape) for v in layer.weights)),
      'trained_weights': int(sum(np.prod(v.shape) for v in layer.trainable_weights)),
  }
