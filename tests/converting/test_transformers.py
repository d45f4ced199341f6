"""Converted folders loaded by `transformers`, where that is installed (make test-extra)."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests import tiny
from tests.converting.conftest import convert, write_pretrainer
from tests.converting.test_targets import INPUTS, outputs_of
from tests.sentencepiece_model import sentencepiece_model

pytestmark = pytest.mark.extra

POSITIONS = np.array([[1, 0], [2, 3], [0, 0]], np.int32)
REAL = INPUTS['input_mask'].astype(bool)


def torch_outputs(model):
  """What a model of transformers gives, by its own keys."""
  import torch

  inputs = dict(zip(('input_ids', 'attention_mask', 'token_type_ids'), (
      torch.tensor(value, dtype=torch.long) for value in INPUTS.values())))
  with torch.no_grad():
    found = model.eval()(**inputs, output_hidden_states=True)
  return {key: value.numpy() for key, value in found.items() if hasattr(value, 'numpy')} | {
      'last': found.hidden_states[-1].numpy()}


def load(architecture, directory, **changes):
  """The model, and what was missing or left over in the folder."""
  import transformers

  config = transformers.AutoConfig.from_pretrained(directory, **changes)
  model, info = getattr(transformers, architecture).from_pretrained(
      directory, config=config, output_loading_info=True)
  return model, info


@pytest.fixture(scope='module')
def albert(tmp_path_factory):
  """A pretrainer over ALBERT, its poolers equal, and its folder, with a SentencePiece model."""
  directory = tmp_path_factory.mktemp('albert')
  (directory / 'pieces.model').write_bytes(sentencepiece_model())
  size = tiny.Size(type='albert', num_layers=2, max_position_embeddings=24, seed=6,
                   hidden_activation='relu')
  pretrainer = tiny.build_pretrainer(size, mlm_activation='relu')
  # ALBERT's class has no attribute for the layer.
  own = next(m for m in pretrainer.encoder_network.submodules if m.name == 'pooler_transform')
  head = pretrainer.classification_heads[0].dense
  own.kernel.assign(head.kernel)
  own.bias.assign(head.bias)
  prefix = write_pretrainer(directory / 'ckpt', pretrainer)
  done = convert(
      directory / 'out', TO='hugging_face', CHECKPOINT=prefix,
      ENCODER_CONFIG=tiny.write_encoder_config(directory / 'albert.yaml', size),
      SP_MODEL_FILE=directory / 'pieces.model', DO_LOWER_CASE=True,
      **{'convert_checkpoint.mlm_activation': "'relu'"})
  assert done.status == 0, done.output
  return pretrainer, directory / 'out' / 'converted' / 'hugging_face'


def check(found, expected, mlm='prediction_logits'):
  np.testing.assert_allclose(found['last'][REAL], expected['sequence_output'][REAL], atol=1e-4)
  logits = np.take_along_axis(found[mlm], POSITIONS[..., None], 1)
  np.testing.assert_allclose(logits, expected['mlm_logits'], atol=1e-4)


def test_bert_for_pre_training(converted, original):
  expected = outputs_of(original.pretrainer)
  model, info = load('BertForPreTraining', converted('hugging_face'))
  assert not info['missing_keys'] and not info['unexpected_keys']
  found = torch_outputs(model)
  check(found, expected)
  np.testing.assert_allclose(
      found['seq_relationship_logits'], expected['next_sentence'], atol=1e-4)
  # Control: TF-NLP's own "gelu" read as transformers reads that word.
  other, _ = load('BertForPreTraining', converted('hugging_face'), hidden_act='gelu')
  difference = np.abs(torch_outputs(other)['last'][REAL] - expected['sequence_output'][REAL]).max()
  assert difference > 2e-4


def test_bert_for_masked_lm_and_the_bare_model(converted, original):
  expected = outputs_of(original.pretrainer)
  model, info = load('BertForMaskedLM', converted('hugging_face'))
  assert not info['missing_keys']
  check(torch_outputs(model), expected, mlm='logits')
  model, info = load('BertModel', converted('hugging_face'))
  assert not info['missing_keys']
  np.testing.assert_allclose(
      torch_outputs(model)['pooler_output'], expected['pooled_output'], atol=1e-4)


def test_albert(albert):
  pretrainer, directory = albert
  expected = outputs_of(pretrainer)
  model, info = load('AlbertForPreTraining', directory)
  assert not info['missing_keys'] and not info['unexpected_keys']
  found = torch_outputs(model)
  check(found, expected)
  np.testing.assert_allclose(found['sop_logits'], expected['next_sentence'], atol=1e-4)
  model, info = load('AlbertForMaskedLM', directory)
  assert not info['missing_keys']
  check(torch_outputs(model), expected, mlm='logits')
  other, _ = load('AlbertForMaskedLM', directory, hidden_act='gelu')  # Control.
  assert np.abs(torch_outputs(other)['last'] - expected['sequence_output']).max() > 1e-2


SENTENCES = ['the cat sat on the mat', 'Hello WORLD, a dog!', 'café', '']


def test_the_tokenizers_give_the_same_ids(converted, original, albert):
  import tensorflow as tf
  import transformers

  from nlp_export.tokenizers import SentencePiece, WordPiece

  folder = albert[1]
  for directory, tokenizer in (
      (converted('hugging_face'), WordPiece(original.macros['VOCAB_FILE'], True)),
      (folder, SentencePiece(str(folder / 'spiece.model'), True))):
    loaded = transformers.AutoTokenizer.from_pretrained(directory)
    built = tokenizer.build(with_offsets=False)
    tokenize = tf.function(built.tokenize, autograph=False,
                           input_signature=[tf.TensorSpec([None], tf.string)])
    tokens = tokenize(tf.constant(SENTENCES))
    tokens = tokens.merge_dims(1, 2) if tokens.ragged_rank == 2 else tokens
    assert loaded(SENTENCES, add_special_tokens=False)['input_ids'] == tokens.to_list()
    ids = tokenizer.special_token_ids()
    for theirs, ours in (('pad', 'padding'), ('cls', 'start_of_sequence'),
                         ('sep', 'end_of_segment'), ('mask', 'mask')):
      assert getattr(loaded, f'{theirs}_token_id') == ids[f'{ours}_id']
    assert loaded.vocab_size == tokenizer.vocab_size
    # Control: what tokenizer_config.json says is what was compared.
    other = transformers.AutoTokenizer.from_pretrained(directory, do_lower_case=False)
    assert other(SENTENCES, add_special_tokens=False)['input_ids'] != tokens.to_list()


def test_minilm_and_back_again(minilm_dir, tmp_path):
  """Real weights with the exact gelu: Hugging Face to Orbax to Hugging Face."""
  from safetensors.numpy import load_file

  done = convert(tmp_path / 'a', TO='orbax', CHECKPOINT=minilm_dir)
  assert done.status == 0, done.output
  done = convert(tmp_path / 'b', TO='hugging_face',
                 CHECKPOINT=tmp_path / 'a' / 'converted' / 'orbax' / 'checkpoints')
  assert done.status == 0, done.output
  folder = tmp_path / 'b' / 'converted' / 'hugging_face'
  before, after = (load_file(f'{path}/model.safetensors') for path in (minilm_dir, folder))
  buffers = {key for key in before if key.endswith('position_ids')}
  assert before.keys() - buffers == after.keys()
  for key, value in after.items():
    np.testing.assert_array_equal(value, before[key], err_msg=key)
  assert json.loads((folder / 'config.json').read_text())['hidden_act'] == 'gelu'
  model, info = load('BertModel', folder)
  assert not info['missing_keys']
  original, _ = load('BertModel', minilm_dir)
  np.testing.assert_array_equal(torch_outputs(model)['last'], torch_outputs(original)['last'])
