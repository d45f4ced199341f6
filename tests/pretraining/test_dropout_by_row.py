"""Masks by row: slices of one array over the global batch, a function of seed, step and layer."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from nlp_export.errors import RequestError
from nlp_export.pretraining.dropout_by_row import DropoutByRow


def draw(seed=3, step=7, first_row=0, shape=(6, 5, 8), rate=0.5, draws=1, narrow=True):
  dropout = DropoutByRow(narrow_integers=narrow)
  with dropout.rows(tf.constant(seed, tf.int64), tf.constant(step, tf.int64), first_row):
    masks = [dropout.dropout(tf.ones(shape), rate) for _ in range(draws)]
  return masks[-1].numpy()


@pytest.mark.parametrize('inner', [(5, 8), (3,)], ids=['multiple of 8', 'padded'])
def test_rows_are_slices_of_the_global_mask(inner):
  whole = draw(shape=(6, *inner))
  for first, last in ((0, 2), (2, 6), (5, 6)):
    part = draw(first_row=first, shape=(last - first, *inner))
    np.testing.assert_array_equal(part, whole[first:last])
  assert (whole[:3] != whole[3:]).any()  # Control: rows have masks of their own.


@pytest.mark.parametrize('other', [{'seed': 4}, {'step': 8}, {'draws': 2}])
def test_seed_step_and_layer_change_the_mask(other):
  assert (draw(**other) != draw()).any()


def test_masks_of_other_seeds_and_steps_are_independent():
  masks = [draw(seed=seed, step=step, shape=(8, 512)) > 0 for seed in (0, 1, 2) for step in (0, 1)]
  for i, a in enumerate(masks):
    for b in masks[i + 1:]:
      # 4096 coins: four standard deviations are 0.031.
      assert (a == b).mean() == pytest.approx(0.5, abs=0.031)


def test_a_graph_xla_and_wide_integers_draw_the_same_masks():
  eager = draw()

  def graph(step):
    dropout = DropoutByRow()
    with dropout.rows(tf.constant(3, tf.int64), step, tf.constant(0, tf.int64)):
      return dropout.dropout(tf.ones([6, 5, 8]), 0.5)

  for jit_compile in (False, True):
    compiled = tf.function(graph, jit_compile=jit_compile)(tf.constant(7, tf.int64))
    np.testing.assert_array_equal(compiled, eager)
  np.testing.assert_array_equal(draw(narrow=False), eager)


@pytest.mark.parametrize('rate', [0.1, 0.5])
def test_the_rate_is_met_and_the_expectation_kept(rate):
  kept = draw(rate=rate, shape=(40, 100))
  assert (kept == 0).mean() == pytest.approx(rate, abs=0.032)  # Four standard deviations.
  assert kept.max() == pytest.approx(1 / (1 - rate), rel=1e-4)
  np.testing.assert_array_equal(draw(rate=0.0), np.ones([6, 5, 8]))


def test_drawing_outside_of_rows_or_without_a_static_shape_is_refused():
  with pytest.raises(RuntimeError, match=r'with dropout\.rows\(seed, step, first_row\):`\.$'):
    DropoutByRow().dropout(tf.ones([2]), 0.5)

  @tf.function(input_signature=[tf.TensorSpec([None, 8])])
  def dynamic(x):
    dropout = DropoutByRow()
    with dropout.rows(tf.constant(0, tf.int64), tf.constant(0, tf.int64), 0):
      return dropout.dropout(x, 0.5)

  with pytest.raises(RuntimeError, match='from an infinite dataset'):
    dynamic.get_concrete_function()


def test_a_layer_with_random_numbers_of_its_own_is_refused():
  network = tf_keras.Sequential([tf_keras.layers.Dense(2), tf_keras.layers.GaussianNoise(0.1)])
  with pytest.raises(RequestError, match=r'Use tf_keras\.layers\.Dropout$'):
    DropoutByRow().install(network)
  assert DropoutByRow().install(tf_keras.Sequential([tf_keras.layers.Dropout(0.1)])) == 1
