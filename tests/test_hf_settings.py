"""tokenization/hf_settings.py: what a Hugging Face directory says of its tokenizer."""

import json
import shlex
import subprocess
import sys

import numpy as np
import pytest

from nlp_export import checkpoints
from nlp_export.errors import RequestError
from nlp_export.tokenization import choosing, hf_settings
from nlp_export.tokenization.tokenizer_types import (
    SENTENCEPIECE,
    WORDPIECE,
    SentencePiece,
    WordPiece,
)
from tests import tiny
from tests.checkpoints import hugging_face_bert as hf

# As transformers 4 writes them.
BERT = {
    'do_lower_case': True, 'unk_token': '[UNK]', 'sep_token': '[SEP]', 'pad_token': '[PAD]',
    'cls_token': '[CLS]', 'mask_token': '[MASK]', 'tokenize_chinese_chars': True,
    'strip_accents': None, 'name_or_path': 'x', 'do_basic_tokenize': True, 'never_split': None,
    'tokenizer_class': 'BertTokenizer', 'model_max_length': 512}
ALBERT = {
    'do_lower_case': True, 'remove_space': True, 'keep_accents': False, 'bos_token': '[CLS]',
    'eos_token': '[SEP]', 'unk_token': '<unk>', 'sep_token': '[SEP]', 'pad_token': '<pad>',
    'cls_token': '[CLS]', 'mask_token': {'content': '[MASK]', '__type': 'AddedToken'},
    'sp_model_kwargs': {}, 'tokenizer_class': 'AlbertTokenizer'}


def made(values, kind=WORDPIECE):
  fields = hf_settings.read(values, kind).fields
  return WordPiece('v.txt', **fields) if kind == WORDPIECE else SentencePiece('m.model', **fields)


def refused(values, kind=WORDPIECE):
  with pytest.raises(RequestError) as caught:
    hf_settings.read(values, kind)
  return str(caught.value)


def test_what_transformers_writes_is_our_default():
  assert made(BERT) == WordPiece('v.txt', True)
  assert made(ALBERT, SENTENCEPIECE) == SentencePiece('m.model', True)
  assert made({}) == WordPiece('v.txt', True)  # The class's default.
  assert made({}, SENTENCEPIECE) == SentencePiece('m.model', True)


@pytest.mark.parametrize(('change', 'fields'), [
    ({'do_lower_case': False}, {'lower_case': False}),
    ({'strip_accents': False}, {'strip_accents': False}),
    ({'do_lower_case': False, 'strip_accents': True},
     {'lower_case': False, 'strip_accents': True}),
    ({'tokenize_chinese_chars': False}, {'split_chinese_characters': False}),
    ({'unk_token': '<unk>', 'pad_token': '<pad>', 'cls_token': '<s>', 'sep_token': '</s>',
      'mask_token': '<mask>'},
     {'unknown': '<unk>', 'padding': '<pad>', 'start_of_sequence': '<s>', 'end_of_segment': '</s>',
      'mask': '<mask>'}),
    ({'cls_token': {'content': '[unused0]', 'lstrip': False}}, {'start_of_sequence': '[unused0]'}),
    ({'mask_token': None}, {}),
    ({'tokenizer_class': 'BertTokenizerFast'}, {}),
    ({'tokenizer_class': 'ElectraTokenizer'}, {}),
    ({'never_split': []}, {}),
])
def test_wordpiece_fields(change, fields):
  assert made({**BERT, **change}) == WordPiece('v.txt', **{'lower_case': True, **fields})


def test_sentencepiece_fields():
  assert made({**ALBERT, 'keep_accents': True, 'do_lower_case': False}, SENTENCEPIECE) == (
      SentencePiece('m.model', False, strip_diacritics=False))


def test_what_the_directory_says_and_what_its_class_decides():
  assert hf_settings.read(BERT, WORDPIECE).said == {
      'lower_case', 'split_chinese_characters', 'padding', 'unknown', 'start_of_sequence',
      'end_of_segment', 'mask'}
  assert hf_settings.read({}, WORDPIECE).said == frozenset()
  assert hf_settings.read({'strip_accents': True}, WORDPIECE).said == {'strip_accents'}


