"""A tiny encoder SavedModel that passes every check, and one wrong in each way a check looks for.

No Transformer: two layers that mix every position with the mean over the real ones. That is
enough for everything the checks can see, and an export costs a few tenths of a second.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from nlp_export import files, names
from nlp_export.saved_models.verification import EncoderExpectation, reference

WIDTH, LAYERS, POSITIONS, ROWS = 8, 2, 12, 40
VOCAB = [
    '[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]',
    *('a A good film. It is it not the The best story of year, but one warmest. Where was meeting '
      'held? held in Zürich on 4 May 1998. Yes No Café cafe b é ab').split()]
_IDS = tf.TensorSpec([None, None], tf.int32)
_GELU = {'gelu': lambda x: tf.nn.gelu(x, approximate=True), 'relu': tf.nn.relu}


class TinyEncoder(tf.train.Checkpoint):
  """The object to save; `bad` names what is wrong with it ('' for nothing)."""

  def __init__(self, directory: Path, bad: str = '', with_mlm: bool = False):
    super().__init__()
    self.bad = bad
    rng = np.random.default_rng(0)
    made: list[tf.Variable] = []

    def weight(name: str, *shape: int) -> tf.Variable:
      value = rng.normal(size=shape).astype(np.float32)
      made.append(tf.Variable(value * (1 if len(shape) < 2 else 0.7), name=name))
      return made[-1]

    self.words = weight('word_embeddings/embeddings', ROWS, WIDTH)
    self.places = weight('position_embedding/embeddings', POSITIONS, WIDTH)
    self.types = weight('type_embeddings/embeddings', 2, WIDTH)
    self.layers = [[weight(f'transformer/layer_{i}/intermediate/kernel', WIDTH, WIDTH),
                    weight(f'transformer/layer_{i}/intermediate/bias', WIDTH),
                    weight(f'transformer/layer_{i}/output/kernel', WIDTH, WIDTH)]
                   for i in range(LAYERS)]
    self.kernel = weight('pooler_transform/kernel', WIDTH, WIDTH)
    self.bias = weight('pooler_transform/bias', WIDTH)
    weights = list(made)
    self.dropout_state = tf.Variable([5, 0], dtype=tf.int64, trainable=False, name='dropout_state')
    self.do_lower_case = tf.Variable(bad != 'lower_case', trainable=False)
    vocab = VOCAB + ['more'] * (bad == 'long_vocabulary')
    self.vocab_path = str(directory / 'vocab.txt')
    files.write_text(self.vocab_path, '\n'.join(vocab) + '\n')
    self.vocab_file = tf.saved_model.Asset(self.vocab_path)
    if bad == 'two_tokenizers':
      files.write_text(str(directory / 'sp.model'), 'x')
      self.sp_model_file = tf.saved_model.Asset(str(directory / 'sp.model'))
    self.trainable_variables = weights
    if bad == 'weights_swapped':
      self.trainable_variables = [weights[0], weights[1], weights[2], weights[4], weights[3],
                                  *weights[5:]]
    if bad == 'extra_trainable':
      self.extra = tf.Variable([1.0], name='extra')
      self.trainable_variables = [*weights, self.extra]
    self.variables = [*self.trainable_variables, self.dropout_state, self.do_lower_case]
    if bad == 'not_in_variables':
      self.variables = self.variables[1:]
    if bad == 'strange_variable':
      self.strange = tf.Variable(1, trainable=False, name='strange')
      self.variables = [*self.variables, self.strange]
    if bad == 'perturbed_weight':
      self.layers[1][0].assign_add(tf.fill([WIDTH, WIDTH], 0.01))
    self.regularization_losses = []
    if bad == 'vector_loss':
      self.regularization_losses = [tf.function(lambda: tf.zeros([2]), input_signature=[])]
    if bad == 'python_op':
      self.python = tf.function(lambda x: tf.numpy_function(lambda y: y, [x], tf.float32),
                                input_signature=[tf.TensorSpec([], tf.float32)])
    default = bad == 'trains_by_default'
    self.__call__ = tf.function(lambda inputs, training=default: self.run(inputs, training),
                                autograph=False)
    self.trace(self.__call__, names.ENCODER_INPUTS)
    if with_mlm:
      self.mlm = TinyMlm(self, weight)

  def trace(self, call: Any, keys: tuple[str, ...]) -> None:
    """Both traces, and those that a mutation adds or leaves out."""
    spec = dict.fromkeys(keys, _IDS)
    for training in (False,) if self.bad == 'no_training_trace' else (False, True):
      call.get_concrete_function(spec, training=training)
    if self.bad == 'int64':
      call.get_concrete_function(
          {name: tf.TensorSpec([None, None], tf.int64) for name in keys}, training=False)
    if self.bad == 'list_inputs':
      call.get_concrete_function([_IDS] * 3, training=False)

  def run(self, inputs: Any, training: bool) -> dict[str, Any]:
    """The call."""
    bad = self.bad
    if not isinstance(inputs, dict):
      inputs = dict(zip(names.ENCODER_INPUTS, inputs))
    ids, mask, types = (tf.cast(inputs[n], tf.int32) for n in names.ENCODER_INPUTS)
    if bad == 'no_empty_batch':
      tf.debugging.Assert(tf.shape(ids)[0] > 0, ['an empty batch'])
    length = tf.shape(ids)[1]
    places = tf.range(length)
    if bad == 'longer':
      places = tf.minimum(places, POSITIONS - 1)
    table_types = tf.stop_gradient(self.types) if bad == 'stopped_gradient' else self.types
    x = tf.gather(self.words, ids) + tf.gather(self.places, places)
    x += tf.gather(table_types, tf.zeros_like(types) if bad == 'types_ignored' else types)
    real = tf.cast(mask, tf.float32)[..., tf.newaxis]
    if bad == 'padding_seen':
      real = tf.ones_like(real)
    outputs, seed = [], self.masks_seed(training)
    order = reversed(self.layers) if bad == 'layer_order' else self.layers
    for i, (kernel, bias, mix) in enumerate(order):
      mean = tf.reduce_sum(x * real, 1, keepdims=True) / tf.maximum(
          tf.reduce_sum(real, 1, keepdims=True), 1)
      x = tf.tanh(x @ kernel + mean @ mix + bias)
      if seed is not None:
        kept = tf.random.stateless_uniform(tf.shape(x), seed + [0, i]) > 0.2
        x = tf.where(kept, x / 0.8, 0.0)
      outputs.append(x)
    return self.finish(x, outputs)

  def masks_seed(self, training: bool) -> tf.Tensor | None:
    """The seed of this call's dropout masks."""
    if not training:
      return None
    state = self.dropout_state.read_value()
    if self.bad != 'state_stands_still':
      self.dropout_state.assign_add(tf.constant([0, 1], tf.int64))
    return None if self.bad == 'no_dropout' else state * 1000

  def finish(self, x: tf.Tensor, outputs: list[tf.Tensor]) -> dict[str, Any]:
    """The dict of outputs."""
    bad = self.bad
    if bad == 'shape_lost':
      x = tf.raw_ops.PlaceholderWithDefault(input=x, shape=[None, None, None])
      outputs = [*outputs[:-1], x]
    if bad == 'no_xla':
      x = x + 0 * tf.cast(tf.strings.length(tf.strings.as_string(tf.shape(x)[0])), tf.float32)
      outputs = [*outputs[:-1], x]
    if bad == 'vector_dropped':
      outputs = [*outputs[:-1], x[:, :tf.maximum(tf.shape(x)[1] - 1, 1)]]
    pooled = x[:, 0] @ self.kernel + self.bias
    x = outputs[-1]
    pooled = pooled if bad == 'pooler_without_tanh' else tf.tanh(pooled)
    found = {names.SEQUENCE_OUTPUT: x, names.POOLED_OUTPUT: pooled,
             names.DEFAULT: x[:, 0] if bad == 'default_is_cls' else pooled,
             names.ENCODER_OUTPUTS: outputs[::-1] if bad == 'outputs_reversed' else outputs}
    if bad in ('no_pooled_output', 'no_default'):
      del found[names.POOLED_OUTPUT if bad == 'no_pooled_output' else names.DEFAULT]
    if bad == 'float64_output':
      found['surplus'] = tf.cast(x, tf.float64)
    if bad == 'nan_output':
      found['surplus'] = x * np.nan
    return found

  def signature(self) -> Any:
    """serving_default."""

    @tf.function(autograph=False, input_signature=[
        tf.TensorSpec([None, None], tf.int32, name=n) for n in names.ENCODER_INPUTS])
    def serve(*arrays: tf.Tensor) -> dict[str, tf.Tensor]:
      found = self.run(dict(zip(names.ENCODER_INPUTS, arrays)), False)
      layers = found.pop(names.ENCODER_OUTPUTS)
      found.pop('surplus', None)
      flat = {**found, **{names.serving_output(i): v for i, v in enumerate(layers)}}
      if self.bad == 'signature_values':
        flat[names.SEQUENCE_OUTPUT] += 0.1
      if self.bad == 'signature_names':
        return {f'output_{i}': v for i, v in enumerate(flat.values())}
      return flat

    return serve


