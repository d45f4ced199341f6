"""Which tensors do the files at a TensorFlow prefix hold, and how is one read?

TF1 and TF2 write the same container: an index of names and data files. What the names mean is
another matter: paths through an object graph (tf2.py), or variables' own names (tf1.py).

Format: tensorflow/core/util/tensor_bundle.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nlp_export import files
from nlp_export.checkpoints import locate
from nlp_export.errors import RequestError

if TYPE_CHECKING:
  import numpy as np


class TensorBundle:
  """An open checkpoint of TensorFlow's.

  Attributes:
    prefix: its path without '.index'.
    files: the index and the data files.
    shapes: name -> shape, of all tensors. A partitioned variable that was saved as one is one.
    dtypes: name -> 'float32', 'bfloat16', 'string' ...
  """

  def __init__(self, prefix: str):
    """Reads the index.

    Args:
      prefix: path without '.index', which exists.

    Raises:
      RequestError: files are missing, cut short or damaged.
    """
    import tensorflow as tf

    self.prefix = prefix
    self.files = locate.prefix_files(prefix)
    with _explain_damage(prefix):
      self._reader = tf.compat.v1.train.NewCheckpointReader(prefix)
      shapes = self._reader.get_variable_to_shape_map()
      dtypes = self._reader.get_variable_to_dtype_map()
    self.shapes = {key: tuple(shape) for key, shape in shapes.items()}
    self.dtypes = {key: dtype.name for key, dtype in dtypes.items()}
    self._check_sizes({key: dtype.size for key, dtype in dtypes.items()})

  @property
  def has_object_graph(self) -> bool:
    """Whether tf.train.Checkpoint wrote it (TF2); else names are all there is (TF1)."""
    return locate.GRAPH_KEY in self.shapes

  def read(self, key: str) -> np.ndarray:
    """The value of one tensor.

    Raises:
      RequestError: the file is damaged.
    """
    with _explain_damage(self.prefix, key):
      return self._reader.get_tensor(key)

  def _check_sizes(self, item_bytes: dict[str, int]) -> None:
    """The data files are at least as large as the tensors they should hold."""
    needed = sum(
        math.prod(shape) * (1 if self.dtypes[key] in ('string', 'variant') else item_bytes[key])
        for key, shape in self.shapes.items())
    found = sum(files.size(path) for path in self.files[1:])
    if found < needed:
      raise RequestError(
          _damage_message(self.prefix, f'{found:,} bytes of at least {needed:,} are there'))


@contextlib.contextmanager
def _explain_damage(prefix: str, key: str = '') -> Iterator[None]:
  """Turns a reader's error into a RequestError. 'Read less bytes than requested' is IndexError."""
  import tensorflow as tf

  errors: tuple[Any, ...] = (IndexError, tf.errors.OpError)
  try:
    yield
  except errors as error:
    found = f'"{error}" at {key}' if key else f'"{error}"'
    raise RequestError(_damage_message(prefix, found)) from error


def _damage_message(prefix: str, found: str) -> str:
  return (
      f'Cannot read checkpoint {prefix}: its data was cut short or damaged ({found}). Copy its '
      'files again or name another checkpoint.'
  )
