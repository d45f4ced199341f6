"""encoder_config/encoder_json.py: Google's bert_config.json and Hugging Face's config.json."""

import json
import os

import pytest
from official.legacy.bert import configs as legacy_configs

from nlp_export import encoders
from nlp_export.encoder_config import encoder_files, encoder_json
from nlp_export.errors import RequestError

LEGACY = {
    'vocab_size': 60, 'hidden_size': 16, 'num_hidden_layers': 2, 'num_attention_heads': 2,
    'intermediate_size': 32, 'hidden_act': 'gelu', 'hidden_dropout_prob': 0.2,
    'attention_probs_dropout_prob': 0.3, 'max_position_embeddings': 24, 'type_vocab_size': 4,
    'initializer_range': 0.05}
# As in Google's multi_cased_L-12_H-768_A-12/bert_config.json.
MULTILINGUAL = {
    'directionality': 'bidi', 'pooler_fc_size': 768, 'pooler_num_attention_heads': 12,
    'pooler_num_fc_layers': 3, 'pooler_size_per_head': 128, 'pooler_type': 'first_token_transform'}
# As in Google's albert_xxlarge/assets/albert_config.json.
ALBERT = {
    'net_structure_type': 0, 'layers_to_keep': [], 'gap_size': 0, 'num_memory_blocks': 0,
    'inner_group_num': 1, 'down_scale_factor': 1, 'num_hidden_groups': 1}
HUGGING_FACE = {**LEGACY, 'model_type': 'bert', 'architectures': ['BertForMaskedLM'],
                'layer_norm_eps': 1e-12, 'position_embedding_type': 'absolute',
                'transformers_version': '4.8.2', 'pad_token_id': 0, 'use_cache': True}
BLOCK = {
    'vocab_size': 60, 'hidden_size': 16, 'num_layers': 2, 'num_attention_heads': 2,
    'intermediate_size': 32, 'hidden_activation': 'gelu', 'dropout_rate': 0.2,
    'attention_dropout_rate': 0.3, 'max_position_embeddings': 24, 'type_vocab_size': 4,
    'initializer_range': 0.05}
GELU_NOTE = 'hidden_act "gelu" is the exact form in Hugging Face\'s files: gelu_erf'


@pytest.fixture
def read(tmp_path):
  def read_(values):
    path = tmp_path / 'x.json'
    path.write_text(json.dumps(values))
    return encoder_files.read(str(path))
  return read_


@pytest.fixture
def message(read):
  def message_(values):
    with pytest.raises(RequestError) as caught:
      read(values)
    return str(caught.value)
  return message_


def _without(values, *keys):
  return {key: value for key, value in values.items() if key not in keys}


# Google's files.


def test_legacy_fields(read):
  spec = read(LEGACY)
  assert spec == encoders.bert(**BLOCK)
  assert (spec.source, spec.notes) == ('x.json (legacy BertConfig JSON)', ())


def test_what_tf_nlps_own_bert_config_writes_can_be_read(read):
  spec = read(json.loads(legacy_configs.BertConfig(vocab_size=60).to_json_string()))
  assert spec == encoders.bert(vocab_size=60, type_vocab_size=16)
  assert spec.notes == ('keys without effect: backward_compatible',)


def test_harmless_keys_of_googles_files_are_listed(read):
  spec = read({**LEGACY, **MULTILINGUAL})
  assert spec == encoders.bert(**BLOCK)
  assert spec.notes == (
      'keys without effect: directionality, pooler_fc_size, pooler_num_attention_heads,'
      ' pooler_num_fc_layers, pooler_size_per_head, pooler_type',)
  assert read({**LEGACY, 'net_structure_type': 0, 'gap_size': 0}) == encoders.bert(**BLOCK)


def test_embedding_size_of_a_factorised_bert(read):
  assert read({**LEGACY, 'embedding_size': 8}) == encoders.bert(**BLOCK, embedding_size=8)
  assert read({**LEGACY, 'embedding_size': None}) == encoders.bert(**BLOCK)


def test_an_albert_config_is_an_albert(read):
  spec = read({**LEGACY, **ALBERT, 'embedding_size': 8})
  assert spec == encoders.albert(**BLOCK, embedding_width=8)
  assert spec.notes[0].startswith('keys without effect: net_structure_type, layers_to_keep')


