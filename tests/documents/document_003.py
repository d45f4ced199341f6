"""TF Hub's page on SavedModels in TensorFlow 2: reuse, fine-tune, re-export."""

from __future__ import annotations

import os
import shutil

import flow
import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text  # noqa: F401 (registers the preprocessor's ops)


def batch(paths):
  preprocessed = flow.load(paths['preprocessing'])(tf.constant(flow.SENTENCES))
  return {name: tensor.numpy() for name, tensor in preprocessed.items()}


def keras_layer_is_frozen_by_default(paths):
  layer = hub.KerasLayer(paths['model'])
  inputs = batch(paths)
  inference = layer(inputs)['pooled_output']
  training = layer(inputs, training=True)['pooled_output']
  preprocessor = hub.KerasLayer(paths['preprocessing'])
  preprocessor(tf.constant(flow.SENTENCES))
  trainable = hub.KerasLayer(paths['model'], trainable=True)
  return {
      'trainable_weights': len(layer.trainable_weights),
      'preprocessor_weights': len(preprocessor.weights),
      'trainable_when_asked': len(trainable.trainable_weights),
      'training_difference': np.abs(inference - training).max(),
      'losses': len(trainable.losses),
  }


def weights_are_shared_between_applications(paths):
  layer = hub.KerasLayer(paths['model'], trainable=True, output_key='pooled_output')
  towers = []
  for side in ('left', 'right'):
    towers.append({
        name: tf.keras.layers.Input((None,), dtype=tf.int32, name=f'{side}_{name}')
        for name in ('input_word_ids', 'input_mask', 'input_type_ids')
    })
  similarity = tf.keras.layers.Dot(1, normalize=True)([layer(towers[0]), layer(towers[1])])
  model = tf.keras.Model(towers, similarity)
  inputs = batch(paths)
  return {
      'weights': [len(model.trainable_weights), len(layer.trainable_weights)],
      'similarity_to_itself': model([inputs, inputs]),
  }


def low_level_use(paths):
  obj = flow.load(paths['model'])
  inputs = batch(paths)
  called = obj(inputs, training=False)
  constants = {name: tf.constant(value) for name, value in inputs.items()}
  signature = obj.signatures['serving_default']
  served = signature(**constants)
  return {
      'signature_inputs': sorted(signature.structured_input_signature[1]),
      'signature_outputs': sorted(served),
      'served': {
          name: np.abs(served[name] - called[name]).max()
          for name in ('pooled_output', 'sequence_output')
          if name in served
      },
      'trainable_are_watched': watched(obj, inputs),
  }


def watched(obj, inputs):
  with tf.GradientTape() as tape:
    outputs = obj(inputs)
    loss = tf.reduce_sum(outputs['sequence_output'] ** 2)
    loss += tf.reduce_sum(outputs['pooled_output'] ** 2)
  gradients = tape.gradient(loss, obj.trainable_variables)
  return all(gradient is not None for gradient in gradients)


def piece_of_a_keras_model(paths):
  """Saving from Keras: a part of a larger model becomes a SavedModel of its own."""
  text_input = tf.keras.layers.Input(shape=(), dtype=tf.string)
  preprocessor = hub.KerasLayer(paths['preprocessing'])
  encoder = hub.KerasLayer(paths['model'], trainable=True)
  piece_to_share = tf.keras.Model(text_input, encoder(preprocessor(text_input))['pooled_output'])
  full_model = tf.keras.Sequential([piece_to_share, tf.keras.layers.Dense(1)])
  full_model.compile('adam', 'mse')
  texts, labels = flow.examples(2)
  full_model.fit(tf.constant(texts), labels, verbose=0)
  expected = piece_to_share(tf.constant(flow.SENTENCES))
  directory = os.path.join(paths['scratch'], 'piece')
  piece_to_share.save(directory, include_optimizer=False)
  loaded = hub.load(directory)
  return {'difference': np.abs(loaded(tf.constant(flow.SENTENCES)) - expected).max()}


def one_segment_packed_in_keras(paths):
  """hub#839: a Keras model around bert_pack_inputs with one segment, saved and loaded again."""
  preprocessor = flow.load(paths['preprocessing'])
  text_input = tf.keras.layers.Input(shape=(), dtype=tf.string)
  tokens = hub.KerasLayer(preprocessor.tokenize)(text_input)
  pack = hub.KerasLayer(preprocessor.bert_pack_inputs, arguments={'seq_length': 9})
  packed = pack([tokens])
  model = tf.keras.Model(text_input, packed)
  directory = os.path.join(paths['scratch'], 'packed')
  model.save(directory, include_optimizer=False)
  sentences = tf.constant(flow.SENTENCES)
  reloaded = tf.saved_model.load(directory)
  return {
      'static': flow.shape(packed['input_word_ids']),
      'direct': preprocessor(sentences)['input_word_ids'][:, :9],
      'reloaded': reloaded(sentences)['input_word_ids'],
  }


def re_export_after_fine_tuning(paths):
  first = os.path.join(paths['scratch'], 'first')
  shutil.copytree(paths['model_with_mlm'], first)
  loaded_obj = hub.load(first)
  hub_layer = hub.KerasLayer(loaded_obj, trainable=True, output_key='pooled_output')
  inputs = {
      name: tf.keras.layers.Input((None,), dtype=tf.int32, name=name)
      for name in ('input_word_ids', 'input_mask', 'input_type_ids')
  }
  model = tf.keras.Model(inputs, tf.keras.layers.Dense(1)(hub_layer(inputs)))
  model.compile(tf.keras.optimizers.Adam(1e-2), 'mse')
  x = batch(paths)
  mlm_x = {**x, 'masked_lm_positions': np.ones((len(flow.SENTENCES), 2), np.int32)}
  before = loaded_obj(x)['sequence_output'].numpy()
  model.fit(x, np.array([1.0, 0.0, 0.0, 1.0]), epochs=3, verbose=0)
  trained = loaded_obj(x)
  trained_logits = loaded_obj.mlm(mlm_x)['mlm_logits'].numpy()
  export_module_dir = os.path.join(paths['scratch'], 'finetuned_model_export')
  tf.saved_model.save(loaded_obj, export_module_dir)
  shutil.rmtree(first)

  again = hub.load(export_module_dir)
  outputs = again(x)
  noisy = [again(x, training=True)['pooled_output'].numpy() for _ in range(2)]
  with tf.io.gfile.GFile(again.vocab_file.asset_path.numpy(), 'r') as f:
    vocab = f.read()
  return {
      'moved_by_training': np.abs(outputs['sequence_output'] - before).max(),
      'difference': np.abs(outputs['sequence_output'] - trained['sequence_output']).max(),
      'mlm_difference': np.abs(again.mlm(mlm_x)['mlm_logits'] - trained_logits).max(),
      'variables': [len(loaded_obj.variables), len(again.variables)],
      'trainable': [
          len(hub.KerasLayer(export_module_dir, trainable=True).trainable_weights),
          len(loaded_obj.trainable_variables),
      ],
      'mlm_shares': sum(
          any(v is w for w in again.mlm.trainable_variables) for v in again.trainable_variables
      ),
      'training_noise': np.abs(noisy[0] - noisy[1]).max(),
      'do_lower_case': bool(again.do_lower_case.numpy()),
      'vocab': vocab,
      'keys': sorted(outputs),
  }


if __name__ == '__main__':
  flow.main(
      keras_layer_is_frozen_by_default, weights_are_shared_between_applications, low_level_use,
      piece_of_a_keras_model, one_segment_packed_in_keras, re_export_after_fine_tuning,
  )  # fmt: skip
