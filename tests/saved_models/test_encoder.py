"""The encoder's SavedModel, loaded back, against the TF-NLP network it was made from."""

from __future__ import annotations

import filecmp
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from official.nlp.configs import encoders as tfnlp
from official.nlp.modeling import models

from nlp_export import poolers
from nlp_export.dropout import DropoutState
from nlp_export.saved_models import writing
from nlp_export.saved_models.encoder import EncoderSavedModel, TokenizerFile

VOCAB = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *(f'w{i}' for i in range(25))]
SIZES = dict(vocab_size=len(VOCAB), hidden_size=16, num_layers=2, num_attention_heads=2,
             intermediate_size=32, max_position_embeddings=12)
TYPES = ('bert', 'bert_v2', 'albert')


class Source:
  """A TF-NLP pretrainer with random weights, and the export made of it."""

  def __init__(self, directory: str, encoder_type: str, **changes):
    config = tfnlp.EncoderConfig(type=encoder_type)
    block = {**SIZES, 'dropout_rate': 0.1, 'attention_dropout_rate': 0.1, **changes}
    getattr(config, encoder_type).override(block)
    tf.keras.utils.set_random_seed(1)
    self.network = tfnlp.build_encoder(config)
    # Another activation than the encoder's gelu: `.mlm` must take the pretrainer's.
    self.pretrainer = models.BertPretrainerV2(self.network, mlm_activation='relu')
    self.pretrainer({**batch(1, 2), 'masked_lm_positions': tf.zeros([1, 1], tf.int32)})
    for variable in self.pretrainer.trainable_variables:  # Biases and norms not at 0 and 1.
      variable.assign_add(tf.random.stateless_normal(variable.shape, [1, 2], stddev=0.1))
    self.dropout = DropoutState(seed=7)
    self.dropout.install(self.network)
    vocab = os.path.join(directory, 'words.txt')
    with open(vocab, 'w') as f:
      f.write('\n'.join(VOCAB) + '\n')
    self.pooler = poolers.layer_of(self.network)
    self.root = EncoderSavedModel(
        self.network, self.dropout, tokenizer=TokenizerFile(vocab, 'wordpiece', False),
        pooler=self.pooler, masked_lm=self.pretrainer.masked_lm)
    self.path = os.path.join(directory, 'export')
    writing.write(self.root, self.path)


def batch(batch_size: int, seq_length: int, seed: int = 0) -> dict[str, tf.Tensor]:
  rng = np.random.default_rng(seed)
  lengths = rng.integers(1, seq_length + 1, size=(batch_size, 1)) if batch_size else np.ones((0, 1))
  mask = (np.arange(seq_length) < lengths).astype(np.int32)
  return dict(
      input_word_ids=tf.constant(rng.integers(0, 30, (batch_size, seq_length)) * mask, tf.int32),
      input_mask=tf.constant(mask, tf.int32),
      input_type_ids=tf.constant(rng.integers(0, 2, (batch_size, seq_length)) * mask, tf.int32))


@pytest.fixture(scope='module', params=TYPES)
def source(request, tmp_path_factory):
  return Source(str(tmp_path_factory.mktemp(request.param)), request.param)


@pytest.fixture(scope='module')
def bert(tmp_path_factory):
  return Source(str(tmp_path_factory.mktemp('bert_only')), 'bert')


@pytest.mark.conformance(2, 16, 17, 18, 19, 20, 21)
def test_outputs_equal_the_network_s(source):
  loaded, inputs = tf.saved_model.load(source.path), batch(3, 9)
  outputs, expected = loaded(inputs), source.network(inputs)
  assert set(outputs) == {'pooled_output', 'default', 'sequence_output', 'encoder_outputs'}
  assert len(outputs['encoder_outputs']) == 2
  for name in ('pooled_output', 'sequence_output'):
    np.testing.assert_allclose(outputs[name], expected[name], atol=1e-5)
  for ours, theirs in zip(outputs['encoder_outputs'], expected['encoder_outputs']):
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
  np.testing.assert_array_equal(outputs['default'], outputs['pooled_output'])
  words = loaded.trainable_variables[0]
  words.assign_add(tf.random.stateless_normal(words.shape, [3, 4], stddev=0.1))
  assert not np.allclose(loaded(inputs)['sequence_output'], expected['sequence_output'], atol=1e-3)


