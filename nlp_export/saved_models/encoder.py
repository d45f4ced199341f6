"""What object is saved for an encoder, with or without its masked-LM head?

A lean one: TF functions and the variables they use, no Keras objects. It implements TF
Hub's "Transformer Encoders" text API on top of the Reusable SavedModel interface, and saves
and loads several times faster than a Keras model of the same graph.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from nlp_export import names
from nlp_export.dropout import DropoutState
from nlp_export.encoder_config import sequence_form
from nlp_export.saved_models import padded_call, regularization, writing


def input_specs(
    input_names: Sequence[str], form: sequence_form.SequenceForm) -> dict[str, tf.TensorSpec]:
  """int32 [None, seq_length] by name; seq_length is None unless there is only one."""
  # With names: saving asks for traces by named specs and would otherwise trace all again.
  return {name: tf.TensorSpec(
      [None, form.fixed_length if name in names.ENCODER_INPUTS else None], tf.int32, name=name)
      for name in input_names}


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
      [batch, seq_length]; seq_length is static where the network takes one length only.
    training: Python bool; True turns dropout on and advances `dropout_state`.
  Returns:
    dict of `pooled_output` and `default` float32 [batch, width], `sequence_output` float32
    [batch, seq_length, width], `encoder_outputs` a list with one float32
    [batch, seq_length, width] for each layer, and what else the encoder returns. (A network that
    pools its sequence returns that many fewer vectors than seq_length.)
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
      pooler: Any = None,
      with_pooler: bool = True,
      masked_lm: Any = None,
      form: sequence_form.SequenceForm = sequence_form.PLAIN,
  ):
    """Traces the functions; the variables' present values are what `write` saves.

    Args:
      network: a built encoder: dict of int32 inputs -> dict with `sequence_output`,
        `encoder_outputs` and, unless `with_pooler` is False, `pooled_output`.
      dropout: the state that is installed in `network`.
      tokenizer: the tokenizer's file, or None for a tokenizer that has none.
      pooler: the layer of `network` that makes `pooled_output`, or None if there is none.
      with_pooler: False for an export without `pooled_output` and without that layer.
      masked_lm: a built TF-NLP `MaskedLM` layer on `network`'s embedding table, or None.
      form: which lengths `network` takes; inputs are padded to `form.padded_length` inside.
    """
    super().__init__()
    self.form = form
    without = None if with_pooler else pooler
    left_out = {id(v) for v in without.variables} if without is not None else set()
    weights = [v for v in network.trainable_variables if id(v) not in left_out]
    self.trainable_variables = weights
    self.dropout_state = dropout.variable
    self.variables = [*weights, *network.non_trainable_variables, dropout.variable]
    self.regularization_losses = regularization.functions_of(network, without)
    if tokenizer is not None:
      self._attach(tokenizer)

    call = (network if form.padded_length is None
            else padded_call.at_length(network, form.padded_length))
    self.__call__ = tf.function(encoder_call(call, dropout, without, with_pooler),
                                autograph=False)
    with writing.tracing():
      for training in (False, True):
        self.trace(training)
      if masked_lm is not None:
        self.mlm = MaskedLmSavedModel(self, masked_lm)
    # TensorFlow's name for what becomes serving_default where none is given, as when a user saves
    # the loaded object again after fine-tuning (TF Hub, "TF2 SavedModels": re-exporting).
    self._default_save_signature = self.serving_signature()

  def trace(self, training: bool) -> Callable[[dict[str, tf.Tensor]], dict[str, Any]]:
    """The root's one concrete function for `training`: other functions call it, not a copy."""
    specs = input_specs(names.ENCODER_INPUTS, self.form)
    concrete = self.__call__.get_concrete_function(specs, training=training)
    return lambda inputs: concrete(inputs, training=training)

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

    @tf.function(autograph=False, input_signature=list(
        input_specs(names.ENCODER_INPUTS, self.form).values()))
    def serving_default(input_word_ids, input_mask, input_type_ids):
      outputs = self.trace(training=False)(
          {names.INPUT_WORD_IDS: input_word_ids, names.INPUT_MASK: input_mask,
           names.INPUT_TYPE_IDS: input_type_ids})
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
    self.regularization_losses = [
        *encoder.regularization_losses, *regularization.functions_of(masked_lm)]

    def call(inputs: dict[str, tf.Tensor], training: bool = False) -> dict[str, Any]:
      outputs = dict(
          encoder.trace(training)({name: inputs[name] for name in names.ENCODER_INPUTS}))
      del outputs[names.DEFAULT]
      outputs[names.MLM_LOGITS] = masked_lm(
          outputs[names.SEQUENCE_OUTPUT], masked_positions=inputs[names.MASKED_LM_POSITIONS])
      return outputs

    self.__call__ = tf.function(call, autograph=False)
    for training in (False, True):
      self.__call__.get_concrete_function(
          input_specs(names.MLM_INPUTS, encoder.form), training=training)


@contextlib.contextmanager
def _bypassed(layer: Any) -> Iterator[None]:
  """While open, `layer` (unless None) hands on its inputs and so does not enter a graph."""
  if layer is None:
    yield
    return
  call = layer.call
  layer.call = lambda inputs, *args, **kwargs: inputs
  try:
    yield
  finally:
    layer.call = call


def encoder_call(
    network: Any, dropout: DropoutState, without: Any, with_pooler: bool
) -> Callable[..., dict[str, Any]]:
  """The Python function behind the root's `__call__`.

  Args:
    network: dict of int32 inputs -> dict of outputs, with an argument `training`.
    dropout: the state that training calls advance.
    without: the layer that is left out, or None.
    with_pooler: False leaves `pooled_output` out, so that `default` is the [CLS] vector.
  """

  def call(inputs: dict[str, tf.Tensor], training: bool = False) -> dict[str, Any]:
    drawing = dropout.training_call(inputs) if training else contextlib.nullcontext()
    with _bypassed(without), drawing:
      outputs = dict(network(inputs, training=training))
    if with_pooler:
      outputs[names.DEFAULT] = outputs[names.POOLED_OUTPUT]
    else:
      outputs.pop(names.POOLED_OUTPUT, None)
      outputs[names.DEFAULT] = outputs[names.SEQUENCE_OUTPUT][:, 0, :]
    return outputs

  return call
