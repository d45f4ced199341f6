"""What object is saved for a fine-tuned classifier: text to logits and probabilities?

A lean object of TF functions on the interface of TF Hub's Reusable SavedModels, preprocessing
inside. Rows are as long as the longest text of their batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from nlp_export import declared_losses, names, text_inputs
from nlp_export.saved_models import (
    preprocessing,
    read_variables,
    regularization,
    writing,
)

# (three encoder inputs, int32 [batch, seq_length]; training) -> float32 [batch, outputs].
Logits = Callable[[dict[str, tf.Tensor], bool], tf.Tensor]


class ClassifierSavedModel(preprocessing.Callable):
  """The root object of a classifier's SavedModel.

  Call:
    text: string [batch], UTF-8; and second_text, likewise, if it was trained on pairs.
    training: Python bool; True turns dropout on.
  Returns:
    dict of `logits` float32 [batch, classes] and `probabilities` float32 [batch, classes], their
    softmax; for a regression `logits` [batch, 1] and `value` float32 [batch].

  Attributes:
    labels: the file of the class names, one a line, in the order of the outputs; none for a
      regression.
    label_names: a function of nothing: string [classes]; none for a regression.
    encoder_inputs: text(s) -> dict of three int32 [batch, seq_length].
    classify_tokens: (that dict, training=False) -> the dict of outputs.
    variables, trainable_variables: as of an encoder. What the head does not read of the encoder
      (its pooler, for one) is no longer trainable.
    regularization_losses: functions of nothing: the encoder's, but for those that read no variable
      that is trainable here.
  """

  def __init__(
      self,
      logits: Logits,
      preprocessor: Any,
      *,
      segments: int,
      max_seq_length: int,
      label_names: Sequence[str] | None,
      labels_file: str | None,
      trainable_variables: Sequence[tf.Variable],
      other_variables: Sequence[tf.Variable],
      pads: bool = False,
      regularization_losses: declared_losses.Losses = (),
  ):
    """Traces the functions; the variables' present values are what `write` saves.

    Args:
      logits: encoder and head.
      preprocessor: preprocessing of the encoder, loaded or not yet saved; what it needs to tokenise
        becomes a part of the SavedModel.
      segments: 1, or 2 for pairs of texts.
      max_seq_length: most tokens in a row; longer texts are cut.
      label_names: of the classes; None for a regression.
      labels_file: a file with these, one a line; None likewise.
      trainable_variables: of encoder and head, as far as they exist.
      other_variables: states of dropout, and what else `logits` uses.
      pads: True for rows that are always `max_seq_length` long: of an encoder in which padding
        changes the outputs.
      regularization_losses: of the encoder: functions of nothing to a scalar.
    """

    def outputs(found: tf.Tensor) -> dict[str, tf.Tensor]:
      if label_names is None:
        return {names.LOGITS: found, names.VALUE: found[:, 0]}
      return {names.LOGITS: found, names.PROBABILITIES: tf.nn.softmax(found)}

    @tf.function(autograph=False)
    def call_classify_tokens(inputs, training=False):
      return outputs(logits(inputs, training))

    call_encoder_inputs = _of_texts(segments, lambda texts: text_inputs.encoder_inputs(
        preprocessor, texts, max_seq_length, fixed=pads))

    def classify(texts: Sequence[tf.Tensor], training: bool) -> dict[str, tf.Tensor]:
      concrete = call_encoder_inputs.get_concrete_function()
      return self._trace_of_tokens(training)(concrete(*texts))

    if segments == 1:
      @tf.function(autograph=False)
      def call(text, training=False):
        return classify([text], training)
    else:
      @tf.function(autograph=False)
      def call(text, second_text, training=False):
        return classify([text, second_text], training)

    super().__init__(call)
    self.__dict__['_segments'] = segments
    self.__dict__['_classify'] = classify
    self.__dict__['_call_classify_tokens'] = call_classify_tokens
    # Of ours, what the tokenizer built, with its tables and assets, is all that is needed of it.
    if hasattr(preprocessor, 'text_to_ids'):
      self.text_to_ids = preprocessor.text_to_ids
    else:
      self.preprocessing = preprocessor
    self.encoder_inputs = preprocessing.Callable(call_encoder_inputs)
    self.classify_tokens = preprocessing.Callable(call_classify_tokens)
    if label_names is not None:
      self.labels = tf.saved_model.Asset(labels_file)
      self.label_names = preprocessing.Callable(tf.function(
          lambda: tf.constant(list(label_names)), input_signature=[], autograph=False))
    with writing.tracing():
      concrete = call_classify_tokens.get_concrete_function(_token_specs(), training=False)
      read = read_variables.read_by(
          concrete, concrete.structured_outputs[names.LOGITS], trainable_variables)
      self.trainable_variables = [v for v in trainable_variables if id(v) in read]
      unread = [v for v in trainable_variables if id(v) not in read]
      self.variables = [*self.trainable_variables, *unread, *other_variables]
      # Functions of this object's own, so that each stands in the SavedModel once.
      self.regularization_losses = [
          regularization.function_of(loss) for loss in declared_losses.reading(
              regularization_losses, self.trainable_variables)]
      for training in (False, True):
        call.get_concrete_function(*_text_specs(segments), training=training)
    self.__dict__['_signatures'] = self._make_signatures()
    # As in EncoderSavedModel: for who saves the loaded object again.
    self._default_save_signature = self._signatures[names.SERVING_DEFAULT]

  def __call__(self, *texts: Any, **kwargs: Any) -> Any:
    return super().__call__(*(tf.convert_to_tensor(t, tf.string) for t in texts), **kwargs)

  def _trace_of_tokens(self, training: bool) -> Any:
    """The one concrete function for `training`: the root and the signatures call it, not a copy."""
    concrete = self._call_classify_tokens.get_concrete_function(_token_specs(), training=training)
    return lambda inputs: concrete(inputs, training=training)

  def serving_signatures(self) -> dict[str, Any]:
    """`serving_default` takes `text` (and `second_text`), `tokens` the encoder's three inputs."""
    return dict(self._signatures)

  def _make_signatures(self) -> dict[str, Any]:
    @tf.function(autograph=False, input_signature=list(_token_specs().values()))
    def tokens(input_word_ids, input_mask, input_type_ids):
      return self._trace_of_tokens(False)({
          names.INPUT_WORD_IDS: input_word_ids, names.INPUT_MASK: input_mask,
          names.INPUT_TYPE_IDS: input_type_ids})

    return {names.SERVING_DEFAULT: _of_texts(
        self._segments, lambda texts: self._classify(texts, False)), names.TOKENS: tokens}


def _of_texts(segments: int, function: Callable[[Sequence[tf.Tensor]], Any]) -> Any:
  """A TF function of one or two texts, which signatures call by name."""

  def of_one(text):
    return function([text])

  def of_two(text, second_text):
    return function([text, second_text])

  return tf.function(of_one if segments == 1 else of_two, autograph=False,
                     input_signature=_text_specs(segments))


def _text_specs(segments: int) -> list[tf.TensorSpec]:
  return [tf.TensorSpec([None], tf.string, name=name)
          for name in (names.TEXT, names.SECOND_TEXT)[:segments]]


def _token_specs() -> dict[str, tf.TensorSpec]:
  return {name: tf.TensorSpec([None, None], tf.int32, name=name) for name in names.ENCODER_INPUTS}