@pytest.mark.parametrize(('values', 'part', 'end'), [
    ({**_without(LEGACY, 'num_hidden_layers'), 'num_layers': 2},
     'unknown keys: num_layers (did you mean num_hidden_layers?); missing keys: num_hidden_layers.',
     'Add num_hidden_layers with the values that the model was trained with'),
    (_without(LEGACY, 'type_vocab_size', 'hidden_act', 'vocab_size'),
     'missing keys: vocab_size, hidden_act, type_vocab_size.',
     'Add vocab_size, hidden_act, type_vocab_size with the values that the model was trained with'),
    ({**LEGACY, 'hiden_size': 32}, 'unknown keys: hiden_size (did you mean hidden_size?).',
     'Remove hiden_size'),
    ({'vocab_size': 3}, 'missing keys: hidden_size, num_hidden_layers, ',
     'initializer_range with the values that the model was trained with'),
    ({**LEGACY, **ALBERT}, 'missing keys: embedding_size.',
     'Add embedding_size with the values that the model was trained with'),
    ({**LEGACY, 'directionality': 'unidi'}, "directionality is 'unidi', which",
     "it can only be 'bidi'. Another encoder must be built in Python:"
     ' ENCODER = @my_module.my_encoder'),
    ({**LEGACY, **ALBERT, 'embedding_size': 8, 'num_hidden_groups': 2}, 'num_hidden_groups is 2',
     'it can only be 1. Another encoder must be built in Python: ENCODER = @my_module.my_encoder'),
    ({**LEGACY, 'layer_norm_eps': 1e-12}, 'layer_norm_eps as Hugging Face writes them, but neither',
     'Add "model_type": "bert" if Hugging Face wrote it, or remove layer_norm_eps if Google did'),
    ({**LEGACY, 'num_attention_heads': 3},
     'hidden_size = 16 cannot be divided among num_attention_heads = 3',
     'Write "num_attention_heads": 2, or a width that 3 divides'),
    ({**LEGACY, 'num_hidden_layers': '2'}, "num_hidden_layers = '2' is a text",
     'Write "num_hidden_layers": 2'),
    ({**LEGACY, 'hidden_act': 'gelu_new'}, "hidden_act = 'gelu_new' is no activation",
     'softmax, softplus, softsign, swish, tanh'),
])
def test_legacy_refusals(message, values, part, end):
  found = message(values)
  assert part in found
  assert found.endswith(end)


def test_tf_nlps_own_reader_is_silent_about_all_of_that(tmp_path):
  """The control for the refusals: TF-NLP's reader takes a default where the file meant 2."""
  path = tmp_path / 'x.json'
  path.write_text(json.dumps({**_without(LEGACY, 'num_hidden_layers'), 'num_layers': 2}))
  assert legacy_configs.BertConfig.from_json_file(str(path)).num_hidden_layers == 12


# Hugging Face's files.


def test_hugging_face_gelu_is_the_exact_form(read):
  spec = read(HUGGING_FACE)
  assert spec == encoders.bert(**{**BLOCK, 'hidden_activation': 'gelu_erf'})
  assert spec.source == 'x.json (Hugging Face bert config)'
  assert spec.notes == (GELU_NOTE,)
  assert read(LEGACY).hidden_activation == 'gelu'  # Control: Google's is the tanh form.


def test_either_of_the_two_keys_tells(read):
  assert read(_without(HUGGING_FACE, 'model_type')).hidden_activation == 'gelu_erf'
  assert read(_without(HUGGING_FACE, 'architectures')).hidden_activation == 'gelu_erf'


@pytest.mark.parametrize(('act', 'wanted'), [
    ('gelu_new', 'gelu'), ('gelu_pytorch_tanh', 'gelu'), ('gelu_fast', 'gelu'), ('relu', 'relu'),
    ('silu', 'swish'), ('gelu_python', 'gelu_erf')])
def test_hugging_face_activations(read, act, wanted):
  assert read({**HUGGING_FACE, 'hidden_act': act}).hidden_activation == wanted


def test_hugging_faces_own_defaults_are_noted(read):
  spec = read(_without(HUGGING_FACE, 'layer_norm_eps', 'position_embedding_type'))
  assert spec.notes == (
      GELU_NOTE, "not in the file, so Hugging Face's defaults: layer_norm_eps,"
                 ' position_embedding_type (1e-12, absolute)')


def test_an_architecture_of_somebody_elses_is_noted(read):
  spec = read({**HUGGING_FACE, 'architectures': ['HF_ColBERT']})
  assert spec.notes[0] == (
      "architectures HF_ColBERT: not Hugging Face's own; read as bert, as model_type says")


