"""BERT as transformers stores and computes it, written anew in NumPy to compare with.

Source: transformers, models/bert/modeling_bert.py. A linear layer keeps [out, in].
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests import tiny


def forward(weights: dict[str, np.ndarray], heads: int, inputs: dict[str, np.ndarray], gelu) -> Any:
  """sequence_output [batch, seq_length, width] and pooled_output [batch, width], float64.

  With `embeddings_project` (ELECTRA, ALBERT) embeddings are projected behind their norm; without a
  pooler the second is None.
  """
  w = {key.removeprefix('bert.'): value.astype(np.float64) for key, value in weights.items()}

  def linear(name, x):
    return x @ w[f'{name}.weight'].T + w[f'{name}.bias']

  def norm(name, x):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
    return x * w[f'{name}.weight'] + w[f'{name}.bias']

  ids, mask, types = (inputs[k] for k in ('input_word_ids', 'input_mask', 'input_type_ids'))
  x = norm('embeddings.LayerNorm',
           w['embeddings.word_embeddings.weight'][ids]
           + w['embeddings.position_embeddings.weight'][: ids.shape[1]]
           + w['embeddings.token_type_embeddings.weight'][types])
  if 'embeddings_project.weight' in w:
    x = linear('embeddings_project', x)
  batch, seq_length, width = x.shape
  layer = 0
  while f'encoder.layer.{layer}.output.dense.weight' in w:
    at = f'encoder.layer.{layer}'
    q, k, v = (linear(f'{at}.attention.self.{p}', x).reshape(batch, seq_length, heads, -1)
               for p in ('query', 'key', 'value'))
    scores = np.einsum('bqhd,bkhd->bhqk', q, k) / np.sqrt(width // heads)
    scores = np.where(mask[:, None, None, :] > 0, scores, -1e9)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    scores /= scores.sum(-1, keepdims=True)
    context = np.einsum('bhqk,bkhd->bqhd', scores, v).reshape(x.shape)
    x = norm(f'{at}.attention.output.LayerNorm',
             x + linear(f'{at}.attention.output.dense', context))
    x = norm(f'{at}.output.LayerNorm',
             x + linear(f'{at}.output.dense', gelu(linear(f'{at}.intermediate.dense', x))))
    layer += 1
  return x, np.tanh(linear('pooler.dense', x[:, 0])) if 'pooler.dense.weight' in w else None


def mlm_logits(weights: dict[str, np.ndarray], sequence_output: np.ndarray, gelu) -> np.ndarray:
  """Logits of BertForMaskedLM's head at every position, [batch, seq_length, vocab_size]."""
  w = {key.removeprefix('bert.'): value.astype(np.float64) for key, value in weights.items()}
  at = 'cls.predictions.transform'
  x = gelu(sequence_output @ w[f'{at}.dense.weight'].T + w[f'{at}.dense.bias'])
  x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
  x = x * w[f'{at}.LayerNorm.weight'] + w[f'{at}.LayerNorm.bias']
  return x @ w['embeddings.word_embeddings.weight'].T + w['cls.predictions.bias']


def draw(
    width: int = 16, layers: int = 2, inner: int = 24, embedding: int | None = None
) -> dict[str, np.ndarray]:
  """Seeded weights of BertForPreTraining, with the names that transformers gives them.

  An `embedding` width adds `bert.embeddings_project`, as ELECTRA calls it.
  """
  embedding, narrow = embedding or width, embedding
  vocab, positions = tiny.Size.vocab_size, tiny.Size.max_position_embeddings
  rng = np.random.default_rng(7)
  shapes: dict[str, tuple[int, ...]] = {
      'bert.embeddings.word_embeddings.weight': (vocab, embedding),
      'bert.embeddings.position_embeddings.weight': (positions, embedding),
      'bert.embeddings.token_type_embeddings.weight': (2, embedding),
      'bert.embeddings.LayerNorm.weight': (embedding,),
      'bert.embeddings.LayerNorm.bias': (embedding,),
      'bert.pooler.dense.weight': (width, width), 'bert.pooler.dense.bias': (width,),
      'cls.predictions.transform.dense.weight': (embedding, width),
      'cls.predictions.transform.dense.bias': (embedding,),
      'cls.predictions.transform.LayerNorm.weight': (embedding,),
      'cls.predictions.transform.LayerNorm.bias': (embedding,),
      'cls.predictions.bias': (vocab,),
      'cls.seq_relationship.weight': (2, width), 'cls.seq_relationship.bias': (2,),
  }
  if narrow:
    shapes['bert.embeddings_project.weight'] = (width, embedding)
    shapes['bert.embeddings_project.bias'] = (width,)
  for i in range(layers):
    at = f'bert.encoder.layer.{i}'
    for name in ('query', 'key', 'value'):
      shapes[f'{at}.attention.self.{name}.weight'] = (width, width)
      shapes[f'{at}.attention.self.{name}.bias'] = (width,)
    for name, out, into in (('attention.output.dense', width, width),
                            ('intermediate.dense', inner, width), ('output.dense', width, inner)):
      shapes[f'{at}.{name}.weight'], shapes[f'{at}.{name}.bias'] = (out, into), (out,)
    for name in ('attention.output.LayerNorm', 'output.LayerNorm'):
      shapes[f'{at}.{name}.weight'] = shapes[f'{at}.{name}.bias'] = (width,)
  drawn = {}
  for name, shape in shapes.items():
    one = 1.0 if name.endswith('LayerNorm.weight') else 0.0
    drawn[name] = (one + rng.normal(0, 0.25, shape)).astype(np.float32)
  return drawn


def write(directory: Path, weights: dict[str, np.ndarray], shards: int = 1, **config: Any) -> str:
  """A directory with config.json and safetensors, in several files with an index if asked for."""
  from safetensors.numpy import save_file

  directory.mkdir(parents=True, exist_ok=True)
  config = {'model_type': 'bert', 'num_attention_heads': 2} | config
  (directory / 'config.json').write_text(json.dumps(config))
  if shards == 1:
    save_file(weights, directory / 'model.safetensors', metadata={'format': 'pt'})
    return str(directory)
  weight_map = {}
  for number in range(shards):
    name = f'model-{number + 1:05d}-of-{shards:05d}.safetensors'
    part = dict(list(weights.items())[number::shards])
    save_file(part, directory / name, metadata={'format': 'pt'})
    weight_map |= dict.fromkeys(part, name)
  (directory / 'model.safetensors.index.json').write_text(json.dumps({'weight_map': weight_map}))
  return str(directory)
