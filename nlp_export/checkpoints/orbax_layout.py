"""How does a checkpoint that Orbax wrote lie on disk? Names for its writer and its readers.

    checkpoints/                        root of a CheckpointManager
      1000/                             a step
        _CHECKPOINT_METADATA            marks it (and commit_success.txt, where nothing is renamed)
        encoder/ masked_lm/ next_sentence.pooler_dense/ ...    items: nested dicts of arrays
          _METADATA  manifest.ocdbt  d/ ocdbt.process_0/
        optimizer/ state/               arrays that are not weights; an export needs neither
        progress/metadata               JSON: step, position in the data, seeds
        metadata/metadata               JSON: see the keys below
        metadata/encoder.yaml           EncoderConfig
        metadata/vocab.txt | spm.model  what the tokenizer was made of
        metadata/tokenizer.json         its other settings (tokenization/recorded.py)
        metadata/checksums.json         {item: {path of the array: CRC-32 of its bytes}}

Keys of a nested dict are the edges of TF-NLP's objects. Pure names and listings: no TensorFlow, no
Orbax. Format: orbax.readthedocs.io, "Checkpoint format".
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

from nlp_export import files, names

if TYPE_CHECKING:
  import numpy as np

# Items besides those of `checkpoint_items`.
OPTIMIZER_ITEM = 'optimizer'
STATE_ITEM = 'state'
PROGRESS_ITEM = 'progress'
METADATA_ITEM = 'metadata'
METRICS_ITEM = 'metrics'  # By Orbax, for steps saved with metrics.

# Files of the item `metadata`; JSON_FILE is what Orbax calls the file of a JsonSave.
JSON_FILE = 'metadata'
ENCODER_FILE = 'encoder.yaml'
VOCAB_FILE = 'vocab.txt'
SP_MODEL_FILE = 'spm.model'
TOKENIZER_FILE = 'tokenizer.json'
CHECKSUMS_FILE = 'checksums.json'

# Keys of metadata/metadata that a reader uses.
SCHEMA_VERSION_KEY = 'schema_version'
FILES_KEY = 'files'  # Name -> SHA-256 of the plain files beside it.
MLM_ACTIVATION_KEY = 'mlm_activation'  # Of the masked LM head: 'gelu', 'gelu_erf', 'relu' ...

# Key in an item's `custom_metadata`: path of an array -> name of its variable, for messages. Paths
# by position ('layer_with_weights-5/kernel') do not tell which weight it is.
NAMES_KEY = 'names'

# The masked LM head's word embeddings are the encoder's: stored once, with the encoder.
SHARED_TABLE = 'embedding_table'
ENCODER_TABLE = '_embedding_layer/embeddings'

# Orbax's own names.
STEP_FILE = '_CHECKPOINT_METADATA'
TREE_FILE = '_METADATA'
DATABASE_FILE = 'manifest.ocdbt'
COMMIT_FILE = 'commit_success.txt'
UNFINISHED = '.orbax-checkpoint-tmp'

# Ending of a step that was found damaged and put aside; Orbax takes no such name for a step.
ASIDE = '.damaged'

_STEP_NAME = re.compile(r'(?:.*_)?(\d+)')


def step_number(name: str) -> int | None:
  """The number in a step's base name ('1000', 'checkpoint_1000'), None if it is no such name."""
  found = _STEP_NAME.fullmatch(name)
  return int(found[1]) if found else None


def is_step(path: str) -> bool:
  """Whether a directory is a step whose saving was finished. What is in it may still be damaged."""
  if UNFINISHED in files.basename(path) or not files.exists(files.join(path, STEP_FILE)):
    return False
  # Local steps appear whole, by a rename; object stores cannot rename.
  return not files.is_remote(path) or files.exists(files.join(path, COMMIT_FILE))


def is_item(path: str) -> bool:
  """Whether a directory is an item of arrays."""
  return files.exists(files.join(path, TREE_FILE))


def steps(root: str) -> dict[int, str]:
  """Number -> path of the finished steps in a manager's root, oldest first."""
  found = {}
  for name in files.list_dir(root):
    number = step_number(name)
    path = files.join(root, name)
    if number is not None and is_step(path):
      found[number] = path
  return dict(sorted(found.items()))


def array_items(step: str) -> dict[str, str]:
  """Name -> path of the items of arrays in a step, by name."""
  paths = {name: files.join(step, name) for name in files.list_dir(step)}
  return {name: path for name, path in paths.items() if is_item(path)}


def is_weights(item: str) -> bool:
  """Whether an item holds weights of the model: neither the optimizer's nor other state."""
  return item not in (OPTIMIZER_ITEM, STATE_ITEM, PROGRESS_ITEM, METADATA_ITEM, METRICS_ITEM)


def is_head(item: str) -> bool:
  """Whether an item is a part of a classification head ('next_sentence.pooler_dense')."""
  return '.' in item and item not in (names.ENCODER, names.MASKED_LM)


def checksum(value: np.ndarray) -> int:
  """CRC-32 of an array's bytes in C order: Orbax itself does not notice a flipped bit."""
  import numpy as np

  # bfloat16 has no buffer protocol, and an array without axes no other view of itself.
  return zlib.crc32(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
