"""Checkpoints that Orbax's own public API writes from TF-NLP's pretrainer, as anybody could.

Nothing of what this project writes checkpoints with is used: keys, metadata and checksums are made
anew here, so that reader and writer are each held to the layout.
"""

from __future__ import annotations

import json
import os
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nlp_export.tokenization import recorded
from tests import tiny

_BY_POSITION = 'layer_with_weights-', 'layer-'


def orbax() -> Any:
  """orbax.checkpoint, with JAX on the CPU and without its warnings."""
  os.environ.setdefault('JAX_PLATFORMS', 'cpu')
  import absl.logging
  import orbax.checkpoint

  absl.logging.set_verbosity('error')
  return orbax.checkpoint


def variables(obj: Any, taken: set[int]) -> dict[tuple[str, ...], Any]:
  """Edges -> variable of what lies below an object: edges by name first, then by position."""
  import tensorflow as tf

  near, far, seen, found = deque([((), obj)]), deque(), set(), {}
  while near or far:
    path, current = (near or far).popleft()
    if id(current) in seen:
      continue
    seen.add(id(current))
    if isinstance(current, tf.Variable):
      if id(current) not in taken:
        found[path] = current
      continue
    for edge, child in tf.train.TrackableView.children(current).items():
      queue = far if edge.startswith(_BY_POSITION) or '/' in edge else near
      queue.append(((*path, edge), child))
  taken.update(id(v) for v in found.values())
  return found


def items_of(pretrainer: Any) -> dict[str, dict[tuple[str, ...], Any]]:
  """Item -> edges -> variable; the head's output layer is an item too."""
  taken: set[int] = set()
  items = dict(pretrainer.checkpoint_items)
  found = {item: variables(items[item], taken) for item in
           sorted(items, key=lambda item: (item != 'encoder', item != 'masked_lm'))}
  for head in pretrainer.classification_heads:
    for (edge, *rest), variable in variables(head, taken).items():
      found.setdefault(f'{head.name}.{edge}', {})[tuple(rest)] = variable
  assert len(taken) == len(pretrainer.variables)
  return found


def nested(flat: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
  """A nested dict of numpy arrays."""
  import numpy as np

  tree: dict[str, Any] = {}
  for path, variable in flat.items():
    at = tree
    for edge in path[:-1]:
      at = at.setdefault(edge, {})
    at[path[-1]] = np.asarray(variable)
  return tree


def trees(pretrainer: Any) -> dict[str, dict[str, Any]]:
  """Item -> nested dict of arrays, as a training would save them."""
  import numpy as np

  found = items_of(pretrainer)
  made = {item: nested(flat) for item, flat in found.items()}
  return made | {
      'optimizer': {'iterations': np.asarray(7, np.int64), 'slots': {'m': made, 'v': made}},
      'state': {'dropout_state': np.asarray([2**62 + 1, 7], np.int64)}}


def save(root: Path, step: int, items: Mapping[str, Any], **json_items: Any) -> Path:
  """Saves a step as Orbax's documentation shows; returns its directory."""
  ocp = orbax()
  args = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
  args |= {name: ocp.args.JsonSave(value) for name, value in json_items.items()}
  return _save(root, step, args)


def save_plain(
    root: Path, step: int, items: Mapping[str, Any], names: Mapping[str, Any], **json_items: Any
) -> Path:
  """The same without compression, so that a value's bytes can be found in the files.

  Args:
    root, step, items, json_items: as for `save`.
    names: item -> {path: name of the variable}.
  """
  ocp = orbax()
  registry = ocp.handlers.DefaultCheckpointHandlerRegistry()
  for item in items:
    registry.add(item, ocp.args.PyTreeSave, ocp.PyTreeCheckpointHandler(use_compression=False))
  args = {
      name: ocp.args.PyTreeSave(tree, custom_metadata={'names': names.get(name, {})})
      for name, tree in items.items()}
  args |= {name: ocp.args.JsonSave(value) for name, value in json_items.items()}
  return _save(root, step, args, handler_registry=registry)


def _save(root: Path, step: int, args: Mapping[str, Any], **options: Any) -> Path:
  ocp = orbax()
  with ocp.CheckpointManager(root.absolute(), **options) as manager:
    assert manager.save(step, args=ocp.args.Composite(**args), force=True)
  return root / str(step)


def add_metadata(
    step: Path, items: Mapping[str, Any], size: tiny.Size, tokenizer: Any = None
) -> None:
  """Puts the plain files into a step's item `metadata`."""
  directory = step / 'metadata'
  tiny.write_encoder_config(directory / 'encoder.yaml', size)
  if tokenizer is not None:
    name = 'vocab.txt' if tokenizer.kind == 'wordpiece' else 'spm.model'
    (directory / name).write_bytes(Path(tokenizer.asset_file).read_bytes())
    (directory / 'tokenizer.json').write_text(json.dumps(recorded.to_json(tokenizer)))
  sums = {item: {path: zlib.crc32(value.tobytes()) for path, value in flat(tree)}
          for item, tree in items.items()}
  (directory / 'checksums.json').write_text(json.dumps(sums))


def flat(tree: Mapping[str, Any], before: str = '') -> list[tuple[str, Any]]:
  """('a/b', array) of each leaf."""
  found: list[tuple[str, Any]] = []
  for key, value in tree.items():
    path = f'{before}/{key}'.lstrip('/')
    found += flat(value, path) if isinstance(value, dict) else [(path, value)]
  return found


def write(
    root: Path, pretrainer: Any, size: tiny.Size, tokenizer: Any = None,
    steps: tuple[int, ...] = (500, 1000),
    changed: Callable[[int], None] = lambda step: None,
) -> Path:
  """The root of a whole pre-training checkpoint with some steps; `changed(step)` comes before."""
  names = {item: {'/'.join(path): v.name.removesuffix(':0') for path, v in found.items()}
           for item, found in items_of(pretrainer).items()}
  for step in steps:
    changed(step)
    items = trees(pretrainer)
    at = save_plain(
        root, step, items, names, progress={'step': step, 'data_seed': 2**60, 'name': 'x'},
        metadata={'schema_version': 1, 'mlm_activation': 'gelu'})
    add_metadata(at, items, size, tokenizer)
  return root


def largest_file(item: Path) -> Path:
  """The file of an item that holds most of its values."""
  return max((p for p in item.rglob('*') if p.is_file()), key=lambda p: p.stat().st_size)
