"""Where are the projections of classification heads to their classes, in a TF2 checkpoint?

`checkpoint_items` has `<head>.pooler_dense` and leaves `out_proj` out. Where a trainer saved its
whole model it lies in there, under the head's number; only the variable's name says which head.
"""

from __future__ import annotations

import dataclasses
import re

from nlp_export.checkpoints import checkpoint as stored_as
from nlp_export.checkpoints.checkpoint import Checkpoint, Node, StoredTensor

OUT_PROJ = 'out_proj'

_PROJECTION = re.compile(r'(?:^|/)classification_heads/\d+/out_proj/(?P<leaf>kernel|bias)$')


def find(checkpoint: Checkpoint) -> dict[str, dict[str, StoredTensor]]:
  """Item ('next_sentence.out_proj') -> leaf -> tensor, of those outside of the items."""
  found: dict[str, dict[str, StoredTensor]] = {}
  renamed = {old.partition('.')[0]: new.partition('.')[0]
             for old, new in checkpoint.aliases.items()}
  for tensor in checkpoint.tensors:
    inside = _PROJECTION.search(tensor.path) if tensor.group == stored_as.HEAD else None
    # Only the variable knows what the head is called: bert/next_sentence/logits/kernel.
    parts = tensor.name.split('/')
    if inside and len(parts) >= 3:
      item = f'{renamed.get(parts[-3], parts[-3])}.{OUT_PROJ}'
      found.setdefault(item, {})[inside['leaf']] = tensor
  return found


def as_items(checkpoint: Checkpoint) -> Checkpoint:
  """The checkpoint with these among its items, for those who go on training the heads."""
  nodes = {item: Node({leaf: Node(tensor=tensor) for leaf, tensor in tensors.items()})
           for item, tensors in find(checkpoint).items()}
  return dataclasses.replace(checkpoint, nodes={**nodes, **checkpoint.nodes})