@pytest.mark.parametrize(('change', 'part', 'end'), [
    ({'do_basic_tokenize': False}, 'pieces would be looked for in words as they stand',
     'Write an own tokenizer and give it as TOKENIZER.'),
    ({'clean_text': False}, 'control characters would stay',
     'Write an own tokenizer and give it as TOKENIZER.'),
    ({'never_split': ['new york']}, "never_split ['new york']: words of that list would stay whole",
     'Write an own tokenizer and give it as TOKENIZER.'),
    ({'wordpieces_prefix': '_'}, "wordpieces_prefix '_'",
     'Write an own tokenizer and give it as TOKENIZER.'),
    ({'auto_map': {'AutoTokenizer': 'x.T'}}, 'loads code of its own',
     'Write an own tokenizer and give it as TOKENIZER.'),
    ({'tokenizer_class': 'RobertaTokenizer'}, 'names the tokenizer RobertaTokenizer, which has no',
     'bind what it needs, with OTHER_TOKENIZER=True.'),
    ({'tokenizer_class': 'BertJapaneseTokenizer'}, 'BertJapaneseTokenizer, which has no equal',
     'bind what it needs, with OTHER_TOKENIZER=True.'),
    ({'tokenizer_class': 'AlbertTokenizer'}, 'which reads spiece.model',
     'Give the spiece.model that the model was trained with.'),
    ({'do_lower_case': 'yes'}, "do_lower_case is 'yes'",
     'where true or false is needed. Correct the file.'),
])
def test_what_cannot_be_honoured(change, part, end):
  message = refused({**BERT, **change})
  assert part in message and message.endswith(end)


def test_what_sentencepiece_cannot_honour():
  assert refused({**ALBERT, 'remove_space': False}, SENTENCEPIECE).endswith(
      'Write an own tokenizer and give it as TOKENIZER.')
  assert refused(BERT, SENTENCEPIECE).endswith(
      'Give the vocab.txt that the model was trained with.')


def test_record_joins_the_files_of_a_directory(tmp_path):
  assert hf_settings.record(str(tmp_path)) == {}
  (tmp_path / 'config.json').write_text(json.dumps(
      {'model_type': 'bert', 'tokenizer_class': 'BertTokenizer'}))
  assert hf_settings.record(str(tmp_path)) == {'tokenizer_class': 'BertTokenizer'}
  (tmp_path / 'special_tokens_map.json').write_text(json.dumps(
      {'cls_token': '<s>', 'mask_token': {'content': '[MASK]'}}))
  (tmp_path / 'tokenizer_config.json').write_text(json.dumps(
      {'do_lower_case': False, 'mask_token': '[MASK]', 'tokenizer_class': 'ElectraTokenizer'}))
  assert hf_settings.record(str(tmp_path)) == {
      'do_lower_case': False, 'mask_token': '[MASK]', 'cls_token': '<s>',
      'tokenizer_class': 'ElectraTokenizer'}
  (tmp_path / 'tokenizer_config.json').write_text(json.dumps({'mask_token': '<mask>'}))
  with pytest.raises(RequestError, match='Correct the file that is wrong.$'):
    hf_settings.record(str(tmp_path))
  (tmp_path / 'tokenizer_config.json').write_text('[]')
  with pytest.raises(RequestError, match='names and values. Copy the file again.$'):
    hf_settings.record(str(tmp_path))


@pytest.mark.parametrize(('model', 'end'), [
    ({'type': 'Unigram'}, 'of the original beside it, or give it as SP_MODEL_FILE.'),
    ({'type': 'WordPiece'}, 'Write an own tokenizer and give it as TOKENIZER.'),
    ({'type': 'WordPiece', 'vocab': ['a']}, 'Write an own tokenizer and give it as TOKENIZER.'),
    ({'type': 'BPE'}, 'Write an own tokenizer and give it as TOKENIZER.'),
    ({'type': 'WordPiece', 'vocab': {'a': 0, 'b': 2}},  # Its lines would not be its ids.
     'Write an own tokenizer and give it as TOKENIZER.'),
])
def test_a_vocabulary_inside_tokenizer_json(model, end, tmp_path):
  hf_settings.refuse_tokenizer_json(str(tmp_path))  # There is none.
  (tmp_path / 'tokenizer.json').write_text(json.dumps({'model': model}))
  with pytest.raises(RequestError) as caught:
    hf_settings.refuse_tokenizer_json(str(tmp_path))
  assert str(caught.value).endswith(end)


