"""The export guide: what a reader does with the SavedModels that it tells how to write."""

from __future__ import annotations

import flow
import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text  # noqa: F401 (registers the preprocessor's ops)

INPUTS = {
    'input_word_ids': tf.constant([[2, 9, 10, 3, 0, 0], [2, 11, 3, 12, 13, 3]]),
    'input_mask': tf.constant([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]]),
    'input_type_ids': tf.constant([[0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1]]),
}


def encoder_alone(paths):
  encoder = flow.load(paths['model'])
  outputs = encoder(INPUTS)
  return {
      'keys': sorted(outputs),
      'has_mlm': hasattr(encoder, 'mlm'),
      'outputs': outputs,
      'dtypes': sorted({tensor.dtype.name for tensor in tf.nest.flatten(outputs)}),
  }


def tokenizer_attributes(paths):
  encoder = flow.load(paths['model'])
  with tf.io.gfile.GFile(encoder.vocab_file.asset_path.numpy(), 'rb') as f:
    vocab = f.read()
  return {
      'asset': encoder.vocab_file.asset_path.numpy().decode(),
      'vocab': vocab.decode(),
      'has_sp_model_file': hasattr(encoder, 'sp_model_file'),
      'do_lower_case': bool(encoder.do_lower_case.numpy()),
      'do_lower_case_of_the_cased': bool(flow.load(paths['cased']).do_lower_case.numpy()),
  }


def encoder_with_mlm(paths):
  encoder = flow.load(paths['model_with_mlm'])
  positions = {'masked_lm_positions': tf.constant([[1, 2, 0], [3, 4, 1]])}
  outputs = encoder.mlm({**INPUTS, **positions})
  return {'keys': sorted(outputs), 'outputs': outputs, 'root_keys': sorted(encoder(INPUTS))}


def preprocessing(paths):
  preprocessor = flow.load(paths['preprocessing'])
  text = tf.constant(flow.SENTENCES)
  default = preprocessor(text)
  tokens = preprocessor.tokenize(text)
  return {
      'keys': sorted(default),
      'default_shape': flow.shape(default['input_word_ids']),
      'dtypes': sorted({tensor.dtype.name for tensor in default.values()}),
      'default': default['input_word_ids'],
      # The guide's own call. TF-NLP's exports refuse it.
      'seq_length_7': preprocessor(text, seq_length=7)['input_word_ids'],
      'packed_7': preprocessor.bert_pack_inputs([tokens], seq_length=7)['input_word_ids'],
  }


def trimming_between_tokenize_and_pack(paths):
  preprocessor = flow.load(paths['preprocessing'])
  questions = preprocessor.tokenize(tf.constant(['the cat sat', 'a dog']))
  passages = preprocessor.tokenize(tf.constant(['the world of a cat', 'hello']))
  packed = preprocessor.bert_pack_inputs([questions[:, :2], passages[:, :3]], seq_length=9)
  return {name: packed[name] for name in packed}


def special_tokens(paths):
  preprocess = flow.load(paths['preprocessing'])
  special_tokens_dict = preprocess.tokenize.get_special_tokens_dict()
  return {name: int(value) for name, value in special_tokens_dict.items()}


def masking_by_the_reader(paths):
  """The guide: MLM inputs are masked by user code, with ids from the preprocessor."""
  preprocess = flow.load(paths['preprocessing'])
  encoder = flow.load(paths['model_with_mlm'])
  mask_id = int(preprocess.tokenize.get_special_tokens_dict()['mask_id'])
  inputs = {name: tensor.numpy() for name, tensor in preprocess(['the cat sat']).items()}
  original = inputs['input_word_ids'].copy()
  inputs['input_word_ids'][0, 2] = mask_id
  inputs['masked_lm_positions'] = np.array([[2]], np.int32)
  logits = encoder.mlm(inputs)['mlm_logits']
  unmasked = encoder.mlm(dict(inputs, input_word_ids=original))['mlm_logits']
  return {'shape': flow.shape(logits), 'change': np.abs(logits - unmasked).max()}


def fine_tuning(paths):
  """The guide's last section: test your SavedModels by fine-tuning them."""
  texts, labels = flow.examples()
  packed = flow.load(paths['preprocessing'])(tf.constant(texts))
  inputs = {
      name: tf.keras.layers.Input(tensor.shape[1:], dtype=tf.int32, name=name)
      for name, tensor in packed.items()
  }
  encoder = hub.KerasLayer(paths['model'], trainable=True, output_key='pooled_output')
  model = tf.keras.Model(inputs, tf.keras.layers.Dense(1)(encoder(inputs)))
  model.compile(
      tf.keras.optimizers.Adam(3e-3), tf.keras.losses.BinaryCrossentropy(from_logits=True)
  )
  before = [w.numpy() for w in encoder.trainable_weights]
  history = model.fit(packed, labels, batch_size=16, epochs=6, verbose=0)
  return {
      'losses': history.history['loss'],
      'weights': len(before),
      'changed': flow.changed(before, encoder.trainable_weights),
  }


if __name__ == '__main__':
  flow.main(
      encoder_alone, tokenizer_attributes, encoder_with_mlm, preprocessing,
      trimming_between_tokenize_and_pack, special_tokens, masking_by_the_reader, fine_tuning,
  )  # fmt: skip
