"""Which lengths an encoder takes and returns, known before it is built."""

from __future__ import annotations

import types

import pytest

from nlp_export.encoder_config import sequence_form, support
from nlp_export.encoder_config.sequence_form import SequenceForm
from nlp_export.encoders import EncoderSpec
from nlp_export.errors import RequestError

FUNNEL = {'num_layers': 2, 'max_position_embeddings': 16}


@pytest.mark.parametrize(('name', 'fields', 'form'), [
    ('bert', {}, SequenceForm()),
    ('kernel', {}, SequenceForm()),
    ('bigbird', {}, SequenceForm(padded_length=4096)),
    ('fnet', {'max_sequence_length': 64}, SequenceForm(fixed_length=64)),
    ('sparse_mixer', {}, SequenceForm(fixed_length=512)),
    ('funnel', FUNNEL, SequenceForm(strides=(2, 2))),
    ('funnel', {**FUNNEL, 'pool_stride': [1, 3], 'unpool_length': 1},
     SequenceForm(strides=(1, 3), unpooled=1)),
    ('funnel', {**FUNNEL, 'pool_stride': [1, 1]}, SequenceForm()),
    ('funnel', {**FUNNEL, 'pool_type': 'truncated_avg'},
     SequenceForm(fixed_length=16, strides=(2, 2), drops_rest=True))])
def test_the_form_of_a_spec(name, fields, form):
  found = sequence_form.of(EncoderSpec(name, fields))
  assert found == form
  assert SequenceForm(**found.to_json()) == form


@pytest.mark.parametrize(('shapes', 'length'), [
    ([(None, None)] * 3, None), ([(None, 8)] * 3, 8), ([(None, 8), (None, None)], None),
    ([], None)])
def test_a_built_network_tells_by_its_inputs(shapes, length):
  inputs = {str(i): types.SimpleNamespace(shape=shape) for i, shape in enumerate(shapes)}
  network = types.SimpleNamespace(inputs=inputs)
  own = types.SimpleNamespace(type='own', network=network, config={})
  assert sequence_form.of(own) == SequenceForm(fixed_length=length)
  network.inputs = list(inputs.values())  # As functional models have them.
  assert sequence_form.of(own) == SequenceForm(fixed_length=length)


def test_lengths_after_pooling():
  assert SequenceForm().layer_lengths(7, 3) == (7, 7, 7)
  assert SequenceForm(strides=(2, 2)).layer_lengths(7, 2) == (4, 2)
  assert SequenceForm(strides=(2, 1), unpooled=1).layer_lengths(7, 2) == (4, 4)
  assert SequenceForm(strides=(3,), drops_rest=True).layer_lengths(8, 1) == (2,)
  assert SequenceForm(strides=(2, 2)).output_length(7) == 2
  assert SequenceForm(strides=(2, 2)).output_length(None) is None


def test_a_preprocessor_of_another_length_is_refused():
  spec = EncoderSpec('fnet', {'max_sequence_length': 64})
  sequence_form.check_default_seq_length(spec, 64)
  sequence_form.check_default_seq_length(EncoderSpec('bigbird', {}), 128)
  with pytest.raises(RequestError) as caught:
    sequence_form.check_default_seq_length(spec, 128)
  assert str(caught.value).endswith('Write --set DEFAULT_SEQ_LENGTH=64')


@pytest.mark.parametrize(('name', 'fields', 'start'), [
    ('bert', {}, 'S is at most 512.'),
    ('fnet', {}, 'S is 512: other lengths are refused.'),
    ('bigbird', {}, 'S is at most 4096; shorter rows are padded to 4096 inside')])
def test_the_sentence_of_the_card(name, fields, start):
  spec = EncoderSpec(name, fields)
  assert sequence_form.description(
      sequence_form.of(spec), spec.max_positions).startswith(start)


def test_the_sentence_on_pooling():
  spec = EncoderSpec('funnel', {'num_layers': 3})
  assert sequence_form.output_description(sequence_form.of(spec), 3, 512).endswith(
      'for S = 128, the layers return 64, 32, 16 vectors.')
  assert 'for S = 16, the layers return 8, 4, 2' in sequence_form.output_description(
      sequence_form.of(spec), 3, 16)
  assert not sequence_form.output_description(SequenceForm(), 3, 512)


@pytest.mark.parametrize(('name', 'fields', 'exact'), [
    ('bert', {}, True), ('bigbird', {}, True),
    ('fnet', {}, False), ('fnet', {'num_layers': 2, 'attention_layers': (0, 1)}, True),
    ('sparse_mixer', {}, False),
    ('sparse_mixer', {'num_layers': 2, 'attention_layers': (0, 1), 'moe_layers': (1,)}, False),
    ('sparse_mixer', {'num_layers': 2, 'attention_layers': (0, 1), 'moe_layers': ()}, True),
    ('funnel', {}, False), ('funnel', {'pool_stride': 1}, True)])
def test_where_padding_is_exact(name, fields, exact):
  assert bool(support.inexact_padding(EncoderSpec(name, fields))) != exact


def test_where_training_changes_more_than_dropout():
  assert not support.training_effect(EncoderSpec('sparse_mixer', {}))
  other = EncoderSpec('sparse_mixer', {'train_capacity_factor': 0.5})
  assert support.training_effect(other) in support.remarks(other)
  none = EncoderSpec('sparse_mixer', {'train_capacity_factor': 0.5, 'moe_layers': ()})
  assert not support.training_effect(none)
