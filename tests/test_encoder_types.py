"""Each of TF-NLP's 13 encoder types: exported, verified and equal to TF-NLP's own network.

The rows of bigbird, funnel, fnet and sparse_mixer, and the refusals one by one, have tests of their
own; `make test-extra` exports every pair again and compares the page with what happened.
"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from nlp_export import checkpoints, encoders, poolers
from nlp_export.encoder_config import encoder_networks, support
from nlp_export.encoders import EncoderSpec
from nlp_export.errors import RequestError
from nlp_export.pretrainer import checkpoint_items
from nlp_export.restored_encoder import restore_encoder
from tests import encoder_types as types
from tests import in_process, tiny
from tests.saved_models import other_networks

INPUTS = ('input_word_ids', 'input_mask', 'input_type_ids')


@pytest.fixture(scope='module')
def place(tmp_path_factory):
  directory = tmp_path_factory.mktemp('types')
  with types.own_modules(directory):
    yield directory


def _inputs(seed=0):
  given = tiny.encoder_inputs(3, types.SEQ_LENGTH, seed=seed)
  return {name: tf.constant(value) for name, value in given.items()}


def _mlm_inputs():
  return {**_inputs(), 'masked_lm_positions': tf.constant([[1, 2]] * 3)}


# The page.


def test_the_page_says_what_the_code_says():
  predicted = {label: types.predicted(label) for label in types.ROWS}
  assert types.page_table() == types.table(predicted), 'run: python -m tests.encoder_types'


def test_the_page_would_be_out_of_date():  # Control of the test above.
  found = {label: types.predicted(label) for label in types.ROWS}
  found['kernel'] = {**found['kernel'], 'model_with_mlm': 'refused'}
  assert types.page_table() != types.table(found)


@pytest.mark.extra
@pytest.mark.parametrize('label', types.ROWS)
def test_the_page_says_what_happens(place, tiny_vocab, label):
  found = types.outcome(place, label, tiny_vocab)
  assert types.row(label, found) in types.page_table().splitlines()


# What an export of each type returns.


@pytest.fixture
def unoptimised_graphs():
  """Optimising a graph costs more than running it once, for exports as small as these."""
  tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': True})
  yield
  tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': False})


@pytest.mark.usefixtures('unoptimised_graphs')
@pytest.mark.parametrize(('name', 'fields'), [
    ('kernel', {}), ('mobilebert', {}), pytest.param('reuse', {}, marks=pytest.mark.extra),
    pytest.param('kernel', {'feature_transform': 'relu', 'norm_first': True},
                 marks=pytest.mark.extra),
    pytest.param('query_bert', {'return_attention_scores': True}, marks=pytest.mark.extra)])
def test_every_check_that_applies_passes(tmp_path, name, fields):
  made = other_networks.Made(tmp_path, name, **fields)
  answers = other_networks.verify(made.path, made.expectation)
  assert not [a for a in answers if a.status not in ('passed', 'not_applicable')]
  status = {a.name: a.status for a in answers}
  inexact = support.inexact_padding(made.spec)
  assert status['encoder.padding'] == ('not_applicable' if inexact else 'passed')
  assert {status[check] for check in (
      'encoder.equals_source', 'encoder.signature', 'encoder.weights', 'encoder.pooler',
      'encoder.dropout_state', 'encoder.xla', 'mlm.equals_source', 'mlm.formula')} == {'passed'}

  expected = made.pretrainer(_mlm_inputs())
  loaded = tf.saved_model.load(made.path)
  found = loaded.mlm(_mlm_inputs())
  for key in ('sequence_output', 'pooled_output', 'mlm_logits'):
    np.testing.assert_allclose(found[key], expected[key], atol=1e-5, rtol=1e-5)
  assert len(found['encoder_outputs']) == len(expected['encoder_outputs'])
  assert len(loaded.trainable_variables) == len(made.network.trainable_variables)
  assert ('attention_scores' in found) == (name == 'mobilebert' or bool(
      fields.get('return_attention_scores')))
  made.pretrainer.set_weights([w + 0.1 for w in made.pretrainer.get_weights()])
  other = made.pretrainer(_mlm_inputs())['sequence_output']
  assert np.abs(found['sequence_output'] - other).max() > 1e-2  # Control.


@pytest.mark.conformance(102)
def test_copy_nsp_works_for_albert(place, tiny_vocab):
  # TF-NLP's exporter: 'AlbertEncoder' object has no attribute 'pooler_layer'.
  macros = types.settings(place, 'albert', tiny_vocab)
  restored = restore_encoder(
      checkpoints.find_checkpoint(macros['CHECKPOINT']),
      EncoderSpec('albert', types.BLOCKS['albert']), item_names=checkpoint_items())
  source = types.build_pretrainer(types.write_config(place, 'albert'))
  own = source.encoder_network(_inputs())
  kept = restored.network(_inputs())['pooled_output']
  np.testing.assert_allclose(kept, own['pooled_output'], atol=1e-6)
  weights = poolers.initialise(poolers.copy_nsp, 'copy_nsp', 16, restored.pooler_source())
  restored.pooler.kernel.assign(weights.kernel)
  restored.pooler.bias.assign(weights.bias)
  expected = source.classification_heads[0].dense(own['sequence_output'][:, 0])
  copied = restored.network(_inputs())['pooled_output']
  np.testing.assert_allclose(copied, expected, atol=1e-6)
  assert np.abs(copied - kept).max() > 1e-2  # Control.


@pytest.mark.extra
def test_a_mobilebert_without_a_pooler_is_exported_without_one(tmp_path, tiny_vocab):
  macros = types.settings(tmp_path, 'mobilebert', tiny_vocab, classifier_activation=False)
  done = types.export(tmp_path, 'mobilebert', macros, ('model',), POOLERS='(@poolers.none,)')
  assert done.status == 0, done.output
  loaded = tf.saved_model.load(str(tmp_path / 'mobilebert_out' / 'exports' / 'none' / 'model'))
  outputs = loaded(_inputs())
  assert 'pooled_output' not in outputs
  np.testing.assert_array_equal(outputs['default'], outputs['sequence_output'][:, 0])


@pytest.mark.extra
def test_an_export_of_albert_with_a_copied_pooler(place, tiny_vocab):
  macros = types.settings(place, 'albert', tiny_vocab)
  done = types.export(place, 'albert', macros, ('model',), POOLERS='(@poolers.copy_nsp,)')
  assert done.status == 0, done.output
  assert types.verification(place, 'albert', 'model', 'copy_nsp')['passed']


# Networks that a configuration changes.


@pytest.mark.parametrize(('name', 'fields'), [
    ('kernel', {'is_short_seq': True}), ('kernel', {'begin_kernel': 2, 'norm_first': True}),
    ('kernel', {'feature_transform': 'relu', 'num_random_features': 0, 'embedding_size': 8}),
    ('reuse', {'reuse_attention': -1, 'norm_first': True, 'output_range': 1}),
    ('mobilebert', {'normalization_type': 'layer_norm', 'hidden_activation': 'gelu',
                    'use_bottleneck_attention': True}),
    ('mobilebert', {'classifier_activation': False, 'input_mask_dtype': 'float32'}),
    ('query_bert', {'norm_first': True, 'hidden_activation': 'relu'})])
def test_the_network_of_a_spec_is_tf_nlps(place, name, fields):
  expected = types.build_pretrainer(types.write_config(place, name, **fields)).encoder_network
  network = EncoderSpec(name, {**types.BLOCKS[name], **fields}).build()
  network.set_weights(expected.get_weights())
  found, wanted = network(_inputs()), expected(_inputs())
  assert set(found) == set(wanted)
  for key in ('sequence_output', 'pooled_output'):
    np.testing.assert_array_equal(found[key], wanted[key])
  plain = EncoderSpec(name, types.BLOCKS[name]).build()
  if [v.shape for v in plain.weights] == [v.shape for v in network.weights]:
    plain.set_weights(expected.get_weights())  # Control: the fields matter.
    assert np.abs(plain(_inputs())['pooled_output'] - wanted['pooled_output']).max() > 1e-4


def test_query_bert_without_an_embedding_size_has_one_of_hidden_size():
  fields = {k: v for k, v in types.BLOCKS['query_bert'].items() if k != 'embedding_size'}
  spec = EncoderSpec('query_bert', fields)
  assert spec.embedding_size == 16
  assert encoder_networks.encoder_config(spec).get().embedding_size == 16
  network = spec.build()
  assert network.get_embedding_table().shape == (types.tiny.Size.vocab_size, 16)
  assert network(_inputs())['sequence_output'].shape == (3, types.SEQ_LENGTH, 16)


def test_mobilebert_reads_the_neighbours_of_a_token(place):
  """The reason why its exports are not checked for exact padding."""
  network = types.build_pretrainer(types.write_config(place, 'mobilebert')).encoder_network
  given = {k: v[:1, :6] for k, v in tiny.encoder_inputs(1, 6).items()}
  longer = {k: np.pad(v, [[0, 0], [0, 2]]) for k, v in given.items()}
  found, padded = network(given)['sequence_output'], network(longer)['sequence_output']
  assert np.abs(found - padded[:, :6]).max() > 1e-3


def test_the_other_masked_lm_head_of_published_mobileberts_is_refused(tmp_path):
  """TF-NLP's projects/mobilebert trains MobileBertMaskedLM, whose table is wider than E."""
  from official.nlp.modeling import layers, models

  network = EncoderSpec('mobilebert', types.BLOCKS['mobilebert']).build()
  head = layers.MobileBertMaskedLM(
      embedding_table=network.get_embedding_table(), activation='relu', name='cls/predictions')
  model = models.BertPretrainerV2(encoder_network=network, customized_masked_lm=head)
  model({**_inputs(), 'masked_lm_positions': tf.constant([[1, 2]] * 3)})
  found = checkpoints.find_checkpoint(tiny.write_checkpoint(tmp_path / 'mobile', model))
  spec = EncoderSpec('mobilebert', types.BLOCKS['mobilebert'])
  restore_encoder(found, spec, item_names=checkpoint_items())  # Control: the encoder is there.
  with pytest.raises(RequestError, match='masked_lm'):
    restore_encoder(found, spec, item_names=checkpoint_items(), mlm_activation='relu')


