"""pretraining/vocabularies.py: from text to a vocabulary, the same bytes each time."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nlp_export import tokenizers
from nlp_export.corpora import english
from nlp_export.corpora.text_files import Document
from nlp_export.errors import RequestError
from nlp_export.pretraining import vocabularies
from nlp_export.pretraining.data.unknown import unknown_id

ROOT = Path(__file__).resolve().parents[2]
SIZE = 200
# Few words: learning takes time by words.
TEXT = sorted(english.documents(), key=lambda document: len(str(document.sentences)))[:14]


@pytest.fixture(scope='module')
def learned():
  return vocabularies.wordpiece(TEXT, SIZE, True)


@pytest.fixture(scope='module')
def pieces():
  return vocabularies.sentencepiece(TEXT, SIZE, True)


def tokens_of(vocabulary):
  return vocabulary.data.decode().splitlines()


def ids(vocabulary, directory, text):
  """Token ids of the text's sentences, and the tokenizer."""
  import tensorflow as tf

  path = directory / vocabulary.file_name
  path.write_bytes(vocabulary.data)
  make = tokenizers.wordpiece if vocabulary.kind == 'wordpiece' else tokenizers.sentencepiece
  tokenizer = make(str(path), vocabulary.lower_case)
  tokenizer.check()
  flat, _ = tokenizer.build(False).tokenize_flat(tf.constant(text))
  return flat.numpy().tolist(), tokenizer


def test_wordpiece_starts_with_the_reserved_tokens_and_keeps_the_size(learned):
  tokens = tokens_of(learned)
  assert tokens[:5] == ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
  assert len(tokens) == len(set(tokens)) == learned.size <= SIZE
  assert learned.size > 0.9 * SIZE and not learned.notes
  assert 'the' in tokens and all(token == token.lower() for token in tokens[5:])
  assert learned.file_name == 'uncased_vocab.txt'


@pytest.mark.parametrize('kind', ['learned', 'pieces'])
def test_its_own_text_is_known(request, tmp_path, kind):
  vocabulary = request.getfixturevalue(kind)
  found, tokenizer = ids(vocabulary, tmp_path, [s for d in TEXT for s in d.sentences])
  assert found.count(unknown_id(tokenizer)) < 0.003 * len(found)  # SentencePiece drops few.
  other, _ = ids(vocabulary, tmp_path, ['中國 мир'])  # Control.
  assert unknown_id(tokenizer) in other
  assert tokenizer.special_token_ids() == {
      'vocab_size': vocabulary.size, 'padding_id': 0, 'start_of_sequence_id': 2,
      'end_of_segment_id': 3, 'mask_id': 4}


def test_the_order_of_the_text_does_not_matter_to_wordpiece(learned):
  assert vocabularies.wordpiece(TEXT[::-1], SIZE, True).data == learned.data
  assert vocabularies.wordpiece(TEXT[1:], SIZE, True).data != learned.data  # Control.


