"""Every variable of a run has its place in a checkpoint and comes back from it to the bit."""

from __future__ import annotations

import re

import numpy as np
import pytest

from nlp_export.errors import RequestError
from nlp_export.pretraining.saving import resume
from nlp_export.pretraining.saving.metadata import Metadata
from nlp_export.pretraining.saving.tree import RunVariables
from tests import tiny

KINDS = ('bert', 'bert_v2', 'albert')


class Run:
  """A pretrainer with an optimizer's slots and a random state; all values of a seed."""

  def __init__(self, kind: str, seed: int, **size):
    import tensorflow as tf

    size = {'num_layers': 1, **size}
    self.model = tiny.build_pretrainer(tiny.Size(type=kind, seed=seed, **size))
    rng = np.random.default_rng(seed)
    trained = [v for v in self.model.trainable_variables if 'pooler_transform' not in v.name]
    self.slots = {
        name: {v.ref(): tf.Variable(rng.normal(size=v.shape).astype(np.float32), name=name)
               for v in trained} for name in ('m', 'v')}
    self.iterations = tf.Variable(2**40 + seed, dtype=tf.int64)
    self.dropout_state = tf.Variable([2**62 + seed, seed], dtype=tf.int64)

  @property
  def items(self):
    [head] = self.model.classification_heads
    return {**self.model.checkpoint_items, 'next_sentence.out_proj': head.out_proj}

  def variables(self, **changes) -> RunVariables:
    arguments = {
        'items': self.items,
        'optimizer': {'iterations': self.iterations, **self.slots},
        'state': {'dropout_state': self.dropout_state},
        'variables': self.model.variables, **changes}
    return RunVariables(**arguments)

  def all(self):
    slots = [slot for by_variable in self.slots.values() for slot in by_variable.values()]
    return [v.numpy() for v in (*self.model.variables, *slots, self.iterations, self.dropout_state)]


@pytest.fixture(scope='module')
def runs():
  """A function: encoder type -> a run. Shared: do not change its values."""
  made = {}

  def get(kind: str) -> Run:
    if kind not in made:
      made[kind] = Run(kind, 1)
    return made[kind]

  return get


def save(root, run: Run, step: int = 5) -> None:
  from nlp_export.pretraining.saving.writer import CheckpointWriter

  trees = run.variables().trees()
  with CheckpointWriter(str(root), trees.items) as writer:
    writer.save(step, trees, {}, Metadata({'a': 1}))


@pytest.mark.parametrize('kind', KINDS)
def test_a_run_comes_back_to_the_bit(runs, kind, tmp_path):
  run, other = runs(kind), Run(kind, 2)
  before = run.all()
  save(tmp_path / 'c', run)
  assert not any(np.array_equal(a, b) for a, b in zip(run.all(), other.all()))  # Control.
  values = resume.read_step(str(tmp_path / 'c'), 5).values
  assert other.variables().assign(values) == {}
  for mine, theirs in zip(before, other.all(), strict=True):
    assert mine.dtype == theirs.dtype
    np.testing.assert_array_equal(mine, theirs)
  # Nothing was stored twice: as many numbers as the variables have.
  assert sum(v.size for arrays in values.values() for v in arrays.values()) == sum(
      v.size for v in before)


@pytest.mark.parametrize('kind', KINDS)
def test_items_and_paths(runs, kind):
  variables = runs(kind).variables()
  trees = variables.trees()
  values = trees.values()
  assert variables.items == tuple(trees.items) == (*variables.weights, 'optimizer', 'state')
  assert set(values) == {'encoder', 'masked_lm', 'next_sentence.pooler_dense',
                         'next_sentence.out_proj', 'optimizer', 'state'}
  # The word embeddings are shared: stored once, with the encoder.
  assert set(values['masked_lm']) == {
      'bias', 'dense/kernel', 'dense/bias', 'layer_norm/gamma', 'layer_norm/beta'}
  assert '_embedding_layer/embeddings' in values['encoder']
  assert set(values['next_sentence.out_proj']) == {'kernel', 'bias'}
  slots = {path for path in values['optimizer'] if path.startswith('slots/')}
  assert set(values['optimizer']) - slots == {'iterations'}
  weights = {f'{item}/{path}' for item in trees.names for path in values[item]}
  not_trained = {w for w in weights if 'pooler' in w and w.startswith('encoder')}
  named = {f'{i}/{p}' for i, names in trees.names.items() for p, n in names.items()
           if 'pooler_transform' in n}
  assert {w.split('/', 2)[2] for w in slots} == weights - (not_trained | named)
  if kind != 'albert':
    assert '_transformer_layers/0/_attention_layer/_query_dense/kernel' in values['encoder']
  table = trees.names['encoder']['_embedding_layer/embeddings']
  assert table.endswith('word_embeddings/embeddings')


