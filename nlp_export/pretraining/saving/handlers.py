"""How does Orbax write the items of our checkpoints? Its own handlers, set and extended.

The one place that imports Orbax. What is written is read by Orbax's StandardRestore() and
JsonRestore() in a process that has none of this.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# Before the first import of JAX, which would take a TPU VM's chips from TensorFlow.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')

import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint import type_handlers

from nlp_export.checkpoints import orbax_layout as layout
from nlp_export.pretraining.saving.tree import Values


@dataclass(frozen=True, eq=False)
class MetadataContent:
  """What the item `metadata` is to hold: JSON, plain files, and the arrays to take checksums of."""

  value: Mapping[str, Any]
  files: Mapping[str, bytes]
  values: Values


class MetadataHandler(ocp.JsonCheckpointHandler):
  """Writes the JSON as Orbax does, and plain files and checksums beside it.

  To Orbax the item is JSON: a handler or a directory of our own would make a stranger's
  `CheckpointManager(root).restore(step)` fail.
  """

  @classmethod
  def typestr(cls) -> str:
    """The name of the handler that readers use."""
    return ocp.JsonCheckpointHandler.typestr()

  async def _save_fn(self, x: MetadataContent, directory: epath.Path) -> None:
    # Runs in Orbax's background thread, once the directory is there. Not public: a test guards it.
    await super()._save_fn(x.value, directory)
    for name, content in x.files.items():
      (directory / name).write_bytes(content)
    sums = {item: {path: layout.checksum(value) for path, value in arrays.items()}
            for item, arrays in x.values.items()}
    (directory / layout.CHECKSUMS_FILE).write_text(json.dumps(sums, indent=1))


def _array_handler() -> ocp.PyTreeCheckpointHandler:
  # Without a copy (TensorFlow copies when it overwrites) and without compression, which wins a
  # tenth on float weights and costs more CPU time than all the rest.
  numpy_only = type_handlers.create_type_handler_registry(
      (np.ndarray, type_handlers.NumpyHandler(deepcopy_host_arrays=False)))
  logger = logging.getLogger('absl')
  level = logger.level
  logger.setLevel(logging.ERROR)  # It warns of each that has no handler for jax.Array.
  try:
    return ocp.PyTreeCheckpointHandler(use_compression=False, type_handler_registry=numpy_only)
  finally:
    logger.setLevel(level)


def registry(items: Iterable[str]) -> ocp.handlers.DefaultCheckpointHandlerRegistry:
  """Handlers for items of arrays, and for `progress` and `metadata`."""
  made = ocp.handlers.DefaultCheckpointHandlerRegistry()
  for item in items:
    handler = _array_handler()
    made.add(item, ocp.args.PyTreeSave, handler)
    made.add(item, ocp.args.PyTreeRestore, handler)
  for item, handler in ((layout.PROGRESS_ITEM, ocp.JsonCheckpointHandler()),
                        (layout.METADATA_ITEM, MetadataHandler())):
    made.add(item, ocp.args.JsonSave, handler)
    made.add(item, ocp.args.JsonRestore, handler)
  return made
