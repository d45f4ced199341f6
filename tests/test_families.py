"""Every Hugging Face family against PyTorch, where that is installed (make test-extra).

Small models with random weights, written by transformers itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlp_export import encoders
from nlp_export.checkpoints import find_checkpoint
from nlp_export.errors import RequestError
from nlp_export.tokenization import choosing
from tests import in_process, tiny

pytestmark = pytest.mark.extra

INPUTS = tiny.encoder_inputs(batch=3, seq_length=12)
REAL = INPUTS['input_mask'] > 0
POSITIONS = np.array([[0, 1]] * len(REAL), np.int32)
SIZES = {
    'vocab_size': tiny.Size.vocab_size, 'hidden_size': 16, 'num_hidden_layers': 2,
    'num_attention_heads': 2, 'intermediate_size': 24, 'max_position_embeddings': 32}
DISTIL_SIZES = {
    'vocab_size': tiny.Size.vocab_size, 'dim': 16, 'n_layers': 2, 'n_heads': 2, 'hidden_dim': 24,
    'max_position_embeddings': 32}
ALBERT_SIZES = {**SIZES, 'embedding_size': 8}
MOBILE_SIZES = {**SIZES, 'embedding_size': 6, 'intra_bottleneck_size': 8}

# Class, what its configuration says.
MODELS = [
    ('BertModel', SIZES),
    ('BertForMaskedLM', {**SIZES, 'hidden_act': 'gelu_new'}),
    ('BertForPreTraining', SIZES),
    ('AlbertModel', ALBERT_SIZES),
    ('AlbertForMaskedLM', {**ALBERT_SIZES, 'hidden_act': 'gelu'}),
    ('AlbertForPreTraining', ALBERT_SIZES),
    ('ElectraModel', {**SIZES, 'embedding_size': 16}),
    ('ElectraForPreTraining', {**SIZES, 'embedding_size': 8}),
    ('ElectraForMaskedLM', {**SIZES, 'embedding_size': 8, 'hidden_act': 'relu'}),
    ('DistilBertModel', DISTIL_SIZES),
    ('DistilBertForMaskedLM', {**DISTIL_SIZES, 'sinusoidal_pos_embds': True}),
    ('MobileBertModel', MOBILE_SIZES),
    ('MobileBertForPreTraining', {**MOBILE_SIZES, 'classifier_activation': False}),
    ('MobileBertForMaskedLM', {**MOBILE_SIZES, 'use_bottleneck_attention': True}),
]


def make(name: str, directory: Path, shards: bool = False, **config: Any) -> Any:
  """A model of transformers with drawn weights, written with a vocabulary to a directory."""
  import torch
  import transformers

  model_class = getattr(transformers, name)
  torch.manual_seed(len(name))
  model = model_class(model_class.config_class(**config)).eval()
  with torch.no_grad():
    for key, weight in model.named_parameters():
      weight.normal_(0.0, 0.25)
      if 'norm' in key.lower() and key.endswith('weight'):
        weight.add_(1.0)
  model.save_pretrained(directory, **({'max_shard_size': '8KB'} if shards else {}))
  tiny.write_vocab(directory / 'vocab.txt')
  (directory / 'tokenizer_config.json').write_text(json.dumps({'do_lower_case': True}))
  return model


def original(model: Any) -> Any:
  """The outputs of the PyTorch model, as arrays; the last hidden states under their name."""
  import torch

  names = {'input_word_ids': 'input_ids', 'input_mask': 'attention_mask',
           'input_type_ids': 'token_type_ids'}
  inputs = {names[key]: torch.tensor(value, dtype=torch.long) for key, value in INPUTS.items()
            if 'Distil' not in type(model).__name__ or key != 'input_type_ids'}
  with torch.no_grad():
    outputs = model(**inputs, output_hidden_states=True)
  arrays = {key: value.numpy() for key, value in outputs.items() if torch.is_tensor(value)}
  return arrays | {'sequence': outputs.hidden_states[-1].numpy()}


@pytest.mark.parametrize(('name', 'config'), MODELS, ids=[name for name, _ in MODELS])
def test_outputs_equal_pytorch_s(name, config, tmp_path):
  import tensorflow as tf

  from nlp_export.restored_encoder import restore_encoder

  wanted = original(make(name, tmp_path, shards=name.endswith('MaskedLM'), **config))
  found = find_checkpoint(str(tmp_path))
  has_head = ('MaskedLM' in name or name in ('BertForPreTraining', 'AlbertForPreTraining')) and (
      not name.startswith('Mobile'))
  restored = restore_encoder(
      found, encoders.from_file(found.encoder_config), item_names={},
      mlm_activation=found.mlm_activation if has_head else None)
  outputs = restored.network(INPUTS)
  sequence = outputs['sequence_output'].numpy()
  # MobileBERT has no layer norms: its values reach hundreds.
  tolerance = {'atol': 1e-4, 'rtol': 1e-4 if name.startswith('Mobile') else 0}
  np.testing.assert_allclose(sequence[REAL], wanted['sequence'][REAL], **tolerance)
  # Control: what stands under mask 0 would not be equal to another's.
  assert np.abs(sequence[REAL] - np.roll(wanted['sequence'][REAL], 1, 0)).max() > 0.1
  if 'pooler_output' in wanted:
    np.testing.assert_allclose(outputs['pooled_output'], wanted['pooler_output'], **tolerance)
  if has_head:
    logits = restored.masked_lm(outputs['sequence_output'], masked_positions=tf.constant(POSITIONS))
    key = 'prediction_logits' if 'PreTraining' in name else 'logits'
    np.testing.assert_allclose(logits, wanted[key][:, :2], atol=1e-4)
  head = next((key for key in ('seq_relationship_logits', 'sop_logits') if key in wanted), None)
  if head:
    kernel, bias = restored.checkpoint.dense('next_sentence.out_proj')
    np.testing.assert_allclose(outputs['pooled_output'] @ kernel + bias, wanted[head], **tolerance)


def test_another_activation_would_be_seen(tmp_path):  # Control of the test above.
  from nlp_export.restored_encoder import restore_encoder

  wanted = original(make('BertModel', tmp_path, **SIZES))
  found = find_checkpoint(str(tmp_path))
  config = json.loads((tmp_path / 'config.json').read_text())
  (tmp_path / 'config.json').write_text(json.dumps({**config, 'hidden_act': 'gelu_new'}))
  restored = restore_encoder(found, encoders.from_file(found.encoder_config), item_names={})
  difference = restored.network(INPUTS)['sequence_output'].numpy()[REAL] - wanted['sequence'][REAL]
  assert np.abs(difference).max() > 1e-4


def test_layer_norms_of_another_epsilon_are_refused(tmp_path):
  """MobileBERT's layer norms have 1e-5 in PyTorch whatever its configuration says."""
  make('MobileBertModel', tmp_path, **MOBILE_SIZES, normalization_type='layer_norm')
  with pytest.raises(RequestError, match='layer norms of epsilon 1e-5 where'):
    encoders.from_file(str(tmp_path / 'config.json'))