def test_another_process_gives_the_same_bytes(learned, pieces):
  code = """
import hashlib
from nlp_export.pretraining import vocabularies
from tests.pretraining.test_vocabularies import SIZE, TEXT
for learn in (vocabularies.wordpiece, vocabularies.sentencepiece):
  print(hashlib.sha256(learn(TEXT, SIZE, True).data).hexdigest())
"""
  done = subprocess.run(
      [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True,
      env={**os.environ, 'PYTHONHASHSEED': '7'})
  assert done.stdout.split() == [hashlib.sha256(v.data).hexdigest() for v in (learned, pieces)]


def test_a_cased_vocabulary_has_capitals():
  found = vocabularies.wordpiece(TEXT, SIZE, False)
  assert 'The' in tokens_of(found) and found.file_name == 'vocab.txt'


def test_a_size_without_room_for_the_characters_is_refused_with_the_number_that_has_it(learned):
  characters = [t for t in tokens_of(learned)[5:] if len(t.removeprefix('##')) == 1]
  needed = 5 + len(characters)
  with pytest.raises(RequestError) as error:
    vocabularies.wordpiece(TEXT, needed - 1, True)
  assert str(error.value).endswith(
      f'Write --set VOCAB_SIZE={needed} or more, or a smaller max_unique_chars')
  assert vocabularies.wordpiece(TEXT, needed, True).size == needed  # Control: what it says.


def test_the_tail_is_cut_and_never_a_character():
  """The learner may end above the size that it was asked for."""
  learned = ['[A]', 'a', 'b', 'the', 'of', '##ing', '##a', '##b', 'x' * 3]
  assert vocabularies._cut(learned, ['[A]'], 7) == ['[A]', 'a', 'b', 'the', 'of', '##a', '##b']
  assert vocabularies._cut(learned, ['[A]'], 99) == learned


def test_a_text_that_is_too_small_for_the_size_says_so():
  found = vocabularies.wordpiece(TEXT, 9000, True)
  assert found.size < 3000
  assert found.notes[0].endswith('lower_thresh = 1 or more text gives more')
  found = vocabularies.sentencepiece(TEXT, 9000, True)
  assert found.size < 9000 and found.notes[0].endswith('more text gives more')


def test_the_share_of_unknown_words_is_counted(learned):
  assert learned.unknown_share == 0
  found = vocabularies.wordpiece(TEXT, SIZE, True, max_unique_chars=20)
  assert 0 < found.unknown_share < 0.5


def test_a_share_of_the_sentences_is_the_same_share_each_time():
  found = vocabularies.wordpiece(TEXT, SIZE, True, sentence_share=0.5)
  assert 0.3 < found.text['used_sentences'] / found.text['sentences'] < 0.7
  again = vocabularies.wordpiece(TEXT, SIZE, True, sentence_share=0.5)
  assert again.to_json() == found.to_json() and again.data == found.data


def test_sentencepiece_has_alberts_special_pieces(pieces):
  import sentencepiece as sp

  processor = sp.SentencePieceProcessor(model_proto=pieces.data)
  assert [processor.id_to_piece(i) for i in range(5)] == [
      '<pad>', '<unk>', '[CLS]', '[SEP]', '[MASK]']
  assert 4 in processor.encode('the [MASK] of it')  # As in ALBERT's model.
  assert 2 not in processor.encode('the [CLS] of it')  # No text can end a row.
  assert pieces.size == processor.get_piece_size() <= SIZE


def test_sentencepiece_is_trained_on_what_its_tokenizer_hands_over():
  import sentencepiece as sp

  def letters(**options):
    found = vocabularies.sentencepiece(
        [Document(('Café naïve. ' * 3,) * 40, '')], 40, **options)
    processor = sp.SentencePieceProcessor(model_proto=found.data)
    return {c for i in range(5, len(processor)) for c in processor.id_to_piece(i)}

  assert {'C', 'é', 'ï'} <= letters(lower_case=False, strip_diacritics=False)
  stripped = letters(lower_case=True)
  assert {'c', 'e', 'i'} <= stripped and not {'C', 'é', 'ï'} & stripped


def test_a_learned_vocabulary_s_tokenizer_does_what_learning_did(learned, tmp_path):
  text = [Document(('Café naïve. ' * 3,) * 40, '')]
  kept = vocabularies.sentencepiece(text, 40, False, strip_diacritics=False)
  stripped = vocabularies.sentencepiece(text, 40, False)
  path = tmp_path / 'spm.model'
  for found, strips in ((kept, False), (stripped, True)):
    path.write_bytes(found.data)
    tokenizer = vocabularies.tokenizer_of(found.to_json(), str(path))
    assert tokenizer == tokenizers.sentencepiece(str(path), False, strip_diacritics=strips)
  assert vocabularies.tokenizer_of(learned.to_json(), 'v.txt') == tokenizers.wordpiece(
      'v.txt', True)


def test_bpe_is_another_model(pieces):
  assert vocabularies.sentencepiece(TEXT, SIZE, True, model_type='bpe').data != pieces.data


@pytest.mark.parametrize('learn', [vocabularies.wordpiece, vocabularies.sentencepiece])
def test_no_text_gives_no_vocabulary(learn):
  with pytest.raises(RequestError, match='or a larger sentence_share$'):
    learn([], SIZE, True)
  with pytest.raises(RequestError, match='--set VOCAB_SIZE=30000$'):
    learn(TEXT, 0, True)
  with pytest.raises(RequestError, match='--set DO_LOWER_CASE=True for an uncased vocabulary$'):
    learn(TEXT, SIZE, 'yes')
  with pytest.raises(RequestError, match='Write 1.0 for all of them$'):
    learn(TEXT, SIZE, True, sentence_share=0.0)


def test_a_size_that_sentencepiece_cannot_make_is_refused():
  with pytest.raises(RequestError, match='or give more text$') as error:
    vocabularies.sentencepiece(TEXT, 10, True)
  assert '--set VOCAB_SIZE=' in str(error.value)
