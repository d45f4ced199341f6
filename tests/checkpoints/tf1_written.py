"""BERT and ALBERT as TF1 stores and computes them: written by TF1's Saver, computed anew in NumPy.

Names and functions: google-research/bert and google-research/albert, modeling.py and
run_pretraining.py. A dense kernel is [in, out]; attention heads lie side by side in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests import tiny

WORDS = 'bert/embeddings/word_embeddings'
PROJECTION = 'bert/encoder/embedding_hidden_mapping_in'
ALBERT_WIDTH = 8  # Of embeddings, as tiny.Size has it.
# What a layer's parts are called below its scope.
_BERT_LAYER = {
    'query': 'attention/self/query', 'key': 'attention/self/key', 'value': 'attention/self/value',
    'attended': 'attention/output/dense', 'attended norm': 'attention/output/LayerNorm',
    'inner': 'intermediate/dense', 'outer': 'output/dense', 'outer norm': 'output/LayerNorm'}
_ALBERT_LAYER = {
    'query': 'attention_1/self/query', 'key': 'attention_1/self/key',
    'value': 'attention_1/self/value', 'attended': 'attention_1/output/dense',
    'attended norm': 'LayerNorm', 'inner': 'ffn_1/intermediate/dense',
    'outer': 'ffn_1/intermediate/output/dense', 'outer norm': 'LayerNorm_1'}

Weights = dict[str, np.ndarray]


def gelu(x: np.ndarray) -> np.ndarray:
  """The tanh form."""
  return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def layer(weights: Mapping[str, Any], number: int) -> Callable[[str], str]:
  """A function: part of a layer -> its scope."""
  if PROJECTION + '/kernel' in weights:
    return lambda part: f'bert/encoder/transformer/group_0/inner_group_0/{_ALBERT_LAYER[part]}'
  return lambda part: f'bert/encoder/layer_{number}/{_BERT_LAYER[part]}'


def draw(kind: str = 'bert', seed: int = 11, layers: int = 2) -> Weights:
  """Seeded weights of everything that original pre-training saves, but for its optimizer."""
  size = tiny.Size
  width, inner = size.hidden_size, size.intermediate_size
  narrow = ALBERT_WIDTH if kind == 'albert' else width
  shapes: dict[str, tuple[int, ...]] = {
      WORDS: (size.vocab_size, narrow),
      'bert/embeddings/token_type_embeddings': (2, narrow),
      'bert/embeddings/position_embeddings': (size.max_position_embeddings, narrow),
      'cls/predictions/output_bias': (size.vocab_size,),
      'cls/seq_relationship/output_weights': (2, width),
      'cls/seq_relationship/output_bias': (2,)}

  def dense(scope: str, into: int, out: int) -> None:
    shapes[f'{scope}/kernel'], shapes[f'{scope}/bias'] = (into, out), (out,)

  def norm(scope: str, over: int) -> None:
    shapes[f'{scope}/gamma'] = shapes[f'{scope}/beta'] = (over,)

  norm('bert/embeddings/LayerNorm', narrow)
  dense('bert/pooler/dense', width, width)
  dense('cls/predictions/transform/dense', width, narrow)
  norm('cls/predictions/transform/LayerNorm', narrow)
  if kind == 'albert':
    dense(PROJECTION, narrow, width)
  for number in range(layers):
    at = layer(shapes, number)
    for part in ('query', 'key', 'value', 'attended'):
      dense(at(part), width, width)
    dense(at('inner'), width, inner)
    dense(at('outer'), inner, width)
    norm(at('attended norm'), width)
    norm(at('outer norm'), width)
  rng = np.random.default_rng(seed)
  return {name: (name.endswith('gamma') + rng.normal(0, 0.25, shape)).astype(np.float32)
          for name, shape in shapes.items()}


def from_hugging_face(weights: Mapping[str, np.ndarray]) -> Weights:
  """A BertModel's tensors under the names of TF1, as google-research/bert had them."""
  found = {}
  for key, value in weights.items():
    if key.endswith('position_ids'):
      continue
    name = 'bert/' + key.replace('.', '/').replace('layer/', 'layer_')
    table = name.removesuffix('/weight')
    if '_embeddings' in name:
      name = table
    elif 'LayerNorm' in name:
      name = table + '/gamma' if name.endswith('/weight') else name.removesuffix('bias') + 'beta'
    elif name.endswith('/weight'):
      name, value = table + '/kernel', value.T
    found[name] = np.ascontiguousarray(value)
  return found


