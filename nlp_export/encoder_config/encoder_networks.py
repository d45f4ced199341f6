"""How does an EncoderSpec become TF-NLP's network?"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
import tf_keras
from official.nlp.configs import encoders

from nlp_export.encoder_config import activations
from nlp_export.encoder_config.encoder_spec import EncoderSpec


def encoder_config(spec: EncoderSpec) -> encoders.EncoderConfig:
  """TF-NLP's EncoderConfig of a spec, filled strictly; 'gelu_erf' under its registered name."""
  block = {
      key: activations.registered_name(value) if key.endswith('_activation') and value else value
      for key, value in spec.config.items()}
  block.pop('embedding_layer', None)
  if spec.type == 'query_bert':
    # Its FactorizedEmbedding takes no None, which is the field's default.
    block['embedding_size'] = spec.embedding_size
  config = encoders.EncoderConfig()
  config.override({'type': spec.type, spec.type: block}, is_strict=True)
  return config


def build(spec: EncoderSpec, initialise: bool) -> tf_keras.layers.Layer:
  """The network of `spec` with all its variables; see EncoderSpec.build."""
  config = encoder_config(spec)
  with contextlib.nullcontext() if initialise else zero_initial_values():
    network = encoders.build_encoder(config)
    if not network.built:
      # BertEncoderV2 and its like are layers, whose variables come with the first call. TF-NLP's
      # exporter calls them on these same symbolic inputs.
      network(network.inputs)
  return network


@contextlib.contextmanager
def zero_initial_values() -> Iterator[None]:
  """Within this context new trainable variables start as zeros, whatever their initialiser says.

  Drawing the 335 million random numbers of a BERT-Large takes seconds and 1.3 GB that the restored
  weights then replace. Variables of one shape start from the same tensor, which TensorFlow copies
  when one of them is first changed. Names, shapes and dtypes are those that the caller asked for.
  """
  made: dict[tuple[Any, Any], tf.Tensor] = {}

  def zeros(shape: Any, dtype: Any) -> tf.Tensor:
    if not tf.executing_eagerly():  # A graph's tensor must not outlive it.
      return tf.zeros(shape, dtype)
    key = (tuple(tf.TensorShape(shape).as_list()), tf.as_dtype(dtype))
    if key not in made:
      made[key] = tf.zeros(shape, dtype)
    return made[key]

  def creator(next_creator: Callable[..., Any], **kwargs: Any) -> Any:
    shape, dtype = kwargs.get('shape'), kwargs.get('dtype')
    if kwargs.get('trainable') is not False and callable(kwargs.get('initial_value')) \
        and shape is not None and dtype is not None:
      kwargs['initial_value'] = lambda: zeros(shape, dtype)
    return next_creator(**kwargs)

  with tf.variable_creator_scope(creator):
    yield
