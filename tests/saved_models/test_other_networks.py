"""bigbird, funnel, fnet and sparse_mixer: their lengths, padding and masked LM in an export."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from nlp_export.encoder_config import sequence_form, support
from nlp_export.encoder_config.sequence_form import SequenceForm
from nlp_export.encoders import BuiltEncoder, EncoderSpec
from tests import encoder_types, tiny
from tests.saved_models import other_networks as networks
from tests.saved_models.other_networks import Made

LONGEST = encoder_types.SEQ_LENGTH
POOLED = {'pool_stride': 2, 'with_mlm': False}
# One export of each serves all tests. Without dropout it is seen what training does besides.
FIELDS = {
    'bigbird': {}, 'funnel': POOLED, 'fnet': {'output_range': 1},
    'sparse_mixer': {'output_dropout': 0.0, 'attention_dropout': 0.0, 'output_range': 1,
                     'train_capacity_factor': 2.0, 'examples_per_group': 0.5}}
# What an export without a tokenizer's file, in this process, cannot have.
ELSEWHERE = {'encoder.tokenizer_file', 'encoder.do_lower_case', 'encoder.vocab_size'}


@pytest.fixture(scope='module', autouse=True)
def unoptimised_graphs():
  """Optimising a graph costs more than running it once, for exports as small as these."""
  tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': True})
  yield
  tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': False})


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  """A function that makes an export once."""
  known: dict[str, Made] = {}

  def get(name: str, **fields) -> Made:
    key = repr((name, sorted(fields.items())))
    if key not in known:
      known[key] = Made(tmp_path_factory.mktemp(name), name, **fields)
    return known[key]

  return get


def inputs(seq_length: int, batch: int = 2, seed: int = 0) -> dict[str, tf.Tensor]:
  given = tiny.encoder_inputs(batch, seq_length, seed=seed)
  return {name: tf.constant(value) for name, value in given.items()}


def padded(given: dict[str, tf.Tensor], length: int, filling: int = 0) -> dict[str, tf.Tensor]:
  """The same rows, longer; `filling` is the id (and the type, if it is one) at padding."""
  size = given['input_word_ids'].shape[1]
  fill = {'input_word_ids': filling, 'input_mask': 0, 'input_type_ids': min(filling, 1)}
  return {name: tf.pad(value, [[0, 0], [0, length - size]], constant_values=fill[name])
          for name, value in given.items()}


# bigbird: every length, through the one that its network is made for.


@pytest.mark.conformance(12, 21, 22, 24)
@pytest.mark.parametrize('seq_length', [1, 18, LONGEST])
def test_bigbird_gives_at_every_length_what_padding_by_hand_gives(made, seq_length):
  bigbird = made('bigbird')
  given = inputs(seq_length)
  found = tf.saved_model.load(bigbird.path)(given)
  expected = bigbird.network(padded(given, LONGEST))
  assert found['sequence_output'].shape == (2, seq_length, 16)
  np.testing.assert_allclose(found['pooled_output'], expected['pooled_output'], atol=1e-6)
  np.testing.assert_allclose(
      found['sequence_output'], expected['sequence_output'][:, :seq_length], atol=1e-6)
  np.testing.assert_allclose(found['encoder_outputs'][-1], found['sequence_output'], atol=0)
  other = bigbird.network(padded(given, LONGEST, filling=9))  # It is exact: nobody sees padding.
  real = given['input_mask'].numpy().astype(bool)
  np.testing.assert_allclose(found['sequence_output'].numpy()[real],
                             other['sequence_output'].numpy()[:, :seq_length][real], atol=1e-6)


def test_bigbird_of_tf_nlp_takes_other_lengths_wrongly_or_not_at_all(made):
  """The control: without the padding inside there is an error or another function."""
  bigbird = made('bigbird')
  with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
    bigbird.network(inputs(18))
  given = inputs(28)  # Whole blocks, and all random blocks happen to be there.
  short = bigbird.network(given)['sequence_output']
  right = bigbird.network(padded(given, LONGEST))['sequence_output'][:, :28]
  assert np.abs(short - right)[0].max() > 1e-3


def test_bigbird_refuses_more_than_its_positions(made):
  loaded = tf.saved_model.load(made('bigbird').path)
  with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
    loaded(inputs(LONGEST + 1))


def test_bigbird_drops_as_in_python(made):
  bigbird = made('bigbird')
  loaded, given = tf.saved_model.load(bigbird.path), inputs(9)
  for state in (loaded.dropout_state, bigbird.dropout.variable):
    state.assign([5, 40])
  with bigbird.dropout.training_call(given):
    expected = bigbird.network(padded(given, LONGEST), training=True)
  found = loaded(given, training=True)
  np.testing.assert_allclose(found['pooled_output'], expected['pooled_output'], atol=1e-5)
  again = loaded(given, training=True)  # Another state, other masks.
  assert np.abs(found['pooled_output'] - again['pooled_output']).max() > 1e-3


@pytest.mark.conformance(50)
def test_bigbird_s_masked_lm_is_the_pretrainer_s(made):
  bigbird = made('bigbird')
  positions = tf.constant([[0, 3, 5], [1, 1, 0]])
  found = tf.saved_model.load(bigbird.path).mlm(
      {**inputs(9), 'masked_lm_positions': positions})
  expected = bigbird.pretrainer(
      {**padded(inputs(9), LONGEST), 'masked_lm_positions': positions})
  np.testing.assert_allclose(found['mlm_logits'], expected['mlm_logits'], atol=1e-5)
  assert not {'default'} & set(found)


# funnel: fewer vectors than tokens.


def test_funnel_returns_what_tf_nlp_s_returns(made):
  funnel = made('funnel', **POOLED)
  loaded = tf.saved_model.load(funnel.path)
  for seq_length in (1, 11):
    given = inputs(seq_length)
    found, expected = loaded(given), funnel.network(given)
    for name in ('sequence_output', 'pooled_output', 'word_embeddings', 'embedding_output'):
      np.testing.assert_allclose(found[name], expected[name], atol=1e-5)
    assert found['sequence_output'].shape[1] == funnel.form.output_length(seq_length)


@pytest.mark.parametrize(('fields', 'lengths'), [
    ({'pool_stride': 2}, (1, 8, 11)), ({'pool_stride': [1, 3], 'unpool_length': 1}, (4, 11)),
    ({'pool_stride': [2, 1], 'pool_type': 'avg', 'transformer_cls': 'ReZeroTransformer'}, (8, 9)),
    ({'pool_stride': [3, 2], 'pool_type': 'truncated_avg'}, (LONGEST,))])
def test_the_lengths_of_funnel_s_layers_are_known_before(fields, lengths):
  spec = EncoderSpec('funnel', {**encoder_types.BLOCKS['funnel'], **fields, 'output_range': 1})
  network = spec.build()
  for seq_length in lengths:
    found = network(inputs(seq_length))
    told = sequence_form.of(spec).layer_lengths(seq_length, 2)
    assert [layer.shape[1] for layer in found['encoder_outputs']] == list(told)
    assert found['sequence_output'].shape[1] == told[-1] < max(seq_length, 2)


def test_why_funnel_with_pooling_has_no_masked_lm(made):
  """Position 2 of 8 tokens is not vector 2 of 2: TF-NLP's pretrainer reads past the row's end."""
  funnel = made('funnel', **POOLED)
  given = inputs(8)
  row_0 = {**given, 'masked_lm_positions': tf.constant([[2], [0]])}
  logits = funnel.pretrainer(row_0)['mlm_logits']
  np.testing.assert_allclose(logits[0, 0], logits[1, 0], atol=1e-6)  # The next row's vector.


# fnet and sparse_mixer: one length.


@pytest.mark.conformance(12, 24, 25, 46, 50)
@pytest.mark.parametrize('name', ['fnet', 'sparse_mixer'])
def test_networks_of_one_length(made, name):
  source = made(name, **FIELDS[name])
  loaded = tf.saved_model.load(source.path)
  for call in (loaded.__call__, loaded.mlm.__call__):
    for concrete in call.concrete_functions:
      specs = concrete.structured_input_signature[0][0]
      assert specs['input_word_ids'].shape.as_list() == [None, LONGEST]
  serve = loaded.signatures['serving_default'].structured_input_signature[1]
  assert {tuple(spec.shape) for spec in serve.values()} == {(None, LONGEST)}
  four = {**inputs(LONGEST), 'masked_lm_positions': tf.constant([[0, 3, 5], [1, 1, 0]])}
  found, expected = loaded.mlm(four), source.pretrainer(four)
  for key in ('sequence_output', 'pooled_output', 'mlm_logits'):
    np.testing.assert_allclose(found[key], expected[key], atol=1e-5)
  assert found['sequence_output'].shape == (2, LONGEST, 16)  # Though output_range is 1.
  for other in (LONGEST - 1, LONGEST + 1):
    with pytest.raises(ValueError, match='Could not find matching concrete function'):
      loaded(inputs(other))


@pytest.mark.parametrize('name', ['fnet', 'sparse_mixer'])
def test_padding_changes_what_fnet_and_sparse_mixer_return(made, name):
  """The reason why their exports are not checked for exact padding."""
  network = made(name, **FIELDS[name]).network
  found, other = (network(padded(inputs(9), LONGEST, filling))['sequence_output']
                  for filling in (0, 9))
  assert np.abs(found - other)[:, :5].max() > 1e-3


@pytest.mark.parametrize('name', ['fnet', 'sparse_mixer'])
def test_networks_of_a_lab_s_own_are_known_by_their_class(made, name):
  source = made(name, **FIELDS[name])
  own = BuiltEncoder(source.network, '@lab.encoder')
  assert sequence_form.of(own) == source.form
  for known in (support.inexact_padding, support.training_effect):
    assert known(own) == known(source.spec)
  assert support.inexact_padding(own)
  bigbird = BuiltEncoder(made('bigbird').network, '@lab.encoder')
  assert not support.inexact_padding(bigbird)  # Control.


def test_inference_of_experts_changes_no_variable(made):
  """Their routers' Keras metrics stay out of the graph."""
  mixer = made('sparse_mixer', **FIELDS['sparse_mixer'])
  given = inputs(LONGEST)

  def assignments(network) -> list[str]:
    graph = tf.function(lambda x: network(x, training=False), autograph=False)
    return [op.name for op in graph.get_concrete_function(given).graph.get_operations()
            if op.type.startswith('Assign')]

  assert not assignments(mixer.network)
  loaded = tf.saved_model.load(mixer.path)
  assert {v.name for v in loaded.variables} == {
      v.name for v in [*mixer.network.trainable_variables, mixer.dropout.variable]}
  config = encoder_types.write_config(mixer.directory, 'sparse_mixer')
  assert assignments(encoder_types.build_pretrainer(config).encoder_network)  # Control.


