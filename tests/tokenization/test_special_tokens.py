"""Special tokens by any name and at any place: in packing, masks, pre-training and verification."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from nlp_export import files, tokenizers
from nlp_export.corpora.text_files import Document
from nlp_export.errors import RequestError
from nlp_export.glue.fine_tuning import tokenised
from nlp_export.pretraining.data import unknown
from nlp_export.pretraining.data.batches import Batches
from nlp_export.pretraining.data.recipe import DataRecipe
from nlp_export.pretraining.data.tokens import TokenisedCorpus
from nlp_export.saved_models import expectations, preprocessing
from nlp_export.saved_models.verification import Job, checking, registry, token_offset_checks
from tests import tiny
from tests.sentencepiece_model import sentencepiece_model
from tests.tokenization import wordpiece_lab

NAMES = {'padding': '<pad>', 'unknown': '<unk>', 'start_of_sequence': '<s>',
         'end_of_segment': '</s>', 'mask': '[unused0]'}
WORDS = [token for token in tiny.wordpiece_tokens() if token not in tiny.SPECIAL_TOKENS]
TOKENS = [*WORDS[:7], '</s>', '<unk>', *WORDS[7:], '[unused0]', '<s>', '<pad>']
PAD, UNK, START, END, MASK = (TOKENS.index(NAMES[name]) for name in (
    'padding', 'unknown', 'start_of_sequence', 'end_of_segment', 'mask'))
OPTIONS = {'default_seq_length': 16, 'truncator': 'round_robin', 'num_segments': 2,
           'tokenize_with_offsets': True, 'disable_assert': False}


@pytest.fixture(scope='module')
def vocab(tmp_path_factory) -> str:
  return wordpiece_lab.write(tmp_path_factory.mktemp('special') / 'vocab.txt', TOKENS)


@pytest.fixture(scope='module')
def tokenizer(vocab):
  return tokenizers.wordpiece(vocab, True, split_unknown_characters=True, **NAMES)


@pytest.fixture(scope='module', autouse=True)
def unoptimised_graphs():
  """Optimising a graph costs more than running it once, for exports as small as these."""
  tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': True})
  yield
  tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': False})


@pytest.fixture(scope='module')
def export(tokenizer, tmp_path_factory):
  """Path of a SavedModel, and what it has to do."""
  directory = tmp_path_factory.mktemp('export')
  path = str(directory / 'saved')
  preprocessing.save(preprocessing.build(tokenizer, **OPTIONS), path)
  return path, expectations.of_preprocessing(
      tokenizer, OPTIONS, {'vocab.txt': files.sha256(tokenizer.asset_file)}, str(directory))


@pytest.mark.conformance(77, 78)
def test_packing_uses_them(export):
  loaded = tf.saved_model.load(export[0])
  special = {k: int(v) for k, v in loaded.tokenize.get_special_tokens_dict().items()}
  assert special == {'vocab_size': len(TOKENS), 'padding_id': PAD, 'start_of_sequence_id': START,
                     'end_of_segment_id': END, 'mask_id': MASK}
  packed = loaded.bert_pack_inputs([loaded.tokenize(['the cat']), loaded.tokenize(['☃'])], 8)
  cat = [TOKENS.index('the'), TOKENS.index('cat')]
  assert packed['input_word_ids'].numpy().tolist() == [[START, *cat, END, UNK, END, PAD, PAD]]
  assert packed['input_mask'].numpy().tolist() == [[1] * 6 + [0] * 2]
  assert loaded.tokenize(['cat☃']).to_list() == [[[cat[1], UNK]]]


def test_verification_goes_by_them(export):
  path, expected = export
  subject = checking.load(Job('/elsewhere', 'x', expected), path)
  report = checking.run_checks(subject)
  assert not [check for check in report.checks if check.status == 'failed']
  # Control: told another name for unknown words, it takes <unk> for a word of the text.
  other = dataclasses.replace(expected, unknown_token='[UNK]')  # noqa: S106
  subject = checking.load(Job('/elsewhere', 'x', other), path)
  with pytest.raises(registry.Failed, match='<unk>'):
    token_offset_checks.ascii_offsets(subject)


def test_pre_training_masks_with_them(tokenizer):
  rng = np.random.default_rng(0)
  words = ['the', 'cat', 'dog', 'sat', 'on', 'mat', 'world']
  documents = [Document([' '.join(rng.choice(words, 6)) for _ in range(6)], str(n))
               for n in range(12)]
  corpus = TokenisedCorpus.tokenised(documents, tokenizer)
  batch = Batches(corpus, tokenizer, DataRecipe(seq_length=24, max_predictions=6), 16).batch(0)
  ids, mask = batch['input_word_ids'], batch['input_mask'] > 0
  assert (ids[:, 0] == START).all() and (ids[~mask] == PAD).all() and (~mask).any()
  assert ((ids == END).sum(1) == 2).all()
  chosen = batch['masked_lm_weights'] > 0
  originals = set(batch['masked_lm_ids'][chosen].tolist())
  assert originals <= {TOKENS.index(word) for word in words}
  assert (ids == MASK).sum() > .6 * chosen.sum()
  assert unknown.unknown_id(tokenizer) == UNK


def test_both_arms_of_a_fine_tuning_use_them(tokenizer, export):
  path, _ = export
  segments = (['the cat☃ sat', '☃'], ['a dog', 'unaffable ☃x'])
  ours = tokenised.through_preprocessing(tf.saved_model.load(path), segments, 12)
  theirs = tokenised.through_tf_nlp(tokenizer, segments, 12)
  assert ours.sha256() == theirs.sha256()
  assert ours.word_ids[0] == START and UNK in ours.word_ids and ours.word_ids.min() >= 0
  whole = dataclasses.replace(tokenizer, split_unknown_characters=False)  # Control.
  assert tokenised.through_tf_nlp(whole, segments, 12).sha256() != ours.sha256()


def test_sentencepiece_s_too(tmp_path):
  path = tmp_path / 'spiece.model'
  path.write_bytes(sentencepiece_model(special=False).replace(b'<pad>', b'<nil>'))
  bound = {'padding': '<nil>', 'start_of_sequence': '\u2581the', 'end_of_segment': '\u2581cat'}
  tokenizer = tokenizers.sentencepiece(str(path), True, **bound)
  tokenizer.check()
  built = preprocessing.build(tokenizer, default_seq_length=4)
  special = tokenizer.special_token_ids()
  assert 'mask_id' not in special
  assert built(['']).get('input_word_ids').numpy().tolist() == [[
      special['start_of_sequence_id'], special['end_of_segment_id'], 0, 0]]
  with pytest.raises(RequestError, match='no piece <pad>'):
    tokenizers.sentencepiece(str(path), True).check()
