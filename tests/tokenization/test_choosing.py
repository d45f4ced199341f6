"""A tokenizer that differs from the one a checkpoint records is refused, unless that is asked."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from nlp_export import checkpoints, tokenizers
from nlp_export.errors import RequestError
from nlp_export.tokenization import choosing, recorded
from tests import tiny
from tests.in_process import run_main, settings
from tests.sentencepiece_model import sentencepiece_model

EXPORT = 'gin/runs/export.gin'
LAST = 'Leave VOCAB_FILE out.'


@pytest.fixture
def vocab(tmp_path) -> str:
  return tiny.write_vocab(tmp_path / 'vocab.txt')


@pytest.fixture
def other_vocab(tmp_path) -> str:
  """As many tokens, two of them exchanged."""
  tokens = tiny.wordpiece_tokens()
  tokens[-1], tokens[-2] = tokens[-2], tokens[-1]
  path = tmp_path / 'other.txt'
  path.write_text('\n'.join(tokens) + '\n')
  return str(path)


@pytest.fixture
def hugging_face(tmp_path):
  """A function: content of tokenizer_config.json -> the directory, found."""
  def write(config=None, pieces=False) -> checkpoints.FoundCheckpoint:
    directory = tmp_path / 'folder'
    directory.mkdir(exist_ok=True)
    name = 'spiece.model' if pieces else 'vocab.txt'
    if pieces:
      (directory / name).write_bytes(sentencepiece_model())
    else:
      tiny.write_vocab(directory / name)
    if config is not None:
      (directory / 'tokenizer_config.json').write_text(json.dumps(config))
    return checkpoints.FoundCheckpoint(
        checkpoints.HUGGING_FACE, str(directory), (),
        vocab_file=None if pieces else str(directory / name),
        sp_model_file=str(directory / name) if pieces else None,
        tokenizer_config=None if config is None else str(directory / 'tokenizer_config.json'))

  return write


@pytest.fixture
def orbax(tmp_path, vocab):
  """A function: tokenizer -> a step that records it, found."""
  def write(tokenizer) -> checkpoints.FoundCheckpoint:
    path = tmp_path / 'tokenizer.json'
    path.write_text(json.dumps(recorded.to_json(tokenizer)))
    return checkpoints.FoundCheckpoint(
        checkpoints.ORBAX, str(tmp_path / '7'), (), vocab_file=tokenizer.asset_file,
        tokenizer_settings=str(path))

  return write


def refusal(*args, **kwargs) -> str:
  with pytest.raises(RequestError) as caught:
    choosing.choose(*args, **kwargs)
  return str(caught.value)


# A Hugging Face directory.


def test_a_directory_brings_its_tokenizer(hugging_face):
  found = hugging_face({'do_lower_case': True, 'strip_accents': False})
  made, notes = choosing.choose(found)
  assert (made.lower_case, made.strips_accents, made.split_at_unicode_spaces) == (True, False, True)
  assert notes == ('do_lower_case = True (from tokenizer_config.json)',)
  assert choosing.choose(found, do_lower_case=True) == (made, ())
  assert choosing.choose(found, vocab_file=found.vocab_file)[0] == made
  assert choosing.has_tokenizer(found) and not choosing.has_tokenizer(None)


def test_without_a_config_the_request_decides(hugging_face):
  found = hugging_face()
  made, notes = choosing.choose(found)
  assert made.lower_case is True and "the default of Hugging Face's" in notes[0]
  made, notes = choosing.choose(found, do_lower_case=False)
  assert made.lower_case is False and notes == ()
  made, notes = choosing.choose(
      found, tokenizer=tokenizers.wordpiece(found.vocab_file, True, preserve_unused_token=True))
  assert made.preserve_unused_token and notes == ()


def test_sentencepiece_of_a_directory(hugging_face):
  found = hugging_face({'do_lower_case': False, 'keep_accents': True}, pieces=True)
  made, _ = choosing.choose(found)
  assert made == tokenizers.sentencepiece(found.sp_model_file, False, strip_diacritics=False)
  assert refusal(found, tokenizer=tokenizers.sentencepiece(found.sp_model_file, False)).endswith(
      'Leave TOKENIZER out.')


@pytest.mark.parametrize('config', [None, {'do_lower_case': True}], ids=['no config', 'config'])
def test_another_vocabulary_than_the_directory_s(hugging_face, other_vocab, config):
  found = hugging_face(config)
  message = refusal(found, vocab_file=other_vocab)
  assert 'asset_sha256' in message and '--set OTHER_TOKENIZER=True' in message
  assert message.endswith(LAST)
  made, notes = choosing.choose(found, vocab_file=other_vocab, other_tokenizer=True)
  assert made.vocab_file == other_vocab and made.lower_case is True
  assert len(notes) == 1 and notes[0].startswith(recorded.ANOTHER)


def test_other_settings_than_the_directory_s(hugging_face):
  found = hugging_face({'do_lower_case': True, 'tokenize_chinese_chars': True})
  assert refusal(found, do_lower_case=False).endswith(
      'Leave DO_LOWER_CASE out, or write --set DO_LOWER_CASE=True.')
  made, notes = choosing.choose(found, do_lower_case=False, other_tokenizer=True)
  assert made.lower_case is False and 'lower_case: False in DO_LOWER_CASE' in notes[0]
  chinese = tokenizers.wordpiece(found.vocab_file, True, split_chinese_characters=False)
  assert 'split_chinese_characters: False in TOKENIZER, True in folder' in refusal(
      found, tokenizer=chinese)
  # What its class decides is decided.
  accents = tokenizers.wordpiece(found.vocab_file, True, strip_accents=False)
  assert 'strip_accents: False in TOKENIZER, True in folder' in refusal(found, tokenizer=accents)
  spaces = tokenizers.wordpiece(found.vocab_file, True, split_at_unicode_spaces=False)
  assert choosing.choose(found, tokenizer=spaces) == (spaces, ())


def test_a_directory_whose_tokenizer_is_none_of_ours(hugging_face, vocab):
  found = hugging_face({'tokenizer_class': 'BertJapaneseTokenizer'})
  assert 'BertJapaneseTokenizer' in refusal(found)
  own = tokenizers.wordpiece(vocab, False)
  assert refusal(found, tokenizer=own).endswith(
      'Say that it is to be used: --set OTHER_TOKENIZER=True.')
  made, notes = choosing.choose(found, tokenizer=own, other_tokenizer=True)
  assert made == own and notes[0].startswith(recorded.ANOTHER)


# An Orbax step.


def test_another_tokenizer_than_the_step_s(orbax, vocab, other_vocab):
  trained = tokenizers.wordpiece(vocab, True, strip_accents=False)
  found = orbax(trained)
  assert choosing.choose(found)[0] == trained
  assert refusal(found, vocab_file=other_vocab).endswith(LAST)
  message = refusal(found, tokenizer=tokenizers.wordpiece(vocab, True))
  assert 'strip_accents: True in TOKENIZER, False in step 7' in message
  made, notes = choosing.choose(
      found, tokenizer=tokenizers.wordpiece(vocab, True), other_tokenizer=True)
  assert made.strips_accents and len(notes) == 1
  made, _ = choosing.choose(found, do_lower_case=False, other_tokenizer=True)
  assert made == dataclasses.replace(trained, lower_case=False)
  assert choosing.choose(found, other_tokenizer=True)[0] == trained  # Nothing else was asked.


def test_a_record_from_before_the_newer_settings(orbax, vocab, tmp_path):
  tokenizer = tokenizers.wordpiece(vocab, True)
  values = recorded.to_json(tokenizer)
  newer = ('strip_accents', 'split_chinese_characters', 'split_unknown_characters',
           'preserve_unused_token')
  assert not set(newer) & set(values['settings'])  # Equal records for equal functions.
  assert recorded.to_json(dataclasses.replace(tokenizer, strip_accents=True)) == values
  assert choosing.choose(orbax(tokenizer), tokenizer=tokenizer) == (tokenizer, ())
  changed = dataclasses.replace(tokenizer, preserve_unused_token=True)  # Control.
  assert recorded.to_json(changed)['settings']['preserve_unused_token'] is True


# In a run.


@pytest.fixture(scope='module')
def exchanged(minilm_dir, tmp_path_factory) -> str:
  """MiniLM's vocabulary with two tokens exchanged: as long, so that it fits the embeddings."""
  lines = (Path(minilm_dir) / 'vocab.txt').read_text().splitlines()
  lines[-1], lines[-2] = lines[-2], lines[-1]
  path = tmp_path_factory.mktemp('exchanged') / 'vocab.txt'
  path.write_text('\n'.join(lines) + '\n')
  return str(path)