@pytest.mark.conformance(12, 13, 24)
@pytest.mark.parametrize('batch_size, seq_length', [(1, 1), (2, 8), (3, 12), (0, 8)])
def test_shapes(source, batch_size, seq_length):
  loaded, inputs = tf.saved_model.load(source.path), batch(batch_size, seq_length)
  outputs = loaded(inputs)
  assert outputs['sequence_output'].shape == (batch_size, seq_length, 16)
  assert outputs['pooled_output'].shape == (batch_size, 16)
  reordered = {k: inputs[k].numpy() for k in reversed(inputs)}
  np.testing.assert_array_equal(loaded(reordered)['default'], outputs['default'])


@pytest.mark.conformance(14, 15, 24)
def test_other_inputs_are_refused(bert):
  loaded, inputs = tf.saved_model.load(bert.path), batch(2, 8)
  with pytest.raises(ValueError, match='Could not find matching concrete function'):
    loaded({k: v for k, v in inputs.items() if k != 'input_mask'})
  with pytest.raises(ValueError, match='Could not find matching concrete function'):
    loaded({**inputs, 'extra': inputs['input_mask']})
  with pytest.raises(ValueError, match='Could not find matching concrete function'):
    loaded(list(inputs.values()))
  with pytest.raises(ValueError, match='Could not find matching concrete function'):
    loaded({k: tf.cast(v, tf.int64) for k, v in inputs.items()})
  with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
    loaded(batch(1, 13))


@pytest.mark.conformance(26, 27, 28, 29)
def test_training_turns_dropout_on_in_exactly_two_traces(source):
  loaded, inputs = tf.saved_model.load(source.path), batch(3, 9)
  calls = [loaded(inputs, training=True)['pooled_output'].numpy() for _ in range(20)]
  assert np.std(calls, axis=0).max() > 1e-3
  inference = loaded(inputs, training=False)
  np.testing.assert_array_equal(loaded(inputs)['default'], inference['default'])
  assert sorted(c.structured_input_signature[0][1] for c in loaded.__call__.concrete_functions) == [
      False, True]


@pytest.mark.conformance(28)
def test_without_dropout_training_changes_nothing(tmp_path):
  still = Source(str(tmp_path), 'bert', dropout_rate=0.0, attention_dropout_rate=0.0)
  loaded, inputs = tf.saved_model.load(still.path), batch(3, 9)
  np.testing.assert_allclose(
      loaded(inputs, training=True)['sequence_output'], loaded(inputs)['sequence_output'],
      atol=1e-6)


def test_the_same_dropout_state_gives_the_same_masks_in_python_and_in_the_export(source):
  loaded, inputs = tf.saved_model.load(source.path), batch(3, 9)
  loaded.dropout_state.assign([5, 40])
  source.dropout.variable.assign([5, 40])
  with source.dropout.training_call(inputs):
    expected = source.network(inputs, training=True)['sequence_output']
  np.testing.assert_allclose(loaded(inputs, training=True)['sequence_output'], expected, atol=1e-5)
  assert loaded.dropout_state.numpy().tolist() == [5, 41]
  another = loaded(inputs, training=True)['sequence_output']
  assert not np.allclose(another, expected, atol=1e-2)


@pytest.mark.conformance(30)
@pytest.mark.parametrize('training', [False, True])
def test_xla_computes_the_same(bert, training):
  loaded, inputs = tf.saved_model.load(bert.path), batch(2, 8)
  compiled = tf.function(lambda x: loaded(x, training=training), jit_compile=True)
  outputs = compiled(inputs)
  loaded.dropout_state.assign([7, 0])
  np.testing.assert_allclose(
      outputs['sequence_output'], loaded(inputs, training=training)['sequence_output'], atol=1e-5)


@pytest.mark.conformance(31, 32, 33, 34, 35)
def test_variables_are_the_network_s_in_order(source):
  loaded = tf.saved_model.load(source.path)
  ours, theirs = loaded.trainable_variables, source.network.trainable_variables
  assert [v.name for v in ours] == [v.name for v in theirs]
  for a, b in zip(ours, theirs):
    np.testing.assert_array_equal(a, b)
  rest = [v for v in loaded.variables if all(v is not t for t in ours)]
  assert [v.name for v in rest] == ['dropout_state:0', 'do_lower_case:0']
  assert len(rest) + len(ours) == len(loaded.variables)
  assert list(loaded.regularization_losses) == []


@pytest.mark.conformance(36, 37)
def test_every_trainable_variable_has_a_gradient(source):
  loaded, inputs = tf.saved_model.load(source.path), batch(3, 9)
  with tf.GradientTape(persistent=True) as tape:
    outputs = loaded(inputs, training=True)
    loss = tf.reduce_sum(outputs['sequence_output']**2) + tf.reduce_sum(outputs['pooled_output']**2)
  assert all(g is not None for g in tape.gradient(loss, loaded.trainable_variables))
  assert tape.gradient(outputs['default'], loaded.trainable_variables)[0] is not None


