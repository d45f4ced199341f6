"""A tiny pre-training: synthetic batches that any step can be computed of, and loops over them."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from nlp_export import encoders
from nlp_export.pretraining import loop, schedules
from nlp_export.pretraining.heads import HeadSpec
from nlp_export.pretraining.recipe import TrainRecipe

VOCAB_SIZE, SEQ_LENGTH, PREDICTIONS = 99, 16, 4
HEADS = (HeadSpec(name='next_sentence'),)


@dataclasses.dataclass(frozen=True)
class SyntheticBatches:
  """Rows as a function of (seed, step, row), with a rule in them that can be learned."""

  global_batch_size: int = 8
  seed: int = 5

  def row(self, index):
    seed = tf.stack([tf.constant(self.seed, tf.int64), tf.cast(index, tf.int64)])
    uniform = tf.random.stateless_uniform([SEQ_LENGTH], seed)
    ids = tf.cast(tf.exp(uniform * np.log(VOCAB_SIZE - 10.0)), tf.int32) + 5
    length = tf.random.stateless_uniform([], seed + [7, 0], SEQ_LENGTH // 2, SEQ_LENGTH, tf.int32)
    mask = tf.cast(tf.range(SEQ_LENGTH) < length, tf.int32)
    ids *= mask
    positions = tf.random.stateless_uniform(
        [PREDICTIONS], seed + [11, 0], 0, SEQ_LENGTH // 2, tf.int32)
    # Rows differ in their number of predictions: means of means would not be the mean.
    count = tf.random.stateless_uniform([], seed + [13, 0], 1, PREDICTIONS + 1, tf.int32)
    labels = tf.gather(ids, positions)
    masked = tf.tensor_scatter_nd_update(ids, positions[:, None], tf.fill([PREDICTIONS], 4))
    return {
        'input_word_ids': masked, 'input_mask': mask,
        'input_type_ids': tf.cast(tf.range(SEQ_LENGTH) > length // 2, tf.int32) * mask,
        'masked_lm_positions': positions, 'masked_lm_ids': labels,
        'masked_lm_weights': tf.cast(tf.range(PREDICTIONS) < count, tf.float32),
        'next_sentence_labels': ids[1:2] % 2}

  def dataset(self, first_step, rows=None, per_replica=None):
    low, high = rows or (0, self.global_batch_size)

    def batch(step):
      indices = tf.data.Dataset.range(low, high).map(lambda i: step * self.global_batch_size + i)
      return indices.map(self.row).batch(per_replica or high - low, drop_remainder=True)

    steps = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max)
    return steps.flat_map(batch).apply(
        tf.data.experimental.assert_cardinality(tf.data.experimental.INFINITE_CARDINALITY))

  def batch(self, step):
    return {key: value.numpy() for key, value in next(iter(self.dataset(step))).items()}


def spec(encoder='bert', **fields):
  """A tiny encoder, one layer unless `fields` say more."""
  sizes = dict(
      vocab_size=VOCAB_SIZE, hidden_size=16, num_layers=1, num_attention_heads=2,
      intermediate_size=24, max_position_embeddings=SEQ_LENGTH, dropout_rate=0.1,
      attention_dropout_rate=0.1)
  return getattr(encoders, encoder)(**{**sizes, **fields})


def recipe(**fields):
  """A recipe that learns in a few steps."""
  given = dict(train_steps=40, global_batch_size=8, learning_rate=5e-3, warmup_steps=4,
               schedule=schedules.polynomial_decay, init_seed=1, dropout_seed=3)
  return TrainRecipe(**{**given, **fields})


def build(runtime, *, encoder=None, heads=HEADS, batches=None, **fields):
  """A loop on a begun runtime; `fields` are the recipe's."""
  made = recipe(**fields)
  return loop.build(
      runtime, encoder or spec(), heads, made,
      batches or SyntheticBatches(made.global_batch_size))


def state(training_loop):
  """Everything that a training goes on from: kind -> list of arrays."""
  return {kind: [v.numpy() for v in found] for kind, found in _by_kind(training_loop).items()}


def set_state(training_loop, values):
  """Goes back to what `state` returned. A loop is traced once, and used by many tests."""
  for kind, found in _by_kind(training_loop).items():
    for variable, value in zip(found, values[kind], strict=True):
      variable.assign(value)
  training_loop.switch.reset()


def _by_kind(training_loop):
  found = training_loop.variables()
  return {'weights': list(found['weights'].values()), 'm': list(found['optimizer']['m'].values()),
          'v': list(found['optimizer']['v'].values()),
          'iterations': [found['optimizer']['iterations']],
          'dropout_state': [found['state']['dropout_state']]}


def assert_equal(found, expected):
  """Compares two states, to the last bit."""
  for kind, values in expected.items():
    for number, (a, b) in enumerate(zip(found[kind], values, strict=True)):
      np.testing.assert_array_equal(a, b, err_msg=f'{kind} {number}')
