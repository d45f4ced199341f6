"""How is a TF1 checkpoint opened, which holds variables by name and no objects?

Each variable gets the object path of TF-NLP's variable that it belongs to (tf1_names.py), so it
restores as every other format does. What the file does not say is the number of attention heads:
it holds them side by side, and the encoder's own variable says how they are split.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from nlp_export import files, names
from nlp_export.checkpoints import encoder_edges, tf1_names, values
from nlp_export.checkpoints.checkpoint import Checkpoint, Node, StoredTensor
from nlp_export.checkpoints.tensor_bundle import TensorBundle
from nlp_export.errors import RequestError

if TYPE_CHECKING:
  import numpy as np

FORMAT = 'TF1 variables'
_GUESSED_GELU = (
    "{} is ELECTRA's scope: its code computes gelu in the exact form, which ENCODER_CONFIG has to "
    'say as gelu_erf.')


def open_tf1(
    bundle: TensorBundle, item_names: Mapping[str, str] | None = None, notes: tuple[str, ...] = ()
) -> Checkpoint:
  """Opens a checkpoint that TF1's Saver wrote. No values are read.

  Args:
    bundle: its tensors; there is no object graph among them.
    item_names: 'encoder', 'masked_lm' or 'next_sentence' -> the scope of its variables.
    notes: how the prefix was found.

  Raises:
    RequestError: a scope that `item_names` promises is not there; a partitioned variable lacks a
      part.
  """
  name = files.basename(bundle.prefix)
  parts = _parts(bundle, name)
  keys = set(bundle.shapes) | set(parts)
  scopes = tf1_names.find_scopes(keys, item_names or {}, name)
  meanings = {
      whole: tf1_names.meaning(whole, keys, scopes, _is_real(bundle.dtypes[stored[0]]))
      for whole, stored in parts.items()}
  projected = any(path.startswith(encoder_edges.EMBEDDING_PROJECTION + '/')
                  for meaning in meanings.values() for path in meaning.paths)
  pooler_edge = encoder_edges.POOLER
  if scopes.is_albert:
    pooler_edge = encoder_edges.albert_path(pooler_edge, projected)
  nodes: dict[str, Node] = {}
  tensors = []
  for whole, stored in parts.items():
    meaning = meanings[whole]
    shape = _whole_shape(bundle, stored)
    tensor = StoredTensor(
        key=_key(whole, stored),
        shape=shape[::-1] if meaning.transposed else shape,
        dtype=bundle.dtypes[stored[0]],
        group=meaning.group,
        item=meaning.item,
        path=f'{meaning.item}/{meaning.paths[0]}' if meaning.paths else whole,
        name='',
        read=partial(_read, bundle, stored, meaning.transposed),
        heads_axis=meaning.heads_axis,
    )
    tensors.append(tensor)
    for path in meaning.paths:
      if scopes.is_albert and meaning.item == names.ENCODER:
        path = encoder_edges.albert_path(path, projected)
      nodes.setdefault(meaning.item, Node()).made_at(path).tensor = tensor
  if names.MASKED_LM in nodes and names.ENCODER in nodes:
    table = nodes[names.ENCODER].at(encoder_edges.WORD_EMBEDDINGS)
    if table:
      nodes[names.MASKED_LM].children[encoder_edges.MLM_TABLE] = table
  pooler = nodes.get(names.ENCODER, Node()).at(pooler_edge)
  if pooler and tf1_names.HEAD_OUTPUT in nodes:  # They are one head; a training goes on with both.
    nodes[tf1_names.HEAD_POOLER] = pooler
  if scopes.encoder.rpartition('/')[2] == 'electra':
    notes = (*notes, _GUESSED_GELU.format(scopes.encoder))
  stored_names = {**scopes.by_item(), tf1_names.HEAD_POOLER: f'{scopes.encoder}/pooler/dense'}
  return Checkpoint(
      format=FORMAT,
      path=bundle.prefix,
      files=bundle.files,
      nodes=nodes,
      tensors=tuple(tensors),
      stored_names={item: scope for item, scope in stored_names.items() if item in nodes},
      notes=notes,
      pooler_is_the_heads=True,
  )


def _parts(bundle: TensorBundle, name: str) -> dict[str, tuple[str, ...]]:
  """Name of each variable -> the keys that hold it: several if its parts were saved by name.

  (A Saver of TF1 puts the parts of a partitioned variable under the one name of the whole.)
  """
  by_name: dict[str, list[str]] = {}
  for key in sorted(bundle.shapes):
    by_name.setdefault(tf1_names.whole_name(key), []).append(key)
  found: dict[str, tuple[str, ...]] = {}
  for whole, stored in by_name.items():
    if stored == [whole]:
      found[whole] = (whole,)
      continue
    numbered = {int(key.rpartition('_')[2]): key for key in stored if key != whole}
    widths = {bundle.shapes[key][1:] for key in stored}
    if (whole in stored or sorted(numbered) != list(range(len(numbered))) or len(widths) > 1
        or not all(bundle.shapes[key] for key in stored)):
      raise RequestError(
          f'Cannot read {name}: it holds {", ".join(stored)}, which are not all parts of one '
          f'variable {whole}. Name a checkpoint that was saved whole.')
    found[whole] = tuple(numbered[i] for i in range(len(numbered)))
  return found


def _key(whole: str, stored: tuple[str, ...]) -> str:
  return stored[0] if len(stored) == 1 else f'{whole}/part_0..{len(stored) - 1}'


def _whole_shape(bundle: TensorBundle, stored: tuple[str, ...]) -> tuple[int, ...]:
  """Parts are rows, as TF1's partitioners for embeddings make them."""
  first, *others = (bundle.shapes[key] for key in stored)
  return (sum(shape[0] for shape in (first, *others)), *first[1:]) if others else first


def _is_real(dtype: str) -> bool:
  return dtype.startswith(('float', 'bfloat'))


def _read(bundle: TensorBundle, stored: tuple[str, ...], turned: bool) -> np.ndarray:
  import numpy as np

  parts = [bundle.read(key) for key in stored]
  value = parts[0] if len(parts) == 1 else np.concatenate(parts)
  return values.transposed(value) if turned else value


