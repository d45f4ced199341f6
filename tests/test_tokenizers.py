"""Tokenizers: which files are fit, what is chosen, and what each message says to do."""

from __future__ import annotations

import dataclasses
import glob
import os
import subprocess
import sys

import gin
import pytest

from nlp_export import tokenizers
from nlp_export.errors import RequestError
from nlp_export.tokenization.vocabulary import read_vocabulary
from tests.sentencepiece_model import sentencepiece_model

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GOOD = b'[PAD]\n[UNK]\n[CLS]\n[SEP]\nd\nef\nabc\nxy\n'


@pytest.fixture
def vocab(tmp_path):
  def write(data: bytes = GOOD, name: str = 'vocab.txt') -> str:
    path = tmp_path / name
    path.write_bytes(data)
    return str(path)
  return write


@pytest.fixture
def sp_model(tmp_path):
  path = tmp_path / 'spiece.model'
  path.write_bytes(sentencepiece_model())
  return str(path)


def refused(function, *args, **kwargs) -> str:
  with pytest.raises(RequestError) as error:
    function(*args, **kwargs)
  return str(error.value)


def test_importing_and_checking_needs_no_tensorflow(vocab):
  code = ('import sys; from nlp_export import tokenizers as t; '
          f't.from_macros(vocab_file={vocab()!r}, do_lower_case=True)[0].check(8); '
          'sys.exit("tensorflow" in sys.modules)')
  assert subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=False).returncode == 0


# WordPiece vocabularies.


@pytest.mark.conformance(77, 78)
def test_ids_are_line_numbers_and_absent_tokens_have_no_key(vocab):
  tokenizer = tokenizers.wordpiece(vocab(), True)
  tokenizer.check()
  assert tokenizer.vocab_size == 8
  assert tokenizer.special_token_ids() == {
      'vocab_size': 8, 'padding_id': 0, 'start_of_sequence_id': 2, 'end_of_segment_id': 3}
  with_mask = tokenizers.wordpiece(vocab(GOOD + b'[MASK]\n'), True)
  assert with_mask.special_token_ids()['mask_id'] == 8


@pytest.mark.parametrize('data', [GOOD.replace(b'\n', b'\r\n'), GOOD.rstrip(b'\n')],
                         ids=['CRLF', 'no last line end'])
def test_line_ends_do_not_matter(vocab, data):
  assert read_vocabulary(vocab(data)) == read_vocabulary(vocab(GOOD, 'b.txt'))


def test_spaces_are_not_stripped(vocab):
  assert read_vocabulary(vocab(b'a \n\xc2\xa0\n')) == ('a ', '\u00a0')


@pytest.mark.parametrize('data, found, to_do', [
    (GOOD + b'\nz\n', 'line 9: blank', 'a placeholder such as [unused0] there.'),
    (GOOD + b'\n', 'line 9: blank', 'a placeholder such as [unused0] there.'),
    (GOOD + b'abc\n', "line 9: 'abc' stands on line 7",
     'a placeholder such as [unused0] on the second line.'),
    (b'\xef\xbb\xbf' + GOOD, 'line 1: starts with a UTF-8 byte-order mark',
     'Save the file as "UTF-8 without BOM".'),
    (GOOD + b'caf\xe9\n', 'line 9: not UTF-8 (byte 4 of the line is 0xe9)',
     'Convert it with iconv -f <its encoding> -t utf-8.'),
    (b'', 'is empty', 'one token a line.'),
    (b'\n\n', 'is empty', 'one token a line.'),
    (GOOD.replace(b'[UNK]\n', b''), 'no [UNK]',
     '(unknown, start_of_sequence, end_of_segment, padding).'),
    (GOOD.replace(b'[CLS]\n', b'').replace(b'[SEP]\n', b''), 'no [CLS], no [SEP]',
     '(unknown, start_of_sequence, end_of_segment, padding).'),
    (GOOD.replace(b'[PAD]\n', b''), 'no [PAD]',
     '(unknown, start_of_sequence, end_of_segment, padding).'),
], ids=['blank', 'blank at the end', 'duplicate', 'BOM', 'latin-1', 'empty', 'only line ends',
        'no UNK', 'no CLS, SEP', 'no PAD'])
@pytest.mark.conformance(69)
def test_unfit_vocabularies_are_refused(vocab, data, found, to_do):
  path = vocab(data)
  message = refused(tokenizers.wordpiece(path, True).check)
  assert f'Vocabulary {path}' in message and found in message
  assert message.endswith(to_do)


