"""The guide on fine-tuning BERT with Keras: a text layer in a model on pairs, up to a frozen graph.

Its own layer is replaced by nlp_export's, so this script is the one that imports the project.
"""

from __future__ import annotations

import functools
import os

import flow
import numpy as np
import tensorflow as tf

import nlp_export

PAIRS = [
    'the cat sat ||| a cat sat', 'hello world ||| the bank', 'a dog ||| the dog',
    'the mat ||| hello', 'cat and dog ||| dog and cat', 'world ||| a mat on the bank',
] * 4  # fmt: skip
LABELS = np.array([1.0, 0.0] * 12, np.float32)
TOKENS = ('input_word_ids', 'input_mask', 'input_type_ids')


def text_layer(paths, **settings):
  return nlp_export.TextEncoder(
      paths['model'], paths['preprocessing'],
      **{'pooling': 'cls', 'separator': '|||', 'trainable_layers': 1, **settings})


def head_on(layer, inputs):
  model = tf.keras.Model(inputs, tf.keras.layers.Dense(1, activation='sigmoid')(layer(inputs)))
  model.compile(tf.keras.optimizers.Adam(1e-2), 'binary_crossentropy', metrics=['accuracy'])
  return model


@functools.cache
def trained_model(model, preprocessing):
  """Steps 5 and 6: strings in, the last layers train. (model, values before, history)"""
  layer = text_layer({'model': model, 'preprocessing': preprocessing})
  before = {v.name: v.numpy() for v in layer.weights}
  model = head_on(layer, tf.keras.layers.Input(shape=(1,), dtype=tf.string))
  data = tf.data.Dataset.from_tensor_slices((PAIRS, LABELS)).batch(8)
  history = model.fit(data, validation_data=data, epochs=8, verbose=0)
  return model, before, history.history


def trained(paths):
  return trained_model(paths['model'], paths['preprocessing'])


def sentence_pair_classification(paths):
  model, before, history = trained(paths)
  layer = model.layers[1]
  return {
      'losses': history['loss'],
      'metrics': sorted(history),
      'trainable': len(layer.trainable_weights),
      'changed': sorted(v.name for v in layer.weights if not np.array_equal(v, before[v.name])),
  }


def pooling(paths):
  text = tf.keras.layers.Input(shape=(1,), dtype=tf.string)
  shapes = {str(how): flow.shape(text_layer(paths, pooling=how)(text))
            for how in (None, 'cls', 'mean')}
  return {'shapes': shapes}


def without_preprocessing(paths):
  """The guide's do_preprocessing=False: a model with three inputs, tokens made in the dataset."""
  layer = text_layer(paths, inputs='encoder_inputs')
  inputs = {name: tf.keras.layers.Input((None,), dtype=tf.int32, name=name) for name in TOKENS}
  model = head_on(layer, inputs)
  data = tf.data.Dataset.from_tensor_slices((PAIRS, LABELS)).batch(8)
  data = data.map(lambda text, label: (layer.preprocess(text), label), num_parallel_calls=2)
  return {'losses': model.fit(data, epochs=4, verbose=0).history['loss']}


def saving_and_restoring(paths):
  """Step 7."""
  model, _, _ = trained(paths)
  expected = model.predict(tf.constant(PAIRS), verbose=0)
  weights, whole = (os.path.join(paths['scratch'], name) for name in (
      'model.weights.h5', 'model.keras'))
  model.save_weights(weights)
  model.save(whole)
  rebuilt = tf.keras.models.model_from_json(model.to_json())
  anew = rebuilt.predict(tf.constant(PAIRS), verbose=0)
  rebuilt.load_weights(weights)
  loaded = tf.keras.models.load_model(whole)
  return {
      'rebuilt_alone': np.abs(anew - expected).max(),
      'rebuilt': np.abs(rebuilt.predict(tf.constant(PAIRS), verbose=0) - expected).max(),
      'loaded': np.abs(loaded.predict(tf.constant(PAIRS), verbose=0) - expected).max(),
  }


def optimizing_for_inference(paths):
  """Step 8: freeze the trained model, write the graph, read it back, predict."""
  from nlp_export.forms import freezing, source

  model, _, _ = trained(paths)
  expected = model.predict(tf.constant(PAIRS), verbose=0)
  weights = os.path.join(paths['scratch'], 'to_freeze.weights.h5')
  model.save_weights(weights)
  # Strings stay outside of the graph, as in the guide: the same model with three inputs.
  layer = text_layer(paths, inputs='encoder_inputs')
  inputs = {name: tf.keras.layers.Input((None,), dtype=tf.int32, name=name) for name in TOKENS}
  tokens_model = head_on(layer, inputs)
  tokens_model.load_weights(weights)
  graph = freezing.freeze(source.Source(
      '', '', lambda given: {'probability': tokens_model(given, training=False)}, '', TOKENS,
      ('probability',), None, 0))
  path = os.path.join(paths['scratch'], 'frozen_model.pb')
  freezing.write(graph, path)

  with open(path, 'rb') as f:
    graph_def = tf.compat.v1.GraphDef.FromString(f.read())
  restored_graph = tf.Graph()
  with restored_graph.as_default():
    tf.graph_util.import_graph_def(graph_def, name='')
  given = layer.preprocess(tf.constant(PAIRS))
  with tf.compat.v1.Session(graph=restored_graph) as session:
    predicted = session.run(
        'probability:0', {f'{name}:0': given[name].numpy() for name in TOKENS})
  ops = {node.op for node in graph_def.node}
  return {
      'difference': np.abs(predicted - expected).max(),
      'spread': np.ptp(expected),
      'variables': sorted(op for op in ops if 'Var' in op),
      'kilobytes': os.path.getsize(path) / 1e3,
  }


if __name__ == '__main__':
  flow.main(
      sentence_pair_classification, pooling, without_preprocessing, saving_and_restoring,
      optimizing_for_inference,
  )  # fmt: skip
