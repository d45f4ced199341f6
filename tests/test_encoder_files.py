"""encoder_config/encoder_files.py: formats told apart by content; EncoderConfig read strictly."""

import json

import pytest
from official.modeling import hyperparams
from official.nlp.configs import encoders as tf_nlp

from nlp_export import encoders
from nlp_export.encoder_config import encoder_blocks, encoder_files
from nlp_export.errors import RequestError

BERT = 'type: bert\nbert:\n  hidden_size: 32\n  num_layers: 2\n  num_attention_heads: 2\n'


@pytest.fixture
def write(tmp_path):
  def write_(text, name='encoder.yaml'):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)
  return write_


def _message(path):
  with pytest.raises(RequestError) as caught:
    encoder_files.read(path)
  return str(caught.value)


def test_yaml_is_read_as_tf_nlp_reads_it(write):
  path = write(BERT + '  norm_first: true\n  dropout_rate: 0\n')
  theirs = hyperparams.override_params_dict(tf_nlp.EncoderConfig(), path, is_strict=True)
  spec = encoder_files.read(path)
  assert spec.type == theirs.type
  assert dict(spec.config) == theirs.get().as_dict()
  assert spec.source == 'encoder.yaml (EncoderConfig YAML)'
  assert spec.notes == (
      "not in the file, so TF-NLP's defaults: vocab_size 30522, hidden_activation 'gelu',"
      ' intermediate_size 3072, attention_dropout_rate 0.1, max_position_embeddings 512,'
      ' type_vocab_size 2, initializer_range 0.02, embedding_size None, output_range None,'
      ' return_all_encoder_outputs False, return_attention_scores False,'
      ' return_word_embeddings False',)


@pytest.mark.parametrize('encoder_type', encoder_blocks.DEFAULTS)
def test_every_type_that_tf_nlp_writes_can_be_read(write, encoder_type):
  config = tf_nlp.EncoderConfig(type=encoder_type)
  path = write('')
  hyperparams.params_dict.save_params_dict_to_yaml(config, path)
  spec = encoder_files.read(path)
  assert spec == encoders.EncoderSpec(encoder_type, {})
  assert spec.notes == ()


def test_encoder_config_as_json_and_with_a_byte_order_mark(write):
  values = {'type': 'albert', 'albert': {'hidden_size': 24}}
  wanted = encoders.albert(hidden_size=24)
  assert encoder_files.read(write(json.dumps(values), 'a.txt')) == wanted
  assert encoder_files.read(write('\ufeff' + json.dumps(values))) == wanted
  assert encoder_files.read(write('{type: albert, albert: {hidden_size: 24}}')) == wanted


def test_absent_type_and_absent_block_are_tf_nlps_defaults(write):
  assert encoder_files.read(write('bert:\n  hidden_size: 24\n')) == encoders.bert(hidden_size=24)
  assert encoder_files.read(write('type: albert\n')) == encoders.albert()
  assert encoder_files.read(write('type: albert\nalbert:\n')) == encoders.albert()


def test_the_name_of_the_file_says_nothing(write):
  hugging_face = {'model_type': 'bert', 'architectures': ['BertModel'], **_LEGACY}
  assert encoder_files.read(write(json.dumps(_LEGACY), 'config.json')).hidden_activation == 'gelu'
  assert encoder_files.read(
      write(json.dumps(hugging_face), 'bert_config.json')).hidden_activation == 'gelu_erf'
  assert encoder_files.read(write(BERT, 'bert_config.json')).num_layers == 2


_LEGACY = {
    'vocab_size': 60, 'hidden_size': 16, 'num_hidden_layers': 2, 'num_attention_heads': 2,
    'intermediate_size': 32, 'hidden_act': 'gelu', 'hidden_dropout_prob': 0.1,
    'attention_probs_dropout_prob': 0.1, 'max_position_embeddings': 24, 'type_vocab_size': 2,
    'initializer_range': 0.02}


# Refusals.