def test_special_tokens_may_have_other_names(vocab):
  names = {'padding': '<pad>', 'unknown': '<unk>', 'start_of_sequence': '<s>',
           'end_of_segment': '</s>', 'mask': '<mask>'}
  tokenizer = tokenizers.wordpiece(vocab(b'<s>\n<pad>\n</s>\n<unk>\na\n'), False, **names)
  tokenizer.check()
  assert tokenizer.special_token_ids() == {
      'vocab_size': 5, 'padding_id': 1, 'start_of_sequence_id': 0, 'end_of_segment_id': 2}


def test_missing_vocabulary_is_refused(tmp_path):
  message = refused(tokenizers.wordpiece(str(tmp_path / 'none.txt'), True).check)
  assert 'none.txt' in message


def test_lower_case_must_be_a_bool(vocab):
  assert refused(tokenizers.wordpiece(vocab(), 'True').check).endswith('False for a cased one.')


@pytest.mark.conformance(45)
@pytest.mark.parametrize('rows, fits', [(8, True), (128, True), (7, False), (129, False)])
def test_vocabulary_against_embedding_rows(vocab, rows, fits):
  tokenizer = tokenizers.wordpiece(vocab(), True)
  if fits:
    tokenizer.check(rows)
  else:
    message = refused(tokenizer.check, rows)
    assert '8 tokens' in message and f'{rows} word embeddings' in message
    assert message.endswith('Give the one that this encoder was trained with.')


def test_description_says_how_words_separate(vocab):
  one = tokenizers.wordpiece(vocab(), False).description()
  other = tokenizers.wordpiece(vocab(), False, split_at_unicode_spaces=True).description()
  assert 'as in TF-NLP' in one and 'original BERT' in other
  assert 'keeps case' in one
  assert 'lower-cases' in tokenizers.wordpiece(vocab(), True).description()
  assert str(os.path.dirname(vocab())) not in one


# SentencePiece models.


@pytest.mark.conformance(77, 78)
def test_sentencepiece_special_tokens(sp_model):
  tokenizer = tokenizers.sentencepiece(sp_model, True)
  tokenizer.check(128)
  ids = tokenizer.special_token_ids()
  assert ids['vocab_size'] == tokenizer.vocab_size > 20
  assert ids['padding_id'] == 0 and {'start_of_sequence_id', 'mask_id'} < set(ids)
  assert 'strips diacritics and folds case' in tokenizer.description()


def test_sentencepiece_without_special_pieces_is_refused(tmp_path):
  path = tmp_path / 'plain.model'
  path.write_bytes(sentencepiece_model(special=False))
  message = refused(tokenizers.sentencepiece(str(path), True).check)
  assert 'no piece [CLS], no piece [SEP]' in message
  assert message.endswith('tokenizers.sentencepiece (padding, start_of_sequence, end_of_segment).')


@pytest.mark.parametrize('data', [b'', GOOD, b'\0' * 100, bytes(range(256))],
                         ids=['empty', 'vocabulary', 'zeros', 'bytes'])
def test_what_is_no_sentencepiece_model_is_refused(vocab, data):
  message = refused(tokenizers.sentencepiece(vocab(data), True).check)
  assert 'not a SentencePiece model' in message
  assert message.endswith('as SP_MODEL_FILE.')


def test_truncated_sentencepiece_model_is_refused(vocab):
  message = refused(tokenizers.sentencepiece(vocab(sentencepiece_model()[:-200]), True).check)
  assert message.endswith(('as SP_MODEL_FILE.', 'end_of_segment).'))


# The choice among macros.


@pytest.mark.conformance(107)
@pytest.mark.parametrize(
    'given', [(), ('vocab_file', 'sp_model_file'), ('vocab_file', 'tokenizer')])
def test_exactly_one_tokenizer(vocab, given):
  message = refused(tokenizers.from_macros, **{name: vocab() for name in given})
  assert message.endswith('Set exactly one, for example --set VOCAB_FILE=bert/vocab.txt.')
  assert ('none of them is given' in message) == (not given)


@pytest.mark.conformance(106)
def test_guess_looks_at_the_file_name_only_and_is_said(vocab, tmp_path):
  (tmp_path / 'uncased').mkdir()
  cased = vocab(GOOD.rstrip(b'\n') + b'\nCat\n', 'uncased/cased_vocab.txt')
  tokenizer, notes = tokenizers.from_macros(cased)
  assert tokenizer.lower_case is False
  assert 'do_lower_case = False (not given; guessed' in notes[0]
  assert notes[0].endswith('--set DO_LOWER_CASE=True if that is wrong)')
  assert tokenizers.from_macros(vocab(name='uncased_v.txt'))[0].lower_case is True
  assert tokenizers.from_macros(vocab(name='uncased_v.txt'), do_lower_case=False) == (
      tokenizers.wordpiece(vocab(name='uncased_v.txt'), False), ())


