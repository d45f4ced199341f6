"""How is a Hugging Face directory opened: config.json and weights as safetensors?

Each stored tensor gets the object path of TF-NLP's variable it belongs to; the tables are in
hugging_face_names.py, one for each family of encoder_config/hf_families.py. The number of attention
heads comes from the directory's config.json, so an encoder with another one is noticed. Tensors are
read one at a time, each from a fresh mapping of the file: pages that were read do not stay in
memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from nlp_export import files, names
from nlp_export.checkpoints import hugging_face_mobilebert
from nlp_export.checkpoints.checkpoint import (
    COUNTER,
    HEAD,
    ITEM,
    UNREACHABLE,
    Checkpoint,
    Node,
    StoredTensor,
    other_masked_lm,
)
from nlp_export.checkpoints.hugging_face_names import (
    AS_IS,
    BUFFERS,
    NAMES,
    OUT_PROJ,
    SPLIT_BIAS,
    SPLIT_IN,
    SPLIT_OUT,
    TRANSPOSE,
    Names,
)
from nlp_export.checkpoints.readable import POOLER
from nlp_export.checkpoints.safetensors_files import (
    CONFIG_FILE,
    Entry,
    SafetensorsFiles,
    brought_along,
)
from nlp_export.checkpoints.values import transposed
from nlp_export.encoder_config import hf_config
from nlp_export.encoder_config.hf_families import Family
from nlp_export.errors import RequestError
from nlp_export.tokenization import hf_settings

if TYPE_CHECKING:
  import numpy as np

_WORD_TABLE, _TYPE_TABLE = '_embedding_layer/embeddings', '_type_embedding_layer/embeddings'


def open_hugging_face(
    directory: str, item_names: Mapping[str, str] | None = None, weights_file: str | None = None
) -> Checkpoint:
  """Opens a Hugging Face directory. No values are read.

  Args:
    directory: holds config.json and model.safetensors (or its sharded form with an index).
    item_names: refused; these files name their parts themselves.
    weights_file: base name of the weights if another than the usual ones was asked for.

  Returns:
    The open checkpoint. Of a model with a next-sentence head (ALBERT: sentence order) its items
    are also `next_sentence.out_proj` (kernel [h, 2]) and `next_sentence.pooler_dense`, which is
    the encoder's own pooler: these models have one for both.

  Raises:
    RequestError: no configuration or that of a model that cannot be read, no safetensors, a
      damaged or incomplete file.
  """
  if item_names:
    raise RequestError(
        f'Other names of items ({dict(item_names)}) were given with {directory}, a Hugging Face '
        'directory, whose files name their parts themselves. Leave checkpoint_items as it is.'
    )
  family, config = _read_config(directory)
  stored = SafetensorsFiles(directory, weights_file)
  known = _names(family, config)
  heads = config[family.heads_key]
  plain = _plain_names(stored, known, directory)
  nodes: dict[str, Node] = {}
  tensors: list[StoredTensor] = []
  for name, key in plain.items():
    entry = stored.entries[key]
    target = known.target(name)
    if target is None:
      tensors.append(_unmapped(stored, known, name, entry))
      continue
    tensor = StoredTensor(
        key=key,
        shape=_turned_shape(entry, target.turn, heads, directory),
        dtype=entry.dtype,
        group=HEAD if target.item == OUT_PROJ else ITEM,
        item=target.item,
        path=f'{target.item}/{target.path}',
        name=target.known_as or name,
        read=partial(_read_turned, stored, key, target.turn, heads),
    )
    tensors.append(tensor)
    nodes.setdefault(target.item, Node()).made_at(target.path).tensor = tensor
  notes = _add_what_is_meant(nodes, tensors, family)
  brings = brought_along(directory)
  return Checkpoint(
      format=f'Hugging Face {family.title}',
      path=directory,
      files=(files.join(directory, CONFIG_FILE), *hf_settings.files_of(directory), *stored.paths),
      nodes=nodes,
      tensors=tuple(tensors),
      notes=notes,
      check_item=_masked_lm_check(stored, known, family, plain, directory),
      no_masked_lm=family.no_masked_lm,
      encoder_config=brings.encoder_config,
      vocab_file=brings.vocab_file,
      tokenizer_config=brings.tokenizer_config,
  )


def _read_config(directory: str) -> tuple[Family, Mapping[str, Any]]:
  path = files.join(directory, CONFIG_FILE)
  if not files.exists(path):
    raise RequestError(
        f'Cannot open {directory}: there are safetensors weights, but no config.json, which says '
        'how many attention heads they have. Put the config.json of the model beside them.'
    )
  family, config = hf_config.read_family(path)
  heads = config.get(family.heads_key)
  if isinstance(heads, bool) or not isinstance(heads, int) or heads < 1:
    raise RequestError(
        f'Cannot read {directory}: its config.json says {family.heads_key} {heads!r}. Correct it '
        'to the number that the model was trained with.'
    )
  return family, config


def _names(family: Family, config: Mapping[str, Any]) -> Names:
  if family.model_type == 'mobilebert':
    return hugging_face_mobilebert.names_of(config)
  return NAMES[family.model_type]


def _add_what_is_meant(
    nodes: dict[str, Node], tensors: list[StoredTensor], family: Family
) -> tuple[str, ...]:
  """Adds to the trees what the file does not spell out; returns what is to be said of it."""
  encoder = nodes.get(names.ENCODER)
  table = encoder.at(_WORD_TABLE) if encoder else None
  if table and names.MASKED_LM in nodes:
    nodes[names.MASKED_LM].children['embedding_table'] = table
  pooler = [t for t in tensors if t.item == names.ENCODER and _is_pooler(t)]
  if pooler and OUT_PROJ in nodes:
    dense = nodes[names.NEXT_SENTENCE_POOLER] = Node()
    for tensor in pooler:
      dense.made_at(tensor.path.rpartition('/')[2]).tensor = tensor
  if encoder and table and table.tensor and 'type_vocab_size' in family.constants:
    shape = (family.constants['type_vocab_size'], table.tensor.shape[1])
    encoder.made_at(_TYPE_TABLE).tensor = StoredTensor(
        '(zeros)', shape, 'float32', ITEM, names.ENCODER, f'{names.ENCODER}/{_TYPE_TABLE}', '',
        partial(_zeros, shape))
    return (f'{family.title} has no segments: the type embeddings are zeros.',)
  return ()


def _is_pooler(tensor: StoredTensor) -> bool:
  return tensor.role is not None and tensor.role.part == POOLER


def _zeros(shape: tuple[int, ...]) -> np.ndarray:
  import numpy as np

  return np.zeros(shape, np.float32)


def _plain_names(stored: SafetensorsFiles, known: Names, directory: str) -> dict[str, str]:
  """Name without prefix -> key; a tied tensor stored under its second name only gets the first."""
  plain: dict[str, str] = {}
  for key in stored.entries:
    name = key.removeprefix(known.prefix)
    if name in plain:
      raise RequestError(
          f'Cannot read {directory}: it holds {name} twice, with and without {known.prefix!r} '
          'before it. Give the directory of one model.'
      )
    plain[name] = key
  for second, first in known.tied.items():
    if second in plain and first not in plain:
      plain[first] = plain.pop(second)
  return plain


def _masked_lm_check(
    stored: SafetensorsFiles, known: Names, family: Family, plain: Mapping[str, str], directory: str
) -> Callable[[str], None]:
  """Refuses a masked LM head that is another function than TF-NLP's; compares once."""
  pairs = [(plain[second], plain[first]) for second, first in known.tied.items()
           if second in plain and first in plain]

  def check(item: str) -> None:
    if item != names.MASKED_LM:
      return
    if family.no_masked_lm:
      raise other_masked_lm(directory, family.no_masked_lm)
    while pairs:
      second, first = pairs[-1]
      if not stored.equal(second, first):
        raise other_masked_lm(
            directory, f"{second} differs from {first}, and TF-NLP's head has one table for both")
      pairs.pop()

  return check


