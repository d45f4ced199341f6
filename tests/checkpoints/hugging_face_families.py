"""ALBERT, ELECTRA, DistilBERT and MobileBERT as transformers stores and computes them, in NumPy.

The first three are BERT under other names: their weights are those of `hugging_face_bert.draw`,
renamed, and their outputs those of its `forward`. Source: transformers, models/<family>.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests import tiny
from tests.checkpoints import hugging_face_bert as hf

HEADS = 2


@dataclasses.dataclass(frozen=True)
class Model:
  """A model of a family.

  Attributes:
    config: what its config.json says.
    stored: its tensors by the names in the file.
    bert: the same function's weights by BERT's names; None for MobileBERT.
  """

  config: Mapping[str, Any]
  stored: dict[str, np.ndarray]
  bert: dict[str, np.ndarray] | None

  def write(self, directory: Path, **changes: Any) -> str:
    """Writes config.json, safetensors, vocab.txt and tokenizer_config.json."""
    hf.write(directory, self.stored, **{**self.config, **changes})
    tiny.write_vocab(directory / 'vocab.txt')
    (directory / 'tokenizer_config.json').write_text('{"do_lower_case": true}')
    return str(directory)


_SIZES = {
    'vocab_size': tiny.Size.vocab_size, 'hidden_size': 16, 'num_hidden_layers': 2,
    'num_attention_heads': HEADS, 'intermediate_size': 24, 'hidden_act': 'gelu_new',
    'hidden_dropout_prob': 0.1, 'attention_probs_dropout_prob': 0.1, 'type_vocab_size': 2,
    'max_position_embeddings': tiny.Size.max_position_embeddings, 'initializer_range': 0.02,
    'layer_norm_eps': 1e-12}


def _renamed(weights: Mapping[str, np.ndarray], names: Mapping[str, str]) -> dict[str, np.ndarray]:
  """Weights with parts of their names replaced, one after another."""
  renamed = {}
  for name, value in weights.items():
    for old, new in names.items():
      name = name.replace(old, new)
    renamed[name] = value
  return renamed


def bert() -> Model:
  """BertForPreTraining."""
  weights = hf.draw()
  return Model({'model_type': 'bert', 'architectures': ['BertForPreTraining'], **_SIZES}, weights,
               weights)


def electra(generator: bool, embedding: int | None = 8) -> Model:
  """ElectraForMaskedLM (the generator) or ElectraForPreTraining (the discriminator)."""
  drawn = hf.draw(embedding=embedding)
  weights = {k: v for k, v in drawn.items() if 'pooler' not in k and 'seq_relationship' not in k
             and (generator or 'cls' not in k)}
  stored = _renamed(weights, {
      'bert.': 'electra.', 'cls.predictions.transform': 'generator_predictions',
      'cls.predictions.bias': 'generator_lm_head.bias'})
  if not generator:
    rng = np.random.default_rng(8)
    for name, shape in (('dense.weight', (16, 16)), ('dense.bias', (16,)),
                        ('dense_prediction.weight', (1, 16)), ('dense_prediction.bias', (1,))):
      stored[f'discriminator_predictions.{name}'] = rng.normal(size=shape).astype(np.float32)
  name = 'ElectraForMaskedLM' if generator else 'ElectraForPreTraining'
  config = {'model_type': 'electra', 'architectures': [name], **_SIZES,
            'embedding_size': embedding or 16}
  return Model(config, stored, weights)


def distilbert() -> Model:
  """DistilBertForMaskedLM."""
  weights = {k: v for k, v in hf.draw().items()
             if 'pooler' not in k and 'seq_relationship' not in k}
  types = 'bert.embeddings.token_type_embeddings.weight'
  stored = _renamed({k: v for k, v in weights.items() if k != types}, {
      'bert.': 'distilbert.', 'encoder.layer': 'transformer.layer',
      'attention.self.query': 'attention.q_lin', 'attention.self.key': 'attention.k_lin',
      'attention.self.value': 'attention.v_lin', 'attention.output.dense': 'attention.out_lin',
      'attention.output.LayerNorm': 'sa_layer_norm', 'intermediate.dense': 'ffn.lin1',
      'output.dense': 'ffn.lin2', 'output.LayerNorm': 'output_layer_norm',
      'cls.predictions.transform.dense': 'vocab_transform',
      'cls.predictions.transform.LayerNorm': 'vocab_layer_norm',
      'cls.predictions.bias': 'vocab_projector.bias'})
  stored['vocab_projector.weight'] = weights['bert.embeddings.word_embeddings.weight'].copy()
  config = {
      'model_type': 'distilbert', 'architectures': ['DistilBertForMaskedLM'],
      'vocab_size': tiny.Size.vocab_size, 'dim': 16, 'n_layers': 2, 'n_heads': HEADS,
      'hidden_dim': 24, 'activation': 'gelu', 'dropout': 0.1, 'attention_dropout': 0.1,
      'max_position_embeddings': tiny.Size.max_position_embeddings, 'initializer_range': 0.02,
      'sinusoidal_pos_embds': False}
  return Model(config, stored, weights | {types: np.zeros_like(weights[types])})


def albert(layers: int = 3) -> Model:
  """AlbertForPreTraining: one block, used several times."""
  one = hf.draw(layers=1, embedding=8)
  stored = _renamed(one, {
      'bert.': 'albert.', 'embeddings_project': 'embedding_hidden_mapping_in',
      'albert.embedding_hidden': 'albert.encoder.embedding_hidden',
      'encoder.layer.0': 'encoder.albert_layer_groups.0.albert_layers.0',
      'attention.self': 'attention', 'attention.output': 'attention',
      'intermediate.dense': 'ffn', 'output.dense': 'ffn_output',
      'layers.0.output.LayerNorm': 'layers.0.full_layer_layer_norm',
      'pooler.dense': 'pooler', 'cls.predictions.transform': 'predictions',
      'cls.predictions': 'predictions', 'cls.seq_relationship': 'sop_classifier.classifier'})
  weights = dict(one)
  for name, value in one.items():
    for layer in range(1, layers):
      if 'layer.0.' in name:
        weights[name.replace('layer.0.', f'layer.{layer}.')] = value
  config = {'model_type': 'albert', 'architectures': ['AlbertForPreTraining'], **_SIZES,
            'num_hidden_layers': layers, 'embedding_size': 8, 'num_hidden_groups': 1,
            'inner_group_num': 1}
  return Model(config, stored, weights)


_MOBILE = {
    'hidden_size': 16, 'embedding_size': 6, 'intra_bottleneck_size': 8, 'intermediate_size': 12,
    'num_feedforward_networks': 2, 'hidden_act': 'relu', 'normalization_type': 'no_norm',
    'trigram_input': True, 'use_bottleneck': True}


def mobilebert(
    use_bottleneck_attention: bool = False, key_query_shared_bottleneck: bool = True,
    classifier_activation: bool = True,
) -> Model:
  """MobileBertForPreTraining."""
  vocab, positions = tiny.Size.vocab_size, tiny.Size.max_position_embeddings
  width, narrow, inner = 16, 8, 12
  value_width = narrow if use_bottleneck_attention else width
  key_width = narrow if key_query_shared_bottleneck else value_width
  shapes: dict[str, tuple[int, ...]] = {
      'embeddings.word_embeddings.weight': (vocab, 6),
      'embeddings.position_embeddings.weight': (positions, width),
      'embeddings.token_type_embeddings.weight': (2, width)}

  def dense(name: str, out: int, into: int) -> None:
    shapes[f'{name}.weight'], shapes[f'{name}.bias'] = (out, into), (out,)

  def norm(name: str, size: int) -> None:
    shapes[f'{name}.weight'] = shapes[f'{name}.bias'] = (size,)

  dense('embeddings.embedding_transformation', width, 18)
  norm('embeddings.LayerNorm', width)
  for layer in range(2):
    at = f'encoder.layer.{layer}'
    for part in ('input', *(['attention'] if key_query_shared_bottleneck else [])):
      dense(f'{at}.bottleneck.{part}.dense', narrow, width)
      norm(f'{at}.bottleneck.{part}.LayerNorm', narrow)
    for part, into in (('query', key_width), ('key', key_width), ('value', value_width)):
      dense(f'{at}.attention.self.{part}', narrow, into)
    dense(f'{at}.attention.output.dense', narrow, narrow)
    norm(f'{at}.attention.output.LayerNorm', narrow)
    for network in (f'{at}.ffn.0', at):
      dense(f'{network}.intermediate.dense', inner, narrow)
      dense(f'{network}.output.dense', narrow, inner)
      norm(f'{network}.output.LayerNorm', narrow)
    dense(f'{at}.output.bottleneck.dense', width, narrow)
    norm(f'{at}.output.bottleneck.LayerNorm', width)
  if classifier_activation:
    dense('pooler.dense', width, width)
  shapes = {f'mobilebert.{name}': shape for name, shape in shapes.items()}
  dense('cls.predictions.transform.dense', width, width)
  norm('cls.predictions.transform.LayerNorm', width)
  shapes['cls.predictions.dense.weight'] = (width - 6, vocab)
  shapes['cls.predictions.bias'] = (vocab,)
  dense('cls.seq_relationship', 2, width)
  rng = np.random.default_rng(9)
  stored = {
      name: ((1.0 if name.endswith('LayerNorm.weight') else 0.0)
             + rng.normal(0, 0.25, shape)).astype(np.float32)
      for name, shape in shapes.items()}
  config = {
      'model_type': 'mobilebert', 'architectures': ['MobileBertForPreTraining'], **_SIZES,
      **_MOBILE,
      'use_bottleneck_attention': use_bottleneck_attention,
      'key_query_shared_bottleneck': key_query_shared_bottleneck,
      'classifier_activation': classifier_activation}
  return Model(config, stored, None)


def mobilebert_forward(model: Model, inputs: Mapping[str, np.ndarray]) -> tuple[Any, Any]:
  """sequence_output and pooled_output of a MobileBERT, float64."""
  w = {k.removeprefix('mobilebert.'): v.astype(np.float64) for k, v in model.stored.items()}

  def linear(name: str, x: Any) -> Any:
    return x @ w[f'{name}.weight'].T + w[f'{name}.bias']

  def no_norm(name: str, x: Any) -> Any:
    return x * w[f'{name}.weight'] + w[f'{name}.bias']

  ids, mask, types = (inputs[k] for k in ('input_word_ids', 'input_mask', 'input_type_ids'))
  words = w['embeddings.word_embeddings.weight'][ids]
  nothing = np.zeros_like(words[:, :1])
  words = np.concatenate([np.concatenate([words[:, 1:], nothing], 1), words,
                          np.concatenate([nothing, words[:, :-1]], 1)], axis=2)
  x = no_norm('embeddings.LayerNorm',
              linear('embeddings.embedding_transformation', words)
              + w['embeddings.position_embeddings.weight'][: ids.shape[1]]
              + w['embeddings.token_type_embeddings.weight'][types])
  for layer in range(2):
    at = f'encoder.layer.{layer}'
    residual = no_norm(f'{at}.bottleneck.input.LayerNorm',
                       linear(f'{at}.bottleneck.input.dense', x))
    query = value = x
    if model.config['use_bottleneck_attention']:
      query = value = residual
    elif model.config['key_query_shared_bottleneck']:
      query = no_norm(f'{at}.bottleneck.attention.LayerNorm',
                      linear(f'{at}.bottleneck.attention.dense', x))
    q, k, v = (linear(f'{at}.attention.self.{name}', y).reshape(*ids.shape, HEADS, -1)
               for name, y in (('query', query), ('key', query), ('value', value)))
    scores = np.einsum('bqhd,bkhd->bhqk', q, k) / np.sqrt(q.shape[-1])
    scores = np.where(mask[:, None, None, :] > 0, scores, -1e9)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    scores /= scores.sum(-1, keepdims=True)
    context = np.einsum('bhqk,bkhd->bqhd', scores, v).reshape(residual.shape)
    y = no_norm(f'{at}.attention.output.LayerNorm',
                linear(f'{at}.attention.output.dense', context) + residual)
    for network in (f'{at}.ffn.0', at):
      inner = np.maximum(linear(f'{network}.intermediate.dense', y), 0)
      y = no_norm(f'{network}.output.LayerNorm', linear(f'{network}.output.dense', inner) + y)
    x = no_norm(f'{at}.output.bottleneck.LayerNorm', linear(f'{at}.output.bottleneck.dense', y) + x)
  pooled = x[:, 0]
  if model.config['classifier_activation']:
    pooled = np.tanh(linear('pooler.dense', pooled))
  return x, pooled