def test_fourier_matrices_stand_in_the_graph_once(made):
  fnet = made('fnet', **FIELDS['fnet'])
  with open(f'{fnet.path}/saved_model.pb', 'rb') as f:
    graph = f.read()
  matrix = fnet.network.transformer_layers[0]._attention_layer.fourier_transform.keywords[
      'matrix_dim_one']
  assert matrix.shape == (LONGEST, LONGEST)
  # Two layers, three traces: without sharing it would stand there six times.
  assert graph.count(np.asarray(matrix).tobytes()) == 1


# What the verification says of them.


_EXACT: set[str] = set()
_POOLED = {'encoder.sequence_length', 'encoder.padding'}
_EXTRA = pytest.mark.extra


@pytest.mark.parametrize(('name', 'fields', 'not_applicable'), [
    ('bigbird', {}, _EXACT),
    # tests/test_encoder_types.py verifies the rows of docs/encoders.md; here is what they lack.
    pytest.param('sparse_mixer', {}, {'encoder.padding'}, marks=_EXTRA),
    pytest.param('fnet', {'use_fft': True, 'attention_layers': [1]}, {'encoder.padding'},
                 marks=_EXTRA),
    pytest.param('fnet', {'attention_layers': [0, 1]}, _EXACT, marks=_EXTRA),
    pytest.param('funnel', {'pool_stride': [3, 2], 'pool_type': 'truncated_avg'}, _POOLED,
                 marks=_EXTRA),
    pytest.param('funnel', {'pool_stride': [1, 3], 'unpool_length': 1, 'pool_type': 'avg'},
                 _POOLED, marks=_EXTRA)])