@pytest.mark.parametrize(('text', 'start', 'end'), [
    # Not an EncoderConfig.
    ('', ' holds nothing', 'Write at least "type: bert" with a block "bert:" below it'),
    ('- a\n- b\n', ' holds a list', 'Write at least "type: bert" with a block "bert:" below it'),
    ('just words', ' holds a str', 'Write at least "type: bert" with a block "bert:" below it'),
    ('1: 2\n', ' has keys that are not names',
     'a bert_config.json or a Hugging Face config.json'),
    ('a: [1, 2', ' is neither JSON nor YAML (as YAML: line 1, column 9, ',
     'a bert_config.json or a Hugging Face config.json'),
    ('{"vocab_size": 3,, }',
     ' is neither JSON nor YAML (as JSON: line 1, column 18, Expecting property name enclosed in'
     ' double quotes; as YAML: line 1, column 18, ',
     'a bert_config.json or a Hugging Face config.json'),
    ('a: \x00', ' is neither JSON nor YAML', 'a bert_config.json or a Hugging Face config.json'),
    ('!!python/object/apply:os.getcwd []\n', ' is neither JSON nor YAML (as YAML: line 1',
     'a bert_config.json or a Hugging Face config.json'),
    ('type: bert\nbert:\n  num_layers: 2\n  num_layers: 3\n',
     " gives 'num_layers' more than once", 'Keep one line of each'),
    ('{"type": "bert", "type": "albert"}', " gives 'type' more than once", 'Keep one line of each'),
    ('task:\n  model:\n    encoder:\n      type: bert\ntrainer:\n  train_steps: 3\n',
     ' is a TF-NLP experiment file, not an EncoderConfig',
     'Write what stands at task.model.encoder (its "type:" and the block below) into a file of its'
     ' own'),
    ('task:\n  init_checkpoint: x\n', ' is a TF-NLP experiment file, not an EncoderConfig',
     'Write a file with "type:" and the block of that type'),
    ('model:\n  encoder:\n    type: bert\n', ' is the configuration of a whole model',
     'Write what stands at model.encoder (its "type:" and the block below) into a file of its own'),
    ('encoder:\n  type: bert\n', ' is the configuration of a whole model',
     'Write what stands at encoder (its "type:" and the block below) into a file of its own'),
    ('trainer:\n  train_steps: 3\n', ' is a part of a TF-NLP experiment file',
     'task.model.encoder of the whole: write that part into a file of its own'),
    # Wrong type or block.
    ('type: electra\n', " asks for encoder type 'electra'", 'Use bert: write type: bert'),
    ('type: any\n', " asks for encoder type 'any'",
     'a file with its block any may stand in encoders.any.config_file'),
    ('type: bertt\n', " asks for encoder type 'bertt' (did you mean bert?)",
     'For a BERT encoder write type: bert'),
    ('type: albert\nbert:\n  num_layers: 3\n', ' says type: albert but has a block "bert:"',
     'Write type: bert, or drop that block'),
    ('albert:\n  num_layers: 3\n', " says no type, which means 'bert', but has a block \"albert:\"",
     'Write type: albert, or drop that block'),
    (BERT + 'albert:\n  num_layers: 3\n', ' says type: bert but has a block "albert:"',
     'Write type: albert, or drop that block'),
    ('type: bert\nnum_layers: 3\nhidden_size: 24\n',
     ' has num_layers, hidden_size at its top level', 'Indent them below a line "bert:"'),
    ('vocab_size: 30\nhidden_size: 24\nnum_layers: 3\n',
     ' has vocab_size, hidden_size, num_layers at its top level',
     'Indent them below a line "bert:"'),
    ('typ: bert\n', ' has the unknown key typ (did you mean type?)',
     'block "bert:" with the fields below it'),
    ('type: bert\nbert: 3\n', ': the block "bert:" is 3', 'Indent them below the line "bert:"'),
    # Wrong fields.
    ('bert:\n  hiden_size: 24\n', ': no such field in the block bert: hiden_size (did you mean'
     ' hidden_size?)', 'type_vocab_size, vocab_size'),
    ('bert:\n  num_layers: two\n', ": num_layers = 'two' is a text", 'Write num_layers: 12'),
    ('bert:\n  initializer_range: 2e-2\n', ": initializer_range = '2e-2' is a text, where a number",
     'Write initializer_range: 0.02'),
    ('bert:\n  norm_first: "no"\n', ": norm_first = 'no' is a text, where true or false",
     'Write norm_first: false'),
    ('bert:\n  num_attention_heads: 7\n',
     ': hidden_size = 768 cannot be divided among num_attention_heads = 7',
     'Write num_attention_heads: 6, or a width that 7 divides'),
    ('bert:\n  hidden_activation: gleu\n', ": hidden_activation = 'gleu' is no activation",
     'softmax, softplus, softsign, swish, tanh'),
    ('type: sparse_mixer\nsparse_mixer:\n  moe_layers: 3\n',
     ': moe_layers = 3 is not a list of whole numbers', 'Write moe_layers: [5, 6, 7, 8]'),
])
def test_what_is_not_an_encoder_config(write, text, start, end):
  path = write(text)
  message = _message(path)
  assert message.startswith(path + start)
  assert message.endswith(end)


def test_tf_nlp_itself_accepts_a_block_that_does_not_belong(write):
  """The control for the refusal: TF-NLP builds an ALBERT of default sizes from this."""
  path = write('type: albert\nbert:\n  num_layers: 3\n')
  config = hyperparams.override_params_dict(tf_nlp.EncoderConfig(), path, is_strict=True)
  assert config.get().num_layers == 12


def test_the_block_of_any_is_read_for_a_builder_alone(write):
  path = write('type: any\nany:\n  depth: 3\n  parts: [1, 2]\n')
  assert encoder_files.fields_of_any(path) == {'depth': 3, 'parts': [1, 2]}
  assert encoder_files.fields_of_any(write('type: any\n')) == {}


@pytest.mark.parametrize(('text', 'found', 'end'), [
    (BERT, "the key 'bert'", "write ENCODER_CONFIG = '{path}'"),
    ('type: albert\n', 'type: albert', "write ENCODER_CONFIG = '{path}'"),
    ('type: any\nbert:\n  num_layers: 3\n', "the key 'bert'", "write ENCODER_CONFIG = '{path}'"),
    ('type: any\nany: 3\n', 'the block "any:" is 3', 'Indent them below the line "any:"'),
])
def test_what_is_no_file_of_any(write, text, found, end):
  path = write(text)
  with pytest.raises(RequestError) as caught:
    encoder_files.fields_of_any(path)
  assert found in str(caught.value)
  assert str(caught.value).endswith(end.format(path=path))


def test_no_such_file(tmp_path):
  path = str(tmp_path / 'none.yaml')
  message = _message(path)
  assert message.startswith(f'There is no encoder configuration {path}.')
  assert message.endswith('a bert_config.json or a Hugging Face config.json')


def test_a_directory(tmp_path):
  assert _message(str(tmp_path)).endswith('Write ENCODER_CONFIG = the path of the file in it')
  (tmp_path / 'config.json').write_text('{}')
  assert _message(str(tmp_path)).endswith(f"Write ENCODER_CONFIG = '{tmp_path}/config.json'")


def test_a_file_that_is_no_text(write):
  assert 'is not UTF-8' in _message(write(b'\x80\x04binary'))