@pytest.mark.conformance(25)
def test_static_shapes_are_kept(source):
  loaded = tf.saved_model.load(source.path)
  for length in (10, None):
    spec = {k: tf.TensorSpec([None, length], tf.int32) for k in batch(1, 1)}
    outputs = tf.function(lambda x: loaded(x)).get_concrete_function(spec).structured_outputs
    assert outputs['sequence_output'].shape.as_list() == [None, length, 16]
    assert outputs['pooled_output'].shape.as_list() == [None, 16]


@pytest.mark.conformance(40)
def test_loads_and_trains_under_a_distribution_strategy(bert):
  devices = tf.config.list_logical_devices('CPU')
  strategy = tf.distribute.MirroredStrategy([d.name for d in devices])
  with strategy.scope():
    loaded = tf.saved_model.load(bert.path)
  assert isinstance(loaded.trainable_variables[0], tf.distribute.DistributedValues)
  before = loaded.dropout_state.numpy().tolist()
  strategy.run(lambda: loaded(batch(2, 8), training=True)['default'])
  assert loaded.dropout_state.numpy().tolist() == [before[0], before[1] + 1]


@pytest.mark.conformance(46)
def test_serving_default_has_the_names_of_the_api(source):
  loaded, inputs = tf.saved_model.load(source.path), batch(2, 8)
  assert set(loaded.signatures) == {'serving_default'}
  served = loaded.signatures['serving_default'](**inputs)
  assert set(served) == {'pooled_output', 'default', 'sequence_output', 'encoder_outputs_0',
                         'encoder_outputs_1'}
  called = loaded(inputs)
  # Another function graph, so its operations may be grouped in another way: not bitwise.
  for name, value in called.items():
    if name != 'encoder_outputs':
      np.testing.assert_allclose(served[name], value, atol=1e-5)
  np.testing.assert_allclose(served['encoder_outputs_0'], called['encoder_outputs'][0], atol=1e-5)


@pytest.mark.conformance(41, 42)
def test_the_vocabulary_and_the_case_go_along(bert):
  loaded = tf.saved_model.load(bert.path)
  path = loaded.vocab_file.asset_path.numpy().decode()
  assert path.startswith(bert.path) and os.path.basename(path) == 'words.txt'
  assert open(path).read().split() == VOCAB
  assert loaded.do_lower_case.numpy() is np.bool_(False) and not loaded.do_lower_case.trainable
  assert not hasattr(loaded, 'sp_model_file')


@pytest.mark.conformance(43)
def test_a_sentencepiece_model_goes_along_alone(bert, tmp_path):
  model = tmp_path / 'pieces.model'
  model.write_bytes(b'any bytes')
  root = EncoderSavedModel(
      bert.network, bert.dropout, tokenizer=TokenizerFile(str(model), 'sentencepiece', True),
      pooler=bert.pooler)
  writing.write(root, str(tmp_path / 'export'))
  loaded = tf.saved_model.load(str(tmp_path / 'export'))
  assert open(loaded.sp_model_file.asset_path.numpy(), 'rb').read() == b'any bytes'
  assert not hasattr(loaded, 'vocab_file') and not hasattr(loaded, 'do_lower_case')
  assert [v.name for v in loaded.variables[len(loaded.trainable_variables):]] == ['dropout_state:0']


@pytest.mark.conformance(101)
def test_without_a_pooler_default_is_the_cls_vector(source, tmp_path):
  root = EncoderSavedModel(
      source.network, source.dropout, tokenizer=None, with_pooler=False,
      pooler=source.pooler, masked_lm=source.pretrainer.masked_lm)
  writing.write(root, str(tmp_path / 'export'))
  loaded, inputs = tf.saved_model.load(str(tmp_path / 'export')), batch(2, 8)
  outputs = loaded(inputs)
  assert set(outputs) == {'default', 'sequence_output', 'encoder_outputs'}
  np.testing.assert_array_equal(outputs['default'], outputs['sequence_output'][:, 0])
  assert len(loaded.trainable_variables) == len(source.network.trainable_variables) - 2
  assert 'pooled_output' not in loaded.signatures['serving_default'].structured_outputs
  assert 'pooled_output' not in loaded.mlm({**inputs, 'masked_lm_positions': [[0], [0]]})


