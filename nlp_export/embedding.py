"""What vector does an export give to a text?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401 - registers the preprocessor's operations.

from nlp_export import names


def mean_of_tokens(sequence_output: tf.Tensor, input_mask: tf.Tensor) -> tf.Tensor:
  """The mean of the vectors of real tokens.

  Args:
    sequence_output: float32 [batch, seq_length, width].
    input_mask: int32 [batch, seq_length], 1 for tokens, 0 for padding.

  Returns:
    float32 [batch, width].

  Source: Reimers and Gurevych 2019 (arXiv 1908.10084), MEAN pooling.
  """
  weights = tf.cast(input_mask, sequence_output.dtype)[:, :, tf.newaxis]
  return tf.reduce_sum(sequence_output * weights, axis=1) / tf.reduce_sum(weights, axis=1)


def embed(model: str, preprocessing: str, texts: Sequence[str], max_seq_length: int = 128
          ) -> np.ndarray:
  """Unit vectors of texts, by mean pooling.

  Args:
    model: directory of an encoder's SavedModel.
    preprocessing: directory of its preprocessing SavedModel.
    texts: any number.
    max_seq_length: tokens; longer texts are cut.

  Returns:
    float32 [len(texts), width], each row of length 1.
  """
  encoder, preprocessor = tf.saved_model.load(model), tf.saved_model.load(preprocessing)
  tokens = preprocessor.tokenize(tf.constant(list(texts)))
  inputs = preprocessor.bert_pack_inputs([tokens], seq_length=tf.constant(max_seq_length))
  mean = mean_of_tokens(encoder(inputs)[names.SEQUENCE_OUTPUT], inputs[names.INPUT_MASK])
  return tf.linalg.l2_normalize(mean, axis=1).numpy()
