"""AdamW against its formula in float64, and against formulas that others take for it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from nlp_export.glue.fine_tuning.adamw import AdamW, is_decayed
from nlp_export.glue.fine_tuning.recipe import Recipe

SHAPES = {'layer_0/kernel': (3, 4), 'layer_0/bias': (4,), 'norm/gamma': (4,), 'norm/beta': (4,),
          'word_embeddings/embeddings': (5, 3), 'pooler/kernel': (2, 2)}
NO_GRADIENT = 'pooler/kernel'
IDS = np.array([3, 1, 3, 3])  # 3 is repeated.
RECIPE = Recipe(weight_decay=0.1, clip_norm=1.0, epsilon=1e-3)
STEPS = 5


def drawn():
  rng = np.random.default_rng(0)
  start = {name: rng.normal(size=shape) for name, shape in SHAPES.items()}
  # Small ones, which are not clipped, and large ones, which are.
  steps = [{name: scale * rng.normal(size=(len(IDS), 3) if 'word' in name else shape)
            for name, shape in SHAPES.items() if name != NO_GRADIENT}
           for scale in (0.05, 3.0, 0.02, 10.0, 0.1)]
  return start, steps, [0.05, 0.1, 0.08, 0.05, 0.02]


def trained(recipe=RECIPE, words=(1, 3), absent_decay=True):
  """Variables and norms after STEPS steps of AdamW, in a compiled function."""
  start, steps, rates = drawn()
  variables = {name: tf.Variable(value, dtype=tf.float32) for name, value in start.items()}
  optimizer = AdamW(variables, recipe)
  optimizer.choose_words(np.array(words))
  optimizer.reset()

  @tf.function(autograph=False)
  def apply(gradients, rate, power_1, power_2):
    sparse = {name: tf.IndexedSlices(value, tf.constant(IDS), tf.constant(SHAPES[name]))
              if 'word' in name else value for name, value in gradients.items()}
    return optimizer.apply([sparse.get(name) for name in variables], rate, (power_1, power_2))

  norms = []
  for step, (gradients, rate) in enumerate(zip(steps, rates, strict=True)):
    norms.append(float(apply(
        {name: tf.constant(value, tf.float32) for name, value in gradients.items()},
        *(tf.constant(x, tf.float32) for x in (rate, *optimizer.powers(step))))))
  for _ in range(2 if absent_decay else 0):  # It may come again.
    optimizer.decay_absent(rates)
  return {name: variable.numpy() for name, variable in variables.items()}, norms


def reference(recipe=RECIPE, *, bias_correction=True, decay_all=False, summed_first=True):
  """The same by the formula."""
  values, steps, rates = drawn()
  m = {name: np.zeros(shape) for name, shape in SHAPES.items()}
  v = {name: np.zeros(shape) for name, shape in SHAPES.items()}
  norms = []
  for t, (gradients, rate) in enumerate(zip(steps, rates, strict=True), start=1):
    dense = {}
    for name, gradient in gradients.items():
      dense[name] = gradient
      if 'word' in name:
        dense[name] = np.zeros(SHAPES[name])
        np.add.at(dense[name], IDS, gradient)
    norm = np.sqrt(sum((g**2).sum() for g in (dense if summed_first else gradients).values()))
    norms.append(norm)
    for name, gradient in dense.items():
      if recipe.clip_norm:
        gradient = gradient * min(1.0, recipe.clip_norm / norm)
      if decay_all or is_decayed(name):
        values[name] = values[name] - rate * recipe.weight_decay * values[name]
      m[name] = recipe.beta_1 * m[name] + (1 - recipe.beta_1) * gradient
      v[name] = recipe.beta_2 * v[name] + (1 - recipe.beta_2) * gradient**2
      corrected = np.sqrt(1 - recipe.beta_2**t) / (1 - recipe.beta_1**t) if bias_correction else 1
      values[name] = values[name] - rate * corrected * m[name] / (
          np.sqrt(v[name]) + recipe.epsilon)
  return values, norms


def distance(first, second) -> float:
  return max(np.abs(first[0][name] - second[0][name]).max() for name in SHAPES)


@pytest.mark.parametrize('changed', [{}, {'clip_norm': 0.0}, {'weight_decay': 0.0},
                                     {'beta_1': 0.5, 'beta_2': 0.9, 'clip_norm': 7.0}])
def test_adamw_is_its_formula(changed):
  recipe = Recipe(**{'weight_decay': 0.1, 'epsilon': 1e-3, **changed})
  found, expected = trained(recipe), reference(recipe)
  assert distance(found, expected) < 2e-6
  np.testing.assert_allclose(found[1], expected[1], rtol=1e-6)
  assert min(found[1]) < 1 < max(found[1])  # Of both kinds: clipped and not.


@pytest.mark.parametrize('other', [
    {'bias_correction': False}, {'decay_all': True}, {'summed_first': False},
    {'recipe': Recipe(weight_decay=0.1, epsilon=1e-3, clip_norm=0.0)},
    {'recipe': Recipe(weight_decay=0.0, epsilon=1e-3)},
    {'recipe': Recipe(weight_decay=0.1, epsilon=1e-6)}])
def test_other_formulas_would_be_seen(other):
  assert distance(trained(), reference(**other)) > 1e-3


def test_a_variable_without_gradient_is_left_alone():
  start, values = drawn()[0][NO_GRADIENT].astype(np.float32), trained()[0][NO_GRADIENT]
  assert values.tobytes() == start.tobytes()  # Not decayed either.


@pytest.mark.parametrize('words', [(3, 1, 1), (0, 1, 2, 3, 4), (1, 3, 4)])
def test_which_other_words_the_texts_hold_changes_nothing(words):
  assert distance(trained(words=words), reference()) < 2e-6
  rows = trained(words=words, absent_decay=False)[0]['word_embeddings/embeddings']
  absent = sorted({0, 1, 2, 3, 4} - set(words))
  start = drawn()[0]['word_embeddings/embeddings'].astype(np.float32)
  assert (rows[absent] == start[absent]).all()  # Until their weight decay, with which all agree.


def test_a_dense_gradient_of_the_words_is_the_same():
  """As of an encoder that multiplies by one-hot vectors."""
  def after_a_step(gradient):
    variable = tf.Variable(tf.ones([5, 3]))
    optimizer = AdamW({'word_embeddings/embeddings': variable}, RECIPE)
    optimizer.choose_words(IDS)
    optimizer.reset()
    optimizer.apply([gradient], tf.constant(0.1),
                    [tf.constant(power) for power in optimizer.powers(0)])
    return variable.numpy()

  sparse = tf.IndexedSlices(
      tf.reshape(tf.range(12.0), [4, 3]), tf.constant(IDS), tf.constant([5, 3]))
  assert after_a_step(sparse).tobytes() == after_a_step(tf.convert_to_tensor(sparse)).tobytes()
  assert (after_a_step(sparse)[1] != 1).all()


def test_a_word_that_was_not_announced_is_refused():
  with pytest.raises(tf.errors.InvalidArgumentError, match='that the training texts do not'):
    trained(words=(1, 2))


def test_what_is_decayed():
  assert is_decayed('a/kernel') and is_decayed('word_embeddings/embeddings#3')
  assert not any(map(is_decayed, ('a/bias', 'norm/gamma', 'norm/beta', 'bias', 'a/gamma#7')))


def test_reset_forgets():
  variables = {'kernel': tf.Variable([1.0])}
  optimizer = AdamW(variables, Recipe(weight_decay=0.0))

  def step(number):
    optimizer.apply([tf.constant([2.0])], tf.constant(0.1),
                    [tf.constant(power) for power in optimizer.powers(number)])
    return variables['kernel'].numpy().item()

  first, second = step(0), step(1)
  assert first != second
  optimizer.reset()
  variables['kernel'].assign([1.0])
  assert step(0) == first