class TinyMlm(tf.train.Checkpoint):
  """`.mlm` of the tiny encoder."""

  def __init__(self, root: TinyEncoder, weight: Any):
    super().__init__()
    bad = root.bad
    self.dense = weight('cls/predictions/transform/dense/kernel', WIDTH, WIDTH)
    self.dense_bias = weight('cls/predictions/transform/dense/bias', WIDTH)
    self.gamma = weight('cls/predictions/transform/LayerNorm/gamma', WIDTH)
    self.beta = weight('cls/predictions/transform/LayerNorm/beta', WIDTH)
    self.output_bias = weight('cls/predictions/output_bias/bias', ROWS)
    head = [self.dense, self.dense_bias, self.gamma, self.beta, self.output_bias]
    encoder = root
    if bad == 'mlm_own_variables':
      self.own = TinyEncoder(Path(root.vocab_path).parent)
      encoder = self.own
    if bad == 'mlm_perturbed_head':
      self.beta.assign_add(tf.fill([WIDTH], 0.1))
    self.trainable_variables = [*encoder.trainable_variables, *head]
    if bad == 'mlm_extra_variable':
      self.extra = tf.Variable([1.0], name='extra')
      self.trainable_variables = [*self.trainable_variables, self.extra]
    self.variables = [*self.trainable_variables, root.dropout_state]
    self.regularization_losses: list[Any] = []
    activation = _GELU['relu' if bad == 'mlm_activation' else 'gelu']

    def call(inputs: dict[str, tf.Tensor], training: bool = False) -> dict[str, tf.Tensor]:
      found = encoder.run(inputs, training and bad != 'mlm_no_dropout')
      found.pop(names.DEFAULT)
      places = inputs[names.MASKED_LM_POSITIONS]
      if bad == 'mlm_no_empty_positions':
        tf.debugging.Assert(tf.shape(places)[1] > 0, ['no positions'])
      if bad == 'mlm_positions_sorted':
        places = tf.sort(places, axis=1)
      x = tf.gather(found[names.SEQUENCE_OUTPUT], places, batch_dims=1)
      x = activation(x @ self.dense + self.dense_bias)
      mean, variance = tf.nn.moments(x, [-1], keepdims=True)
      x = (x - mean) * tf.math.rsqrt(variance + 1e-12) * self.gamma + self.beta
      found[names.MLM_LOGITS] = tf.matmul(x, encoder.words, transpose_b=True) + self.output_bias
      if bad == 'mlm_layers_reversed':
        found[names.ENCODER_OUTPUTS] = found[names.ENCODER_OUTPUTS][::-1]
      if bad == 'mlm_other_pooled':
        found[names.POOLED_OUTPUT] += 0.1
      if bad == 'mlm_reads_first_copy':
        zero = zero_from_first_copy(Path(root.vocab_path).parent.parent / 'model')
        found[names.MLM_LOGITS] += tf.cast(zero, tf.float32)
      return found

    self.__call__ = tf.function(call, autograph=False)
    for training in (False, True):
      self.__call__.get_concrete_function(dict.fromkeys(names.MLM_INPUTS, _IDS), training=training)