def _unmapped(stored: SafetensorsFiles, known: Names, name: str, entry: Entry) -> StoredTensor:
  """A tensor that belongs to no item: a buffer, a copy, a task head, or something not explained."""
  key = entry.key
  unused = any(re.fullmatch(pattern, name) for pattern in known.unused)
  if name in BUFFERS or name in known.tied or unused:
    group, item = COUNTER, ''
  elif key.startswith(known.prefix) or name.startswith(known.inside):
    group, item = UNREACHABLE, ''
  else:
    group, item = HEAD, name.rpartition('.')[0] or name
  read = partial(stored.read, key)
  return StoredTensor(key, entry.shape, entry.dtype, group, item, key, '', read)


def _turned_shape(entry: Entry, turn: str, heads: int, directory: str) -> tuple[int, ...]:
  shape = entry.shape
  if turn == AS_IS:
    return shape
  if len(shape) != (1 if turn == SPLIT_BIAS else 2):
    raise RequestError(
        f'Cannot read {directory}: {entry.key} has shape {list(shape)}, and a linear layer has '
        'two axes in its weight, one in its bias. Give the directory of a model of that family.'
    )
  if turn == TRANSPOSE:
    return shape[::-1]
  width = shape[1] if turn == SPLIT_OUT else shape[0]
  if width % heads:
    raise RequestError(
        f'Cannot read {directory}: {entry.key} has shape {list(shape)}, which does not divide into '
        f'the {heads} attention heads of its config.json. Correct num_attention_heads there.'
    )
  split = (heads, width // heads)
  if turn == SPLIT_BIAS:
    return split
  return (shape[1], *split) if turn == SPLIT_IN else (*split, shape[0])


def _read_turned(stored: SafetensorsFiles, key: str, turn: str, heads: int) -> np.ndarray:
  value = stored.read(key)
  if turn in (TRANSPOSE, SPLIT_IN, SPLIT_OUT):
    value = transposed(value)
  if turn == SPLIT_IN:
    return value.reshape(value.shape[0], heads, -1)
  if turn == SPLIT_OUT:
    return value.reshape(heads, -1, value.shape[1])
  if turn == SPLIT_BIAS:
    return value.reshape(heads, -1)
  return value
