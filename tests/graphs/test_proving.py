"""A graph is used if it gives what its function gives."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from nlp_export.graphs import proving
from tests.graphs.conftest import traced

X = np.array([1, 20], np.float32)


def double(x):
  return 2 * x


def proven(written, tolerance=1e-3, function=double):
  return proving.proven(lambda: traced(written, x=X), function,
                        [tf.TensorSpec([None], tf.float32)], [tf.constant(X)], tolerance)


def test_one_that_is_right_can_be_called():
  found, why = proven(lambda x: x + x)
  assert why == ''
  np.testing.assert_array_equal(found.call(tf.constant(X))[0], [2, 40])


@pytest.mark.parametrize('written, off', [
    (lambda x: 2 * x + 0.05, '5.0e-02'),  # 40 * 1e-3 is allowed.
    (lambda x: x / 0.0 - x / 0.0, 'nan'),
    (lambda x: 2 * x[:1], 'inf'),
])
def test_one_that_differs_is_not_used(written, off):
  assert proven(written) == (None, f'written again it differs by {off}')


def test_the_tolerance_is_a_share_of_the_largest_value():
  assert proven(lambda x: 2 * x + 0.03)[1] == ''


def test_one_that_cannot_be_run_is_not_used():
  def fails(x):
    raise NotImplementedError('no such op\nand more')

  assert proven(fails) == (None, 'it cannot be written again: no such op')
