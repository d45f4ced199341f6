"""Every TF2 form of a checkpoint restores into an encoder equal to the one in memory."""

from __future__ import annotations

import numpy as np
import pytest

from nlp_export.checkpoints import compare, open_checkpoint, restore
from nlp_export.errors import RequestError
from tests import tiny
from tests.checkpoints import written


def items_of(pretrainer, with_mlm):
  items = {'encoder': pretrainer.encoder_network}
  return items | ({'masked_lm': pretrainer.masked_lm} if with_mlm else {})


@pytest.mark.conformance(95)
@pytest.mark.parametrize('kind', ['bert', 'bert_v2', 'albert'])
@pytest.mark.parametrize('name', list(written.FORMS))
def test_restored_outputs_equal_those_in_memory(kind, name, form, sources, target, outputs):
  if (kind, name) == ('bert_v2', 'save_weights'):
    name = 'encoder'  # BertEncoderV2 is a layer, which has no save_weights.
  with_mlm = name not in written.WITHOUT_HEADS
  restored = target(kind)
  expected = outputs(sources(kind), with_mlm)
  # Control: before, they differ.
  assert all(abs(a - b).max() > 0.01 for a, b in zip(outputs(restored, with_mlm), expected))

  report = restore(open_checkpoint(form(kind, name)), items_of(restored, with_mlm))

  for found, wanted in zip(outputs(restored, with_mlm), expected):
    np.testing.assert_array_equal(found, wanted)
  assert report.complete
  assert len(report.matched) == len(restored.encoder_network.variables) + 5 * with_mlm


@pytest.mark.conformance(105)
@pytest.mark.parametrize('stored, built', [('bert', 'bert_v2'), ('bert_v2', 'bert')])
@pytest.mark.parametrize('with_mlm', [False, True])
@pytest.mark.parametrize('name', ['encoder', 'trainer'])
def test_bert_and_bert_v2_restore_into_each_other(
    stored, built, with_mlm, name, form, sources, target, outputs):
  if name == 'encoder' and with_mlm:
    name = 'items'
  restored = target(built)
  restore(open_checkpoint(form(stored, name)), items_of(restored, with_mlm))
  for found, wanted in zip(outputs(restored, with_mlm), outputs(sources(stored), with_mlm)):
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.conformance(96)
@pytest.mark.parametrize('kind', ['bert', 'bert_v2', 'albert'])
def test_word_embeddings_are_found_where_a_trainer_stores_them(kind, form, sources, target):
  import tensorflow as tf

  prefix = form(kind, 'trainer')
  keys = tf.train.load_checkpoint(prefix).get_variable_to_shape_map()
  shared = 'masked_lm/embedding_table/.ATTRIBUTES/VARIABLE_VALUE'
  assert shared in keys
  assert not any(k.startswith('encoder/') and k.endswith('/embeddings/.ATTRIBUTES/VARIABLE_VALUE')
                 and keys[k][0] == tiny.Size.vocab_size for k in keys)

  restored = target(kind)  # The head is not even asked for.
  report = restore(open_checkpoint(prefix), items_of(restored, with_mlm=False))

  assert shared in [match.key for match in report.matched]
  np.testing.assert_array_equal(
      restored.encoder_network.get_embedding_table().numpy(),
      sources(kind).encoder_network.get_embedding_table().numpy())


@pytest.mark.conformance(100)
def test_what_a_trainer_stores_besides_is_reported_by_kind(form, target):
  restored = target('bert')
  report = compare(open_checkpoint(form('bert', 'trainer')), items_of(restored, with_mlm=False))
  unused = report.unused
  trainable = 5 + 16 * 2 + 2 + 5 + 4  # Encoder, masked LM head, next-sentence head.
  assert sum('/.OPTIMIZER_SLOT/' in key for key in unused.optimizer) == 2 * trainable
  assert any(key.startswith('optimizer/iter/') for key in unused.optimizer)
  assert [key.partition('/.')[0] for key in unused.counters] == ['global_step']
  assert len(unused.heads) == 5 + 4  # The shared word embeddings are not among them.
  assert unused.items == unused.unexplained == []
  assert ('not used, as expected: optimizer '
          f'{len(unused.optimizer)}, counters 1, heads 9') in report.lines()


