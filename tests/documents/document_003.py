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


def text_embedding_in_front_of_a_classifier(paths):
  """The page's first example, with an embedding of ours."""
  embed = hub.KerasLayer(paths['text_embedding'])
  embeddings = embed(['A long sentence.', 'single-word', 'http://example.com'])
  model = tf.keras.Sequential([
      embed,
      tf.keras.layers.Dense(16, activation='relu'),
      tf.keras.layers.Dense(1, activation='sigmoid'),
  ])
  model.compile(tf.keras.optimizers.Adam(3e-2), 'binary_crossentropy')
  texts, labels = flow.examples()
  history = model.fit(tf.constant(texts), labels, epochs=12, verbose=0)
  return {
      'shape': flow.shape(embeddings), 'dtype': embeddings.dtype.name,
      'trained': len(model.trainable_weights), 'losses': history.history['loss'],
  }  # fmt: skip


def trainable_can_be_switched(paths):
  layer = hub.KerasLayer(paths['model'], output_key='sequence_output')
  inputs = batch(paths)

  def state():
    noisy = [np.asarray(layer(inputs, training=True)) for _ in range(2)]
    return [
        len(layer.trainable_weights), len(layer.non_trainable_weights),
        float(np.abs(noisy[0] - noisy[1]).max()),
    ]  # fmt: skip

  states = [state()]
  for trainable in (True, False):
    layer.trainable = trainable
    states.append(state())
  return {'states': states}


class MyMulModel(tf.train.Checkpoint):
  """As on the page."""

  def __init__(self, v_init):
    super().__init__()
    self.v = tf.Variable(v_init)
    self.variables = [self.v]
    self.trainable_variables = [self.v]
    self.regularization_losses = [
        tf.function(input_signature=[])(lambda: 0.001 * self.v**2),
    ]

  @tf.function(input_signature=[tf.TensorSpec(shape=None, dtype=tf.float32)])
  def __call__(self, inputs):
    return tf.multiply(inputs, self.v)


def reusable_saved_model_by_hand(paths):
  directory = os.path.join(paths['scratch'], 'my_mul')
  tf.saved_model.save(MyMulModel(2.0), directory)
  layer = hub.KerasLayer(directory)
  product = layer([10.0, 20.0])
  frozen = layer.losses
  layer.trainable = True
  return {
      'product': product, 'weights': layer.trainable_weights, 'losses': layer.losses,
      'frozen_losses': frozen,
  }  # fmt: skip


def regularized_encoder(paths):
  """An encoder of ours with weight regularizers does as MyMulModel does."""
  layer = hub.KerasLayer(paths['regularized'], output_key='pooled_output')
  frozen = [float(loss) for loss in layer.losses]
  layer.trainable = True
  losses = [float(loss) for loss in layer.losses]
  inputs = {
      name: tf.keras.layers.Input((None,), dtype=tf.int32, name=name)
      for name in ('input_word_ids', 'input_mask', 'input_type_ids')
  }
  model = tf.keras.Model(inputs, layer(inputs))
  model.compile(tf.keras.optimizers.SGD(0.1), 'mse')
  x = {name: np.ones((2, 3), np.int32) for name in inputs}
  y = np.asarray(model(x))  # There is nothing to learn but to have smaller weights.
  total = model.evaluate(x, y, verbose=0)
  model.fit(x, y, epochs=3, verbose=0)
  return {
      'frozen': frozen, 'losses': losses, 'total': total,
      'after_training': [float(loss) for loss in layer.losses],
  }  # fmt: skip


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


def piece_that_is_cut_out_afterwards(paths):
  """The page's other way: the ends of the piece are looked up in the trained model."""
  text_input = tf.keras.layers.Input(shape=(), dtype=tf.string, name='text')
  packed = hub.KerasLayer(paths['preprocessing'], name='preprocessing')(text_input)
  encoder = hub.KerasLayer(
      paths['model'], trainable=True, output_key='pooled_output', name='encoder')
  full_model = tf.keras.Model(text_input, tf.keras.layers.Dense(1)(encoder(packed)))
  full_model.compile('adam', 'mse')
  texts, labels = flow.examples(2)
  full_model.fit(tf.constant(texts), labels, verbose=0)
  sharing_input = full_model.get_layer('text').get_output_at(0)
  sharing_output = full_model.get_layer('encoder').get_output_at(0)
  piece_to_share = tf.keras.Model(sharing_input, sharing_output)
  directory = os.path.join(paths['scratch'], 'cut_out')
  piece_to_share.save(directory, include_optimizer=False)
  expected = encoder(hub.load(paths['preprocessing'])(tf.constant(flow.SENTENCES)))
  found = hub.load(directory)(tf.constant(flow.SENTENCES))
  return {'difference': np.abs(found - expected).max()}


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
      'path': export_module_dir,
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
      text_embedding_in_front_of_a_classifier, keras_layer_is_frozen_by_default,
      trainable_can_be_switched, reusable_saved_model_by_hand, regularized_encoder,
      weights_are_shared_between_applications, low_level_use, piece_of_a_keras_model,
      piece_that_is_cut_out_afterwards, one_segment_packed_in_keras, re_export_after_fine_tuning,
  )  # fmt: skip
