"""encoder_config/encoder_json.py: Google's bert_config.json and albert_config.json."""

import json

import pytest
from official.legacy.bert import configs as legacy_configs

from nlp_export import encoders
from nlp_export.encoder_config import encoder_json

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
BLOCK = {
    'vocab_size': 60, 'hidden_size': 16, 'num_layers': 2, 'num_attention_heads': 2,
    'intermediate_size': 32, 'hidden_activation': 'gelu', 'dropout_rate': 0.2,
    'attention_dropout_rate': 0.3, 'max_position_embeddings': 24, 'type_vocab_size': 4,
    'initializer_range': 0.05}


def without(values, *keys):
  return {key: value for key, value in values.items() if key not in keys}


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
    ({**without(LEGACY, 'num_hidden_layers'), 'num_layers': 2},
     'unknown keys: num_layers (did you mean num_hidden_layers?); missing keys: num_hidden_layers.',
     'Add num_hidden_layers with the values that the model was trained with'),
    (without(LEGACY, 'type_vocab_size', 'hidden_act', 'vocab_size'),
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
  path.write_text(json.dumps({**without(LEGACY, 'num_hidden_layers'), 'num_layers': 2}))
  assert legacy_configs.BertConfig.from_json_file(str(path)).num_hidden_layers == 12


def test_the_documentation_names_all_of_them(repository):
  text = (repository / 'docs' / 'encoders.md').read_text()
  for name in (*encoder_json._HARMLESS, *encoder_json._ALBERT_KEYS):
    assert f'`{name}`' in text, name
