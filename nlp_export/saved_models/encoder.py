"""What object is saved for an encoder, with or without its masked-LM head?

A lean one: TF functions and the variables they use, no Keras objects. It implements TF
Hub's "Transformer Encoders" text API on top of the Reusable SavedModel interface, and saves
and loads several times faster than a Keras model of the same graph.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Callable

import tensorflow as tf

from nlp_export import names
from nlp_export.dropout import DropoutState

# Without names: calls from `.mlm` and from the signature then find these very traces.
_IDS = tf.TensorSpec([None, None], tf.int32)
_ENCODER_SPECS = {name: _IDS for name in names.ENCODER_INPUTS}


@dataclasses.dataclass(frozen=True)
class TokenizerFile:
  """The tokenizer's file, as an encoder's SavedModel carries it for its users.

  Attributes:
    path: the file; its base name becomes the name in `assets/`.
    kind: 'wordpiece' (attributes `vocab_file`, `do_lower_case`) or 'sentencepiece'
      (attribute `sp_model_file` alone, as TF-NLP's exports have it).
    lower_case: whether text is lower-cased; written for WordPiece.
  """

  path: str
  kind: str
  lower_case: bool


class EncoderSavedModel(tf.train.Checkpoint):
  """The root object of an encoder's SavedModel.

  Call:
    inputs: dict of `input_word_ids`, `input_mask`, `input_type_ids`, each int32
      [batch, seq_length].
    training: Python bool; True turns dropout on and advances `dropout_state`.
  Returns:
    dict of `pooled_output` and `default` float32 [batch, width], `sequence_output` float32
    [batch, seq_length, width], `encoder_outputs` a list with one float32
    [batch, seq_length, width] for each layer, and what else the encoder returns.
    Without a pooler there is no `pooled_output`, and `default` is the [CLS] vector.

  Attributes: `variables`, `trainable_variables`, `regularization_losses`, `dropout_state`
  (int64 [2], see nlp_export/dropout.py), the tokenizer's file, and `mlm` if there is a head.

  Source: TF Hub, "Reusable SavedModels" and "Common SavedModel APIs for text tasks".
  """

  def __init__(
      self,
      network: Any,
      dropout: DropoutState,
      *,
      tokenizer: TokenizerFile | None,
      pooler_variables: list[tf.Variable],
      with_pooler: bool = True,
      masked_lm: Any = None,
  ):
    """Traces the functions; the variables' present values are what `write` saves.

    Args:
      network: a built encoder: dict of int32 inputs -> dict with `sequence_output`,
        `encoder_outputs` and, unless `with_pooler` is False, `pooled_output`.
      dropout: the state that is installed in `network`.
      tokenizer: the tokenizer's file, or None for a tokenizer that has none.
      pooler_variables: the pooler's variables, left out where `with_pooler` is False.
      with_pooler: False for an export without `pooled_output`.
      masked_lm: a built TF-NLP `MaskedLM` layer on `network`'s embedding table, or None.
    """
    super().__init__()
    left_out = set() if with_pooler else {id(v) for v in pooler_variables}
    weights = [v for v in network.trainable_variables if id(v) not in left_out]
    self.trainable_variables = weights
    self.dropout_state = dropout.variable
    self.variables = [*weights, *network.non_trainable_variables, dropout.variable]
    self.regularization_losses = []
    if tokenizer is not None:
      self._attach(tokenizer)

    self.__call__ = tf.function(_encoder_call(network, dropout, with_pooler), autograph=False)
    for training in (False, True):
      self.__call__.get_concrete_function(_ENCODER_SPECS, training=training)
    if masked_lm is not None:
      self.mlm = MaskedLmSavedModel(self, masked_lm)

  def _attach(self, tokenizer: TokenizerFile) -> None:
    if tokenizer.kind == 'sentencepiece':
      self.sp_model_file = tf.saved_model.Asset(tokenizer.path)
      return
    self.vocab_file = tf.saved_model.Asset(tokenizer.path)
    self.do_lower_case = tf.Variable(
        tokenizer.lower_case, trainable=False, name=names.DO_LOWER_CASE)
    self.variables.append(self.do_lower_case)

  def serving_signature(self) -> Any:
    """`serving_default`: the inference call under the names of the API.

    A signature returns a flat dict: `encoder_outputs[i]` is called `encoder_outputs_<i>`.
    """

    @tf.function(
        input_signature=[tf.TensorSpec([None, None], tf.int32, name=n)
                         for n in names.ENCODER_INPUTS],
        autograph=False)
    def serving_default(input_word_ids, input_mask, input_type_ids):  # type: ignore[no-untyped-def]
      outputs = self.__call__(
          dict(zip(names.ENCODER_INPUTS, (input_word_ids, input_mask, input_type_ids))))
      flat = {}
      for name, value in outputs.items():
        if isinstance(value, (list, tuple)):
          flat.update({f'{name}_{i}': v for i, v in enumerate(value)})
        else:
          flat[name] = value
      return flat

    return serving_default


class MaskedLmSavedModel(tf.train.Checkpoint):
  """`.mlm` of an encoder's SavedModel: the encoder and its masked-LM head.

  Call:
    inputs: the encoder's three and `masked_lm_positions`, int32 [batch, num_predictions].
    training: Python bool, as for the encoder.
  Returns:
    what the encoder returns, without `default`, and `mlm_logits` float32
    [batch, num_predictions, vocab_size]. Zero-padded positions are computed, not masked.

  `trainable_variables` are the encoder's own variable objects, then the head's five.
  """

  def __init__(self, encoder: EncoderSavedModel, masked_lm: Any):
    super().__init__()
    shared = {id(v) for v in encoder.variables}
    head = [v for v in masked_lm.trainable_variables if id(v) not in shared]
    self.trainable_variables = [*encoder.trainable_variables, *head]
    self.variables = [*self.trainable_variables, encoder.dropout_state]
    self.regularization_losses = []

    def call(inputs: dict[str, tf.Tensor], training: bool = False) -> dict[str, Any]:
      outputs = dict(
          encoder.__call__({name: inputs[name] for name in names.ENCODER_INPUTS},
                           training=training))
      del outputs[names.DEFAULT]
      outputs[names.MLM_LOGITS] = masked_lm(
          outputs[names.SEQUENCE_OUTPUT], masked_positions=inputs[names.MASKED_LM_POSITIONS])
      return outputs

    self.__call__ = tf.function(call, autograph=False)
    for training in (False, True):
      self.__call__.get_concrete_function(
          {**_ENCODER_SPECS, names.MASKED_LM_POSITIONS: _IDS}, training=training)


def _encoder_call(
    network: Any, dropout: DropoutState, with_pooler: bool
) -> Callable[..., dict[str, Any]]:
  """The Python function behind the root's `__call__`."""

  def call(inputs: dict[str, tf.Tensor], training: bool = False) -> dict[str, Any]:
    if training:
      with dropout.training_call(inputs):
        outputs = dict(network(inputs, training=True))
    else:
      outputs = dict(network(inputs, training=False))
    if with_pooler:
      outputs[names.DEFAULT] = outputs[names.POOLED_OUTPUT]
    else:
      outputs.pop(names.POOLED_OUTPUT, None)
      outputs[names.DEFAULT] = outputs[names.SEQUENCE_OUTPUT][:, 0, :]
    return outputs

  return call
