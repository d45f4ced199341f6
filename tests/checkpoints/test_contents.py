"""inspect_checkpoint says what a checkpoint holds and what can be made of it, with the reasons."""

from __future__ import annotations

import json

import pytest

from nlp_export.checkpoints import contents, open_checkpoint
from tests import tiny
from tests.checkpoints import hugging_face_bert as hf

SIZES = {'vocab_size': tiny.Size.vocab_size, 'hidden_size': 16, 'num_attention_heads': 2,
         'intermediate_size': 24,
         'max_position_embeddings': tiny.Size.max_position_embeddings, 'type_vocab_size': 2}


def inspect(path, item_names=None):
  return contents.inspect(open_checkpoint(str(path), item_names))


@pytest.mark.parametrize('kind', ['bert', 'bert_v2', 'albert'])
def test_a_trainers_checkpoint(form, sources, kind):
  held = inspect(form(kind, 'trainer'))
  assert held.encoder_type == kind
  assert held.sizes == SIZES | (
      {'embedding_size': 8} if kind == 'albert' else {'num_layers': 2})
  encoder = sources(kind).encoder_network
  assert held.parameters['encoder'] == encoder.count_params()
  assert held.parameters['heads'] == 16 * 16 + 16 + 2 * 16 + 2
  assert held.parameters['optimizer'] > 2 * encoder.count_params()
  assert (held.counters['global_step'], held.counters['optimizer/iter']) == (1000, 1)
  assert held.items == {name: name for name in
                        ('encoder', 'masked_lm', 'next_sentence.pooler_dense')}
  assert all(p.possible for p in (held.export_types | held.poolers).values())
  assert 'as a rule untrained, see copy_nsp' in held.poolers['keep'].why
  assert json.loads(json.dumps(held.to_json()))['sizes'] == held.sizes


def test_an_encoder_alone(form):
  held = inspect(form('bert', 'encoder'))
  assert {name for name, p in (held.export_types | held.poolers).items() if not p.possible} == {
      'model_with_mlm', 'copy_nsp'}
  lines = held.lines()
  assert ("  no  model_with_mlm: it was saved without the masked LM head (no item 'masked_lm')"
          in lines)
  assert ('  no  copy_nsp: it holds no dense layer of a next-sentence head; take keep, identity or '
          'random') in lines
  assert '  yes keep: the encoder holds a pooler' in lines


def test_a_head_of_another_name(tmp_path):
  import tensorflow as tf

  items = tiny.build_pretrainer(tiny.Size(), head='sop').checkpoint_items
  prefix = tf.train.Checkpoint(**items).write(str(tmp_path / 'sop'))
  held = inspect(prefix)
  assert held.poolers['copy_nsp'].why == (
      "from head 'sop', with checkpoint_items.next_sentence = 'sop'")
  named = inspect(prefix, {'next_sentence': 'sop'})
  assert named.poolers['copy_nsp'].why == "from 'next_sentence.pooler_dense'"
  assert '  item next_sentence.pooler_dense (in the file: sop.pooler_dense)' in named.lines()


def test_an_encoder_of_another_name(sources, tmp_path):
  import tensorflow as tf

  prefix = tf.train.Checkpoint(student=sources('bert').encoder_network).write(str(tmp_path / 'x'))
  held = inspect(prefix)
  assert (held.encoder_type, held.poolers) == (None, {})
  assert held.export_types['model'].why == (
      "there is no item 'encoder' (objects: student); if one of them is meant, bind "
      "checkpoint_items.encoder = '...'")
  assert held.export_types['preprocessing'].possible
  assert inspect(prefix, {'encoder': 'student'}).export_types['model'].possible


def test_no_pooler_and_a_head_of_another_width(sources, tmp_path):
  import tensorflow as tf
  import tf_keras

  part = tf.Module()
  for edge, child in tf.train.TrackableView.children(sources('bert').encoder_network).items():
    if edge.startswith('_') and edge != '_pooler_layer':
      setattr(part, edge, child)
  narrow = tf_keras.layers.Dense(4)
  narrow.build((None, 16))
  prefix = tf.train.Checkpoint(encoder=part, **{'nsp.pooler_dense': narrow}).write(
      str(tmp_path / 'x'))
  held = inspect(prefix)
  assert not held.has_pooler
  assert held.poolers['keep'].why == 'its encoder holds no pooler'
  assert held.poolers['copy_nsp'].why == 'no head has a dense layer of the width 16 of the encoder'


def test_hugging_face(minilm_dir, tmp_path):
  held = inspect(minilm_dir)
  assert (held.encoder_type, held.sizes['num_layers'], held.sizes['num_attention_heads']) == (
      'bert', 6, 12)
  assert held.dtypes == {'float32': 7 + 16 * 6}
  directory = hf.write(tmp_path / 'x', hf.draw())
  assert inspect(directory).export_types['model_with_mlm'].possible
  assert inspect(directory).sizes == SIZES | {'num_layers': 2}


def test_the_run_file(run_py, form, tmp_path):
  run = run_py('gin/runs/inspect_checkpoint.gin', '--set', f'CHECKPOINT={form("bert", "trainer")}',
               '--out_dir', tmp_path / 'out')
  assert run.status == 0, run.output
  assert '  yes model_with_mlm: it holds the encoder and the masked LM head' in run.stdout
  result = json.loads((tmp_path / 'out' / 'run.json').read_text())
  assert 'global_step' in json.dumps(result)

  other = run_py('gin/runs/inspect_checkpoint.gin', '--dry_run', '--set',
                 f'CHECKPOINT={tmp_path}/nothing', '--out_dir', tmp_path / 'other')
  assert other.status == 2
  assert 'Correct CHECKPOINT.' in other.output
  assert not (tmp_path / 'other').exists()
