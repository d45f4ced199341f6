"""What is a weight called in words, and what does each axis of its shape mean?

Two spellings name the same weight: the variable's own name, as TF-NLP's layers give it
('transformer/layer_3/self_attention/key/kernel'), and its path through the object graph
('encoder/_transformer_layers/3/_attention_layer/_key_dense/kernel'). Both become 'layer 3,
attention key kernel'. Messages are written with these names, and the axes tell a wrong vocabulary
from a wrong width.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Axis labels.
VOCABULARY = 'vocabulary'
EMBEDDING_WIDTH = 'embedding width'
POSITIONS = 'positions'
SEGMENT_TYPES = 'segment types'
WIDTH = 'width'
HEADS = 'heads'
HEAD_WIDTH = 'head width'
INTERMEDIATE_WIDTH = 'intermediate width'

# Parts.
WORD_EMBEDDINGS = 'word embeddings'
EMBEDDING_PROJECTION = 'embedding projection'
POOLER = 'pooler'

_BLOCK = re.compile(r'(?:^|/)(?:transformer/layer_|_transformer_layers/)(\d+)/(.+)$')
_SHARED_BLOCK = re.compile(r'(?:^|/)transformer/(.+)$')
_LEAVES = ('kernel', 'bias', 'gamma', 'beta')

_IN_BLOCK = (
    (r'(self_attention/query|_attention_layer/_query_dense)/', 'attention query'),
    (r'(self_attention/key|_attention_layer/_key_dense)/', 'attention key'),
    (r'(self_attention/value|_attention_layer/_value_dense)/', 'attention value'),
    (r'(self_attention/attention_output|_attention_layer/_output_dense)/', 'attention output'),
    (r'_?(self_)?attention_layer_norm/', 'attention layer norm'),
    (r'(intermediate|_intermediate_dense)/', 'intermediate'),
    (r'_?output_layer_norm/', 'output layer norm'),
    (r'(output|_output_dense)/', 'output'),
)
_OUTSIDE = (
    (r'(transform/dense|masked_lm/dense)/', 'masked LM dense'),
    (r'(transform/LayerNorm|masked_lm/layer_norm)/', 'masked LM layer norm'),
    (r'(output_bias|masked_lm)/bias$', 'masked LM output bias'),
    (r'(position_embeddings?|_position_embedding_layer)/', 'position embeddings'),
    (r'_?type_embedding(s|_layer)/', 'type embeddings'),
    (r'(embeddings/layer_norm|_embedding_norm_layer)/', 'embeddings layer norm'),
    (r'_?embedding_projection/', EMBEDDING_PROJECTION),
    (r'(pooler_transform|cls_transform|pooler|_pooler_layer)/', POOLER),  # Of several types.
    (r'(word_embeddings/|_embedding_layer/|embedding_table$)', WORD_EMBEDDINGS),
)

_AXES: dict[tuple[str, str], tuple[str, ...]] = {
    (WORD_EMBEDDINGS, ''): (VOCABULARY, EMBEDDING_WIDTH),
    ('position embeddings', ''): (POSITIONS, EMBEDDING_WIDTH),
    ('type embeddings', ''): (SEGMENT_TYPES, EMBEDDING_WIDTH),
    (EMBEDDING_PROJECTION, 'kernel'): (EMBEDDING_WIDTH, WIDTH),
    ('attention output', 'kernel'): (HEADS, HEAD_WIDTH, WIDTH),
    ('intermediate', 'kernel'): (WIDTH, INTERMEDIATE_WIDTH),
    ('intermediate', 'bias'): (INTERMEDIATE_WIDTH,),
    ('output', 'kernel'): (INTERMEDIATE_WIDTH, WIDTH),
    (POOLER, 'kernel'): (WIDTH, WIDTH),
    ('masked LM dense', 'kernel'): (WIDTH, EMBEDDING_WIDTH),
    ('masked LM dense', 'bias'): (EMBEDDING_WIDTH,),
    ('masked LM output bias', ''): (VOCABULARY,),
}
for _part in ('embeddings layer norm', 'masked LM layer norm'):
  _AXES[_part, 'gamma'] = _AXES[_part, 'beta'] = (EMBEDDING_WIDTH,)
for _part in ('attention layer norm', 'output layer norm'):
  _AXES[_part, 'gamma'] = _AXES[_part, 'beta'] = (WIDTH,)
for _part in ('attention query', 'attention key', 'attention value'):
  _AXES[_part, 'kernel'] = (WIDTH, HEADS, HEAD_WIDTH)
  _AXES[_part, 'bias'] = (HEADS, HEAD_WIDTH)
for _part in ('attention output', 'output', POOLER, EMBEDDING_PROJECTION):
  _AXES[_part, 'bias'] = (WIDTH,)


@dataclass(frozen=True)
class Role:
  """Which weight of a BERT-like network this is.

  Attributes:
    part: 'attention query', 'word embeddings' ...
    leaf: 'kernel', 'bias', 'gamma', 'beta', or '' where the part has one weight only.
    layer: index of the Transformer layer; None outside of them and in a block shared by all.
    shared: True in ALBERT's block, which all layers share.
  """

  part: str
  leaf: str
  layer: int | None = None
  shared: bool = False

  @property
  def axes(self) -> tuple[str, ...]:
    """The label of each axis, () if not known."""
    return _AXES.get((self.part, self.leaf), ())

  def __str__(self) -> str:
    place = 'shared layer, ' if self.shared else ''
    if self.layer is not None:
      place = f'layer {self.layer}, '
    return place + f'{self.part} {self.leaf}'.rstrip()


def role(*spellings: str) -> Role | None:
  """The role of a weight from its object-graph path or variable name, the first that tells."""
  for spelling in spellings:
    found = _role(spelling.removesuffix(':0'))
    if found:
      return found
  return None


def _role(spelling: str) -> Role | None:
  leaf = spelling.rpartition('/')[2]
  leaf = leaf if leaf in _LEAVES else ''
  block = _BLOCK.search(spelling)
  shared = None if block else _SHARED_BLOCK.search(spelling)
  if block or shared:
    rest = block[2] if block else shared[1] if shared else ''
    part = _match(_IN_BLOCK, rest, whole=True)
    layer = int(block[1]) if block else None
    return Role(part, leaf, layer, shared=block is None) if part else None
  part = _match(_OUTSIDE, spelling, whole=False)
  if part == 'masked LM output bias':
    leaf = ''
  return Role(part, leaf) if part else None


def _match(table: tuple[tuple[str, str], ...], text: str, whole: bool) -> str | None:
  start = '^' if whole else '(^|/)'
  return next((part for pattern, part in table if re.search(start + pattern, text)), None)


def readable(*spellings: str) -> str:
  """'layer 3, attention key kernel'; the first spelling as it is where none is known."""
  found = role(*spellings)
  return str(found) if found else spellings[0].removesuffix(':0')
