"""nlp_export/encoders/ and encoder_spec.py: what can be named, and what is refused."""

import copy
import dataclasses
import inspect
import json
import subprocess
import sys

import gin
import pytest
import tf_keras
from official.nlp.configs import encoders as tf_nlp

from nlp_export import encoders
from nlp_export.encoder_config import encoder_blocks
from nlp_export.encoders import EncoderSpec
from nlp_export.errors import RequestError

TINY = {'vocab_size': 60, 'hidden_size': 16, 'num_layers': 2, 'num_attention_heads': 2,
        'intermediate_size': 32, 'max_position_embeddings': 24}


@pytest.fixture(autouse=True)
def _clean_gin():
  gin.clear_config()
  yield
  gin.clear_config()


def _tf_nlp_defaults(encoder_type):
  block = getattr(tf_nlp.EncoderConfig(), encoder_type)
  return {field.name: getattr(block, field.name) for field in dataclasses.fields(block)}


def test_every_type_of_encoder_config_is_in_the_table_but_any():
  theirs = {field.name for field in dataclasses.fields(tf_nlp.EncoderConfig)}
  assert theirs - {'type', 'any'} == set(encoder_blocks.DEFAULTS)


@pytest.mark.parametrize('encoder_type', encoder_blocks.DEFAULTS)
def test_fields_and_defaults_are_those_of_tf_nlp(encoder_type):
  theirs = _tf_nlp_defaults(encoder_type)
  assert dict(encoder_blocks.DEFAULTS[encoder_type]) == theirs
  for key, value in theirs.items():
    assert type(encoder_blocks.DEFAULTS[encoder_type][key]) is type(value)


@pytest.mark.parametrize('encoder_type', encoder_blocks.DEFAULTS)
def test_factory_signature_is_tf_nlps_block(encoder_type):
  factory = gin.get_configurable(f'encoders.{encoder_type}')
  theirs = _tf_nlp_defaults(encoder_type)
  theirs.pop('embedding_layer', None)  # Funnel's: an object that no gin file can write.
  parameters = inspect.signature(factory).parameters
  assert {name: p.default for name, p in parameters.items()} == theirs
  documented = inspect.getdoc(getattr(encoders, encoder_type))
  assert 'Args:' in documented and 'Source: ' in documented
  spec = factory()
  assert (spec.type, dict(spec.config)) == (encoder_type, _tf_nlp_defaults(encoder_type))


@pytest.mark.parametrize('encoder_type', encoder_blocks.DEFAULTS)
def test_properties_of_every_type(encoder_type):
  spec = EncoderSpec(encoder_type, {})
  for name in ('hidden_size', 'num_layers', 'num_attention_heads', 'vocab_size', 'embedding_size',
               'intermediate_size'):
    assert getattr(spec, name) > 0, name
  assert spec.hidden_activation == ('gelu_erf' if encoder_type == 'mobilebert' else 'gelu')
  assert 0 <= spec.dropout_rate < 1 and 0 <= spec.attention_dropout_rate < 1
  if encoder_type == 'xlnet':
    assert spec.max_positions is None and spec.type_vocab_size is None
  else:
    assert spec.max_positions > 0 and spec.type_vocab_size > 0


def test_embedding_size_is_hidden_size_unless_factorised():
  assert encoders.bert(**TINY).embedding_size == 16
  assert encoders.bert(**TINY, embedding_size=8).embedding_size == 8
  assert encoders.albert().embedding_size == 128


def test_no_tensorflow_is_imported():
  code = ("import sys, nlp_export.encoders as e; e.bert();"
          "print(sorted(set(sys.modules) & {'tensorflow', 'tf_keras', 'official', 'numpy'}))")
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
  assert done.stdout.strip() == '[]'


# A spec is a value.


def test_a_spec_is_read_only_and_complete():
  spec = EncoderSpec('bert', {'hidden_size': 24})
  assert spec.config['num_layers'] == 12
  with pytest.raises(TypeError):
    spec.config['num_layers'] = 3
  with pytest.raises(dataclasses.FrozenInstanceError):
    spec.type = 'albert'


def test_equality_looks_at_what_is_built_not_where_it_was_written():
  here = EncoderSpec('bert', TINY, source='a.json', notes=('x',))
  there = EncoderSpec('bert', TINY, source='b.yaml')
  assert here == there and hash(here) == hash(there)
  assert here != EncoderSpec('bert', {**TINY, 'num_layers': 3})
  assert here != EncoderSpec('bert_v2', TINY)