def test_a_variable_without_a_place_is_refused(runs):
  run = runs('bert')
  items = run.items
  del items['next_sentence.out_proj']
  with pytest.raises(ValueError, match=r'belong to no item of the checkpoint: .*logits'):
    run.variables(items=items)
  with pytest.raises(ValueError, match='keeps m of a variable that belongs to no item'):
    run.variables(items=items, variables=())


def test_values_do_not_change_while_training_goes_on():
  import tensorflow as tf

  run = Run('albert', 3)
  before = run.all()
  values = run.variables().trees().values()
  kept = {(i, p): a.copy() for i, arrays in values.items() for p, a in arrays.items()}

  @tf.function
  def update():
    for variable in run.model.variables:
      variable.assign_add(tf.ones_like(variable))
    for slot in run.slots['m'].values():
      tf.raw_ops.ResourceApplyGradientDescent(
          var=slot.handle, alpha=1.0, delta=tf.ones_like(slot))

  for _ in range(3):
    update()
  run.dropout_state.assign_add([0, 1])
  assert all(np.array_equal(values[i][p], a) for (i, p), a in kept.items())
  assert not any(np.array_equal(a, b) for a, b in zip(before[:5], run.all()))  # Control.


def test_weights_are_float32_under_mixed_bfloat16():
  import tf_keras

  before = tf_keras.mixed_precision.global_policy()
  tf_keras.mixed_precision.set_global_policy('mixed_bfloat16')
  try:
    run = Run('bert', 6)
  finally:
    tf_keras.mixed_precision.set_global_policy(before)
  # Keras wraps each variable; slots and items must still meet.
  assert any(type(v).__name__ == 'AutoCastVariable' for v in run.model.variables)
  values = run.variables().trees().values()
  assert {v.dtype.name for item in values if item != 'state' for v in values[item].values()} == {
      'float32', 'int64'}
  run.variables().assign(values)


def test_numbers_are_given_back(runs):
  run = runs('bert')
  variables = run.variables(state={'dropout_state': run.dropout_state, 'calls': 2**40})
  values = variables.trees().values()
  assert variables.assign(values) == {'state/calls': 2**40}
  # Slots may be kept by the id of their variable.
  by_id = {name: {id(ref.deref()): slot for ref, slot in slots.items()}
           for name, slots in run.slots.items()}
  again = run.variables(optimizer={'iterations': run.iterations, **by_id}).trees().values()
  assert again['optimizer'].keys() == values['optimizer'].keys()


@pytest.mark.parametrize('kind', KINDS)
def test_an_export_restores_what_was_saved(runs, kind, tmp_path):
  from nlp_export import checkpoints

  run, other = runs(kind), tiny.build_pretrainer(
      tiny.Size(type=kind, num_layers=1, seed=8), head=None)
  save(tmp_path / 'c', run)
  checkpoint = checkpoints.open_checkpoint(checkpoints.find_checkpoint(str(tmp_path / 'c')))
  report = checkpoints.restore(
      checkpoint, {'encoder': other.encoder_network, 'masked_lm': other.masked_lm})
  assert report.complete
  saved = run.variables().trees().values()
  for item, arrays in RunVariables(other.checkpoint_items).trees().values().items():
    assert arrays.keys() == saved[item].keys()
    for path, value in arrays.items():
      np.testing.assert_array_equal(value, saved[item][path], f'{item}/{path}')
  kernel, _ = checkpoint.dense('next_sentence.pooler_dense')
  np.testing.assert_array_equal(kernel, run.items['next_sentence.pooler_dense'].kernel.numpy())


