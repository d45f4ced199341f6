"""An export as a part of a model under tf.distribute: two replicas on two logical CPU devices."""

from __future__ import annotations

import flow
import numpy as np
import tensorflow as tf
import tensorflow_hub as hub

KEYS = ('input_word_ids', 'input_mask', 'input_type_ids')
INPUTS = {
    'input_word_ids': np.array([[2, 9, 10, 11, 3]] * 8, np.int32),
    'input_mask': np.ones((8, 5), np.int32),
    'input_type_ids': np.zeros((8, 5), np.int32),
}


def two_replicas():
  return tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])


def loaded_under_a_scope(paths):
  strategy = two_replicas()
  with strategy.scope():
    encoder = hub.load(paths['model'])
  plain = hub.load(paths['model'])
  run = strategy.run(lambda: encoder(INPUTS)['pooled_output'])
  outputs = strategy.experimental_local_results(run)
  expected = plain(INPUTS)['pooled_output']
  return {
      'types': sorted({type(v).__name__ for v in encoder.trainable_variables}),
      'types_without': sorted({type(v).__name__ for v in plain.trainable_variables}),
      'replicas': strategy.num_replicas_in_sync,
      'difference': max(np.abs(x - expected).max() for x in outputs),
  }


def trained_with_dropout(paths):
  strategy = two_replicas()
  with strategy.scope():
    inputs = {name: tf.keras.layers.Input((5,), dtype=tf.int32, name=name) for name in KEYS}
    encoder = hub.load(paths['model'])
    layer = hub.KerasLayer(encoder, trainable=True, output_key='pooled_output')
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(1)(layer(inputs)))
    model.compile(tf.keras.optimizers.Adam(1e-2), 'mse')
  before = [w.numpy() for w in layer.trainable_weights]
  history = model.fit(INPUTS, np.arange(8.0) % 2, batch_size=4, epochs=4, verbose=0)
  replicas = [strategy.experimental_local_results(w) for w in layer.trainable_weights]
  return {
      'weights': len(before),
      'changed': flow.changed(before, layer.trainable_weights),
      'losses': history.history['loss'],
      'dropout_state': encoder.dropout_state.numpy(),
      'replicas_differ': max(np.abs(a - b).max() for a, b in replicas),
  }


if __name__ == '__main__':
  cpu = tf.config.list_physical_devices('CPU')[0]
  tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
  flow.main(loaded_under_a_scope, trained_with_dropout)