@pytest.mark.parametrize('encoder_type', ['bert', 'sparse_mixer'])
def test_json_and_copies_give_the_same_spec(encoder_type):
  spec = EncoderSpec(encoder_type, {'hidden_size': 24}, source='x.yaml', notes=('a', 'b'))
  for other in (EncoderSpec.from_json(json.loads(json.dumps(spec.to_json()))),
                copy.copy(spec), copy.deepcopy(spec)):
    assert other == spec
    assert (other.source, other.notes) == ('x.yaml', ('a', 'b'))


def test_activation_names_are_lower_cased_as_tf_nlp_does():
  assert encoders.bert(hidden_activation='GELU') == encoders.bert()


# Refusals. Each message ends with what to write instead.


@pytest.mark.parametrize(('fields', 'start', 'end'), [
    ({'hidden_size': 100, 'num_attention_heads': 12}, 'encoders.bert: hidden_size = 100',
     'Write encoders.bert.num_attention_heads = 10, or a width that 12 divides'),
    ({'hidden_size': '768'}, "encoders.bert: hidden_size = '768' is a text",
     'Write encoders.bert.hidden_size = 768'),
    ({'num_layers': 2.0}, 'encoders.bert: num_layers = 2.0 is a fraction',
     'Write encoders.bert.num_layers = 2'),
    ({'num_layers': True}, 'encoders.bert: num_layers = True is a truth value',
     'Write encoders.bert.num_layers = 12'),
    ({'num_layers': None}, 'encoders.bert: num_layers = None is nothing',
     'Write encoders.bert.num_layers = 12'),
    ({'num_layers': 0}, 'encoders.bert: num_layers = 0 must be at least 1',
     'Write encoders.bert.num_layers = 12'),
    ({'embedding_size': -3}, 'encoders.bert: embedding_size = -3',
     'Write encoders.bert.embedding_size = 1'),
    ({'norm_first': 1}, 'encoders.bert: norm_first = 1 is a whole number, where true or false',
     'Write encoders.bert.norm_first = False'),
    ({'dropout_rate': 1.5}, 'encoders.bert: dropout_rate = 1.5 is no dropout rate',
     'Write encoders.bert.dropout_rate = 0.1'),
    ({'initializer_range': -0.02}, 'encoders.bert: initializer_range = -0.02',
     'Write encoders.bert.initializer_range = 0.02'),
    ({'initializer_range': float('nan')}, 'encoders.bert: initializer_range = nan',
     'Write encoders.bert.initializer_range = 0.02'),
    ({'hidden_activation': 7}, 'encoders.bert: hidden_activation = 7 is a whole number',
     "Write encoders.bert.hidden_activation = 'gelu'"),
    ({'hidden_activation': 'gleu'},
     "encoders.bert: hidden_activation = 'gleu' is no activation that TF-NLP knows"
     ' (did you mean gelu?)', 'softmax, softplus, softsign, swish, tanh'),
])
def test_values_that_no_encoder_can_have(fields, start, end):
  with pytest.raises(RequestError) as caught:
    encoders.bert(**fields)
  assert str(caught.value).startswith(start)
  assert str(caught.value).endswith(end)


def test_all_wrong_values_are_named_at_once():
  with pytest.raises(RequestError) as caught:
    encoders.albert(num_layers='12', dropout_rate=2, hidden_activation='rleu')
  for name in ('num_layers', 'dropout_rate', 'hidden_activation'):
    assert name in str(caught.value)


def test_unknown_field_of_a_spec():
  with pytest.raises(RequestError) as caught:
    EncoderSpec('albert', {'embedding_size': 64})
  assert 'no such field in the block albert: embedding_size (did you mean embedding_width?)' in str(
      caught.value)
  assert str(caught.value).endswith('type_vocab_size, vocab_size')


@pytest.mark.parametrize(('encoder_type', 'end'), [
    ('electra', "Use bert: write type = 'bert'"),
    ('any', 'a file with its block any may stand in encoders.any.config_file'),
    ('brt', "For a BERT encoder write type = 'bert'"),
])
def test_unknown_types(encoder_type, end):
  with pytest.raises(RequestError) as caught:
    EncoderSpec(encoder_type, {})
  assert str(caught.value).endswith(end)


def test_mobilebert_heads_divide_the_bottleneck_and_xlnet_needs_no_division():
  EncoderSpec('xlnet', {'hidden_size': 10, 'num_attention_heads': 3})
  with pytest.raises(RequestError, match='intra_bottleneck_size = 1024 cannot be divided'):
    EncoderSpec('mobilebert', {'num_attention_heads': 3})


