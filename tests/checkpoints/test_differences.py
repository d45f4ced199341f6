"""A checkpoint that does not fit is refused in words: what differs, the guess, the way on."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nlp_export.checkpoints import (
    ENCODER_POOLER,
    RestoreError,
    compare,
    open_checkpoint,
    restore,
)
from nlp_export.errors import RequestError
from tests import tiny

LAST = ('Nothing was restored. Set ENCODER_CONFIG to the configuration that the checkpoint was '
        'trained with.')


def refused(prefix, without=(), with_mlm=False, **size):
  """The lines of the refusal between its first and its last, which are checked here."""
  kind = size.get('type', 'bert')
  network = tiny.build_encoder(tiny.Size(**size))
  if kind == 'bert_v2':
    network(network.inputs)
  before = [v.numpy() for v in network.variables]
  with pytest.raises(RestoreError) as caught:
    restore(open_checkpoint(prefix), {'encoder': network}, without=without)
  for variable, value in zip(network.variables, before):
    np.testing.assert_array_equal(variable.numpy(), value)  # Nothing was restored indeed.
  first, *lines, last = str(caught.value).split('\n')
  assert first.endswith('does not fit the model that the configuration describes:')
  assert last.endswith(LAST)
  assert not caught.value.report.complete
  json.dumps(caught.value.report.to_json())
  return [line.strip() for line in lines]


@pytest.mark.conformance(99)
@pytest.mark.parametrize('kind', ['bert', 'bert_v2'])
@pytest.mark.parametrize('layers', [1, 3])
@pytest.mark.parametrize('name', ['items', 'trainer'])
def test_another_number_of_layers_either_way(form, kind, layers, name):
  assert refused(form('bert', name), type=kind, num_layers=layers) == [
      f'layers: checkpoint 2, config {layers}: another num_layers?']


@pytest.mark.parametrize('size, wanted', [
    (dict(vocab_size=200),
     f'word embeddings: checkpoint {tiny.Size.vocab_size}, config 200: another vocabulary?'),
    (dict(max_position_embeddings=16),
     f'position embeddings: checkpoint {tiny.Size.max_position_embeddings}, config 16: another '
     'max_position_embeddings?'),
    (dict(num_attention_heads=4),
     'attention heads: checkpoint 2, config 4: another num_attention_heads?'),
    (dict(hidden_size=32), 'hidden width: checkpoint 16, config 32: another hidden_size?'),
    (dict(intermediate_size=48),
     'intermediate width: checkpoint 24, config 48: another intermediate_size?'),
])
@pytest.mark.parametrize('kind', ['bert', 'bert_v2', 'albert'])
def test_each_size_has_its_own_guess(form, kind, size, wanted):
  assert refused(form(kind, 'encoder'), type=kind, **size) == [wanted]


def test_segment_types_and_several_at_once(form, monkeypatch):
  fields = tiny.Size.fields
  monkeypatch.setattr(tiny.Size, 'fields', lambda self: fields(self) | {'type_vocab_size': 16})
  assert refused(form('bert', 'items'), vocab_size=99, num_layers=3) == [
      'layers: checkpoint 2, config 3: another num_layers?',
      f'word embeddings: checkpoint {tiny.Size.vocab_size}, config 99: another vocabulary?',
      'segment types: checkpoint 2, config 16: another type_vocab_size?',
  ]


def test_a_factorised_embedding(form):
  assert refused(form('bert', 'items'), embedding_size=4) == [
      'embedding width: checkpoint 16, config 4: another embedding_size?',
      'missing: embedding projection kernel (encoder/layer_with_weights-4/kernel)',
      'missing: embedding projection bias (encoder/layer_with_weights-4/bias)',
  ]
  # ALBERT has edges by position only: all that lies behind the projection is moved.
  assert refused(form('albert', 'items'), type='albert', embedding_size=16) == [
      'embedding width: checkpoint 8, config 16: another embedding_size?',
      'in the checkpoint but not in the model: embedding projection kernel '
      '(encoder/layer_with_weights-4/kernel/.ATTRIBUTES/VARIABLE_VALUE)',
      'in the checkpoint but not in the model: embedding projection bias '
      '(encoder/layer_with_weights-4/bias/.ATTRIBUTES/VARIABLE_VALUE)',
  ]


def test_albert_is_not_bert(form):
  assert refused(form('albert', 'encoder'), type='bert', embedding_size=8) == [
      'encoder type: checkpoint albert, config bert: another type?']
  assert refused(form('bert_v2', 'encoder'), type='albert', vocab_size=99) == [
      'encoder type: checkpoint bert, config albert: another type?',
      f'word embeddings: checkpoint {tiny.Size.vocab_size}, config 99: another vocabulary?',
      'embedding width: checkpoint 16, config 8: another embedding_size?',
  ]


def strip(network, tmp_path, *edges):
  """A checkpoint of an encoder without some of its children."""
  import tensorflow as tf

  children = tf.train.TrackableView.children(network)
  part = tf.Module()
  for edge, child in children.items():
    if edge.startswith('_') and edge not in edges:
      setattr(part, edge, child)
  return tf.train.Checkpoint(encoder=part).write(str(tmp_path / 'part'))


@pytest.mark.conformance(98)
def test_a_missing_part_is_named_with_what_is_near(sources, tmp_path):
  import tensorflow as tf

  network = sources('bert').encoder_network
  prefix = strip(network, tmp_path, '_type_embedding_layer')
  assert refused(prefix) == [
      'missing: type embeddings (encoder/layer_with_weights-2/embeddings)']

  # Called otherwise by whoever wrote it: it is there as an unexplained one, and near.
  part = tf.Module()
  for edge, child in tf.train.TrackableView.children(network).items():
    if edge.startswith('_'):
      setattr(part, {'_pooler_layer': '_pooler'}.get(edge, edge), child)
  prefix = tf.train.Checkpoint(encoder=part).write(str(tmp_path / 'renamed'))
  report = compare(open_checkpoint(prefix), {'encoder': tiny.build_encoder()})
  assert [str(m) for m in report.missing] == ['pooler kernel', 'pooler bias']
  assert report.missing[0].nearest[0] == 'pooler kernel'
  assert len(report.unused.unexplained) == 2


@pytest.mark.conformance(101)
def test_an_encoder_without_its_pooler(sources, tmp_path, outputs, target):
  prefix = strip(sources('bert').encoder_network, tmp_path, '_pooler_layer')
  network = target('bert').encoder_network
  items = {'encoder': network}
  with pytest.raises(RestoreError) as caught:
    restore(open_checkpoint(prefix), items)
  assert 'missing: pooler kernel (encoder/' in str(caught.value)
  assert str(caught.value).endswith(
      "A checkpoint without the encoder's pooler does with @poolers.identity, @poolers.random or "
      '@poolers.none. Set ENCODER_CONFIG to the configuration that the checkpoint was trained '
      'with.')

  before = network.pooler_layer.kernel.numpy()
  report = restore(open_checkpoint(prefix), items, without=(ENCODER_POOLER,))
  assert report.left_out == [ENCODER_POOLER]
  assert 'not in the checkpoint and not needed: encoder pooler' in report.lines()
  np.testing.assert_array_equal(network.pooler_layer.kernel.numpy(), before)
  np.testing.assert_array_equal(outputs(target('bert'), False)[0].shape, (3, 12, 16))


def test_a_pooler_that_is_not_needed_but_there_is_restored(form, sources, target):
  network = target('bert').encoder_network
  report = restore(open_checkpoint(form('bert', 'items')), {'encoder': network},
                   without=(ENCODER_POOLER,))
  assert report.left_out == []
  np.testing.assert_array_equal(
      network.pooler_layer.kernel.numpy(), sources('bert').encoder_network.pooler_layer.kernel)


@pytest.mark.conformance(98)
def test_an_item_that_is_not_there(form, target, sources, tmp_path):
  import tensorflow as tf

  pretrainer = target('bert')
  items = {'encoder': pretrainer.encoder_network, 'masked_lm': pretrainer.masked_lm}
  with pytest.raises(RequestError) as caught:
    restore(open_checkpoint(form('bert', 'encoder')), items)
  assert "'masked_lm' is not in bert-encoder.ckpt (items: encoder)." in str(caught.value)
  assert str(caught.value).endswith("or say what it is called: checkpoint_items.masked_lm = '...'.")

  student = tf.train.Checkpoint(student=sources('bert').encoder_network)
  prefix = student.write(str(tmp_path / 'student'))
  with pytest.raises(RequestError) as caught:
    restore(open_checkpoint(prefix), {'encoder': pretrainer.encoder_network})
  assert str(caught.value).endswith(
      "Its objects are: student. If one of them is meant, bind checkpoint_items.encoder = '...'.")


def test_a_head_that_is_not_there_names_those_that_are_and_the_alternatives(form, tmp_path):
  import tensorflow as tf

  with pytest.raises(RequestError) as caught:
    open_checkpoint(form('bert', 'encoder')).dense('next_sentence.pooler_dense')
  assert '(items: encoder)' in str(caught.value)
  assert str(caught.value).endswith(
      'so there is nothing to copy. Use @poolers.keep (what its encoder holds), @poolers.identity '
      'or @poolers.random.')

  items = tiny.build_pretrainer(tiny.Size(), head='sop').checkpoint_items
  prefix = tf.train.Checkpoint(**items).write(str(tmp_path / 'sop'))
  with pytest.raises(RequestError, match="bind checkpoint_items.next_sentence = 'sop'.$"):
    open_checkpoint(prefix).dense('next_sentence.pooler_dense')
  with pytest.raises(RequestError, match=r"bind copy_nsp.head = 'sop'\.$"):
    open_checkpoint(prefix).dense('nsp.pooler_dense')
  with pytest.raises(RequestError, match=r'Name an item with a kernel \[in, out\] and a bias.$'):
    open_checkpoint(prefix).dense('encoder')


def test_weights_of_no_known_object_are_refused(sources, tmp_path, target):
  import tensorflow as tf

  network = sources('bert').encoder_network
  part = tf.Module()
  for edge, child in tf.train.TrackableView.children(network).items():
    if edge.startswith('_'):
      setattr(part, edge, child)
  part.adapter = tf.Variable([1.0, 2.0], name='adapter')
  prefix = tf.train.Checkpoint(encoder=part).write(str(tmp_path / 'adapter'))
  with pytest.raises(RestoreError) as caught:
    restore(open_checkpoint(prefix), {'encoder': target('bert').encoder_network})
  assert ('in the checkpoint but not in the model: encoder/adapter '
          '(encoder/adapter/.ATTRIBUTES/VARIABLE_VALUE)') in str(caught.value)


def test_objects_without_variables_are_a_defect_of_the_caller(form):
  with pytest.raises(ValueError, match='call it once before it is restored'):
    restore(open_checkpoint(form('bert', 'encoder')),
            {'encoder': tiny.build_encoder(tiny.Size(type='bert_v2'))})


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('kind, tensor', [
    ('bert', 'layer 1, attention key kernel'), ('albert', 'shared layer, attention key kernel')])
def test_values_that_are_not_finite_are_refused_by_name(kind, tensor, bad, target, tmp_path):
  import tensorflow as tf

  source = tiny.build_pretrainer(tiny.Size(type=kind), head='next_sentence')
  variable = [v for v in source.variables if v.name.endswith('self_attention/key/kernel:0')][-1]
  value = variable.numpy()
  value[3, 1, 2] = bad
  variable.assign(value)
  prefix = tf.train.Checkpoint(**source.checkpoint_items).write(str(tmp_path / 'bad'))
  with pytest.raises(RequestError) as caught:
    restore(open_checkpoint(prefix), {'encoder': target(kind).encoder_network})
  counts = '1 NaN and 0 infinite' if np.isnan(bad) else '0 NaN and 1 infinite'
  assert f'{tensor} (encoder/layer_with_weights-5/_attention_layer/_key_dense/kernel/' in str(
      caught.value)
  assert counts in str(caught.value)
  assert str(caught.value).endswith('Name an earlier checkpoint.')


def test_large_finite_values_are_not_taken_for_infinite(target, tmp_path, sources):
  import tensorflow as tf

  source = tiny.build_pretrainer(tiny.Size(), head=None)
  source.encoder_network.get_embedding_table().assign(
      tf.fill(source.encoder_network.get_embedding_table().shape, 3e38))
  prefix = tf.train.Checkpoint(**source.checkpoint_items).write(str(tmp_path / 'large'))
  assert restore(open_checkpoint(prefix), {'encoder': target('bert').encoder_network}).complete


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16', 'float64'])
def test_other_dtypes_are_cast_and_reported(dtype, target, sources, tmp_path):
  import tensorflow as tf

  made = {}

  def cast(obj):
    """The same objects with variables of another dtype."""
    if id(obj) in made:
      return made[id(obj)]
    part = made[id(obj)] = tf.Module()
    for edge, child in tf.train.TrackableView.children(obj).items():
      if edge.startswith('layer'):
        continue
      if isinstance(child, tf.Variable):
        child = made.setdefault(id(child), tf.Variable(tf.cast(child, dtype)))
      elif not tf.train.TrackableView.children(child):
        continue
      else:
        child = cast(child)
      part._track_trackable(child, edge, overwrite=True)
    return part

  source = sources('bert').encoder_network
  prefix = tf.train.Checkpoint(encoder=cast(source)).write(str(tmp_path / dtype))
  network = target('bert').encoder_network
  report = restore(open_checkpoint(prefix), {'encoder': network})
  assert report.casts == {dtype: len(network.variables)}
  assert f'cast from {dtype}: {len(network.variables)} tensors' in report.lines()
  kernel = tf.cast(tf.cast(source.pooler_layer.kernel, dtype), tf.float32)
  np.testing.assert_array_equal(network.pooler_layer.kernel.numpy(), kernel)


def test_the_report_is_json_without_paths(form, target, tmp_path):
  report = restore(open_checkpoint(form('bert', 'trainer')),
                   {'encoder': target('bert').encoder_network})
  text = json.dumps(report.to_json())
  assert str(tmp_path.parent) not in text
  assert {'schema_version', 'complete', 'matched', 'missing', 'unused',
          'shape_differences', 'left_out'} <= set(report.to_json())
  matched = {match['variable']: match for match in report.to_json()['matched']}
  one = matched['transformer/layer_0/output/bias']
  assert one == {
      'item': 'encoder', 'variable': 'transformer/layer_0/output/bias', 'shape': (16,),
      'key': 'encoder/layer_with_weights-4/_output_dense/bias/.ATTRIBUTES/VARIABLE_VALUE',
      'cast_from': None}