# Refusals, as a whole run says them.


@pytest.mark.conformance(108)
@pytest.mark.parametrize(('settings', 'end'), [
    ({}, '(ENCODER = @my_module.my_encoder, see docs/encoders.md)'),
    ({'EXPORT_TYPES': "('preprocessing',)"},
     'Leave ENCODER out for the preprocessing of another encoder'),
])
def test_xlnet_is_refused_before_any_work(place, tiny_checkpoint, tiny_vocab, settings, end):
  config = types.write_config(place, 'xlnet')
  out = place / 'xlnet_refused'
  done = in_process.run_main(
      'gin/runs/export.gin', *in_process.settings(
          CHECKPOINT=tiny_checkpoint, VOCAB_FILE=tiny_vocab, ENCODER_CONFIG=config, **settings),
      '--out_dir', out)
  assert done.status == 2
  assert done.stderr.strip().endswith(end)
  assert not out.exists()


@pytest.mark.parametrize(('name', 'fields', 'settings', 'end'), [
    ('mobilebert', {'classifier_activation': False}, {}, "Write --set POOLERS='(@poolers.none,)'"),
    ('kernel', {'redraw': True}, {}, 'Write redraw = False'),
    ('fnet', {}, {'DEFAULT_SEQ_LENGTH': 16}, f'Write --set DEFAULT_SEQ_LENGTH={types.SEQ_LENGTH}'),
    ('bert', {}, {'DEFAULT_SEQ_LENGTH': 64, 'EXPORT_TYPES': "('preprocessing',)"}, None),
])
def test_what_does_not_fit_is_said_before_any_work(
    place, tiny_checkpoint, tiny_vocab, name, fields, settings, end):
  macros = {'CHECKPOINT': tiny_checkpoint, 'VOCAB_FILE': tiny_vocab, 'DEFAULT_SEQ_LENGTH': 32,
            'ENCODER_CONFIG': types.write_config(place, name, **fields), **settings}
  done = in_process.run_main('gin/runs/export.gin', *in_process.settings(**macros), '--dry_run')
  assert done.status == 2
  if end:
    assert done.stderr.strip().endswith(end)
  else:
    assert '32' in done.stderr  # The encoder's positions, said though it is not exported.