@pytest.mark.parametrize(('encoder_type', 'fields', 'end'), [
    ('kernel', {'feature_transform': 'sin'}, "Write feature_transform = 'exp'"),
    ('kernel', {'num_random_features': -1}, 'Write num_random_features = 256'),
    ('mobilebert', {'normalization_type': 'rms'}, "Write normalization_type = 'layer_norm'"),
    ('mobilebert', {'input_mask_dtype': 'bool'}, "Write input_mask_dtype = 'int32'"),
    ('mobilebert', {'hidden_activation': 'relu6'}, "Write hidden_activation = 'relu'"),
    ('mobilebert', {'num_feedforward_networks': 0}, 'Write num_feedforward_networks = 1'),
    ('reuse', {'reuse_attention': -2}, 'Write reuse_attention = -1'),
    ('reuse', {'reuse_attention': 13}, 'Write reuse_attention = -1 for all of them'),
    ('xlnet', {'attention_type': 'tri'}, "Write attention_type = 'bi'"),
])
def test_values_that_a_type_cannot_have(encoder_type, fields, end):
  EncoderSpec(encoder_type, {})  # Control.
  with pytest.raises(RequestError) as caught:
    EncoderSpec(encoder_type, fields)
  assert str(caught.value).endswith(end)


@pytest.mark.parametrize(('encoder_type', 'field', 'value'), [
    ('kernel', 'embedding_size', 64), ('reuse', 'embedding_size', 64), ('reuse', 'output_range', 1),
    ('funnel', 'approx_gelu', False)])
def test_fields_that_tf_nlp_loses_are_said_and_not_believed(encoder_type, field, value):
  spec = EncoderSpec(encoder_type, {field: value}, notes=('first',))
  assert spec.notes[0] == 'first'
  assert spec.notes[1].startswith(f'{field} = {value!r} has no effect: TF-NLP loses it')
  assert spec.embedding_size == 768
  assert EncoderSpec.from_json(spec.to_json()).notes == spec.notes
  assert EncoderSpec(encoder_type, {}).notes == ()  # Control.
  assert encoders.query_bert(embedding_size=64).embedding_size == 64


def test_gelu_of_mobilebert_is_the_exact_form():
  # By its name tf_keras' activations.get finds another gelu than TF-NLP's get_activation.
  assert encoders.mobilebert().hidden_activation == 'gelu_erf'
  assert encoders.mobilebert(hidden_activation='relu').hidden_activation == 'relu'
  assert encoders.bert().hidden_activation == 'gelu'  # Control.


# Which encoder a run uses.


def test_differences_name_field_values_and_sources():
  a = EncoderSpec('bert', TINY, source='a.json')
  b = EncoderSpec('bert', {**TINY, 'num_layers': 3, 'hidden_activation': 'gelu_erf'}, source='b')
  assert encoders.differences(a, a) == ()
  lines = encoders.differences(a, b)
  assert lines[0] == 'num_layers: 2 in a.json, 3 in b'
  assert lines[1].startswith("hidden_activation: 'gelu' in a.json, 'gelu_erf' in b ('gelu' is the")
  assert len(lines) == 2
  assert not encoders.specs_agree(a, b)


def test_bert_and_bert_v2_agree_but_albert_does_not():
  assert encoders.specs_agree(encoders.bert(**TINY), encoders.bert_v2(**TINY))
  assert encoders.differences(encoders.bert(), encoders.albert())[0] == (
      'type: bert in @encoders.bert, albert in @encoders.albert')


@pytest.fixture
def tiny_yaml(tmp_path):
  path = tmp_path / 'tiny.yaml'
  path.write_text('type: bert\nbert:\n' + ''.join(f'  {k}: {v}\n' for k, v in TINY.items()))
  return str(path)


def test_resolve_takes_factory_spec_file_or_what_the_checkpoint_brings(tiny_yaml):
  spec = EncoderSpec('bert', TINY)
  assert encoders.resolve(lambda: spec) is spec
  assert encoders.resolve(spec) is spec
  assert encoders.resolve(encoder_config_file=tiny_yaml) == spec
  assert encoders.resolve(brought=spec) is spec
  assert encoders.resolve(lambda: spec, tiny_yaml, spec) is spec


@pytest.mark.conformance(107)
def test_factory_and_file_that_disagree(tiny_yaml):
  with pytest.raises(RequestError) as caught:
    encoders.resolve(lambda: encoders.bert(**{**TINY, 'num_layers': 3}), tiny_yaml)
  message = str(caught.value)
  assert message.startswith('ENCODER and ENCODER_CONFIG describe different encoders:\n')
  assert '  num_layers: 3 in @encoders.bert, 2 in tiny.yaml (EncoderConfig YAML)\n' in message
  assert message.endswith(
      'Drop one of the two lines: without ENCODER_CONFIG the run uses @encoders.bert, without'
      ' ENCODER (or the include that sets it) tiny.yaml (EncoderConfig YAML)')


