"""A stored matrix is turned quickly, and to the bit."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from nlp_export.checkpoints import values


@pytest.mark.parametrize('shape', [(1, 1), (7, 3), (16, 16), (33, 40), (64, 17), (0, 5), (2, 100)])
@pytest.mark.parametrize('dtype', ['float32', 'float16', 'float64', ml_dtypes.bfloat16, 'uint8'])
def test_transposed(shape, dtype):
  value = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
  for matrix in (value, value.T):
    turned = values.transposed(matrix)
    assert turned.dtype == matrix.dtype
    assert turned.flags.c_contiguous and not np.shares_memory(turned, matrix)
    np.testing.assert_array_equal(turned, matrix.T)
