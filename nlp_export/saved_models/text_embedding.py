"""What object is saved for text embedding: text to one vector, preprocessing inside?

It implements TF Hub's "Text embeddings from text" (Common SavedModel APIs for text tasks) on top
of the Reusable SavedModel interface: a lean object of TF functions, no Keras. Inside, rows are as
long as the longest text of their batch, where TF Hub's preprocessing pads to 128.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from nlp_export import names, poolings
from nlp_export.dropout import DropoutState
from nlp_export.encoder_config import sequence_form
from nlp_export.saved_models import (
    encoder,
    padded_call,
    preprocessing,
    regularization,
    writing,
)

_SENTENCES = tf.TensorSpec([None], tf.string, name=names.SENTENCES)


class TextEmbeddingSavedModel(preprocessing.TextCallable):
  """The root object of a text embedding SavedModel.

  Call:
    inputs: string [batch], UTF-8.
    training: Python bool; True turns dropout on and advances `dropout_state`.
  Returns:
    float32 [batch, dim].

  Attributes:
    tokenize: string [batch] -> RaggedTensor int32 [batch, (tokens)], without special tokens;
      `tokenize.get_special_tokens_dict()` gives a dict of int32 scalars.
    encoder_inputs: string [batch] -> dict of `input_word_ids`, `input_mask`, `input_type_ids`,
      int32 [batch, seq_length]: what the encoder inside gets.
    embed_tokens: (that dict, training=False) -> float32 [batch, dim].
    variables, trainable_variables, regularization_losses, dropout_state: as of an encoder.
    text_to_ids: what the tokenizer built, with its tables and assets.
  """

  def __init__(
      self,
      network: Any,
      dropout: DropoutState,
      text: preprocessing.Parts,
      *,
      pooling: str | Sequence[str],
      normalize: bool,
      max_seq_length: int,
      pooler: Any = None,
      form: sequence_form.SequenceForm = sequence_form.PLAIN,
      pads: bool = False,
  ):
    """Traces the functions; the variables' present values are what `write` saves.

    Args:
      network: a built encoder, as for `EncoderSavedModel`.
      dropout: the state that is installed in `network`.
      text: tokenizer and packing; several objects may share them.
      pooling: of nlp_export.poolings, one or several.
      normalize: whether vectors are scaled to length 1.
      max_seq_length: most tokens in a row, special ones included; longer texts are cut.
      pooler: the layer of `network` that makes `pooled_output`, or None. It is left out, with its
        variables, if `pooling` does not use it.
      form: which lengths `network` takes; inputs are padded to `form.padded_length` inside.
      pads: True for rows that are always `max_seq_length` long: of a network in which padding
        changes the outputs, so that a text's vector does not depend on the batch it is in.
    """
    with_pooler = poolings.POOLED in poolings.parts(pooling)
    without = None if with_pooler else pooler
    left_out = {id(v) for v in without.variables} if without is not None else set()
    if form.padded_length is not None:
      call: Any = padded_call.at_length(network, form.padded_length)
    else:
      call = network
    encode = encoder.encoder_call(call, dropout, without, with_pooler)

    @tf.function(autograph=False)
    def call_embed_tokens(inputs, training=False):
      vectors = poolings.pool(pooling, encode(inputs, training), inputs[names.INPUT_MASK])
      return tf.math.l2_normalize(vectors, axis=-1) if normalize else vectors

    @tf.function(autograph=False, input_signature=[_SENTENCES])
    def call_encoder_inputs(inputs):
      tokens, splits = preprocessing.flat_tokens(text.text_to_ids, inputs)
      longest = tf.constant(max_seq_length)
      if not pads:
        # [CLS] and [SEP] come to the tokens. The largest of no lengths is the least integer.
        used = tf.maximum(tf.reduce_max(splits[1:] - splits[:-1]), 0) + 2
        longest = tf.minimum(tf.cast(used, tf.int32), longest)
      packed = text.pack([(tokens, splits)], longest)
      if pads:
        return {name: tf.ensure_shape(value, [None, max_seq_length])
                for name, value in packed.items()}
      return packed

    @tf.function(autograph=False)
    def call_tokenize(inputs, training=False):
      del training
      values, splits = preprocessing.flat_tokens(text.text_to_ids, inputs)
      return tf.RaggedTensor.from_row_splits(values, splits, validate=False)

    @tf.function(autograph=False)
    def call_root(inputs, training=False):
      return self._trace_of_tokens(training)(self._inputs_of(inputs))

    super().__init__(call_root)
    weights = [v for v in network.trainable_variables if id(v) not in left_out]
    self.trainable_variables = weights
    self.dropout_state = dropout.variable
    self.variables = [*weights, *network.non_trainable_variables, dropout.variable]
    self.regularization_losses = regularization.functions_of(network, without)
    self.text_to_ids = text.text_to_ids
    self.tokenize = preprocessing.TextCallable(call_tokenize)
    self.tokenize.get_special_tokens_dict = preprocessing.special_tokens_callable(
        text.special_token_ids)
    self.encoder_inputs = preprocessing.TextCallable(call_encoder_inputs)
    self.embed_tokens = preprocessing.Callable(call_embed_tokens)
    # Only Python's: not in the SavedModel.
    self.__dict__['_form'] = form
    self.__dict__['_call_embed_tokens'] = call_embed_tokens
    self.__dict__['_call_encoder_inputs'] = call_encoder_inputs
    with writing.tracing():
      for training in (False, True):
        self._trace_of_tokens(training)
        call_root.get_concrete_function(_SENTENCES, training=training)
        call_tokenize.get_concrete_function(_SENTENCES, training=training)
    self.__dict__['_signatures'] = self._make_signatures()
    # As in EncoderSavedModel: for who saves the loaded object again.
    self._default_save_signature = self._signatures[names.SERVING_DEFAULT]

  def _trace_of_tokens(self, training: bool) -> Any:
    """The one concrete function for `training`: the root and the signatures call it, not a copy."""
    specs = encoder.input_specs(names.ENCODER_INPUTS, self._form)
    concrete = self._call_embed_tokens.get_concrete_function(specs, training=training)
    return lambda inputs: concrete(inputs, training=training)

  def _inputs_of(self, sentences: tf.Tensor) -> dict[str, tf.Tensor]:
    return self._call_encoder_inputs.get_concrete_function()(sentences)

  def serving_signatures(self) -> dict[str, Any]:
    """`serving_default`: `sentences` -> `embedding`; `tokens`: three inputs -> `embedding`."""
    return dict(self._signatures)

  def _make_signatures(self) -> dict[str, Any]:
    @tf.function(autograph=False, input_signature=[_SENTENCES])
    def serving_default(sentences):
      return {names.EMBEDDING: self._trace_of_tokens(False)(self._inputs_of(sentences))}

    @tf.function(autograph=False, input_signature=list(
        encoder.input_specs(names.ENCODER_INPUTS, self._form).values()))
    def tokens(input_word_ids, input_mask, input_type_ids):
      return {names.EMBEDDING: self._trace_of_tokens(False)({
          names.INPUT_WORD_IDS: input_word_ids, names.INPUT_MASK: input_mask,
          names.INPUT_TYPE_IDS: input_type_ids})}

    return {names.SERVING_DEFAULT: serving_default, names.TOKENS: tokens}