def test_two_files_of_one_name_are_told_apart_by_who_brings_them():
  one = encoders.bert(num_layers=2)
  with pytest.raises(RequestError) as error:
    encoders.resolve(one, None, encoders.bert(num_layers=3))
  assert (f'num_layers: 2 in ENCODER ({one.source}), 3 in CHECKPOINT ({one.source})'
          in str(error.value))


def test_file_that_disagrees_with_what_the_checkpoint_brings(tiny_yaml):
  with pytest.raises(RequestError) as caught:
    encoders.resolve(encoder_config_file=tiny_yaml, brought=encoders.bert())
  assert str(caught.value).endswith(
      'Drop the ENCODER_CONFIG line: the checkpoint brings its own configuration; or name the'
      ' checkpoint that ENCODER_CONFIG describes')


def test_no_encoder_at_all():
  with pytest.raises(RequestError) as caught:
    encoders.resolve()
  assert str(caught.value).endswith(
      "write ENCODER_CONFIG = 'path of an EncoderConfig YAML, bert_config.json or config.json'")


def test_gin_binds_factories(tiny_yaml):
  gin.parse_config("encoders.bert.hidden_size = 96\nencoders.bert.num_attention_heads = 4")
  assert encoders.resolve(gin.get_configurable('encoders.bert')).hidden_size == 96
  gin.parse_config(f"encoders.from_file.path = '{tiny_yaml}'")
  assert encoders.resolve(gin.get_configurable('encoders.from_file')) == EncoderSpec('bert', TINY)


def test_factory_with_an_open_argument():
  with pytest.raises(RequestError) as caught:
    encoders.resolve(gin.get_configurable('encoders.from_file'))
  assert "from_file was called without its required 'path'" in str(caught.value)
  assert str(caught.value).endswith("as encoders.from_file.path = 'bert_config.json' does")
  # Control: other TypeErrors are told as they are.
  with pytest.raises(RequestError, match='<lambda> raised TypeError: of our own '):
    encoders.resolve(lambda: (_ for _ in ()).throw(TypeError('of our own')))


# A lab's own network.


def _own_network(**fields):
  return EncoderSpec('bert', {**TINY, **fields}).build()


def test_a_built_network_answers_like_a_spec(tiny_yaml):
  network = _own_network()
  encoder = encoders.resolve(lambda: network)
  assert encoder.build() is network
  spec = EncoderSpec('bert', TINY)
  for name in ('hidden_size', 'num_layers', 'num_attention_heads', 'vocab_size', 'max_positions',
               'type_vocab_size', 'embedding_size', 'dropout_rate', 'num_parameters'):
    assert getattr(encoder, name) == getattr(spec, name), name
  assert encoders.resolve(network).build() is network
  assert encoder.to_json() == {'type': 'own', 'class': 'BertEncoder', 'source': '@<lambda>'}
  assert encoders.resolve(lambda: network, tiny_yaml).build() is network


def test_a_built_network_is_checked_against_a_file(tiny_yaml):
  network = _own_network(num_layers=1)
  with pytest.raises(RequestError, match='num_layers: 1 in @<lambda>, 2 in tiny.yaml'):
    encoders.resolve(lambda: network, tiny_yaml)


def test_a_network_without_get_config_has_unknown_sizes():
  class Mine(tf_keras.Model):
    pass

  assert encoders.resolve(lambda: Mine()).hidden_size is None


@pytest.mark.parametrize(('encoder', 'end'), [
    (lambda: None, 'returned nothing. It must return an EncoderSpec (see docs/encoders.md) or a'
                   ' built tf_keras network'),
    (lambda: 7, 'returned a builtins.int. It must return an EncoderSpec (see docs/encoders.md) or a'
                ' built tf_keras network'),
    ('bert.yaml', "or ENCODER_CONFIG = 'bert.yaml' if it is a file"),
    (7, 'Write ENCODER = @encoders.bert'),
])
def test_other_things_in_the_place_of_an_encoder(encoder, end):
  with pytest.raises(RequestError) as caught:
    encoders.resolve(encoder)
  assert str(caught.value).endswith(end)


def test_a_keras_3_network_is_refused_with_the_reason():
  base = type('Layer', (), {'__module__': 'keras.src.layers.layer'})
  with pytest.raises(RequestError, match='Build it with `import tf_keras`$'):
    encoders.resolve(lambda: type('Mine', (base,), {})())