def forward(weights: Weights, inputs: Mapping[str, np.ndarray], layers: int = 2, heads: int = 2,
            activation: Callable[[np.ndarray], np.ndarray] = gelu) -> list[np.ndarray]:
  """sequence_output [b, s, width]; pooled_output [b, width] and masked LM logits [b, s, vocabulary]
  where there are weights for them; float64."""
  w = {name: value.astype(np.float64) for name, value in weights.items()}

  def dense(scope: str, x: np.ndarray) -> np.ndarray:
    return x @ w[f'{scope}/kernel'] + w[f'{scope}/bias']

  def norm(scope: str, x: np.ndarray) -> np.ndarray:
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
    return x * w[f'{scope}/gamma'] + w[f'{scope}/beta']

  ids, mask, types = (inputs[k] for k in ('input_word_ids', 'input_mask', 'input_type_ids'))
  x = norm('bert/embeddings/LayerNorm',
           w[WORDS][ids] + w['bert/embeddings/token_type_embeddings'][types]
           + w['bert/embeddings/position_embeddings'][:ids.shape[1]])
  if PROJECTION + '/kernel' in w:
    x = dense(PROJECTION, x)
  for number in range(layers):
    at = layer(w, number)
    q, k, v = (dense(at(part), x).reshape(*ids.shape, heads, -1)
               for part in ('query', 'key', 'value'))
    scores = np.einsum('bqhd,bkhd->bhqk', q, k) / np.sqrt(q.shape[-1])
    scores = scores - 1e9 * (1 - mask[:, None, None, :])
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    scores /= scores.sum(-1, keepdims=True)
    attended = np.einsum('bhqk,bkhd->bqhd', scores, v).reshape(x.shape)
    x = norm(at('attended norm'), x + dense(at('attended'), attended))
    x = norm(at('outer norm'), x + dense(at('outer'), activation(dense(at('inner'), x))))
  outputs = [x]
  if 'bert/pooler/dense/kernel' in w:
    outputs.append(np.tanh(dense('bert/pooler/dense', x[:, 0])))
  if 'cls/predictions/output_bias' in w:
    at_head = 'cls/predictions/transform'
    y = norm(f'{at_head}/LayerNorm', activation(dense(f'{at_head}/dense', x)))
    outputs.append(y @ w[WORDS].T + w['cls/predictions/output_bias'])
  return outputs


def write(prefix: Path, weights: Weights, *, trained: bool = False, parts: int = 1,
          average: bool = False) -> str:
  """Writes variables as TF1's Saver does, and returns the prefix.

  Args:
    prefix: 'directory/bert_model.ckpt'.
    weights: of any dtype.
    trained: with Adam's slots and global_step, as a training leaves it.
    parts: of word embeddings, as a partitioner for parameter servers makes them.
    average: with moving averages of all weights.
  """
  import tensorflow as tf

  v1 = tf.compat.v1
  prefix.parent.mkdir(parents=True, exist_ok=True)
  values = dict(weights)
  for name, value in weights.items():
    for slot in (*(('adam_m', 'adam_v') if trained else ()),
                 *(('ExponentialMovingAverage',) if average else ())):
      values[f'{name}/{slot}'] = np.full(value.shape, 7, value.dtype)
  if trained:
    values['global_step'] = np.array(1000, np.int64)
  with tf.Graph().as_default():
    fed = {}
    for name, value in values.items():
      if name == WORDS and parts > 1:
        _partitioned(name, value, v1.fixed_size_partitioner(parts))
      else:
        placeholder = v1.placeholder(value.dtype, value.shape)
        fed[placeholder] = value
        v1.get_variable(name, initializer=placeholder)
    saver = v1.train.Saver(v1.global_variables())
    with v1.Session() as session:
      session.run(v1.global_variables_initializer(), fed)
      return saver.save(session, str(prefix), write_meta_graph=False)


def _partitioned(name: str, value: np.ndarray, partitioner: Any) -> None:
  import tensorflow as tf

  def initial(shape: Any, dtype: Any = None, partition_info: Any = None) -> Any:
    part = value[tuple(slice(o, o + int(n)) for o, n in zip(partition_info.var_offset, shape))]
    return tf.constant(part, dtype)

  tf.compat.v1.get_variable(name, value.shape, value.dtype, initial, partitioner=partitioner)


def write_config(path: Path, kind: str = 'bert', **changes: Any) -> str:
  """Google's bert_config.json (or albert_config.json) of `draw`, and returns its path."""
  size = tiny.Size()
  values: dict[str, Any] = {
      'vocab_size': size.vocab_size, 'hidden_size': size.hidden_size, 'num_hidden_layers': 2,
      'num_attention_heads': 2, 'hidden_act': 'gelu', 'intermediate_size': size.intermediate_size,
      'hidden_dropout_prob': 0.1, 'attention_probs_dropout_prob': 0.1,
      'max_position_embeddings': size.max_position_embeddings, 'type_vocab_size': 2,
      'initializer_range': 0.02}
  if kind == 'albert':
    values |= {'embedding_size': ALBERT_WIDTH, 'num_hidden_groups': 1, 'inner_group_num': 1,
               'net_structure_type': 0, 'gap_size': 0, 'num_memory_blocks': 0,
               'down_scale_factor': 1}
  path.write_text(json.dumps(values | changes))
  return str(path)
