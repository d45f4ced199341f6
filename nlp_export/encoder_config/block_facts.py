"""What do the fields of a bigbird, funnel, fnet or sparse_mixer block mean together?

Answers that TF-NLP gives while it builds the network, or never, and that are wanted before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Block = Mapping[str, Any]

POOL_TYPES = ('max', 'avg', 'truncated_avg')
FUNNEL_BLOCKS = ('TransformerEncoderBlock', 'ReZeroTransformer')

# BigBirdAttention draws random blocks among the first 1,024 tokens (its last_idx).
_LAST_RANDOM_TOKEN = 1024


def has_whole_blocks(block: Block) -> bool:
  """Whether BigBird's positions are a whole number of blocks."""
  return block['max_position_embeddings'] % block['block_size'] == 0


def has_enough_blocks(block: Block) -> bool:
  """Whether each of BigBird's blocks finds num_rand_blocks others to attend to.

  Source: TF-NLP, bigbird_block_rand_mask in modeling/layers/bigbird_attention.py, which fails with
  a message about shapes where there are fewer.
  """
  count = block['max_position_embeddings'] // block['block_size']
  wanted = block['num_rand_blocks']
  return count >= 4 and all(found >= wanted or found == 1  # One is taken as often as wanted.
                            for found in _candidates(count, block['block_size']))


def _candidates(count: int, size: int) -> list[int]:
  """Among how many blocks each block but the first and last draws its random ones."""
  middle = range(1, count - 1)
  last = count - 1
  if 2 * size < _LAST_RANDOM_TOKEN:
    last = _LAST_RANDOM_TOKEN // size - 1
  found = []
  for i in middle:
    start, end = i - 2, i
    if i == 1:
      found.append(len(middle[2:last]))
    elif i == 2:
      found.append(len(middle[3:last]))
    elif i >= count - 3 or start > last:
      found.append(len(middle[:last]))
    elif end + 1 == last:
      found.append(len(middle[:start]))
    else:
      found.append(len(middle[:start]) + len(middle[end + 1:last]))
  return found


def strides(block: Block) -> tuple[int, ...]:
  """Funnel's pooling factors, one a layer; () if nothing is pooled."""
  stride = block['pool_stride']
  each = (stride,) * block['num_layers'] if isinstance(stride, int) else tuple(stride)
  return each if any(s != 1 for s in each) else ()


def pools_for_one_length(block: Block) -> bool:
  """Whether Funnel's pooling is a matrix, made for max_position_embeddings tokens."""
  return block['pool_type'] == 'truncated_avg' and bool(strides(block))


def has_a_stride_for_each_layer(block: Block) -> bool:
  """Whether Funnel's pool_stride is one factor, or one a layer, of 1 or more."""
  stride = block['pool_stride']
  if isinstance(stride, int):
    return stride >= 1
  return len(stride) == block['num_layers'] and all(s >= 1 for s in stride)


def mixes(block: Block) -> bool:
  """Whether fnet or sparse_mixer has a layer that mixes all positions, without a mask."""
  return bool(set(range(block['num_layers'])) - set(block['attention_layers']))


def has_experts(block: Block) -> bool:
  """Whether sparse_mixer has a layer of experts."""
  return bool(set(block['moe_layers']) & set(range(block['num_layers'])))


def group_size(block: Block) -> float:
  """Tokens among which sparse_mixer's experts choose."""
  return block['max_sequence_length'] * block['examples_per_group']


def groups_are_within_examples(block: Block) -> bool:
  """Whether each example is routed for itself, in whole groups of its tokens."""
  size = group_size(block)
  return not has_experts(block) or (
      1 <= size == int(size) and block['max_sequence_length'] % int(size) == 0)


def capacity(block: Block, training: bool) -> int:
  """Tokens of a group that each of sparse_mixer's experts takes (MoeLayer.call)."""
  factor = block['train_capacity_factor' if training else 'eval_capacity_factor']
  return round(factor * int(group_size(block)) / block['num_experts'])


def experts_have_work(block: Block) -> bool:
  """Whether every expert takes at least one token of a group, and no more than there are."""
  return not has_experts(block) or all(
      1 <= capacity(block, training) <= group_size(block) for training in (False, True))


def training_routes_otherwise(block: Block) -> bool:
  """Whether sparse_mixer's experts take other numbers of tokens with training=True."""
  return has_experts(block) and capacity(block, True) != capacity(block, False)
