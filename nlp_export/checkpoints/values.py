"""How is one stored value read, checked and given its dtype?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlp_export.checkpoints.checkpoint import Checkpoint, StoredTensor
from nlp_export.errors import RequestError

if TYPE_CHECKING:
  import numpy as np


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


def _is_finite(value: np.ndarray) -> bool:
  import numpy as np

  # A sum is one pass without a temporary; only if it is not finite (which large finite values can
  # do as well) is each element looked at.
  with np.errstate(over='ignore', invalid='ignore'):
    return bool(np.isfinite(value.sum())) or bool(np.isfinite(value).all())