def test_hugging_face_albert(read):
  spec = read({**HUGGING_FACE, **ALBERT, 'model_type': 'albert', 'embedding_size': 8,
               'architectures': ['AlbertForMaskedLM'], 'hidden_act': 'gelu_new'})
  assert spec == encoders.albert(**BLOCK, embedding_width=8)


@pytest.mark.parametrize(('change', 'part', 'end'), [
    ({'layer_norm_eps': 1e-5}, "layer_norm_eps is 1e-05, while TF-NLP's encoders have 1e-12",
     '(ENCODER = @my_module.my_encoder) with layer norms of epsilon 1e-05'),
    ({'position_embedding_type': 'relative_key'}, "position_embedding_type is 'relative_key'",
     'Build the network in Python: ENCODER = @my_module.my_encoder'),
    ({'is_decoder': True}, 'is_decoder is True: its tokens do not see',
     'Name a model that was saved without it'),
    ({'add_cross_attention': True}, 'add_cross_attention is True',
     'Name a model that was saved without it'),
    ({'pruned_heads': {'1': [0]}}, 'pruned_heads is', 'Name a model that was saved without it'),
    ({'quantization_config': {'bits': 8}}, 'quantization_config is',
     'Name a model that was saved without it'),
    ({'auto_map': {'AutoModel': 'x.Model'}}, 'auto_map loads modelling code of its own',
     'Build it in Python: ENCODER = @my_module.my_encoder'),
    ({'hidden_act': 'quick_gelu'}, "hidden_act is 'quick_gelu'",
     'relu, relu6, sigmoid, silu, swish, tanh'),
    ({'hidden_act': 'leaky_relu'}, 'TF-NLP has one of that name but computes it otherwise',
     'relu, relu6, sigmoid, silu, swish, tanh'),
    ({'model_type': 'roberta', 'architectures': ['RobertaModel']},
     "describes a 'roberta' model, which cannot be read: it reads byte-level BPE",
     'build another one in Python: ENCODER = @my_module.my_encoder'),
    ({'model_type': 'modernbert'}, 'it has rotary positions',
     'build another one in Python: ENCODER = @my_module.my_encoder'),
    ({'model_type': 'brandnew'}, "it is not known to be a network of TF-NLP's",
     'build another one in Python: ENCODER = @my_module.my_encoder'),
    ({'model_type': 'albert', 'embedding_size': 8}, "its architectures are ['BertForMaskedLM']",
     'one of the two is wrong. Correct the file'),
    ({'model_type': 'albert', 'embedding_size': 8, 'architectures': ['AlbertModel'],
      'num_hidden_groups': 3}, 'num_hidden_groups is 3',
     'Build the network in Python: ENCODER = @my_module.my_encoder'),
    ({'model_type': None, 'architectures': ['Other']}, 'nothing says which network it describes',
     'Add "model_type": "bert" if it is one'),
    ({'num_attention_heads': 5}, 'cannot be divided among num_attention_heads = 5',
     'Write "num_attention_heads": 4, or a width that 5 divides'),
])
def test_hugging_face_refusals(message, change, part, end):
  found = message({**HUGGING_FACE, **change})
  assert part in found
  assert found.endswith(end)


def test_hugging_face_file_with_missing_keys(message):
  found = message(_without(HUGGING_FACE, 'num_hidden_layers', 'hidden_act'))
  assert 'configuration without num_hidden_layers, hidden_act.' in found
  assert found.endswith('with the values that the model was trained with')


@pytest.mark.parametrize('family', encoder_json._REFUSED_FAMILIES)
def test_each_refused_family_is_named_with_its_reason(message, family):
  found = message({**HUGGING_FACE, 'model_type': family, 'architectures': None})
  assert f'describes a {family!r} model' in found
  assert encoder_json._REFUSED_FAMILIES[family] in found


def test_minilm(minilm_dir):
  spec = encoder_files.read(os.path.join(minilm_dir, 'config.json'))
  assert spec == encoders.bert(hidden_size=384, num_layers=6, num_attention_heads=12,
                               intermediate_size=1536, hidden_activation='gelu_erf')
  assert spec.num_parameters == 22_713_216


def test_the_documentation_names_all_of_them(repository):
  text = (repository / 'docs' / 'encoders.md').read_text()
  named = (encoder_json._REFUSED_FAMILIES, encoder_json._HARMLESS, encoder_json._ALBERT_KEYS)
  for name in (key for table in named for key in table):
    assert f'`{name}`' in text, name
