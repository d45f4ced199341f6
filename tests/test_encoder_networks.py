"""encoder_config/encoder_networks.py: the network is TF-NLP's, with cheap initial values."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from official.nlp.configs import encoders as tf_nlp

from nlp_export.encoder_config import encoder_networks
from nlp_export.encoder_config.encoder_spec import EncoderSpec

TINY = {'vocab_size': 60, 'hidden_size': 16, 'num_layers': 2, 'num_attention_heads': 2,
        'intermediate_size': 32, 'max_position_embeddings': 24}


def _inputs(batch=3, seq_length=11):
  rng = np.random.default_rng(0)
  mask = np.ones((batch, seq_length), np.int32)
  mask[1, 7:] = 0
  return {'input_word_ids': tf.constant(rng.integers(0, 60, (batch, seq_length)), tf.int32),
          'input_mask': tf.constant(mask),
          'input_type_ids': tf.constant(rng.integers(0, 2, (batch, seq_length)), tf.int32)}


def _reference(encoder_type, **fields):
  """TF-NLP's own way: EncoderConfig, build_encoder, a first call."""
  config = tf_nlp.EncoderConfig()
  config.override({'type': encoder_type, encoder_type: {**TINY, **fields}}, is_strict=True)
  network = tf_nlp.build_encoder(config)
  if not network.built:
    network(network.inputs)
  return network


_CASES = [
    ('bert', {}), ('bert_v2', {}), ('albert', {'embedding_width': 8}),
    ('bert', {'embedding_size': 8, 'norm_first': True, 'hidden_activation': 'relu'}),
    ('bert_v2', {'embedding_size': 8}), ('albert', {'embedding_width': 16})]


@pytest.mark.parametrize(('encoder_type', 'fields'), _CASES)
def test_variables_and_outputs_are_those_of_build_encoder(encoder_type, fields):
  tf_keras.backend.reset_uids()  # Keras counts its layers; bert_v2's name stands in its variables.
  ours = EncoderSpec(encoder_type, {**TINY, **fields}).build()
  tf_keras.backend.reset_uids()
  theirs = _reference(encoder_type, **fields)

  def described(network):
    return [(v.name, tuple(v.shape), v.dtype, v.trainable) for v in network.weights]

  assert described(ours) == described(theirs)
  assert type(ours) is type(theirs)
  before = ours(_inputs())['sequence_output'].numpy()
  ours.set_weights(theirs.get_weights())
  got, wanted = ours(_inputs()), theirs(_inputs())
  assert set(got) == set(wanted)
  for key in ('sequence_output', 'pooled_output'):
    np.testing.assert_array_equal(got[key].numpy(), wanted[key].numpy())
  assert np.abs(before - wanted['sequence_output'].numpy()).max() > 0.1  # Control.


@pytest.mark.parametrize(('encoder_type', 'fields'), _CASES)
def test_number_of_parameters(encoder_type, fields):
  spec = EncoderSpec(encoder_type, {**TINY, **fields})
  assert spec.num_parameters == sum(int(np.prod(v.shape)) for v in spec.build().trainable_weights)


def test_other_types_have_no_formula_but_are_built():
  spec = EncoderSpec('kernel', TINY)
  assert spec.num_parameters is None
  assert spec.build()(_inputs())['sequence_output'].shape == (3, 11, 16)


@pytest.mark.parametrize('encoder_type', ['bert', 'bert_v2', 'albert'])
def test_initial_values_are_zeros_unless_asked_for(encoder_type):
  spec = EncoderSpec(encoder_type, TINY)
  assert not any(v.numpy().any() for v in spec.build().weights)
  initialised = {v.name.split('/')[-1] + str(v.shape): v.numpy()
                 for v in spec.build(initialise=True).weights}
  word = initialised[f'embeddings:0({60}, {spec.embedding_size})']
  assert 0.01 < word.std() < 0.03  # Truncated normal of initializer_range 0.02.
  assert any((value == 1).all() for value in initialised.values())  # Layer norm's gamma.


def test_variables_of_one_shape_do_not_share_what_is_written_to_them():
  network = EncoderSpec('bert', TINY).build()
  same = [v for v in network.weights if tuple(v.shape) == (16,)]
  assert len(same) > 3
  same[0].assign_add(tf.ones(16))
  same[1].assign(2 * tf.ones(16))
  same[2].scatter_nd_update([[0]], [5.0])
  assert same[0].numpy().tolist() == [1.0] * 16
  assert same[1].numpy().tolist() == [2.0] * 16
  assert same[2].numpy().tolist() == [5.0] + [0.0] * 15
  assert not same[3].numpy().any()


def test_zero_values_end_with_the_context_and_spare_what_is_not_trained():
  with encoder_networks.zero_initial_values():
    inside = tf.Variable(lambda: tf.ones(3), shape=[3], dtype=tf.float32)
    counter = tf.Variable(lambda: tf.ones(3), shape=[3], dtype=tf.float32, trainable=False)
  outside = tf.Variable(lambda: tf.ones(3), shape=[3], dtype=tf.float32)
  assert not inside.numpy().any()
  assert counter.numpy().all()
  assert outside.numpy().all()


@pytest.mark.parametrize('encoder_type', ['bert', 'bert_v2', 'albert'])
def test_gelu_erf_is_another_network_than_gelu(encoder_type):
  fields = {**TINY, 'intermediate_size': 64}
  tanh = EncoderSpec(encoder_type, fields).build()
  erf = EncoderSpec(encoder_type, {**fields, 'hidden_activation': 'gelu_erf'}).build()
  rng = np.random.default_rng(1)
  weights = [rng.normal(0, 0.3, v.shape).astype(np.float32) for v in tanh.weights]
  tanh.set_weights(weights)
  erf.set_weights(weights)
  difference = np.abs(tanh(_inputs())['sequence_output'] - erf(_inputs())['sequence_output']).max()
  assert 1e-5 < difference < 0.1


def test_the_config_is_tf_nlps_own_and_strict():
  config = encoder_networks.encoder_config(
      EncoderSpec('sparse_mixer', {'hidden_size': 16, 'inner_activation': 'gelu_erf'}))
  assert config.type == 'sparse_mixer'
  assert config.get().hidden_size == 16
  assert config.get().inner_activation == 'nlp_export>gelu_erf'
  assert tuple(config.get().moe_layers) == (5, 6, 7, 8)


def test_the_example_in_the_documentation_runs(repository):
  text = (repository / 'docs' / 'encoders.md').read_text()
  names = {}
  exec(text.split('```python\n')[1].split('```')[0], names)  # noqa: S102 (our own example)
  assert names['network'].get_embedding_table().shape == (30522, 128)
