"""How is one stored value read, checked, turned and given its dtype?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlp_export.checkpoints.checkpoint import Checkpoint, StoredTensor
from nlp_export.errors import RequestError

if TYPE_CHECKING:
  import numpy as np

_CACHE_LINE = 64  # bytes


def read_finite(checkpoint: Checkpoint, tensor: StoredTensor, dtype: np.dtype) -> np.ndarray:
  """The value of a tensor as `dtype`; refused if it holds NaN or an infinity.

  Raises:
    RequestError: the file is damaged, or the value is not finite.
  """
  import numpy as np

  value = tensor.read()
  if value.dtype != dtype:
    value = value.astype(dtype)
  if np.issubdtype(dtype, np.floating) and not _is_finite(value):
    nan = int(np.isnan(value).sum())
    inf = int(np.isinf(value).sum())
    raise RequestError(
        f'Cannot use {checkpoint.name}: {tensor} ({tensor.key}) holds {nan:,} NaN and {inf:,} '
        f'infinite values of {value.size:,}. The training that wrote it diverged, or the file is '
        'damaged. Name an earlier checkpoint.'
    )
  return value


def transposed(value: np.ndarray) -> np.ndarray:
  """The transpose of a matrix [m, n] as an array of its own, contiguous.

  Strip by strip, each as high as a cache line is long. NumPy's own copy of `value.T` goes through
  the memory of large matrices once for every element: 10 to 40 times as long for BERT-large's.
  """
  import numpy as np

  result = np.empty(value.shape[::-1], value.dtype)
  rows = max(1, _CACHE_LINE // value.itemsize)
  for row in range(0, value.shape[0], rows):
    result[:, row:row + rows] = value[row:row + rows].T
  return result


def _is_finite(value: np.ndarray) -> bool:
  import numpy as np

  # A sum is one pass without a temporary; only if it is not finite (which large finite values can
  # do as well) is each element looked at.
  with np.errstate(over='ignore', invalid='ignore'):
    return bool(np.isfinite(value.sum())) or bool(np.isfinite(value).all())
