"""How is a step that Orbax wrote opened? Each item is a tree of arrays under TF-NLP's own edges.

An export needs the items of the encoder and its heads; those of the optimizer and other state are
opened on request only, so their files may be absent. Layout: orbax_layout.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from nlp_export import files, names
from nlp_export.checkpoints import orbax_arrays
from nlp_export.checkpoints import orbax_layout as layout
from nlp_export.checkpoints.checkpoint import (
    COUNTER,
    HEAD,
    ITEM,
    OPTIMIZER,
    OTHER,
    Checkpoint,
    Node,
    StoredTensor,
)
from nlp_export.errors import RequestError

FORMAT = 'Orbax'


@dataclass(frozen=True)
class Brought:
  """Paths of what a step holds beside its weights, None where it does not.

  Attributes:
    encoder_config: EncoderConfig YAML.
    vocab_file, sp_model_file: what its tokenizer was made of.
    tokenizer_settings: JSON, see tokenization/recorded.py.
    mlm_activation: of the masked LM head, itself.
  """

  encoder_config: str | None = None
  vocab_file: str | None = None
  sp_model_file: str | None = None
  tokenizer_settings: str | None = None
  mlm_activation: str | None = None


def brought_along(step: str) -> Brought:
  """The configuration, vocabulary and tokenizer settings that travel in a step.

  Raises:
    DamagedCheckpoint: its metadata cannot be read, or was changed.
  """
  directory = files.join(step, layout.METADATA_ITEM)
  metadata = orbax_arrays.read_json_item(directory)
  orbax_arrays.check_metadata_files(step, metadata)

  def path(name: str) -> str | None:
    found = files.join(directory, name)
    return found if files.exists(found) else None

  return Brought(
      encoder_config=path(layout.ENCODER_FILE),
      vocab_file=path(layout.VOCAB_FILE),
      sp_model_file=path(layout.SP_MODEL_FILE),
      tokenizer_settings=path(layout.TOKENIZER_FILE),
      mlm_activation=metadata.get(layout.MLM_ACTIVATION_KEY))


def step_files(step: str) -> tuple[str, ...]:
  """What an export is made of, for hashing: the directories of the weights and of the metadata."""
  found = [path for name, path in layout.array_items(step).items() if layout.is_weights(name)]
  metadata = files.join(step, layout.METADATA_ITEM)
  return (*found, *([metadata] if files.exists(metadata) else ()))


def step_name(step: str) -> str:
  """'step 1000': the bare number would say too little in reports."""
  number = layout.step_number(files.basename(step))
  return files.basename(step) if number is None else f'step {number}'


def open_orbax(
    step: str, item_names: Mapping[str, str] | None = None, notes: tuple[str, ...] = (),
    whole: bool = False,
) -> Checkpoint:
  """Opens a step. No values are read.

  Args:
    step: its directory; see `orbax_steps.find_step`.
    item_names: canonical item or head -> what the step calls it, perhaps with a path into its tree
      ('params/backbone').
    notes: how the step was found.
    whole: also lists the optimizer and other state, and what `progress` counts.

  Raises:
    DamagedCheckpoint: files of what is opened are missing or damaged.
    RequestError: an item that `item_names` promises is not there.
  """
  present = layout.array_items(step)
  checksums = orbax_arrays.read_checksums(step)
  arrays = {
      item: orbax_arrays.open_arrays(path, checksums.get(item)) for item, path in present.items()
      if whole or layout.is_weights(item)}
  places, aliases = _places(arrays, item_names or {}, step)
  tensors, trees = [], {}
  for item, by_path in arrays.items():
    trees[item] = Node()
    for path, array in by_path.items():
      tensor = _tensor(item, array, places)
      tensors.append(tensor)
      _node_at(trees[item], path).tensor = tensor
  nodes = {}
  for canonical, (item, inner) in places.items():
    node = trees[item].at(inner) if inner else trees[item]
    if node is not None and _is_known(canonical):
      nodes[canonical] = node
  if names.MASKED_LM in nodes and names.ENCODER in nodes:
    table = nodes[names.ENCODER].at(layout.ENCODER_TABLE)
    if table:
      nodes[names.MASKED_LM].children.setdefault(layout.SHARED_TABLE, table)
  brought = brought_along(step)
  return Checkpoint(
      format=FORMAT,
      path=step,
      files=step_files(step),
      nodes=nodes,
      tensors=(*tensors, *(_progress(step) if whole else ())),
      stored_names={
          name: '/'.join(part for part in places[name] if part) for name in nodes},
      aliases=aliases,
      notes=notes,
      encoder_config=brought.encoder_config,
      vocab_file=brought.vocab_file,
      label=step_name(step),
  )


def _is_known(item: str) -> bool:
  return item in (names.ENCODER, names.MASKED_LM) or layout.is_head(item)


def _places(
    arrays: Mapping[str, Any], item_names: Mapping[str, str], step: str
) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
  """Canonical name -> item and path into it, and the aliases: name in the step -> canonical."""
  places = {item: (item, '') for item in arrays if layout.is_weights(item)}
  aliases: dict[str, str] = {}
  for canonical, wanted in item_names.items():
    heads = [item for item in arrays if item.startswith(wanted + '.')]
    item, _, inner = wanted.partition('/')
    if heads and '.' not in canonical:
      for head in heads:
        places[canonical + head[len(wanted):]] = places.pop(head)
        aliases[head] = canonical + head[len(wanted):]
    elif item in arrays and (not inner or any(p.startswith(inner + '/') for p in arrays[item])):
      if not inner:
        places.pop(item, None)
        aliases[item] = canonical
      places[canonical] = (item, inner)
    else:
      raise RequestError(
          f"checkpoint_items says that '{canonical}' is called '{wanted}', but {step_name(step)} "
          f'has nothing of that name (its items are: {", ".join(arrays) or "none"}). Correct '
          f'checkpoint_items.{canonical}.')
  return places, aliases


def _tensor(
    item: str, array: orbax_arrays.StoredArray, places: Mapping[str, tuple[str, str]]
) -> StoredTensor:
  group, owner, path = OTHER, item, f'{item}/{array.path}'
  if item == layout.OPTIMIZER_ITEM:
    group = OPTIMIZER
  elif item == layout.STATE_ITEM:
    group = COUNTER
  else:
    for canonical, (place, inner) in places.items():
      if place == item and array.path.startswith(f'{inner}/' if inner else ''):
        group = HEAD if layout.is_head(canonical) else ITEM if _is_known(canonical) else OTHER
        owner = canonical
        path = f'{canonical}/{array.path[len(inner) + 1 if inner else 0:]}'
    if group != OTHER and not array.dtype.startswith(('float', 'bfloat')):
      group = COUNTER  # A random state or a step count, not a weight.
  return StoredTensor(
      key=f'{item}/{array.path}', shape=array.shape, dtype=array.dtype, group=group, item=owner,
      path=path, name=array.variable, read=array.read)


def _node_at(node: Node, path: str) -> Node:
  for edge in path.split('/'):
    node = node.children.setdefault(edge, Node())
  return node


def _progress(step: str) -> list[StoredTensor]:
  """The whole numbers of `progress` (the step, the position in the data) as counters."""
  import numpy as np

  values = orbax_arrays.read_json_item(files.join(step, layout.PROGRESS_ITEM))
  return [
      StoredTensor(
          key=f'{layout.PROGRESS_ITEM}/{key}', shape=(), dtype='int64', group=COUNTER, item='',
          path=f'{layout.PROGRESS_ITEM}/{key}', name='', read=partial(np.asarray, value))
      for key, value in values.items() if isinstance(value, int) and not isinstance(value, bool)]
