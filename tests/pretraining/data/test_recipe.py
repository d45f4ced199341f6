"""What can be refused before any text is read; which ids begin a word."""

from __future__ import annotations

import dataclasses
import json

import gin
import pytest

from nlp_export import tokenizers
from nlp_export.errors import RequestError
from nlp_export.pretraining.data import recipe as recipes
from nlp_export.pretraining.data.recipe import DataRecipe
from nlp_export.pretraining.data.words import starts_word
from tests import tiny
from tests.pretraining.data import corpus_lab
from tests.sentencepiece_model import sentencepiece_model

BROKEN = [
    ({'seq_length': 0}, 'a number of tokens such as 128'),
    ({'seq_length': 128.0}, 'a number of tokens such as 128'),
    ({'seq_length': 4}, 'Write seq_length = 128, at least 5'),
    ({'seq_length': 3, 'pairs': None}, 'Write seq_length = 128, at least 4'),
    ({'seq_length': 1}, 'Write seq_length = 128, at least 5'),
    ({'max_predictions': 0}, 'a number of tokens from 1, such as 20'),
    ({'max_predictions': True}, 'a number of tokens from 1, such as 20'),
    ({'seq_length': 23, 'max_predictions': 21},
     'Write max_predictions = 3, its masked_lm_share'),
    ({'masked_lm_share': 0.0}, 'between 0 and 1, such as 0.15'),
    ({'masked_lm_share': 15}, 'between 0 and 1, such as 0.15'),
    ({'whole_word': 'yes'}, 'True or False'),
    ({'pairs': 'nsp'}, "'next_sentence', 'sentence_order' or None"),
    ({'pairs': False}, "'next_sentence', 'sentence_order' or None"),
    ({'short_seq_probability': 1.1}, 'from 0 to 1, such as 0.1'),
    ({'short_seq_probability': float('nan')}, 'from 0 to 1, such as 0.1'),
    ({'per_chunk': 1}, 'True or False'),
    ({'data_seed': -1}, 'a whole number from 0'),
    ({'data_seed': 2**63}, 'a whole number from 0'),
]


@pytest.mark.parametrize(('values', 'end'), BROKEN, ids=[str(values) for values, _ in BROKEN])
def test_what_cannot_be_is_refused(values, end):
  with pytest.raises(RequestError) as error:
    corpus_lab.recipe(**values)
  assert error.value.message.endswith(end)


def test_every_field_has_a_limit_and_the_nearest_allowed_values_are_taken():
  fields = {field.name for field in dataclasses.fields(DataRecipe)}
  assert {name for values, _ in BROKEN for name in values} == fields
  corpus_lab.recipe(seq_length=5, max_predictions=2)
  corpus_lab.recipe(seq_length=4, max_predictions=1, pairs=None)
  corpus_lab.recipe(short_seq_probability=1, data_seed=2**63 - 1, masked_lm_share=0.999)


def test_lengths_and_budget():
  recipe = DataRecipe(seq_length=128, max_predictions=20)
  assert (recipe.special_tokens, recipe.room) == (3, 125)
  assert (dataclasses.replace(recipe, pairs=None).room) == 126
  # BERT: min(20, max(1, int(round(n * 0.15)))), half to even.
  assert [recipe.budget(n) for n in (3, 10, 30, 50, 70, 127, 128)] == [1, 2, 4, 8, 10, 19, 19]
  assert dataclasses.replace(recipe, masked_lm_share=0.5).budget(128) == 20
  assert json.loads(json.dumps(recipe.to_json())) == dataclasses.asdict(recipe)


def test_it_is_a_gin_part():
  with gin.unlock_config():
    gin.parse_config('data_recipe.seq_length = 64\npretraining.data_recipe.max_predictions = 10')
  try:
    assert gin.get_configurable('pretraining.data_recipe')() == DataRecipe(
        seq_length=64, max_predictions=10)
  finally:
    gin.clear_config()


def vocabulary(path, *left_out):
  tokens = [token for token in tiny.wordpiece_tokens() if token not in left_out]
  path.write_text('\n'.join(tokens) + '\n')
  return tokenizers.wordpiece(str(path), True)


