"""encoder_config/hf_config.py: Hugging Face's config.json, honoured or refused."""

import os

import pytest

from nlp_export import encoders
from nlp_export.encoder_config import encoder_files, hf_config, hf_families
from nlp_export.errors import RequestError

SIZES = {
    'vocab_size': 60, 'hidden_size': 16, 'num_hidden_layers': 2, 'num_attention_heads': 2,
    'intermediate_size': 32, 'hidden_act': 'gelu', 'hidden_dropout_prob': 0.2,
    'attention_probs_dropout_prob': 0.3, 'max_position_embeddings': 24, 'type_vocab_size': 4,
    'initializer_range': 0.05}
HUGGING_FACE = {**SIZES, 'model_type': 'bert', 'architectures': ['BertForMaskedLM'],
                'layer_norm_eps': 1e-12, 'position_embedding_type': 'absolute',
                'transformers_version': '4.8.2', 'pad_token_id': 0, 'use_cache': True}
ALBERT = {**HUGGING_FACE, 'model_type': 'albert', 'architectures': ['AlbertForMaskedLM'],
          'embedding_size': 8, 'hidden_act': 'gelu_new', 'num_hidden_groups': 1,
          'inner_group_num': 1, 'net_structure_type': 0, 'gap_size': 0, 'num_memory_blocks': 0,
          'down_scale_factor': 1}
DISTILBERT = {
    'model_type': 'distilbert', 'architectures': ['DistilBertModel'], 'vocab_size': 60, 'dim': 16,
    'n_layers': 2, 'n_heads': 2, 'hidden_dim': 32, 'activation': 'gelu', 'dropout': 0.2,
    'attention_dropout': 0.3, 'max_position_embeddings': 24, 'initializer_range': 0.05,
    'sinusoidal_pos_embds': False, 'tie_weights_': True}
# As in google/mobilebert-uncased, smaller.
MOBILEBERT = {
    **HUGGING_FACE, 'model_type': 'mobilebert', 'architectures': ['MobileBertForPreTraining'],
    'hidden_act': 'relu', 'embedding_size': 8, 'intra_bottleneck_size': 12,
    'use_bottleneck': True, 'use_bottleneck_attention': False, 'true_hidden_size': 12,
    'key_query_shared_bottleneck': True, 'num_feedforward_networks': 3, 'trigram_input': True,
    'normalization_type': 'no_norm', 'classifier_activation': False}
BLOCK = {
    'vocab_size': 60, 'hidden_size': 16, 'num_layers': 2, 'num_attention_heads': 2,
    'intermediate_size': 32, 'hidden_activation': 'gelu', 'dropout_rate': 0.2,
    'attention_dropout_rate': 0.3, 'max_position_embeddings': 24, 'type_vocab_size': 4,
    'initializer_range': 0.05}
GELU_NOTE = 'hidden_act "gelu" is the exact form in Hugging Face\'s files: gelu_erf'


def without(values, *keys):
  return {key: value for key, value in values.items() if key not in keys}


def test_hugging_face_gelu_is_the_exact_form(read):
  spec = read(HUGGING_FACE)
  assert spec == encoders.bert(**{**BLOCK, 'hidden_activation': 'gelu_erf'})
  assert spec.source == 'x.json (Hugging Face bert config)'
  assert spec.notes == (GELU_NOTE,)
  assert read(SIZES).hidden_activation == 'gelu'  # Control: Google's is the tanh form.


def test_either_of_the_two_keys_tells(read):
  assert read(without(HUGGING_FACE, 'model_type')).hidden_activation == 'gelu_erf'
  assert read(without(HUGGING_FACE, 'architectures')).hidden_activation == 'gelu_erf'


@pytest.mark.parametrize(('act', 'wanted'), [
    ('gelu_new', 'gelu'), ('gelu_pytorch_tanh', 'gelu'), ('gelu_fast', 'gelu'), ('relu', 'relu'),
    ('silu', 'swish'), ('gelu_python', 'gelu_erf')])
def test_hugging_face_activations(read, act, wanted):
  assert read({**HUGGING_FACE, 'hidden_act': act}).hidden_activation == wanted


def test_hugging_faces_own_defaults_are_noted(read):
  spec = read(without(HUGGING_FACE, 'layer_norm_eps', 'position_embedding_type'))
  assert spec.notes == (
      GELU_NOTE, "not in the file, so Hugging Face's defaults: layer_norm_eps,"
                 ' position_embedding_type (1e-12, absolute)')


def test_an_architecture_of_somebody_elses_is_noted(read):
  spec = read({**HUGGING_FACE, 'architectures': ['HF_ColBERT']})
  assert spec.notes[0] == (
      "architectures HF_ColBERT: not Hugging Face's own; read as bert, as model_type says")


def test_hugging_face_albert(read):
  assert read(ALBERT) == encoders.albert(**BLOCK, embedding_width=8)


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
  found = message(without(HUGGING_FACE, 'num_hidden_layers', 'hidden_act'))
  assert 'configuration without num_hidden_layers, hidden_act.' in found
  assert found.endswith('with the values that the model was trained with')


@pytest.mark.parametrize('family', hf_families.REFUSED)
def test_each_refused_family_is_named_with_its_reason(message, family):
  found = message({**HUGGING_FACE, 'model_type': family, 'architectures': None})
  assert f'describes a {family!r} model' in found
  assert hf_families.REFUSED[family] in found


