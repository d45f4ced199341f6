"""How fast is the flow that TF Hub's documents teach?

As in the tutorial "Solve GLUE tasks using BERT on TPU" and the guide to the text API: text goes
through the preprocessing SavedModel in Dataset.map and is always padded to 128 tokens; the encoder
is a hub.KerasLayer(trainable=True), a Dropout and a Dense layer on its pooled_output; AdamW from
official.nlp.optimization; model.fit. The SavedModels are written by TF-NLP's own exporter:

    python -m benchmarks.contestants.tf_hub HUGGING_FACE_DIRECTORY DIRECTORY
"""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text  # noqa: F401
import tf_keras
from official.nlp import optimization

from benchmarks.contestants import Given, Passed, samples
from nlp_export import names
from nlp_export.glue import tasks

_WARM_UP_STEPS = 2


class Contestant:
  """hub.KerasLayer and model.fit."""

  def __init__(self, given: Given):
    self._given = given
    self._preprocessor = hub.load(given.reference_preprocessing)
    self._model: Any = None
    self._dataset: Any = None
    self._tokens = 0

  def prepare(self, task: str) -> dict[str, Any]:
    """Loads, and trains for two steps, which compiles.

    Returns:
      'other_seconds' by name.
    """
    times = {}
    started = time.perf_counter()
    self._model = self._classifier(tasks.get(task).outputs)
    times['load'] = time.perf_counter() - started
    train = samples.draw(task, self._given)[tasks.TRAIN]
    self._dataset = (
        tf.data.Dataset.from_tensor_slices((tuple(map(list, train.texts)), train.labels))
        .batch(self._given.batch_size, drop_remainder=True)
        .take(self._given.tf_hub_steps)
        .map(self._packed, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE))
    self._tokens = sum(int(tf.reduce_sum(inputs[names.INPUT_MASK])) for inputs, _ in self._dataset)
    started = time.perf_counter()
    self._model.fit(self._dataset.take(_WARM_UP_STEPS), verbose=0)
    times['compile and warm up'] = time.perf_counter() - started
    return {'other_seconds': times}

  def measure(self, task: str, round: int = 0) -> Passed:
    """One model.fit over the first `tf_hub_steps` batches; `prepare` came before."""
    del task, round
    started = time.perf_counter()
    history = self._model.fit(self._dataset, verbose=0)
    seconds = time.perf_counter() - started
    steps = int(self._dataset.cardinality())
    examples = steps * self._given.batch_size
    return Passed(
        seconds=seconds, steps=steps, examples=examples, tokens=self._tokens,
        positions=examples * self._given.max_seq_length,
        losses=tuple(map(float, history.history['loss'])))

  def _packed(self, texts: Any, labels: Any) -> Any:
    tokens = [self._preprocessor.tokenize(segment) for segment in texts]
    length = self._given.max_seq_length
    packed = self._preprocessor.bert_pack_inputs(tokens, seq_length=length)
    return {name: tf.ensure_shape(value, [None, length]) for name, value in packed.items()}, labels

  def _classifier(self, outputs: int) -> Any:
    inputs = {name: tf_keras.Input([self._given.max_seq_length], dtype=tf.int32, name=name)
              for name in names.ENCODER_INPUTS}
    encoder = hub.KerasLayer(self._given.reference_model, trainable=True)
    vector = tf_keras.layers.Dropout(0.1)(encoder(inputs)[names.POOLED_OUTPUT])
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(outputs)(vector))
    steps = self._given.tf_hub_steps
    model.compile(
        optimization.create_optimizer(
            self._given.learning_rate, num_train_steps=100 * steps, num_warmup_steps=steps),
        tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def write_exports(hugging_face: str, directory: Path) -> dict[str, str]:
  """The SavedModels of a Hugging Face directory by official/nlp/tools/export_tfhub_lib.

  The exporter knows the tanh form of gelu alone, so the encoder computes that, whatever the
  original did; a step takes as long.

  Args:
    hugging_face: with config.json, model.safetensors and vocab.txt of an uncased BERT.
    directory: to write to.

  Returns:
    Their directories: 'reference_model' and 'reference_preprocessing'.
  """
  from official.nlp.configs import encoders as tf_nlp_encoders
  from official.nlp.tools import export_tfhub_lib

  from nlp_export import checkpoints, encoders, pretrainer, restored_encoder

  spec = encoders.from_file(str(Path(hugging_face) / 'config.json'))
  spec = dataclasses.replace(spec, config={**spec.config, 'hidden_activation': 'gelu'})
  restored = restored_encoder.restore_encoder(
      checkpoints.find_checkpoint(hugging_face), spec, item_names=pretrainer.checkpoint_items())
  prefix = tf.train.Checkpoint(encoder=restored.network).save(str(directory / 'ckpt'))
  vocab_file = str(Path(hugging_face) / 'vocab.txt')
  paths = {'reference_model': str(directory / 'reference_model'),
           'reference_preprocessing': str(directory / 'reference_preprocessing')}
  config = tf_nlp_encoders.EncoderConfig(type=spec.type, **{spec.type: dict(spec.config)})
  export_tfhub_lib.export_model(
      paths['reference_model'], encoder_config=config, model_checkpoint_path=prefix,
      with_mlm=False, vocab_file=vocab_file, do_lower_case=True)
  export_tfhub_lib.export_preprocessing(
      paths['reference_preprocessing'], vocab_file=vocab_file, do_lower_case=True,
      tokenize_with_offsets=False, default_seq_length=128)
  return paths


if __name__ == '__main__':
  write_exports(sys.argv[1], Path(sys.argv[2]))
