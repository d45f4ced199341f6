"""What does a checkpoint hold, and which exports and poolers can be made from it?

Told from the stored shapes alone: no configuration is needed. What variables do not show is said
too: the activation, the place of the layer norms, ALBERT's number of layers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from nlp_export import encoders, names
from nlp_export.checkpoints import checkpoint as stored_as
from nlp_export.checkpoints import orbax, readable, tf1
from nlp_export.checkpoints.checkpoint import Checkpoint, StoredTensor
from nlp_export.checkpoints.tf2_items import POSITIONAL_EDGE

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Possible:
  """Whether something can be made, and why (not)."""

  possible: bool
  why: str


@dataclass(frozen=True)
class Contents:
  """What `inspect` found.

  Attributes:
    checkpoint, format: base name and format.
    items: canonical name -> its name in the file.
    encoder_type: 'bert', 'bert_v2', 'albert' or None.
    sizes: field of EncoderConfig -> size, as far as shapes tell.
    has_pooler: whether the encoder holds its own.
    parameters: 'encoder', 'masked_lm', 'heads', 'optimizer', 'all' -> number of values.
    counters: name -> value of each stored whole number.
    dtypes: dtype of weights -> number of tensors.
    other: objects saved beside.
    unexplained: keys of no known object.
    export_types, poolers: name -> whether it can be made.
    notes: how the path was understood.
  """

  checkpoint: str
  format: str
  items: dict[str, str]
  encoder_type: str | None
  sizes: dict[str, int]
  has_pooler: bool
  parameters: dict[str, int]
  counters: dict[str, int]
  dtypes: dict[str, int]
  other: tuple[str, ...]
  unexplained: tuple[str, ...]
  export_types: dict[str, Possible]
  poolers: dict[str, Possible]
  notes: tuple[str, ...]

  def to_json(self) -> dict[str, Any]:
    return {'schema_version': SCHEMA_VERSION} | asdict(self)

  def lines(self) -> list[str]:
    """The same for the screen."""
    lines = [f'{self.checkpoint}: {self.format}', *self.notes]
    for item, stored in self.items.items():
      lines.append(f'  item {item}' + (f' (in the file: {stored})' if stored != item else ''))
    if self.encoder_type:
      sizes = ', '.join(f'{name} {size}' for name, size in self.sizes.items())
      lines.append(f'  encoder type {self.encoder_type}: {sizes}')
      lines.append('  not told by weights: ' + ', '.join(_not_told(self.encoder_type, self.sizes)))
    lines.append('  parameters: ' + ', '.join(f'{k} {n:,}' for k, n in self.parameters.items()))
    lines.append('  dtypes: ' + ', '.join(f'{k} {n} tensors' for k, n in self.dtypes.items()))
    lines += [f'  counter {name} = {value}' for name, value in self.counters.items()]
    if self.other:
      lines.append('  saved beside: ' + ', '.join(self.other))
    if self.unexplained:
      lines.append(f'  of no known object: {", ".join(self.unexplained[:5])} '
                   f'({len(self.unexplained)} in all)')
    for title, table in (('export types', self.export_types), ('poolers', self.poolers)):
      lines.append(title)
      lines += [f'  {"yes" if p.possible else "no "} {name}: {p.why}' for name, p in table.items()]
    return lines


_SIZES = (
    ('vocab_size', readable.VOCABULARY), ('embedding_size', readable.EMBEDDING_WIDTH),
    ('hidden_size', readable.WIDTH), ('num_attention_heads', readable.HEADS),
    ('intermediate_size', readable.INTERMEDIATE_WIDTH),
    ('max_position_embeddings', readable.POSITIONS),
    ('type_vocab_size', readable.SEGMENT_TYPES),
)


def inspect(checkpoint: Checkpoint) -> Contents:
  """Describes an open checkpoint. Reads stored whole numbers (steps), no weights."""
  encoder = checkpoint.tensors_of(names.ENCODER)
  sizes = _sizes(encoder)
  heads = {t.item for t in checkpoint.tensors if t.group == stored_as.HEAD and '.' in t.item}
  groups = {
      names.ENCODER: encoder,
      names.MASKED_LM: checkpoint.tensors_of(names.MASKED_LM),
      'heads': [t for t in checkpoint.tensors if t.group == stored_as.HEAD],
      'optimizer': [t for t in checkpoint.tensors if t.group == stored_as.OPTIMIZER],
      'all': checkpoint.tensors,
  }
  weights = [t for t in checkpoint.tensors if t.group in (stored_as.ITEM, stored_as.HEAD)]
  return Contents(
      checkpoint=checkpoint.name,
      format=checkpoint.format,
      items={item: checkpoint.stored_names.get(item, item) for item in checkpoint.items()},
      encoder_type=_encoder_type(checkpoint, encoder),
      sizes=sizes,
      has_pooler=checkpoint.has_pooler(),
      parameters={name: count for name, part in groups.items() if (count := _count(part))},
      counters=_counters(checkpoint),
      dtypes={d: sum(t.dtype == d for t in weights) for d in sorted({t.dtype for t in weights})},
      other=tuple(sorted({t.item for t in checkpoint.tensors
                          if t.group == stored_as.OTHER and t.item})),
      unexplained=tuple(t.key for t in checkpoint.tensors if t.group == stored_as.UNREACHABLE),
      export_types=_export_types(checkpoint),
      poolers=_poolers(checkpoint, sizes, heads),
      notes=checkpoint.notes,
  )


def _count(tensors: Iterable[StoredTensor]) -> int:
  return sum(math.prod(t.shape) for t in tensors if t.dtype != 'string')


def _sizes(encoder: Iterable[StoredTensor]) -> dict[str, int]:
  by_axis: dict[str, int] = {}
  layers = 0
  for tensor in encoder:
    role = tensor.role
    if role and len(role.axes) == len(tensor.shape):
      for axis, size in zip(role.axes, tensor.shape, strict=True):
        by_axis.setdefault(axis, size)
    if role and role.layer is not None:
      layers = max(layers, role.layer + 1)
  sizes = {name: by_axis[axis] for name, axis in _SIZES if axis in by_axis}
  if sizes.get('embedding_size') == sizes.get('hidden_size'):
    sizes.pop('embedding_size', None)
  return sizes | ({'num_layers': layers} if layers else {})


def _encoder_type(checkpoint: Checkpoint, encoder: Iterable[StoredTensor]) -> str | None:
  roles = [t.role for t in encoder if t.role]
  if any(role.shared for role in roles):
    return 'albert'
  if not any(role.layer is not None for role in roles):
    return None
  if checkpoint.encoder_config and checkpoint.format == orbax.FORMAT:
    return encoders.from_file(checkpoint.encoder_config).type
  edges = checkpoint.nodes[names.ENCODER].children
  by_position = any(POSITIONAL_EDGE.match(edge) for edge in edges)
  by_name = checkpoint.encoder_config or checkpoint.format == tf1.FORMAT
  return 'bert' if by_position or by_name else 'bert_v2'


def _not_told(encoder_type: str, sizes: dict[str, int]) -> tuple[str, ...]:
  told: tuple[str, ...] = (
      'hidden_activation', 'dropout rates', 'the activation of the masked LM head')
  if 'num_attention_heads' not in sizes:
    told = ('num_attention_heads', *told)
  return (('num_layers (one block is shared by all)', *told) if encoder_type == 'albert'
          else (*told, 'norm_first'))


def _counters(checkpoint: Checkpoint) -> dict[str, int]:
  counters = {}
  for tensor in checkpoint.tensors:
    if tensor.shape == () and tensor.dtype in ('int32', 'int64'):
      counters[tensor.key.partition('/.ATTRIBUTES')[0]] = int(tensor.read())
  return counters


def _export_types(checkpoint: Checkpoint) -> dict[str, Possible]:
  items = checkpoint.items()
  others = ', '.join(sorted({t.item for t in checkpoint.tensors if t.item})) or 'none'
  no_encoder = Possible(
      False, f"there is no item 'encoder' (objects: {others}); if one of them is meant, bind "
             "checkpoint_items.encoder = '...'")
  encoder = Possible(True, 'it holds the encoder') if names.ENCODER in items else no_encoder
  types = {
      names.MODEL: encoder,
      names.MODEL_WITH_MLM: no_encoder,
      names.PREPROCESSING: Possible(True, 'needs no checkpoint, only the vocabulary'),
      names.TEXT_EMBEDDING: encoder,
  }
  if names.ENCODER in items and checkpoint.no_masked_lm:
    types[names.MODEL_WITH_MLM] = Possible(
        False, f'of its masked LM head: {checkpoint.no_masked_lm}')
  elif names.ENCODER in items:
    types[names.MODEL_WITH_MLM] = (
        Possible(True, 'it holds the encoder and the masked LM head')
        if names.MASKED_LM in items
        else Possible(False, "it was saved without the masked LM head (no item 'masked_lm')"))
  return types


def _poolers(checkpoint: Checkpoint, sizes: dict[str, int], heads: set[str]) -> dict[str, Possible]:
  if names.ENCODER not in checkpoint.items():
    return {}
  usual = names.NEXT_SENTENCE_POOLER
  width = sizes.get('hidden_size')
  dense = {item for item in heads & set(checkpoint.nodes) if _is_square(checkpoint, item, width)}
  if checkpoint.pooler_is_the_heads and checkpoint.has_pooler():
    copy = Possible(False, "the encoder's own pooler is the dense layer under the next-sentence "
                           'head: take keep')
  elif usual in checkpoint.nodes and usual not in heads:  # Its tensors are the encoder's.
    copy = Possible(True, "the encoder's own pooler is that of the next-sentence head: as keep")
  elif usual in dense:
    copy = Possible(True, f"from '{usual}'")
  elif dense:
    head = sorted(dense)[0].partition('.')[0]
    copy = Possible(True, f"from head '{head}', with checkpoint_items.next_sentence = '{head}'")
  elif heads & set(checkpoint.nodes):
    copy = Possible(False, f'no head has a dense layer of the width {width} of the encoder')
  else:
    copy = Possible(False, 'it holds no dense layer of a next-sentence head; take keep, identity '
                           'or random')
  if not checkpoint.has_pooler():
    keep = Possible(False, 'its encoder holds no pooler')
  elif dense:
    keep = Possible(True, "the encoder holds a pooler; beside a head's own dense layer it is as a "
                          'rule untrained, see copy_nsp')
  else:
    keep = Possible(True, 'the encoder holds a pooler')
  return {
      'keep': keep,
      'copy_nsp': copy,
      'random': Possible(True, 'needs only the width'),
      'identity': Possible(True, 'needs only the width'),
      'none': Possible(True, 'pooled_output is left out where the encoder has none to give'),
  }


def _is_square(checkpoint: Checkpoint, item: str, width: int | None) -> bool:
  node = checkpoint.nodes[item].children.get('kernel')
  return bool(node and node.tensor and node.tensor.shape == (width, width))