def test_minilm(minilm_dir):
  spec = encoder_files.read(os.path.join(minilm_dir, 'config.json'))
  assert spec == encoders.bert(hidden_size=384, num_layers=6, num_attention_heads=12,
                               intermediate_size=1536, hidden_activation='gelu_erf')
  assert spec.num_parameters == 22_713_216


def test_electra_is_a_bert_with_factorised_embeddings(read):
  spec = read({**HUGGING_FACE, 'model_type': 'electra', 'embedding_size': 8,
               'architectures': ['ElectraForPreTraining']})
  assert spec == encoders.bert(**{**BLOCK, 'hidden_activation': 'gelu_erf'}, embedding_size=8)
  assert spec.notes == (
      "ELECTRA is TF-NLP's bert with factorised embeddings; it has no pooler", GELU_NOTE)


def test_distilbert_is_a_bert_of_other_names(read):
  spec = read(DISTILBERT)
  assert spec == encoders.bert(
      **{**BLOCK, 'hidden_activation': 'gelu_erf', 'type_vocab_size': 2})
  assert spec.notes[0].endswith('segment embeddings that are zero: input_type_ids change nothing')
  assert spec.notes[1] == GELU_NOTE.replace('hidden_act', 'activation')


def test_mobilebert(read):
  spec = read(MOBILEBERT)
  assert (spec.type, spec.hidden_size, spec.num_layers) == ('mobilebert', 16, 2)
  assert {key: spec.config[key] for key in (
      'word_embed_size', 'intra_bottleneck_size', 'num_feedforward_networks', 'hidden_activation',
      'normalization_type', 'classifier_activation', 'input_mask_dtype')} == {
          'word_embed_size': 8, 'intra_bottleneck_size': 12, 'num_feedforward_networks': 3,
          'hidden_activation': 'relu', 'normalization_type': 'no_norm',
          'classifier_activation': False, 'input_mask_dtype': 'int32'}


@pytest.mark.parametrize(('values', 'part', 'end'), [
    ({**MOBILEBERT, 'normalization_type': 'layer_norm'}, 'layer norms of epsilon 1e-5',
     'Build the network in Python: ENCODER = @my_module.my_encoder'),
    ({**MOBILEBERT, 'trigram_input': False}, 'always joins each token\'s embedding',
     'Build the network in Python: ENCODER = @my_module.my_encoder'),
    ({**MOBILEBERT, 'use_bottleneck': False}, 'always has bottlenecks',
     'Build the network in Python: ENCODER = @my_module.my_encoder'),
    ({**MOBILEBERT, 'num_attention_heads': 5}, 'cannot be divided among num_attention_heads = 5',
     'Write "num_attention_heads": 4, or a width that 5 divides'),
    ({**ALBERT, 'inner_group_num': 2}, 'inner_group_num is 2',
     'Build the network in Python: ENCODER = @my_module.my_encoder'),
    ({**ALBERT, 'embedding_size': 16}, 'embedding_size and hidden_size are both 16',
     'Build the network in Python: ENCODER = @my_module.my_encoder'),
    ({**DISTILBERT, 'activation': 'quick_gelu'}, "activation is 'quick_gelu'",
     'relu, relu6, sigmoid, silu, swish, tanh'),
    (without(DISTILBERT, 'dim', 'n_heads'), 'distilbert configuration without dim, n_heads.',
     'Add dim, n_heads with the values that the model was trained with'),
    (without(MOBILEBERT, 'classifier_activation'), 'without classifier_activation.',
     'Add classifier_activation with the values that the model was trained with'),
    ({**DISTILBERT, 'architectures': ['BertModel']}, "its architectures are ['BertModel']",
     'one of the two is wrong. Correct the file'),
])
def test_refusals_of_the_other_families(message, values, part, end):
  found = message(values)
  assert part in found
  assert found.endswith(end)


def test_distilbert_has_its_epsilon_in_its_code(read):
  assert read({**DISTILBERT, 'layer_norm_eps': 1e-5}).type == 'bert'  # A key that nothing reads.


@pytest.mark.parametrize(('values', 'wanted'), [
    (HUGGING_FACE, 'gelu_erf'), ({**HUGGING_FACE, 'hidden_act': 'relu'}, 'relu'),
    (ALBERT, 'gelu'), (DISTILBERT, 'gelu_erf'), (MOBILEBERT, 'relu'),
    ({**ALBERT, 'model_type': 'electra'}, 'gelu_erf'),  # ELECTRA's generator: whatever it says.
    ({'architectures': ['ElectraForMaskedLM']}, 'gelu_erf'),
    ({**HUGGING_FACE, 'hidden_act': 'quick_gelu'}, None), ({'model_type': 'roberta'}, None),
    ({}, None)])
def test_activation_of_the_masked_lm_head(values, wanted):
  assert hf_config.mlm_activation(values) == wanted


def test_a_file_that_is_no_object(tmp_path):
  path = tmp_path / 'config.json'
  path.write_text('[1]')
  with pytest.raises(RequestError, match='names and values. Copy the file again$'):
    hf_config.read_family(str(path))


def test_the_documentation_names_all_of_them(repository):
  text = (repository / 'docs' / 'hugging_face.md').read_text()
  for name in (*hf_families.FAMILIES, *hf_families.REFUSED):
    assert f'`{name}`' in text, name
  assert 'hugging_face.md' in (repository / 'docs' / 'encoders.md').read_text()
