"""Dropout: one state that can be set gives the same masks, everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from nlp_export.dropout import DropoutState

INPUTS = {'input_word_ids': tf.constant([[5, 6, 7], [8, 9, 10]])}


def draws(state, inputs=INPUTS, rate=0.5):
  with state.training_call(inputs):
    ones = tf.ones([40, 50])
    return state.dropout(ones, rate), state.dropout(ones, rate)


def test_the_same_state_gives_the_same_masks_and_a_call_advances_it():
  state = DropoutState(seed=3)
  first = draws(state)
  assert state.variable.numpy().tolist() == [3, 1]
  second = draws(state)
  state.variable.assign([3, 0])
  again = draws(state)
  np.testing.assert_array_equal(again[0], first[0])
  np.testing.assert_array_equal(again[1], first[1])
  assert (second[0].numpy() != first[0].numpy()).any()
  assert (first[0].numpy() != first[1].numpy()).any()  # Each layer has its own.


def test_another_seed_or_other_text_gives_other_masks():
  first = draws(DropoutState(seed=3))[0].numpy()
  assert (draws(DropoutState(seed=4))[0].numpy() != first).any()
  other = {'input_word_ids': tf.constant([[5, 6, 8], [8, 9, 10]])}
  assert (draws(DropoutState(seed=3), other)[0].numpy() != first).any()


@pytest.mark.conformance(30)
@pytest.mark.parametrize('jit_compile', [False, True])
def test_a_graph_and_xla_draw_the_same_masks_as_eager(jit_compile):
  eager, state = draws(DropoutState(seed=3)), DropoutState(seed=3)
  compiled = tf.function(lambda: draws(state), jit_compile=jit_compile)()
  np.testing.assert_array_equal(compiled[0], eager[0])
  np.testing.assert_array_equal(compiled[1], eager[1])
  assert state.variable.numpy().tolist() == [3, 1]


@pytest.mark.parametrize('rate', [0.1, 0.5])
def test_the_rate_is_met_and_the_expectation_kept(rate):
  kept = np.concatenate([m.numpy() for m in draws(DropoutState(seed=1), rate=rate)])
  # 4000 elements: four standard deviations are 0.032 at a rate of 0.5.
  assert (kept == 0).mean() == pytest.approx(rate, abs=0.032)
  assert kept.max() == pytest.approx(1 / (1 - rate), rel=1e-4)


def test_a_noise_shape_is_broadcast():
  state = DropoutState(seed=1)
  with state.training_call(INPUTS):
    out = state.dropout(tf.ones([4, 5, 6]), 0.5, noise_shape=tf.constant([4, 1, 6])).numpy()
  assert (out == out[:, :1]).all() and 0 < (out == 0).mean() < 1


def test_drawing_outside_of_a_training_call_is_refused():
  with pytest.raises(RuntimeError, match=r'with state\.training_call\(inputs\):`\.$'):
    DropoutState().dropout(tf.ones([2]), 0.5)