def test_a_guess_that_the_vocabulary_speaks_against_is_refused(tmp_path):
  path = tmp_path / 'vocab.txt'  # So Google calls it, uncased or not.
  path.write_text('\n'.join(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '<S>', 'cat', '##s']) + '\n')
  with pytest.raises(RequestError) as caught:
    tokenizers.from_macros(str(path))
  assert 'none of its tokens has a capital letter' in str(caught.value)
  assert str(caught.value).endswith('--set DO_LOWER_CASE=False if not.')
  for said in (True, False):
    assert tokenizers.from_macros(str(path), do_lower_case=said)[0].lower_case is said
  path.write_text(path.read_text() + 'Cat\n')  # Control.
  assert tokenizers.from_macros(str(path))[0].lower_case is False


def test_sentencepiece_macro(sp_model):
  tokenizer, notes = tokenizers.from_macros(sp_model_file=sp_model)
  assert tokenizer == tokenizers.sentencepiece(sp_model, True) and 'default' in notes[0]
  assert tokenizers.from_macros(sp_model_file=sp_model, do_lower_case=False) == (
      tokenizers.sentencepiece(sp_model, False), ())


def test_own_tokenizer_may_be_a_factory_or_the_thing(vocab):
  made = tokenizers.wordpiece(vocab(), True)
  assert tokenizers.from_macros(tokenizer=lambda: made) == (made, ())
  assert tokenizers.from_macros(tokenizer=made) == (made, ())
  message = refused(tokenizers.from_macros, tokenizer=lambda: 3)
  assert 'lacks kind, asset_file' in message
  assert message.endswith('nlp_export/tokenization/tokenizer_types.py for what one needs.')


# DEFAULT_SEQ_LENGTH.


def test_default_seq_length_within_the_encoder():
  tokenizers.check_default_seq_length(512, max_positions=512)
  tokenizers.check_default_seq_length(3)
  tokenizers.check_default_seq_length(2, num_segments=1)
  assert refused(tokenizers.check_default_seq_length, 513, 512).endswith(
      'Write --set DEFAULT_SEQ_LENGTH=512 or less.')


@pytest.mark.conformance(90)
def test_default_seq_length_holds_the_special_tokens():
  assert refused(tokenizers.check_default_seq_length, 2).endswith('at least 3.')
  assert refused(tokenizers.check_default_seq_length, 0, num_segments=1).endswith('at least 2.')


@pytest.mark.parametrize('value', [128.0, '128', None, True])
def test_default_seq_length_is_a_whole_number(value):
  assert refused(tokenizers.check_default_seq_length, value).endswith(
      'Write for example --set DEFAULT_SEQ_LENGTH=128.')


# gin fragments.

FRAGMENTS = {
    'wordpiece_uncased': {'lower_case': True, 'split_at_unicode_spaces': False},
    'wordpiece_cased': {'lower_case': False, 'split_at_unicode_spaces': False},
    'wordpiece_cased_unicode_spaces': {'lower_case': False, 'split_at_unicode_spaces': True},
    'sentencepiece': {'lower_case': True, 'strip_diacritics': True},
    'sentencepiece_cased': {'lower_case': False, 'strip_diacritics': False},
    'wordpiece_uncased_accents': {'lower_case': True, 'strip_accents': False},
    'sentencepiece_uncased_accents': {'lower_case': True, 'strip_diacritics': False},
}


def test_all_fragments_are_known():
  found = glob.glob(os.path.join(ROOT, 'gin', 'tokenizers', '*.gin'))
  assert {os.path.basename(path).removesuffix('.gin') for path in found} == set(FRAGMENTS)


@pytest.mark.parametrize('name', FRAGMENTS)
def test_fragment_makes_the_tokenizer_that_it_says(vocab, sp_model, name):
  path = vocab() if name.startswith('wordpiece') else sp_model
  parameter = ('tokenizers.wordpiece.vocab_file' if name.startswith('wordpiece')
               else 'tokenizers.sentencepiece.model_file')
  file = os.path.join(ROOT, 'gin', 'tokenizers', f'{name}.gin')
  with open(file) as f:
    text = f.read()
  assert f'gin/tokenizers/{name}.gin' in text and f'--set {parameter}=' in text
  gin.clear_config()
  gin.add_config_file_search_path(ROOT)
  try:
    gin.parse_config_files_and_bindings([file], [f'{parameter} = {path!r}'], skip_unknown=False)
    factory = gin.query_parameter('%TOKENIZER').scoped_configurable_fn
    made, _ = tokenizers.from_macros(tokenizer=factory)
  finally:
    gin.clear_config()
  assert {key: dataclasses.asdict(made)[key] for key in FRAGMENTS[name]} == FRAGMENTS[name]
  made.check()
