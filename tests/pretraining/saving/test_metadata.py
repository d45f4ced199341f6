"""What travels with the weights, and when two configurations are the same."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from nlp_export import encoders, tokenizers
from nlp_export.errors import RequestError
from nlp_export.pretraining.saving import metadata
from nlp_export.tokenization import recorded
from tests.sentencepiece_model import sentencepiece_model

OLD = {
    'recipe': {'rate': 1e-4, 'steps': 1000, 'whole_word': True, 'name': 'adamw', 'betas': [0.9, 1]},
    'gone': None,
}


def test_diff_names_each_value_that_differs():
  new = {
      'recipe': {'rate': 2e-4, 'steps': 1000, 'whole_word': 1, 'name': 'lamb', 'betas': [0.9, 2],
                 'clip': {'norm': 1.0}},
  }
  assert metadata.diff(OLD, new) == [
      'recipe.rate: 0.0001 there, 0.0002 now',
      'recipe.whole_word: true there, 1 now',
      'recipe.name: "adamw" there, "lamb" now',
      'recipe.betas: [0.9, 1] there, [0.9, 2] now',
      'recipe.clip: {"norm": 1.0} now, not there',
      'gone: null there, not now',
  ]
  assert metadata.diff({'a': 'x' * 100}, {}) == [f'a: "{"x" * 66}... there, not now']


def test_equal_values_do_not_differ():
  assert metadata.diff(OLD, metadata.as_json(OLD)) == []
  assert metadata.diff({'a': 1}, {'a': 1.0}) == []
  # As it was written: tuples and numbers as keys are others after JSON.
  configuration = {'betas': (0.9, 0.999), 'by_step': {1: 'a'}}
  stored = metadata.Metadata(configuration).to_json()
  assert metadata.check_same(stored, metadata.Metadata(configuration), 'root', 1) == ()


@pytest.mark.parametrize('value', [float('nan'), float('inf'), np.float32(1), {1, 2}])
def test_what_is_no_json_is_refused(value):
  with pytest.raises((ValueError, TypeError)):
    metadata.Metadata({'rate': value}).to_json()


def test_many_differences_are_cut():
  now = metadata.Metadata({str(i): i for i in range(50)})
  with pytest.raises(RequestError) as raised:
    metadata.check_same(metadata.Metadata({}).to_json(), now, 'run/checkpoints', 7)
  assert '  ... and 30 more\n' in raised.value.message
  assert raised.value.message.endswith(
      '--set INITIAL_CHECKPOINT=run/checkpoints --out_dir ANOTHER_DIR.')


def test_another_schema_is_refused():
  with pytest.raises(RequestError, match=r'or give another --out_dir\.$'):
    metadata.check_same({'schema_version': 2}, metadata.Metadata({}), 'root', 7)


def written(made, directory):
  """The plain files as a checkpoint would hold them."""
  for name, content in made.files.items():
    (directory / name).write_bytes(content)
  return {path.name for path in directory.iterdir()}


@pytest.mark.parametrize('spec', [
    encoders.bert(vocab_size=64, hidden_size=16, num_layers=1, num_attention_heads=2,
                  hidden_activation='gelu_erf'),
    encoders.albert(vocab_size=64, hidden_size=16, num_attention_heads=2)])
def test_encoder_and_wordpiece_can_be_made_again_from_the_files(spec, tiny_vocab, tmp_path):
  tokenizer = tokenizers.wordpiece(tiny_vocab, lower_case=True, split_at_unicode_spaces=True)
  made = metadata.describe(spec, tokenizer, 'gelu', {'recipe': {'seed': 3}}, {'threads': 1})
  assert written(made, tmp_path) == {'encoder.yaml', 'vocab.txt', 'tokenizer.json'}
  assert encoders.from_file(str(tmp_path / 'encoder.yaml')) == spec
  record = recorded.read(str(tmp_path / 'tokenizer.json'), 'ckpt')
  again, _ = record.choose(str(tmp_path / 'vocab.txt'))
  assert dataclasses.replace(again, vocab_file=tiny_vocab) == tokenizer
  value = made.to_json()
  assert value['mlm_activation'] == 'gelu' and value['environment'] == {'threads': 1}
  assert value['configuration']['recipe'] == {'seed': 3}
  # The configuration holds what decides: another vocabulary or encoder is another run.
  changed = metadata.describe(
      encoders.EncoderSpec(spec.type, {**spec.config, 'hidden_size': 32}),
      tokenizers.wordpiece(tiny_vocab, lower_case=False), 'relu', {}, {})
  lines = metadata.diff(value['configuration'], changed.to_json()['configuration'])
  assert [line.partition(':')[0] for line in lines] == [
      'encoder.hidden_size', 'tokenizer.settings.lower_case',
      'tokenizer.settings.split_at_unicode_spaces', 'mlm_activation', 'recipe']
  assert str(tmp_path.parent) not in json.dumps(value) and tiny_vocab not in json.dumps(value)


def test_another_vocabulary_file_is_another_configuration(tiny_vocab, tmp_path):
  spec, other = encoders.bert(), tmp_path / 'vocab.txt'
  lines = open(tiny_vocab, encoding='utf-8').read().split('\n')
  other.write_text('\n'.join([*lines[:-3], lines[-2], lines[-3], '']), encoding='utf-8')
  one, two = (metadata.describe(spec, tokenizers.wordpiece(str(path), True), 'gelu', {}, {})
              for path in (tiny_vocab, other))
  [line] = metadata.diff(one.to_json()['configuration'], two.to_json()['configuration'])
  assert line.startswith('tokenizer.asset_sha256: ')


def test_sentencepiece_goes_along(tmp_path):
  path = tmp_path / 'pieces'
  path.write_bytes(sentencepiece_model())
  tokenizer = tokenizers.sentencepiece(str(path), lower_case=True, strip_diacritics=False)
  made = metadata.describe(encoders.albert(), tokenizer, 'gelu', {}, {})
  place = tmp_path / 'metadata'
  place.mkdir()
  assert written(made, place) == {'encoder.yaml', 'spm.model', 'tokenizer.json'}
  record = recorded.read(str(place / 'tokenizer.json'), 'ckpt')
  again, _ = record.choose(str(place / 'spm.model'))
  assert dataclasses.replace(again, model_file=str(path)) == tokenizer


def test_of_a_users_own_parts_goes_along_what_can(tiny_vocab):
  @dataclasses.dataclass(frozen=True)
  class Own(tokenizers.WordPiece):
    """Another class: only its maker can make it."""

  own = encoders.BuiltEncoder(object(), '@mine.network')
  made = metadata.describe(own, Own(tiny_vocab, True), 'gelu', {}, {})
  assert set(made.files) == {'tokenizer.json'}
  assert made.configuration['encoder'] == {'source': '@mine.network'}
  assert made.configuration['tokenizer']['asset_sha256']