def test_every_check_that_applies_passes(made, name, fields, not_applicable):
  source = made(name, **{**FIELDS[name], **fields})
  # Saving again takes as long as all other checks; with fnet it is seen for shared constants too.
  left_out = ('files.resaved',) if name == 'bigbird' else ()
  answers = networks.verify(source.path, source.expectation, left_out)
  assert not {c.name: c.why for c in answers if c.status == 'failed'}
  found = {c.name: c.why for c in answers if c.status == 'not_applicable'}
  rest = {n for n in found if not n.startswith('mlm.')} - ELSEWHERE
  assert rest == not_applicable
  assert all(found.values())
  assert {c.status for c in answers} <= {'passed', 'not_applicable'}


def test_training_that_routes_otherwise_has_to_be_told(made):
  mixer = made('sparse_mixer', **FIELDS['sparse_mixer'])
  expected = mixer.expectation
  assert expected.dropout is False and expected.training_effect
  assert networks.status(mixer.path, expected, 'encoder.dropout') == 'passed'
  untold = dataclasses.replace(expected, training_effect='')
  assert networks.status(mixer.path, untold, 'encoder.dropout') == 'failed'


@pytest.mark.parametrize(('name', 'told', 'check'), [
    # A network of one length whose export claims to take any, and the other way round.
    ('fnet', SequenceForm(), 'encoder.inputs'),
    pytest.param('bigbird', SequenceForm(fixed_length=LONGEST), 'encoder.inputs', marks=_EXTRA),
    # Pooled to other lengths than the network's.
    pytest.param('funnel', SequenceForm(strides=(2, 1)), 'encoder.encoder_outputs', marks=_EXTRA),
    ('funnel', SequenceForm(), 'encoder.sequence_length')])
def test_a_wrong_form_is_seen(made, name, told, check):
  source = made(name, **FIELDS[name])
  right = source.expectation
  wrong = dataclasses.replace(right, sequence=told)
  assert networks.status(source.path, wrong, check) == 'failed'
  assert networks.status(source.path, right, check) != 'failed'  # Control.


@pytest.mark.extra
def test_padding_that_is_not_masked_is_seen(made, monkeypatch, tmp_path):
  bigbird = made('bigbird')
  pad = tf.pad
  monkeypatch.setattr(tf, 'pad', lambda *args, **kwargs: pad(*args, constant_values=1, **kwargs))
  bigbird.save(str(tmp_path / 'export'))
  monkeypatch.undo()
  expected = bigbird.expectation
  for check in ('encoder.equals_source', 'encoder.padding'):
    assert networks.status(str(tmp_path / 'export'), expected, check) == 'failed'
    assert networks.status(bigbird.path, expected, check) == 'passed'  # Control.