@pytest.mark.parametrize(('name', 'config', 'types', 'poolers'), [
    ('ElectraForMaskedLM', {**SIZES, 'embedding_size': 8},
     "('model_with_mlm', 'preprocessing')", '(@poolers.identity,)'),
    ('MobileBertForPreTraining', MOBILE_SIZES, "('model',)", '(@poolers.keep,)'),
])
def test_exports_equal_pytorch_s(name, config, types, poolers, tmp_path):
  import tensorflow as tf

  wanted = original(make(name, tmp_path / 'model', **config))
  done = in_process.run_main(
      'gin/runs/export.gin', *in_process.settings(
          CHECKPOINT=tmp_path / 'model', EXPORT_TYPES=types, POOLERS=poolers,
          DEFAULT_SEQ_LENGTH=16), '--out_dir', tmp_path / 'out')
  assert done.status == 0, done.output
  pooler = 'identity' if 'identity' in poolers else 'keep'
  kind = 'model_with_mlm' if 'mlm' in types else 'model'
  loaded = tf.saved_model.load(str(tmp_path / 'out/exports' / pooler / kind))
  outputs = loaded(INPUTS)
  np.testing.assert_allclose(outputs['sequence_output'].numpy()[REAL], wanted['sequence'][REAL],
                             atol=1e-4, rtol=1e-4)
  if kind == 'model_with_mlm':
    logits = loaded.mlm({**INPUTS, 'masked_lm_positions': POSITIONS})['mlm_logits']
    np.testing.assert_allclose(logits, wanted['logits'][:, :2], atol=1e-4)


# Without ß: TF-NLP folds case (ss), transformers lower-cases (docs/hugging_face.md).
TEXTS = ['The cat sat on the mat, hello WORLD!', 'é É ü ñ Café', '中國 bank中a', '', 'a\u00a0b 3.1']


@pytest.mark.parametrize('settings', [
    {'do_lower_case': True}, {'do_lower_case': False}, {},
    {'do_lower_case': True, 'strip_accents': False},
    {'do_lower_case': False, 'strip_accents': True},
    {'do_lower_case': True, 'tokenize_chinese_chars': False},
    {'do_lower_case': True, 'unk_token': '[MASK]'},
])
def test_ids_equal_the_tokenizer_s_of_the_directory(settings, tmp_path):
  import transformers

  from nlp_export.saved_models import preprocessing

  make('BertModel', tmp_path, **SIZES)
  settings = {'tokenizer_class': 'BertTokenizer', **settings}
  (tmp_path / 'tokenizer_config.json').write_text(json.dumps(settings))
  made, _ = choosing.choose(find_checkpoint(str(tmp_path)))
  ours = preprocessing.build(made, default_seq_length=32)(TEXTS)['input_word_ids']
  theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)(
      TEXTS, padding='max_length', max_length=32)['input_ids']
  assert ours.numpy().tolist() == theirs