def change(values, item, path, array):
  return {**values, item: {**values[item], path: array}}


def test_differences_are_named_and_nothing_is_assigned(runs):
  run = runs('bert')
  variables = run.variables()
  values = variables.trees().values()
  before = run.all()
  kernel = '_transformer_layers/0/_attention_layer/_query_dense/kernel'

  def message(changed):
    with pytest.raises(RequestError) as raised:
      variables.assign(changed, source='checkpoint 5')
    assert all(np.array_equal(a, b) for a, b in zip(before, run.all()))
    first, *lines, last = raised.value.message.split('\n')
    assert first == 'checkpoint 5 does not hold what this run trains:'
    assert last == ('Nothing was restored. Train with the configuration that it was written with, '
                    'or name another --out_dir.')
    return [line.strip() for line in lines]

  zeros = np.zeros([16, 2, 4], np.float32)
  assert message(change(values, 'encoder', kernel, zeros)) == [
      f'layer 0, attention query kernel (encoder/{kernel}): shape [16, 2, 4] in the checkpoint, '
      '[16, 2, 8] now']
  # Orbax itself would cast this in silence.
  assert message(change(values, 'state', 'dropout_state', np.zeros(2, np.int32))) == [
      'state/dropout_state: dtype int32 in the checkpoint, int64 now']
  without = {p: a for p, a in values['masked_lm'].items() if p != 'bias'}
  assert message({**values, 'masked_lm': without}) == [
      'masked LM output bias (masked_lm/bias): not in the checkpoint']
  assert message(change(values, 'masked_lm', 'extra', zeros)) == [
      'masked_lm/extra: only in the checkpoint']
  assert message({i: a for i, a in values.items() if i != 'optimizer'}) == [
      'optimizer: not in the checkpoint']
  assert message({**values, 'sop.pooler_dense': {}}) == ['sop.pooler_dense: only in the checkpoint']
  assert message({i: {} if i == 'encoder' else a for i, a in values.items()})
  lines = message({item: {p: np.zeros(3, np.int8) for p in a} for item, a in values.items()})
  assert len(lines) == 9 and re.fullmatch(r'\.\.\. and \d+ more', lines[-1])


def test_a_new_run_may_start_from_the_weights_alone(runs, tmp_path):
  old, new = runs('bert_v2'), Run('bert_v2', 4)
  root = str(tmp_path / 'c')
  save(root, old)
  state, slots = new.dropout_state.numpy(), [v.numpy() for v in new.slots['m'].values()]
  stored, notes = resume.start_from_weights(root, new.variables())
  assert stored.step == 5
  assert notes == ('weights of encoder, masked_lm, next_sentence.pooler_dense, '
                   'next_sentence.out_proj from checkpoint 5 of c',)
  for mine, theirs in zip(old.model.variables, new.model.variables, strict=True):
    np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
  np.testing.assert_array_equal(new.dropout_state.numpy(), state)
  assert all(np.array_equal(a, b.numpy()) for a, b in zip(slots, new.slots['m'].values()))

  others = {'encoder': new.items['encoder'], 'masked_lm': new.items['masked_lm'],
            'sop.pooler_dense': new.items['next_sentence.pooler_dense']}
  _, notes = resume.start_from_weights(root, RunVariables(others))
  assert notes[-1] == 'sop.pooler_dense: not there, so as initialised'
  with pytest.raises(RequestError, match='does not hold what this run trains'):
    resume.start_from_weights(root, Run('bert_v2', 5, num_layers=2).variables())
  with pytest.raises(RequestError, match=r'from its weights\. Correct INITIAL_CHECKPOINT\.$'):
    resume.start_from_weights(str(tmp_path / 'nothing'), new.variables())