def dry(checkpoint, tmp_path, **more):
  return run_main(EXPORT, *settings(CHECKPOINT=checkpoint, **more), '--dry_run', '--out_dir',
                  tmp_path / 'out')


def test_a_run_refuses_another_vocabulary_unless_asked(minilm_dir, exchanged, tmp_path):
  done = dry(minilm_dir, tmp_path, VOCAB_FILE=exchanged)
  assert done.status == 2 and done.output.rstrip().endswith(LAST), done.output
  done = dry(minilm_dir, tmp_path, VOCAB_FILE=exchanged, OTHER_TOKENIZER=True)
  assert done.status == 0 and recorded.ANOTHER in done.output, done.output
  assert dry(minilm_dir, tmp_path).status == 0  # Control.


def test_pre_training_from_weights_likewise(minilm_dir, exchanged, tmp_path):
  def dry_training(**more):
    return run_main('gin/runs/pretrain.gin', *settings(
        INITIAL_CHECKPOINT=minilm_dir, ENCODER_CONFIG=f'{minilm_dir}/config.json',
        **more), '--dry_run', '--out_dir', tmp_path / 'out')

  done = dry_training(VOCAB_FILE=exchanged)
  assert done.status == 2 and done.output.rstrip().endswith(LAST), done.output
  done = dry_training(VOCAB_FILE=exchanged, OTHER_TOKENIZER=True)
  assert done.status == 0 and recorded.ANOTHER in done.output, done.output
  done = dry_training(VOCABULARY='@vocabularies.wordpiece', VOCAB_SIZE=100, DO_LOWER_CASE=True)
  assert done.status == 2 and done.output.rstrip().endswith('Leave VOCABULARY = None'), done.output
  assert dry_training().status == 0  # Control: what the directory brings along.


def test_a_folder_s_settings_hold_for_a_vocabulary_from_elsewhere(hugging_face, vocab):
  """transformers 5 writes no vocab.txt into the folder."""
  found = hugging_face({'do_lower_case': True, 'strip_accents': False})
  alone = dataclasses.replace(found, vocab_file=None)
  made, _ = choosing.choose(alone, vocab)
  assert (made.lower_case, made.strip_accents, made.asset_file) == (True, False, vocab)
  assert made.split_at_unicode_spaces
  assert refusal(alone, vocab, do_lower_case=False).endswith('DO_LOWER_CASE=True.')
  without = dataclasses.replace(alone, tokenizer_config=None)  # Control: nothing says so.
  assert choosing.choose(without, vocab, do_lower_case=False)[0].strip_accents is None
