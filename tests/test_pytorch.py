"""Exported real weights against the PyTorch original, where that is installed (make test-extra)."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.extra

SENTENCES = [
    'A man is playing the guitar on stage.',
    'Borrowing money has become more expensive, said Zoë of the Café Müller!',
    'Hello',
    '',
    'antidisestablishmentarianism 中國 ' * 6,
]
PAIRS = ['How old are you?', 'It was.', 'Yes.', 'the', 'a b c']


@pytest.fixture(scope='module')
def exports(run_py, minilm_dir, tmp_path_factory):
  """(encoder, preprocessor) of all-MiniLM-L6-v2, exported and loaded."""
  import tensorflow as tf
  import tensorflow_text  # noqa: F401

  directory = tmp_path_factory.mktemp('minilm') / 'out'
  done = run_py('gin/runs/export.gin', f'--set=CHECKPOINT={minilm_dir}', '--out_dir', directory)
  assert done.status == 0, done.output
  exported = directory / 'exports'
  return (
      tf.saved_model.load(str(exported / 'keep' / 'model')),
      tf.saved_model.load(str(exported / 'preprocessing')),
  )


@pytest.fixture(scope='module')
def inputs(exports):
  """Sentences and pairs of them as encoder inputs, numpy int32 [10, 64]."""
  preprocessor = exports[1]
  tokens = preprocessor.tokenize(SENTENCES)
  single = preprocessor.bert_pack_inputs([tokens], seq_length=64)
  pairs = preprocessor.bert_pack_inputs([tokens, preprocessor.tokenize(PAIRS)], seq_length=64)
  return {name: np.concatenate([single[name], pairs[name]]) for name in single}


def original(minilm_dir: str, inputs: dict[str, np.ndarray], **changes):
  """(last_hidden_state, pooler_output) of the PyTorch model."""
  import torch
  import transformers

  config = transformers.AutoConfig.from_pretrained(minilm_dir, **changes)
  model = transformers.BertModel.from_pretrained(minilm_dir, config=config).eval()
  with torch.no_grad():
    outputs = model(
        input_ids=torch.tensor(inputs['input_word_ids'], dtype=torch.long),
        attention_mask=torch.tensor(inputs['input_mask'], dtype=torch.long),
        token_type_ids=torch.tensor(inputs['input_type_ids'], dtype=torch.long),
    )
  return outputs.last_hidden_state.numpy(), outputs.pooler_output.numpy()


@pytest.mark.conformance(21)
def test_minilm_equals_the_pytorch_original(exports, inputs, minilm_dir):
  outputs = exports[0](inputs)
  sequence, pooled = original(minilm_dir, inputs)
  real = inputs['input_mask'].astype(bool)
  np.testing.assert_allclose(outputs['sequence_output'].numpy()[real], sequence[real], atol=1e-4)
  np.testing.assert_allclose(outputs['pooled_output'], pooled, atol=1e-4)


def test_the_other_gelu_would_be_seen(exports, inputs, minilm_dir):  # Control of the test above.
  sequence, _ = original(minilm_dir, inputs, hidden_act='gelu_pytorch_tanh')
  real = inputs['input_mask'].astype(bool)
  difference = np.abs(exports[0](inputs)['sequence_output'].numpy()[real] - sequence[real]).max()
  assert difference > 1e-3


@pytest.mark.conformance(66, 71)
def test_ids_equal_the_original_tokenizer_s(exports, minilm_dir):
  import transformers

  tokenizer = transformers.AutoTokenizer.from_pretrained(minilm_dir)
  expected = tokenizer(SENTENCES, padding='max_length', truncation=True, max_length=128)
  packed = exports[1](SENTENCES)
  assert packed['input_word_ids'].numpy().tolist() == expected['input_ids']
  assert packed['input_mask'].numpy().tolist() == expected['attention_mask']