def zero_from_first_copy(model: Path) -> tf.Tensor:
  """0, for which the vocabulary is read from where the export was written, and not as an asset.

  The path is put together when it runs, so that it is not seen in the graph; no optimiser sees
  that it is always 0.
  """
  parts = (model / 'assets' / 'vocab.txt').parts[1:]
  path = tf.strings.join(['', *parts], '/')
  return tf.minimum(tf.strings.length(tf.io.read_file(path)), 0)


def expectation(source: TinyEncoder, directory: Path, **changes: Any) -> EncoderExpectation:
  """What the maker of an export of `source`, which has no fault, knows."""
  with_mlm = hasattr(source, 'mlm')
  batches = reference.with_outputs(
      reference.random_batches(ROWS, POSITIONS, 2), lambda x: source.run(x, False),
      source.mlm.__call__ if with_mlm else None)
  path = str(directory / 'reference.npz')
  reference.save_reference(path, batches)
  head = reference.describe_variables(source.mlm.trainable_variables[-5:]) if with_mlm else None
  told = dict(
      reference_file=path,
      trainable=tuple(reference.describe_variables(source.trainable_variables)),
      mlm_head=tuple(head) if head else None,
      has_mlm=with_mlm, mlm_activation='gelu', pooler='tanh', num_layers=LAYERS,
      hidden_size=WIDTH, max_positions=POSITIONS, type_vocab_size=2, dropout=True,
      dropout_state=True, lower_case=True, tokenizer='wordpiece',
      asset_sha256={'vocab.txt': files.sha256(source.vocab_path)})
  return EncoderExpectation(**{**told, **changes})


def save(obj: TinyEncoder, path: str) -> None:
  """Writes the SavedModel."""
  tf.saved_model.save(obj, path, signatures={names.SERVING_DEFAULT: obj.signature()},
                      options=tf.saved_model.SaveOptions(save_debug_info=False))
