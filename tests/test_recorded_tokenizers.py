"""The tokenizer that a checkpoint records: made anew, or compared with the one asked for."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from nlp_export import tokenizers
from nlp_export.errors import RequestError
from nlp_export.tokenization import recorded
from tests import tiny
from tests.sentencepiece_model import sentencepiece_model


@pytest.fixture
def vocab(tmp_path) -> str:
  return tiny.write_vocab(tmp_path / 'vocab.txt')


@pytest.fixture
def record(tmp_path):
  """A function: tokenizer -> its record, written and read."""

  def write(tokenizer) -> recorded.Recorded:
    path = tmp_path / 'tokenizer.json'
    path.write_text(json.dumps(recorded.to_json(tokenizer)))
    return recorded.read(str(path), 'step 7')

  return write


def refusal(record, *args, **asked) -> str:
  with pytest.raises(RequestError) as caught:
    record.choose(*args, **asked)
  return str(caught.value)


def test_a_tokenizer_is_made_anew_with_all_of_its_settings(record, vocab, tmp_path):
  model = tmp_path / 'spm.model'
  model.write_bytes(sentencepiece_model())
  for tokenizer in (
      tokenizers.wordpiece(vocab, True, split_at_unicode_spaces=True),
      tokenizers.wordpiece(vocab, False, mask='[UNK]'),
      tokenizers.wordpiece(vocab, True, strip_accents=False, preserve_unused_token=True),
      tokenizers.sentencepiece(str(model), False, strip_diacritics=False)):
    assert record(tokenizer).choose(tokenizer.asset_file) == (
        tokenizer, ('tokenizer and vocabulary from step 7',))
  assert str(tmp_path) not in json.dumps(recorded.to_json(tokenizer))


def test_the_same_one_may_be_asked_for(record, vocab, tmp_path):
  tokenizer = tokenizers.wordpiece(vocab, True, split_at_unicode_spaces=True)
  copy = str(tmp_path / 'copy.txt')
  Path(copy).write_bytes(Path(vocab).read_bytes())
  found = record(tokenizer)
  # By the file alone: what else was set is recorded.
  assert found.choose(vocab, vocab_file=copy, do_lower_case=True) == (
      dataclasses.replace(tokenizer, vocab_file=copy), ())
  assert found.choose(vocab, tokenizer=tokenizer) == (tokenizer, ())
  assert found.choose(vocab, tokenizer=lambda: tokenizer)[0] == tokenizer


def test_another_one_is_refused_with_the_difference(record, vocab, tmp_path):
  found = record(tokenizers.wordpiece(vocab, True))
  other = tiny.write_vocab(tmp_path / 'other.txt', lower_case=False)
  message = refusal(found, vocab, vocab_file=other)
  assert f'vocab_size: {len(tiny.wordpiece_tokens(False))} in VOCAB_FILE, ' in message
  assert message.endswith('takes the first all the same). Leave VOCAB_FILE out.')
  message = refusal(found, vocab, tokenizer=tokenizers.wordpiece(vocab, False))
  assert 'lower_case: False in TOKENIZER, True in step 7' in message
  assert message.endswith('Leave TOKENIZER out.')
  model = tmp_path / 'spm.model'
  model.write_bytes(sentencepiece_model())
  message = refusal(found, vocab, sp_model_file=str(model))
  assert "  kind: 'sentencepiece' in SP_MODEL_FILE, 'wordpiece' in step 7\n" in message
  assert refusal(found, vocab, do_lower_case=False).endswith(
      'lower_case True (--set OTHER_TOKENIZER=True takes the first all the same). '
      'Leave DO_LOWER_CASE out.')


def test_a_vocabulary_that_is_not_the_recorded_one(record, vocab):
  found = record(tokenizers.wordpiece(vocab, True))
  assert refusal(found, None).endswith('there is none. Copy the checkpoint again.')
  Path(vocab).write_text(Path(vocab).read_text() + 'more\n')
  assert refusal(found, vocab).endswith('its SHA-256 is another. Copy the checkpoint again.')


@dataclasses.dataclass(frozen=True)
class Bytes:
  """An own tokenizer: one id a byte."""

  kind = 'bytes'
  asset_file = None
  lower_case: bool = False
  vocab_size = 260

  def special_token_ids(self):
    return {'vocab_size': 260, 'padding_id': 0}

  def description(self):
    return 'Bytes.'

  def check(self, embedding_rows=None):
    pass

  def build(self, with_offsets):
    raise NotImplementedError


def test_an_own_one_has_to_be_given(record, vocab):
  found = record(Bytes())
  assert found.choose(None, tokenizer=Bytes()) == (Bytes(), ())
  assert refusal(found, None).endswith(
      "which it cannot bring along: only its maker has the code. Write --set "
      'TOKENIZER=@your.tokenizer.')
  assert 'lower_case: True in TOKENIZER' in refusal(found, None, tokenizer=Bytes(True))
  assert "'wordpiece' in VOCAB_FILE, 'own: bytes' in step 7" in refusal(
      found, None, vocab_file=vocab)


def test_a_record_of_another_version(record, vocab, tmp_path):
  path = tmp_path / 'tokenizer.json'
  values = recorded.to_json(tokenizers.wordpiece(vocab, True))
  path.write_text(json.dumps(values | {'schema_version': 2}))
  with pytest.raises(RequestError, match='Use the version of nlp_export that wrote it.$'):
    recorded.read(str(path), 'step 7')
  path.write_text(json.dumps(values | {'settings': values['settings'] | {'new': 1}}))
  assert refusal(recorded.read(str(path), 'step 7'), vocab).endswith(
      'Another version of nlp_export wrote it. Use that version.')
