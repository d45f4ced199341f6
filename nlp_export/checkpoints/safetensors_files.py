"""Which tensors do the safetensors files of a directory hold, and how is one read?

One file `model.safetensors`, or shards that `model.safetensors.index.json` lists.
Format and library: huggingface/safetensors.
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any, NamedTuple

from nlp_export import files
from nlp_export.errors import RequestError

if TYPE_CHECKING:
  import numpy as np

CONFIG_FILE = 'config.json'
WEIGHTS_FILE = 'model.safetensors'
VOCAB_FILE = 'vocab.txt'
TOKENIZER_CONFIG_FILE = 'tokenizer_config.json'
INDEX_FILE = 'model.safetensors.index.json'
SP_MODEL_FILE = 'spiece.model'
_ROWS = 1024  # That are compared at once.
_DTYPES = {
    'F64': 'float64', 'F32': 'float32', 'F16': 'float16', 'BF16': 'bfloat16',
    'I64': 'int64', 'I32': 'int32', 'I16': 'int16', 'I8': 'int8', 'U8': 'uint8', 'BOOL': 'bool',
}


class Entry(NamedTuple):
  key: str
  shape: tuple[int, ...]
  dtype: str
  file: str


class Weights(NamedTuple):
  """Base names of files with tensors, paths of all files, and tensor -> file if an index says."""

  names: tuple[str, ...]
  paths: tuple[str, ...]
  shard_of: dict[str, str]


class Brought(NamedTuple):
  """Paths of what a directory holds beside its weights, None where it does not."""

  encoder_config: str | None = None
  vocab_file: str | None = None
  tokenizer_config: str | None = None
  sp_model_file: str | None = None


def brought_along(directory: str) -> Brought:
  """The configuration, vocabulary and tokenizer files of a directory.

  Raises:
    RequestError: it holds two vocabularies.
  """
  names = (CONFIG_FILE, VOCAB_FILE, TOKENIZER_CONFIG_FILE, SP_MODEL_FILE)
  paths = [files.join(directory, name) for name in names]
  brought = Brought(*(path if files.exists(path) else None for path in paths))
  if brought.vocab_file and brought.sp_model_file:
    raise RequestError(
        f'Cannot tell which tokenizer the model in {directory} has: there are {VOCAB_FILE} and '
        f'{SP_MODEL_FILE}. Move away the one that it was not trained with.'
    )
  return brought


def weight_files(directory: str, weights_file: str | None = None) -> Weights:
  """The safetensors of a directory.

  Args:
    directory: to look in.
    weights_file: base name of the one that is meant; else model.safetensors, its index, or the
      only one.

  Raises:
    RequestError: several of other names; the index names files that are not there.
  """
  present = files.list_dir(directory)
  single = [name for name in present if name.endswith('.safetensors')]
  index: dict[str, str] = {}
  if weights_file or WEIGHTS_FILE in single:
    shards = [weights_file or WEIGHTS_FILE]
  elif INDEX_FILE in present:
    index = _read_index(directory, present)
    shards = sorted(set(index.values()))
  elif len(single) == 1:
    shards = single
  else:
    raise RequestError(
        f'Cannot tell which weights of {directory} are meant: {", ".join(single)}. Give the '
        'path of one of these files.'
    )
  listed = [*shards, INDEX_FILE] if index else shards
  return Weights(tuple(shards), tuple(files.join(directory, name) for name in listed), index)


def _read_index(directory: str, present: list[str]) -> dict[str, str]:
  path = files.join(directory, INDEX_FILE)
  content = files.read_json(path)
  index = content.get('weight_map') if isinstance(content, dict) else None
  if not isinstance(index, dict) or not index or not all(
      isinstance(name, str) for name in index.values()):
    raise RequestError(
        f"Cannot read {path}: it has no 'weight_map' of tensors to files. Copy the file again."
    )
  missing = sorted(set(index.values()) - set(present))
  if missing:
    raise RequestError(
        f'Cannot read {directory}: {INDEX_FILE} names {", ".join(missing)}, which is not there. '
        'Copy the missing files too.'
    )
  return index


class SafetensorsFiles:
  """The safetensors of a directory as one table.

  Attributes:
    paths: the weight files, and the index if there is one.
    entries: key -> what is stored.
  """

  def __init__(self, directory: str, weights_file: str | None = None):
    self._directory = directory
    self._copies: tempfile.TemporaryDirectory[str] | None = None
    weights = weight_files(directory, weights_file)
    self.paths = weights.paths
    self._local = {name: self._local_path(name) for name in weights.names}
    self.entries: dict[str, Entry] = {}
    for name in weights.names:
      with self._open(name) as opened:
        for key in opened.keys():  # noqa: SIM118 (not a dict)
          part = opened.get_slice(key)
          dtype = _DTYPES.get(part.get_dtype(), part.get_dtype())
          self.entries[key] = Entry(key, tuple(part.get_shape()), dtype, name)
    missing = sorted(set(weights.shard_of) - set(self.entries))
    if missing:
      raise RequestError(
          f'Cannot read {directory}: {INDEX_FILE} names {missing[0]}, which its file does not '
          'hold. Copy the files again.'
      )

  def read(self, key: str) -> np.ndarray:
    """The value of one tensor; the file is mapped for this call only."""
    with self._open(self.entries[key].file) as opened:
      return opened.get_tensor(key)

  def equal(self, one: str, other: str) -> bool:
    """Whether two tensors have equal values; memory holds a few of their rows at a time."""
    import numpy as np

    shape, file = self.entries[one].shape, self.entries[one].file
    if shape != self.entries[other].shape:
      return False
    if not shape:
      return bool(np.array_equal(self.read(one), self.read(other)))
    with self._open(file) as first, self._open(self.entries[other].file) as second:
      left, right = first.get_slice(one), second.get_slice(other)
      parts = (slice(row, min(row + _ROWS, shape[0])) for row in range(0, shape[0], _ROWS))
      return all(np.array_equal(left[part], right[part]) for part in parts)

  def _local_path(self, name: str) -> str:
    path = files.join(self._directory, name)
    if not files.is_remote(path):
      return path
    # The library maps local files. The copy lives as long as this object.
    self._copies = self._copies or tempfile.TemporaryDirectory(prefix='nlp_export_')
    local = files.join(self._copies.name, name)
    files.copy(path, local)
    return local

  def _open(self, name: str) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
      return safe_open(self._local[name], framework='np')
    except (SafetensorError, OSError) as error:
      path = files.join(self._directory, name)
      raise RequestError(
          f'Cannot read {path}: it is not a whole safetensors file ({error}). Copy the file again '
          'or name another checkpoint.'
      ) from error