@pytest.mark.conformance(48, 49, 50, 52, 59)
@pytest.mark.parametrize('num_predictions', [0, 1, 4])
def test_mlm_equals_the_pretrainer(source, num_predictions):
  loaded, inputs = tf.saved_model.load(source.path), batch(3, 9)
  positions = tf.constant(np.random.default_rng(0).integers(0, 9, (3, num_predictions)), tf.int32)
  outputs = loaded.mlm({**inputs, 'masked_lm_positions': positions})
  assert set(outputs) == {'mlm_logits', 'pooled_output', 'sequence_output', 'encoder_outputs'}
  expected = source.pretrainer({**inputs, 'masked_lm_positions': positions})['mlm_logits']
  assert outputs['mlm_logits'].shape == (3, num_predictions, len(VOCAB))
  np.testing.assert_allclose(outputs['mlm_logits'], expected, atol=1e-5)
  np.testing.assert_allclose(outputs['pooled_output'], loaded(inputs)['pooled_output'], atol=1e-6)


@pytest.mark.conformance(47, 54, 55)
def test_mlm_shares_the_root_s_variable_objects(source):
  loaded = tf.saved_model.load(source.path)
  root, mlm = loaded.trainable_variables, loaded.mlm.trainable_variables
  assert len(mlm) == len(root) + 5
  assert all(a is b for a, b in zip(root, mlm))
  names = {v.name for v in mlm[len(root):]}
  assert names.isdisjoint(v.name for v in root)
  assert all(v is not loaded.do_lower_case for v in loaded.mlm.variables)


@pytest.mark.conformance(4, 56, 58)
def test_after_a_step_through_mlm_both_carry_the_new_weights(source, tmp_path):
  loaded, inputs = tf.saved_model.load(source.path), batch(3, 9)
  before = loaded(inputs)['sequence_output']
  mlm_inputs = {**inputs, 'masked_lm_positions': tf.constant([[0], [0], [0]])}
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(loaded.mlm(mlm_inputs, training=True)['mlm_logits']**2)
  variables = loaded.mlm.trainable_variables
  for v, g in zip(variables, tape.gradient(loss, variables)):
    if g is not None:
      v.assign_sub(0.01 * tf.convert_to_tensor(g))
  after, logits = loaded(inputs)['sequence_output'], loaded.mlm(mlm_inputs)['mlm_logits']
  assert not np.allclose(before, after, atol=1e-3)
  first, second = str(tmp_path / 'first'), str(tmp_path / 'second')
  tf.saved_model.save(loaded, first)
  del loaded
  shutil.move(first, second)
  again = tf.saved_model.load(second)
  np.testing.assert_allclose(again(inputs)['sequence_output'], after, atol=1e-6)
  np.testing.assert_allclose(again.mlm(mlm_inputs)['mlm_logits'], logits, atol=1e-5)


def test_present_values_are_written_without_the_graph(source, tmp_path):
  inputs = batch(3, 9)
  old = source.pooler.kernel.numpy()
  expected_old = source.network(inputs)['pooled_output']
  try:
    source.pooler.kernel.assign(tf.eye(16))
    writing.write_with_present_values(source.root, source.path, str(tmp_path / 'second'))
    expected_new = source.network(inputs)['pooled_output']
  finally:
    source.pooler.kernel.assign(old)
  second = tf.saved_model.load(str(tmp_path / 'second'))
  np.testing.assert_allclose(second(inputs)['pooled_output'], expected_new, atol=1e-5)
  first = tf.saved_model.load(source.path)
  np.testing.assert_allclose(first(inputs)['pooled_output'], expected_old, atol=1e-5)
  assert not np.allclose(expected_old, expected_new, atol=1e-2)
  assert filecmp.cmp(f'{source.path}/saved_model.pb', tmp_path / 'second' / 'saved_model.pb', False)
  positions = {**inputs, 'masked_lm_positions': tf.zeros([3, 1], tf.int32)}
  logits = [export.mlm(positions)['mlm_logits'] for export in (first, second)]
  np.testing.assert_array_equal(*logits)
  assert not os.path.exists(tmp_path / 'second' / 'variables' / 'variables.index.tempstate')


@pytest.mark.conformance(11)
def test_equal_values_give_equal_bytes(bert, tmp_path):
  for name in ('a', 'b'):
    writing.write_with_present_values(bert.root, bert.path, str(tmp_path / name))
  same = filecmp.dircmp(tmp_path / 'a', tmp_path / 'b')
  assert not same.diff_files and not same.left_only and not same.right_only
  for name in ('variables.index', 'variables.data-00000-of-00001'):
    assert filecmp.cmp(tmp_path / 'a/variables' / name, tmp_path / 'b/variables' / name, False)
