"""A call that is written again computes the same, and is seen if it does not."""

from __future__ import annotations

import numpy as np
import pytest

from nlp_export import names, poolings
from nlp_export.embedding import fast_call
from nlp_export.graphs import flattening


def mean_of(encoder):
  """The call that embeds by mean pooling."""
  return lambda inputs: poolings.pool('mean', encoder(inputs), inputs[names.INPUT_MASK])


@pytest.fixture(scope='module')
def probe(loaded, some_texts):
  tokens = loaded[1].tokenize(some_texts[:8])
  return dict(loaded[1].bert_pack_inputs([tokens], seq_length=24))


def test_it_computes_the_same(loaded, probe):
  call = mean_of(loaded[0])
  fast, why = fast_call.make(call, probe)
  assert why == ''
  np.testing.assert_allclose(fast(probe).numpy(), call(probe).numpy(), atol=1e-5)


@pytest.fixture
def seen(monkeypatch):
  """The graphs that were written."""
  right, made = flattening.flattened, []
  monkeypatch.setattr(
      flattening, 'flattened', lambda graph: made.append(right(graph)) or made[-1])
  return made


def test_a_stranger_s_keras_export_is_recognised_too(tfhub_export, probe, seen):
  import tensorflow as tf

  call = mean_of(tf.saved_model.load(tfhub_export))
  fast, why = fast_call.make(call, probe)
  assert why == ''
  np.testing.assert_allclose(fast(probe).numpy(), call(probe).numpy(), atol=1e-5)
  assert len(seen[0].of_type('Einsum')) == 2 * 2  # Scores and context have no constant side.


def test_a_graph_that_computes_something_else_is_not_used(loaded, probe, monkeypatch):
  right = flattening.flattened

  def wrong(graph):
    made = right(graph)
    epsilon = made.add_constant('epsilon', np.float32(1e-3))  # What Grappler takes for moments.
    for root in made.of_type('Rsqrt'):
      made.nodes[root.input[0]].input[1] = epsilon
    return made

  monkeypatch.setattr(flattening, 'flattened', wrong)
  call = mean_of(loaded[0])
  fast, why = fast_call.make(call, probe)
  assert why.startswith('written again it differs by ')
  np.testing.assert_allclose(fast(probe).numpy(), call(probe).numpy(), atol=1e-6)


def test_one_that_cannot_be_written_is_used_as_it_is(loaded, probe, monkeypatch):
  def fails(graph):
    raise NotImplementedError('no such op')

  monkeypatch.setattr(flattening, 'flattened', fails)
  call = mean_of(loaded[0])
  fast, why = fast_call.make(call, probe)
  assert why == 'it cannot be written again: no such op'
  np.testing.assert_allclose(fast(probe).numpy(), call(probe).numpy(), atol=1e-6)


def test_a_model_too_large_for_one_graph_is_used_as_it_is(loaded, probe, monkeypatch):
  monkeypatch.setattr(fast_call, '_LARGEST_WEIGHTS', 1000)
  assert fast_call.make(mean_of(loaded[0]), probe)[1].endswith('too much for one graph')