# `any`.


def test_any_is_built_by_a_registered_builder(place, tiny_vocab):
  macros = types.settings(place, 'any', tiny_vocab)
  done = in_process.run_main(
      types.run_file(place, 'any'), *in_process.settings(
          **macros, EXPORT_TYPES="('model', 'model_with_mlm')"), '--dry_run')
  assert done.status == 0, done.output
  assert 'own: 1 layers, 16 wide, from @encoders.any with gated' in done.stdout
  import type_builders

  encoder = encoders.any_encoder(
      type_builders.gated, {'depth': 2}, str(types.write_config(place, 'any')))
  encoder.check_exportable(('model', 'model_with_mlm'))
  assert encoder.network.gate.shape == (16,)
  assert encoder.num_layers == 2  # `config` comes before the file, which says 1.
  with pytest.raises(RequestError, match=r'write ENCODER_CONFIG = .*bert.yaml'):  # Control.
    encoders.any_encoder(type_builders.gated, None, str(types.write_config(place, 'bert')))


def test_model_with_mlm_of_a_network_without_a_table_is_refused_before_any_work():
  import tf_keras

  class Mine(tf_keras.layers.Layer):

    def call(self, inputs):
      vectors = tf.one_hot(inputs['input_word_ids'], 8)
      return {'sequence_output': vectors, 'encoder_outputs': [vectors]}

  encoder = encoders.resolve(lambda: Mine())
  encoder.check_exportable(('model',))  # Control.
  assert encoder.hidden_size == 8
  with pytest.raises(RequestError) as caught:
    encoder.check_exportable(('model', 'model_with_mlm'))
  assert 'Mine has no inputs and no get_embedding_table' in str(caught.value)
  assert str(caught.value).endswith(
      'and `get_embedding_table()`, its word embeddings [vocab_size, width]')


@pytest.mark.parametrize(('settings', 'end'), [
    ({'encoders.any.builder': '@builders.broken'}, '--debug shows the traceback.'),
    ({'encoders.any.builder': '@builders.nothing'},
     'It must return a built tf_keras network, as any.BUILDER of TF-NLP'),
    ({'encoders.any.builder': None, 'ENCODER': None}, 'encoders.any.config_file'),
])
def test_any_says_what_is_wrong(place, tiny_checkpoint, tiny_vocab, settings, end):
  config = types.write_config(place, 'any')
  if 'ENCODER' in settings:  # The file alone.
    file, named = 'gin/runs/export.gin', {'ENCODER_CONFIG': config}
  else:
    file, named = types.run_file(place, 'any'), {'CONFIG': config}
  given = {k: v for k, v in settings.items() if v}
  arguments = [f'--set={k}={v}' for k, v in {**named, **given}.items()]
  done = in_process.run_main(
      file, *arguments, f'--set=CHECKPOINT={tiny_checkpoint}', f'--set=VOCAB_FILE={tiny_vocab}',
      '--dry_run')
  assert done.status == 2, done.output
  assert done.stderr.strip().endswith(end)
