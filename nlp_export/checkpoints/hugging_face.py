"""How is a Hugging Face BERT directory opened: config.json and weights as safetensors?

Each stored tensor gets the object path of TF-NLP's variable it belongs to. PyTorch's Linear keeps
[out, in], TF-NLP [in, out], and attention kernels are split by head: [in, heads, width of a head].
The number of heads comes from the directory's config.json, so an encoder with another one is
noticed. Tensors are read one at a time, each from a fresh mapping of the file: pages that were
read do not stay in memory.

Names: transformers, models/bert/modeling_bert.py (BertModel, BertForMaskedLM, BertForPreTraining).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from nlp_export import files, names
from nlp_export.checkpoints.checkpoint import (
    COUNTER,
    HEAD,
    ITEM,
    UNREACHABLE,
    Checkpoint,
    Node,
    StoredTensor,
)
from nlp_export.checkpoints.safetensors_files import (
    CONFIG_FILE,
    Entry,
    SafetensorsFiles,
    brought_along,
)
from nlp_export.errors import RequestError

if TYPE_CHECKING:
  import numpy as np

FORMAT = 'Hugging Face BERT'


class Target(NamedTuple):
  """Where a tensor belongs: item, edges within it, and how its value is turned."""

  item: str
  paths: tuple[str, ...]
  turn: str  # 'as is', 'transpose', 'split in', 'split bias', 'split out'


_LEAVES = {'weight': 'gamma', 'gamma': 'gamma', 'bias': 'beta', 'beta': 'beta'}
_LAYER = r'encoder\.layer\.(\d+)\.'
_NORMS = (
    (r'embeddings\.LayerNorm', names.ENCODER, '_embedding_norm_layer'),
    (_LAYER + r'attention\.output\.LayerNorm', names.ENCODER,
     '_transformer_layers/{}/_attention_layer_norm'),
    (_LAYER + r'output\.LayerNorm', names.ENCODER, '_transformer_layers/{}/_output_layer_norm'),
    (r'cls\.predictions\.transform\.LayerNorm', names.MASKED_LM, 'layer_norm'),
)
_EMBEDDINGS = {
    'embeddings.word_embeddings.weight': '_embedding_layer/embeddings',
    'embeddings.position_embeddings.weight': '_position_embedding_layer/embeddings',
    'embeddings.token_type_embeddings.weight': '_type_embedding_layer/embeddings',
}
_DENSES = (
    (_LAYER + r'intermediate\.dense', names.ENCODER, '_transformer_layers/{}/_intermediate_dense'),
    (_LAYER + r'output\.dense', names.ENCODER, '_transformer_layers/{}/_output_dense'),
    (r'pooler\.dense', names.ENCODER, '_pooler_layer'),
    (r'cls\.predictions\.transform\.dense', names.MASKED_LM, 'dense'),
)
_ATTENTION = _LAYER + r'attention\.(self\.(query|key|value)|output\.dense)\.(weight|bias)'

# The decoder's weights are other tensors under a second name: some files hold both, some one of the
# two. And tables that are not weights.
_TIED = {
    'cls.predictions.decoder.weight': 'embeddings.word_embeddings.weight',
    'cls.predictions.decoder.bias': 'cls.predictions.bias',
}
_BUFFERS = ('embeddings.position_ids', 'embeddings.token_type_ids')


def bert_target(name: str) -> Target | None:
  """Where a tensor of BertModel or its pre-training heads belongs; None for a name not known.

  Args:
    name: as stored, without the prefix 'bert.'.
  """
  if name in _EMBEDDINGS:
    return Target(names.ENCODER, (_EMBEDDINGS[name],), 'as is')
  if name == 'cls.predictions.bias':
    return Target(names.MASKED_LM, ('output_bias/bias', 'bias'), 'as is')
  for pattern, item, path in _NORMS:
    if found := re.fullmatch(pattern + r'\.(weight|bias|gamma|beta)', name):
      *index, leaf = found.groups()
      return Target(item, (f'{path.format(*index)}/{_LEAVES[leaf]}',), 'as is')
  for pattern, item, path in _DENSES:
    if found := re.fullmatch(pattern + r'\.(weight|bias)', name):
      *index, leaf = found.groups()
      edge, turn = ('kernel', 'transpose') if leaf == 'weight' else ('bias', 'as is')
      return Target(item, (f'{path.format(*index)}/{edge}',), turn)
  if found := re.fullmatch(_ATTENTION, name):
    layer, _, projection, leaf = found.groups()
    path = f'_transformer_layers/{layer}/_attention_layer/_{projection or "output"}_dense'
    if leaf == 'weight':
      return Target(names.ENCODER, (f'{path}/kernel',), 'split in' if projection else 'split out')
    return Target(names.ENCODER, (f'{path}/bias',), 'split bias' if projection else 'as is')
  return None


# model_type of config.json -> the table of its names. ALBERT and others join here.
FAMILIES: dict[str, Callable[[str], Target | None]] = {'bert': bert_target}


def open_hugging_face(
    directory: str, item_names: Mapping[str, str] | None = None, weights_file: str | None = None
) -> Checkpoint:
  """Opens a Hugging Face directory. No values are read.

  Args:
    directory: holds config.json and model.safetensors (or its sharded form with an index).
    item_names: refused; these files name their parts themselves.
    weights_file: base name of the weights if another than the usual ones was asked for.

  Raises:
    RequestError: no or another configuration, no safetensors, a damaged or incomplete file.
  """
  if item_names:
    raise RequestError(
        f'Other names of items ({dict(item_names)}) were given with {directory}, a Hugging Face '
        'directory, whose files name their parts themselves. Leave checkpoint_items as it is.'
    )
  config = _read_config(directory)
  target_of = FAMILIES[config['model_type']]
  stored = SafetensorsFiles(directory, weights_file)
  heads = config['num_attention_heads']
  nodes: dict[str, Node] = {}
  tensors: list[StoredTensor] = []
  plain = _plain_names(stored, directory)
  for name, key in plain.items():
    entry = stored.entries[key]
    target = target_of(name)
    if target is None:
      tensors.append(_unmapped(stored, name, entry))
      continue
    tensor = StoredTensor(
        key=key,
        shape=_turned_shape(entry, target.turn, heads, directory),
        dtype=entry.dtype,
        group=ITEM,
        item=target.item,
        path=f'{target.item}/{target.paths[0]}',
        name=name,
        read=partial(_read_turned, stored, key, target.turn, heads),
    )
    tensors.append(tensor)
    for path in target.paths:
      _node_at(nodes.setdefault(target.item, Node()), path).tensor = tensor
  if names.MASKED_LM in nodes and names.ENCODER in nodes:
    table = nodes[names.ENCODER].at('_embedding_layer/embeddings')
    if table:
      nodes[names.MASKED_LM].children['embedding_table'] = table
  brings = brought_along(directory)
  return Checkpoint(
      format=FORMAT,
      path=directory,
      files=(files.join(directory, CONFIG_FILE), *stored.paths),
      nodes=nodes,
      tensors=tuple(tensors),
      check_item=partial(_check_tied, stored, plain, directory),
      encoder_config=brings.encoder_config,
      vocab_file=brings.vocab_file,
      tokenizer_config=brings.tokenizer_config,
  )


def _read_config(directory: str) -> dict[str, Any]:
  path = files.join(directory, CONFIG_FILE)
  if not files.exists(path):
    raise RequestError(
        f'Cannot open {directory}: there are safetensors weights, but no config.json, which says '
        'how many attention heads they have. Put the config.json of the model beside them.'
    )
  config = files.read_json(path)
  kind = config.get('model_type') if isinstance(config, dict) else None
  if kind not in FAMILIES:
    raise RequestError(
        f"Cannot read {directory}: its config.json says model_type {kind!r}, and the names of such "
        f'a model are not known here. Give a directory of model_type {" or ".join(FAMILIES)}.'
    )
  heads = config.get('num_attention_heads')
  if not isinstance(heads, int) or heads < 1:
    raise RequestError(
        f'Cannot read {directory}: its config.json says num_attention_heads {heads!r}. Correct it '
        'to the number that the model was trained with.'
    )
  return config


def _plain_names(stored: SafetensorsFiles, directory: str) -> dict[str, str]:
  """Name without 'bert.' -> key; a tied tensor stored under its second name only gets the first."""
  plain: dict[str, str] = {}
  for key in stored.entries:
    name = key.removeprefix('bert.')
    if name in plain:
      raise RequestError(
          f"Cannot read {directory}: it holds {name} twice, with and without 'bert.' before it. "
          'Give the directory of one model.'
      )
    plain[name] = key
  for second, first in _TIED.items():
    if second in plain and first not in plain:
      plain[first] = plain.pop(second)
  return plain


def _check_tied(
    stored: SafetensorsFiles, plain: Mapping[str, str], directory: str, item: str
) -> None:
  """The masked LM head's decoder, if stored too, equals what TF-NLP's head uses in its place."""
  import numpy as np

  if item != names.MASKED_LM:
    return
  for second, first in _TIED.items():
    if second in plain:
      one, other = stored.read(plain[second]), stored.read(plain[first])
      if not np.array_equal(one, other):
        raise RequestError(
            f"Cannot use {directory} with its masked LM head: {plain[second]} differs from "
            f"{plain[first]}, and TF-NLP's head has one table for both. Take "
            "EXPORT_TYPES = ('model', 'preprocessing')."
        )


def _node_at(node: Node, path: str) -> Node:
  for edge in path.split('/'):
    node = node.children.setdefault(edge, Node())
  return node


def _unmapped(stored: SafetensorsFiles, name: str, entry: Entry) -> StoredTensor:
  """A tensor that belongs to no item: a buffer, a copy, a task head, or something not explained."""
  key = entry.key
  if name in _BUFFERS or name in _TIED:
    group, item = COUNTER, ''
  elif key.startswith('bert.') or name.startswith(('embeddings.', 'encoder.', 'pooler.')):
    group, item = UNREACHABLE, ''
  else:
    group, item = HEAD, name.rpartition('.')[0] or name
  read = partial(stored.read, key)
  return StoredTensor(key, entry.shape, entry.dtype, group, item, key, '', read)


def _turned_shape(entry: Entry, turn: str, heads: int, directory: str) -> tuple[int, ...]:
  shape = entry.shape
  if turn == 'as is':
    return shape
  if len(shape) != (1 if turn == 'split bias' else 2):
    raise RequestError(
        f'Cannot read {directory}: {entry.key} has shape {list(shape)}, and a linear layer has '
        'two axes in its weight, one in its bias. Give the directory of a BERT model.'
    )
  if turn == 'transpose':
    return shape[::-1]
  width = shape[1] if turn == 'split out' else shape[0]
  if width % heads:
    raise RequestError(
        f'Cannot read {directory}: {entry.key} has shape {list(shape)}, which does not divide into '
        f'the {heads} attention heads of its config.json. Correct num_attention_heads there.'
    )
  split = (heads, width // heads)
  if turn == 'split bias':
    return split
  return (shape[1], *split) if turn == 'split in' else (*split, shape[0])


def _read_turned(stored: SafetensorsFiles, key: str, turn: str, heads: int) -> np.ndarray:
  import numpy as np

  value = stored.read(key)
  if turn in ('transpose', 'split in', 'split out'):
    value = np.ascontiguousarray(value.T)
  if turn == 'split in':
    return value.reshape(value.shape[0], heads, -1)
  if turn == 'split out':
    return value.reshape(heads, -1, value.shape[1])
  if turn == 'split bias':
    return value.reshape(heads, -1)
  return value
