"""A loaded SavedModel as the model of a training: its variables, its losses, its values."""

from __future__ import annotations

import pytest
import tensorflow as tf

from nlp_export.continuing import loaded_mlm
from nlp_export.continuing.loaded_mlm import Facts, LoadedModel

FACTS = Facts(left_out=(1,), vocab_size=4, drops=False, has_dropout_state=True)


class Root(tf.train.Checkpoint):
  """A root with two weights, a head's weight, a moving average, dropout_state and do_lower_case."""

  def __init__(self):
    super().__init__()
    self.weights = [tf.Variable([1.0, 2.0], name='dense/kernel'),
                    tf.Variable(3.0, name='pooler/kernel')]
    self.head = tf.Variable(4.0, name='head/bias')
    self.average = tf.Variable(5.0, trainable=False, name='average')
    self.dropout_state = tf.Variable([7, 0], dtype=tf.int64, trainable=False)
    self.do_lower_case = tf.Variable(True, trainable=False)
    self.trainable_variables = list(self.weights)
    self.variables = [*self.weights, self.average, self.dropout_state, self.do_lower_case]
    self.mlm = tf.train.Checkpoint()
    self.mlm.trainable_variables = [*self.weights, self.head]
    self.mlm.variables = [*self.weights, self.head, self.dropout_state]
    kernel = self.weights[0]
    self.mlm.regularization_losses = [tf.function(
        lambda: 0.5 * tf.reduce_sum(kernel**2), input_signature=[], autograph=False)]


@pytest.fixture(scope='module')
def path(tmp_path_factory):
  directory = str(tmp_path_factory.mktemp('by_hand') / 'export')
  tf.saved_model.save(Root(), directory)
  return directory


def test_what_training_may_change_is_the_state_of_a_checkpoint(path):
  model = LoadedModel(tf.saved_model.load(path))
  assert [v.name for v in model.variables] == [
      'dense/kernel:0', 'pooler/kernel:0', 'head/bias:0', 'average:0']
  item, = model.checkpoint_items.values()
  edges = tf.train.TrackableView.children(item)
  assert {'0000/dense/kernel', '0003/average'} <= set(edges)


def test_the_pooler_is_left_out_and_the_masks_begin_anew(path):
  root = tf.saved_model.load(path)
  made = loaded_mlm.pretrainer(root, FACTS, dropout_seed=11)
  assert [v.name for v in made.trained] == ['dense/kernel:0', 'head/bias:0']
  assert made.left_out == ('pooler/kernel:0',)
  assert root.dropout_state.numpy().tolist() == [11, 0]


def test_declared_losses_count_and_follow_the_weights(path):
  root = tf.saved_model.load(path)
  model = LoadedModel(root)
  assert [float(loss) for loss in model.losses] == [2.5]
  root.weights[0].assign([2.0, 4.0])
  assert [float(loss) for loss in model.losses] == [10.0]
  del root.mlm.regularization_losses  # Control: an older export has none.
  assert model.losses == []


def test_a_copy_takes_all_values_but_the_state_of_dropout(path):
  trained, copy = tf.saved_model.load(path), tf.saved_model.load(path)
  for variable in (*trained.mlm.trainable_variables, trained.average):
    variable.assign_add(tf.ones_like(variable))
  trained.dropout_state.assign([7, 99])
  loaded_mlm.take_values(copy, LoadedModel(trained))
  assert copy.weights[0].numpy().tolist() == [2.0, 3.0]
  assert [float(v) for v in (copy.weights[1], copy.head, copy.average)] == [4.0, 5.0, 6.0]
  assert copy.dropout_state.numpy().tolist() == [7, 0]
