"""The model card of a cased BERT: its usage sections, on a cased export with `.mlm`."""

from __future__ import annotations

import flow
import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text  # noqa: F401 (registers the preprocessor's ops)

SEQ_LENGTH = 12
NUM_PREDICT = 3


def encoder_inputs():
  seq_length = SEQ_LENGTH
  return dict(
      input_word_ids=tf.keras.layers.Input(shape=(seq_length,), dtype=tf.int32),
      input_mask=tf.keras.layers.Input(shape=(seq_length,), dtype=tf.int32),
      input_type_ids=tf.keras.layers.Input(shape=(seq_length,), dtype=tf.int32),
  )


def basic_usage(paths):
  text_input = tf.keras.layers.Input(shape=(), dtype=tf.string)
  preprocessor = hub.KerasLayer(handle=paths['preprocessing'])
  encoder = hub.KerasLayer(handle=paths['model_with_mlm'], trainable=True)
  outputs = encoder(preprocessor(text_input))
  embedding_model = tf.keras.Model(text_input, outputs['pooled_output'])
  layers_model = tf.keras.Model(text_input, outputs['encoder_outputs'])
  sequence_model = tf.keras.Model(text_input, outputs['sequence_output'])
  sentences = tf.constant(flow.SENTENCES)
  direct = flow.load(paths['model_with_mlm'])(flow.load(paths['preprocessing'])(sentences))
  layers = layers_model(sentences)
  hello = embedding_model(tf.constant(['Hello world', 'hello world']))
  return {
      'pooled_shape': flow.shape(outputs['pooled_output']),
      'sequence_shape': flow.shape(outputs['sequence_output']),
      'difference': np.abs(embedding_model(sentences) - direct['pooled_output']).max(),
      'layers': len(layers),
      'last_layer_is_sequence': np.array_equal(layers[-1], sequence_model(sentences)),
      'capital_matters': np.abs(hello[0] - hello[1]).max(),
  }


def preprocessing_in_dataset_map(paths):
  preprocessor = flow.load(paths['preprocessing'])
  texts, labels = flow.examples()

  def pack(text, label):
    tokens = preprocessor.tokenize(text)
    return preprocessor.bert_pack_inputs([tokens], seq_length=SEQ_LENGTH), label

  dataset = tf.data.Dataset.from_tensor_slices((texts, labels)).batch(16, drop_remainder=True)
  dataset = dataset.map(pack, num_parallel_calls=2)
  inputs = encoder_inputs()
  encoder = hub.KerasLayer(paths['model_with_mlm'], trainable=True)
  outputs = encoder(inputs)
  model = tf.keras.Model(inputs, tf.keras.layers.Dense(1)(outputs['pooled_output']))
  model.compile(
      tf.keras.optimizers.Adam(3e-3), tf.keras.losses.BinaryCrossentropy(from_logits=True)
  )
  history = model.fit(dataset, epochs=8, verbose=0)
  return {
      'spec': {name: flow.shape(spec) for name, spec in dataset.element_spec[0].items()},
      'sequence_shape': flow.shape(outputs['sequence_output']),
      'losses': history.history['loss'],
  }


def masked_language_model(paths):
  encoder = hub.load(paths['model_with_mlm'])
  preprocessor = flow.load(paths['preprocessing'])
  mask_id = int(preprocessor.tokenize.get_special_tokens_dict()['mask_id'])
  mlm_inputs = dict(
      **encoder_inputs(),
      masked_lm_positions=tf.keras.layers.Input(shape=(NUM_PREDICT,), dtype=tf.int32),
  )
  mlm = hub.KerasLayer(encoder.mlm, trainable=True)
  outputs = mlm(mlm_inputs)
  model = tf.keras.Model(mlm_inputs, outputs['mlm_logits'])
  model.compile(
      tf.keras.optimizers.Adam(3e-3),
      tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
  )
  # Two words of each sentence are masked, the third position is zero padding and has no weight.
  tokens = preprocessor.tokenize(tf.constant(flow.examples(4)[0]))
  packed = preprocessor.bert_pack_inputs([tokens], seq_length=SEQ_LENGTH)
  x = {name: tensor.numpy() for name, tensor in packed.items()}
  x['masked_lm_positions'] = np.tile(np.array([[1, 2, 0]], np.int32), (len(x['input_mask']), 1))
  y = np.take_along_axis(x['input_word_ids'], x['masked_lm_positions'], axis=1)
  x['input_word_ids'][:, 1:3] = mask_id
  weights = np.tile(np.array([[1.0, 1.0, 0.0]]), (len(y), 1))

  probe = {name: tensor[:2] for name, tensor in packed.items()}
  before = encoder(probe)['sequence_output'].numpy()
  old = [w.numpy() for w in encoder.trainable_variables]
  history = model.fit(x, y, sample_weight=weights, batch_size=8, epochs=6, verbose=0)
  again = [np.asarray(mlm(x, training=True)['mlm_logits']) for _ in range(2)]
  still = [np.asarray(mlm(x, training=False)['mlm_logits']) for _ in range(2)]
  after = encoder(probe)['sequence_output'].numpy()
  changed = flow.changed(old, encoder.trainable_variables)
  return {
      **downstream_task(encoder, packed, probe, after),
      'logits_shape': flow.shape(outputs['mlm_logits']),
      'keys': sorted(outputs),
      'trainable': [len(mlm.trainable_weights), len(encoder.trainable_variables)],
      'losses': history.history['loss'],
      'root_weights_changed': changed,
      'root_weights': len(old),
      'root_output_change': np.abs(after - before).max(),
      'training_noise': np.abs(again[0] - again[1]).max(),
      'inference_noise': np.abs(still[0] - still[1]).max(),
  }


def downstream_task(encoder, packed, probe, trained):
  """Fine-tuning goes on from where masked-LM training has left the encoder."""
  layer = hub.KerasLayer(encoder, trainable=True)
  inputs = encoder_inputs()
  model = tf.keras.Model(inputs, tf.keras.layers.Dense(1)(layer(inputs)['pooled_output']))
  start = np.abs(layer(probe)['sequence_output'] - trained).max()
  model.compile(
      tf.keras.optimizers.Adam(3e-3), tf.keras.losses.BinaryCrossentropy(from_logits=True)
  )
  x = {name: tensor.numpy() for name, tensor in packed.items()}
  history = model.fit(x, flow.examples(4)[1], batch_size=8, epochs=10, verbose=0)
  return {'downstream_start': start, 'downstream_losses': history.history['loss']}


if __name__ == '__main__':
  flow.main(basic_usage, preprocessing_in_dataset_map, masked_language_model)
