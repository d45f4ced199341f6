"""The text layer of both Keras under tf.distribute: two replicas on two logical CPU devices."""

from __future__ import annotations

import flow
import numpy as np
import tensorflow as tf
from document_002 import LABELS, PAIRS, TOKENS

import nlp_export


def two_replicas_of_tf_keras(paths):
  return trained_on_two_replicas(paths, tf.keras, nlp_export.TextEncoder)


def two_replicas_of_keras3(paths):
  import keras

  return trained_on_two_replicas(paths, keras, nlp_export.keras3.TextEncoder)


def trained_on_two_replicas(paths, keras, text_encoder):
  strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
  with strategy.scope():
    layer = text_encoder(paths['model'], paths['preprocessing'], pooling='mean', separator='|||',
                         inputs='encoder_inputs', trainable_layers=1)
    inputs = {name: keras.Input((None,), dtype='int32', name=name) for name in TOKENS}
    model = keras.Model(inputs, keras.layers.Dense(1, activation='sigmoid')(layer(inputs)))
    model.compile(keras.optimizers.Adam(1e-2), 'binary_crossentropy')
  variables = layer.exported.variables
  before = {name: v.numpy() for name, v in variables.items()}
  data = tf.data.Dataset.from_tensor_slices((PAIRS, LABELS)).batch(8)
  data = data.map(lambda text, label: (layer.preprocess(text), label))
  history = model.fit(data, epochs=6, verbose=0)
  replicas = [strategy.experimental_local_results(v) for v in variables.values()]
  refused = ''
  with strategy.scope():
    try:
      text_encoder(paths['model'], paths['preprocessing'])
    except Exception as error:
      refused = str(error)
  return {
      'losses': history.history['loss'],
      'changed': sorted(n for n, v in variables.items() if not np.array_equal(v, before[n])),
      'replicas': sorted({len(values) for values in replicas}),
      'replicas_differ': max(np.abs(np.subtract(a, b, dtype=np.float32)).max()
                             for a, b in replicas),
      'strings_are_refused': refused,
  }


if __name__ == '__main__':
  cpu = tf.config.list_physical_devices('CPU')[0]
  tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
  flow.main(two_replicas_of_tf_keras, two_replicas_of_keras3)