def test_a_vocabulary_without_mask_is_refused(tmp_path):
  without = vocabulary(tmp_path / 'no_mask.txt', '[MASK]')
  with pytest.raises(RequestError, match=r'the wordpiece vocabulary .*no_mask.txt has no \[MASK\]. '
                     '.*build a vocabulary with gin/runs/build_vocabulary.gin$'):
    recipes.check(corpus_lab.recipe(), without)
  # The same vocabulary with another token in its place.
  recipes.check(corpus_lab.recipe(), dataclasses.replace(without, mask='[UNK]'))


class Own:
  """A user's tokenizer."""

  kind, asset_file, lower_case, vocab_size = 'bytes', None, False, 260

  def __init__(self, **left_out):
    self.ids = {'vocab_size': 260, 'padding_id': 256, 'start_of_sequence_id': 257,
                'end_of_segment_id': 258, 'mask_id': 259}
    for key in left_out:
      del self.ids[key]

  def special_token_ids(self):
    return self.ids


class OwnWithWords(Own):
  def starts_word(self):
    return [number % 2 == 0 for number in range(260)]


def test_a_tokenizer_of_ones_own_without_special_tokens_is_refused():
  recipes.check(corpus_lab.recipe(), Own())
  with pytest.raises(RequestError, match='has no mask_id in special_token_ids'):
    recipes.check(corpus_lab.recipe(), Own(mask_id=1))
  with pytest.raises(RequestError, match='has no start_of_sequence_id, no padding_id in .*'
                     'Name these tokens where the tokenizer is made$'):
    recipes.check(corpus_lab.recipe(), Own(padding_id=1, start_of_sequence_id=1))


def test_whole_words_need_a_tokenizer_that_can_tell():
  whole = corpus_lab.recipe(whole_word=True)
  with pytest.raises(RequestError, match=r'the bytes tokenizer \(Own\) does not say .*'
                     'or write whole_word = False$'):
    recipes.check(whole, Own())
  recipes.check(whole, OwnWithWords())
  assert starts_word(Own()) is None and starts_word(OwnWithWords())[:3] == (True, False, True)


def test_starts_word_of_ones_own_has_a_value_for_each_id():
  class Short(OwnWithWords):
    def starts_word(self):
      return [True]

  class Broken(OwnWithWords):
    def starts_word(self):
      raise OSError('no table')

  with pytest.raises(RequestError, match='gives 1 values, .* bool for each id, in their order$'):
    starts_word(Short())
  with pytest.raises(RequestError, match=r'^starts_word\(\) of the bytes tokenizer raised OSError'):
    starts_word(Broken())


def test_rows_longer_than_the_encoder_are_refused(tiny_vocab):
  tokenizer = tokenizers.wordpiece(tiny_vocab, True)
  recipes.check(corpus_lab.recipe(), tokenizer, 32)
  recipes.check(corpus_lab.recipe(), tokenizer, None)
  with pytest.raises(RequestError, match='31 position embeddings. Write seq_length = 31 or less$'):
    recipes.check(corpus_lab.recipe(), tokenizer, 31)


def test_words_of_wordpiece(tiny_vocab):
  tokenizer = tokenizers.wordpiece(tiny_vocab, True)
  starts = dict(zip(tokenizer.vocabulary, starts_word(tokenizer)))
  assert starts['cat'] and starts['[MASK]'] and starts['.'] and not starts['##ing']


def test_words_of_sentencepiece(tmp_path):
  (tmp_path / 'pieces.model').write_bytes(sentencepiece_model())
  tokenizer = tokenizers.sentencepiece(str(tmp_path / 'pieces.model'), True)
  starts = dict(zip([tokenizer._processor.id_to_piece(i) for i in range(tokenizer.vocab_size)],
                    starts_word(tokenizer)))
  assert starts['[CLS]'] and starts['<unk>'] and starts['\u2581'] and starts['中']
  assert [piece for piece, start in starts.items() if piece[0] == '\u2581' and not start] == []
  assert not any(starts[piece] for piece in 'abc' if piece in starts) and False in starts.values()