def test_a_keras_optimizers_variables_are_its_own(sources, target, tmp_path):
  import tensorflow as tf
  import tf_keras

  encoder = sources('bert').encoder_network
  optimizer = tf_keras.optimizers.Adam()  # Keeps its slots in a list, not as slot variables.
  optimizer.build(encoder.trainable_variables)
  prefix = tf.train.Checkpoint(encoder=encoder, optimizer=optimizer).write(str(tmp_path / 'adam'))
  report = restore(open_checkpoint(prefix), items_of(target('bert'), with_mlm=False))
  assert len(report.unused.optimizer) >= 2 * len(encoder.trainable_variables)


def test_objects_saved_beside_are_named_and_do_not_disturb(sources, target, tmp_path):
  import tensorflow as tf

  prefix = tf.train.Checkpoint(
      encoder=sources('bert').encoder_network, teacher=sources('bert_v2').encoder_network,
  ).write(str(tmp_path / 'two'))
  report = restore(open_checkpoint(prefix), items_of(target('bert'), with_mlm=False))
  assert len(report.unused.items) == len(sources('bert_v2').encoder_network.variables)
  assert all(key.startswith('teacher/') for key in report.unused.items)


@pytest.mark.conformance(101)
def test_names_in_the_file_are_one_binding_away(sources, target, outputs, tmp_path):
  import tensorflow as tf

  pretrainer = tiny.build_pretrainer(tiny.Size(seed=5), head='sop')
  items = pretrainer.checkpoint_items
  prefix = tf.train.Checkpoint(
      student=items['encoder'], lm=items['masked_lm'], **{'sop.pooler_dense':
                                                          items['sop.pooler_dense']},
      encoder=sources('bert').encoder_network).write(str(tmp_path / 'named'))
  checkpoint = open_checkpoint(
      prefix, {'encoder': 'student', 'masked_lm': 'lm', 'next_sentence': 'sop'})
  assert checkpoint.items() == ('encoder', 'masked_lm', 'next_sentence.pooler_dense')
  restored = target('bert')
  restore(checkpoint, items_of(restored, with_mlm=True))
  for found, wanted in zip(outputs(restored), outputs(pretrainer)):
    np.testing.assert_array_equal(found, wanted)
  kernel, bias = checkpoint.dense('next_sentence.pooler_dense')
  np.testing.assert_array_equal(kernel, items['sop.pooler_dense'].kernel.numpy())
  np.testing.assert_array_equal(bias, items['sop.pooler_dense'].bias.numpy())
  np.testing.assert_array_equal(checkpoint.dense('sop.pooler_dense')[0], kernel)
  # Control: without the names it is the other encoder that is called so.
  restore(open_checkpoint(prefix), items_of(restored, with_mlm=False))
  np.testing.assert_array_equal(
      outputs(restored, False)[0], outputs(sources('bert'), False)[0])


@pytest.mark.conformance(102)
@pytest.mark.parametrize('kind', ['bert', 'bert_v2', 'albert'])
@pytest.mark.parametrize('name', ['items', 'trainer', 'model=pretrainer', 'pretrainer'])
def test_the_dense_layer_of_a_head_is_found_in_each_form(kind, name, form, sources):
  head = sources(kind).classification_heads[0]
  checkpoint = open_checkpoint(form(kind, name))
  kernel, bias = checkpoint.dense('next_sentence.pooler_dense')
  np.testing.assert_array_equal(kernel, head.dense.kernel.numpy())
  np.testing.assert_array_equal(bias, head.dense.bias.numpy())
  pooler = next(t for t in checkpoint.tensors if str(t) == 'pooler kernel')
  assert not np.allclose(kernel, pooler.read())  # Control: it is not the encoder's own pooler.