def test_the_line_that_writes_vocab_txt_does(tmp_path):
  vocab = {'[UNK]': 1, 'é': 2, '[PAD]': 0, "'": 3}
  (tmp_path / 'tokenizer.json').write_text(
      json.dumps({'model': {'type': 'WordPiece', 'vocab': vocab}}))
  with pytest.raises(RequestError) as caught:
    hf_settings.refuse_tokenizer_json(str(tmp_path))
  line = str(caught.value).splitlines()[-1].strip()
  assert line.startswith('python -c ')
  subprocess.run([sys.executable, *shlex.split(line)[1:]], check=True)
  written = (tmp_path / 'vocab.txt').read_text(encoding='utf-8')
  assert written.split() == ['[PAD]', '[UNK]', 'é', "'"]


def test_minilm(minilm_dir):
  assert made(hf_settings.record(minilm_dir)) == WordPiece('v.txt', True)


# What a run takes, given the directory (choosing.py).


@pytest.fixture
def directory(tmp_path):
  """A function: writes a BERT's directory with a tokenizer_config.json, None for none."""

  def write(config):
    hf.write(tmp_path, {'x': np.ones(1, np.float32)})
    tiny.write_vocab(tmp_path / 'vocab.txt')
    if config is not None:
      (tmp_path / 'tokenizer_config.json').write_text(json.dumps(config))
    return checkpoints.find_checkpoint(str(tmp_path))

  return write


@pytest.mark.parametrize('config', [None, {}, {'model_max_length': 512}])
def test_a_directory_that_does_not_say_is_lower_cased_as_its_class_does(config, directory):
  found = directory(config)
  tokenizer, notes = choosing.choose(found)
  assert tokenizer.lower_case is True
  assert notes[0].endswith('does not say; --set DO_LOWER_CASE=False if that is wrong)')
  assert choosing.choose(found, do_lower_case=False)[0].lower_case is False


def test_a_directory_that_says_is_believed(directory):
  found = directory({'do_lower_case': False, 'strip_accents': True})
  tokenizer, notes = choosing.choose(found)
  assert (tokenizer.lower_case, tokenizer.strip_accents) == (False, True)
  assert notes == ('do_lower_case = False (from tokenizer_config.json)',)
  with pytest.raises(RequestError, match='or write --set DO_LOWER_CASE=False.$'):
    choosing.choose(found, do_lower_case=True)


@pytest.mark.parametrize(('name', 'content', 'shown'), [
    ('added_tokens.json', {'<user>': 105}, '<user> (105)'),
    ('tokenizer_config.json', {'added_tokens_decoder': {
        '0': {'content': '[PAD]', 'special': True}, '105': {'content': '<user>', 'special': True}}},
     '<user> (105)'),
    ('tokenizer_config.json', {'added_tokens_decoder': {
        '7': {'content': 'new york', 'special': False}}}, 'new york (7)'),
    ('tokenizer.json', {'added_tokens': [{'id': 105, 'content': '<user>', 'special': True}]},
     '<user> (105)'),
])
def test_tokens_that_were_added_are_not_lost_without_a_word(name, content, shown, tmp_path):
  (tmp_path / name).write_text(json.dumps(content))
  with pytest.raises(RequestError) as caught:
    hf_settings.refuse_added_tokens(str(tmp_path), hf_settings.record(str(tmp_path)), 105)
  assert f'adds 1 token to a vocabulary of 105: {shown}. ' in str(caught.value)
  assert str(caught.value).endswith('both with --set OTHER_TOKENIZER=True.')
  # Control: a special token of the vocabulary is no addition.
  (tmp_path / name).write_text(json.dumps({
      '[PAD]': 0, 'added_tokens_decoder': {'0': {'content': '[PAD]', 'special': True}},
      'added_tokens': [{'id': 0, 'content': '[PAD]', 'special': True}]}))
  hf_settings.refuse_added_tokens(str(tmp_path), hf_settings.record(str(tmp_path)), 105)


def test_all_files_that_decide_about_ids_are_hashed(tmp_path):
  assert hf_settings.files_of(str(tmp_path)) == ()
  for name in ('tokenizer_config.json', 'added_tokens.json', 'vocab.txt'):
    (tmp_path / name).write_text('{}')
  assert hf_settings.files_of(str(tmp_path)) == (
      str(tmp_path / 'tokenizer_config.json'), str(tmp_path / 'added_tokens.json'))
