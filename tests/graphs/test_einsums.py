"""An Einsum written as a matrix product computes the same; one that cannot be is left."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from nlp_export.graphs import einsums
from tests.graphs.conftest import run, traced


@pytest.mark.parametrize('equation, first, second, constant', [
    ('abc,cd->abd', (2, 3, 4), (4, 5), True),
    ('abc,cde->abde', (2, 3, 4), (4, 2, 5), True),
    ('abcd,cde->abe', (2, 3, 4, 5), (4, 5, 6), True),
    ('aecd,abcd->acbe', (2, 3, 4, 5), (2, 6, 4, 5), False),
    ('acbe,aecd->abcd', (2, 3, 4, 5), (2, 5, 3, 6), False),
])
def test_an_einsum_as_a_matrix_product(equation, first, second, constant):
  rng = np.random.default_rng(0)
  x, y = (rng.normal(size=shape).astype(np.float32) for shape in (first, second))
  given = {'a': x} if constant else {'a': x, 'b': y}
  graph = traced(lambda a, b=y: tf.einsum(equation, a, b), **given).tidied()
  assert len(graph.of_type('Einsum')) == 1
  assert einsums.rewrite(graph) == 0
  assert not graph.of_type('Einsum')
  np.testing.assert_allclose(run(graph, **given)[0], np.einsum(equation, x, y), atol=1e-5)


def test_an_einsum_of_another_kind_is_left():
  graph = traced(lambda a: tf.einsum('ab,ab->a', a, a), a=np.ones([2, 3])).tidied()
  assert einsums.rewrite(graph) == 1
  assert len(graph.of_type('Einsum')) == 1