def test_fine_tuned_classifiers(target, outputs, tmp_path):
  import tensorflow as tf
  from official.nlp.modeling import models

  source = tiny.build_pretrainer(tiny.Size(seed=4), head=None)
  model = models.BertClassifier(source.encoder_network, num_classes=2)
  restored = target('bert')
  for name, objects in (('trainer', {'model': model, **model.checkpoint_items}),
                        ('model', {'model': model})):
    tiny.draw_weights(restored, seed=98)
    prefix = tf.train.Checkpoint(**objects).write(str(tmp_path / name))
    report = restore(open_checkpoint(prefix), items_of(restored, False))
    np.testing.assert_array_equal(outputs(restored, False)[1], outputs(source, False)[1])
    assert len(report.unused.heads) == 2


@pytest.mark.parametrize('tied', [False, True])
def test_the_generators_head_of_electra_is_not_taken_for_the_encoders(tied, target, tmp_path):
  import tensorflow as tf
  from official.nlp.configs import encoders
  from official.nlp.modeling import models

  size = tiny.Size(seed=3)
  generator = tiny.build_encoder(size)
  shared = generator.get_embedding_layer() if tied else None
  config = encoders.EncoderConfig(type='bert')
  config.override({'bert': size.fields()})
  discriminator = encoders.build_encoder(config, embedding_layer=shared)
  model = models.ElectraPretrainer(
      generator, discriminator, vocab_size=size.vocab_size, num_classes=2,
      num_token_predictions=2, mlm_activation='gelu')
  model.masked_lm.build(None)
  tiny.draw_weights(model, seed=3)
  prefix = tf.train.Checkpoint(model=model, **model.checkpoint_items).write(str(tmp_path / 'x'))

  checkpoint = open_checkpoint(prefix)
  assert checkpoint.items() == ('encoder',)
  restored = target('bert')
  report = restore(checkpoint, items_of(restored, with_mlm=False))
  np.testing.assert_array_equal(
      restored.encoder_network.pooler_layer.kernel.numpy(), discriminator.pooler_layer.kernel)
  assert any('generator_network' in key for key in report.unused.heads)
  with pytest.raises(RequestError, match="'masked_lm' is not in x"):
    restore(checkpoint, items_of(restored, with_mlm=True))
  if not tied:
    named = open_checkpoint(prefix, {'masked_lm': 'model/masked_lm'})
    with pytest.raises(RequestError, match=r'checkpoint_items.masked_lm, or leave masked_lm out.$'):
      restore(named, items_of(restored, with_mlm=True))


def test_a_path_through_the_objects_names_an_item(sources, target, outputs, tmp_path):
  import tensorflow as tf

  tower = tf.Module()
  tower.backbone = sources('bert').encoder_network
  prefix = tf.train.Checkpoint(net=tower).write(str(tmp_path / 'tower'))
  restored = target('bert')
  restore(open_checkpoint(prefix, {'encoder': 'net/backbone'}), items_of(restored, False))
  np.testing.assert_array_equal(outputs(restored, False)[0], outputs(sources('bert'), False)[0])


def test_states_that_are_no_weights_are_left_alone(form):
  import tensorflow as tf

  network = tiny.build_encoder()
  network.dropout_state = tf.Variable([3, 4], dtype=tf.int64, trainable=False, name='dropout_state')
  report = restore(open_checkpoint(form('bert', 'encoder')), {'encoder': network})
  assert report.states == ['dropout_state']
  assert network.dropout_state.numpy().tolist() == [3, 4]


def test_a_remote_checkpoint(form, target):
  import tensorflow as tf

  tf.io.gfile.makedirs('ram://forms')
  for path in tf.io.gfile.glob(form('bert', 'items') + '.*'):
    end = path[path.rindex('.ckpt') :]
    tf.io.gfile.copy(path, 'ram://forms/x-3' + end, overwrite=True)
  checkpoint = open_checkpoint('ram://forms')
  assert checkpoint.path == 'ram://forms/x-3.ckpt'
  assert restore(checkpoint, items_of(target('bert'), True)).complete
