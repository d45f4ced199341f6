"""CHECKPOINT=.../bert_model.ckpt of TF1 in every run file, and beside TF-NLP's converters."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nlp_export import encoders
from nlp_export.checkpoints import compare, find_checkpoint, open_checkpoint, restore
from nlp_export.glue.fine_tuning.arms import BaselineArm, PoolerStart
from nlp_export.poolers import keep
from nlp_export.tokenizers import WordPiece
from tests import tiny
from tests.checkpoints import tf1_written as tf1
from tests.glue import official_layout
from tests.in_process import run_main, settings

EXPORT = 'gin/runs/export.gin'
USING_CHECKPOINT = ('export', 'glue_check', 'pooler_ablation', 'glue_submission',
                    'inspect_checkpoint', 'convert_checkpoint', 'pretrain')


@pytest.fixture(scope='module')
def published(tmp_path_factory) -> Path:
  """A directory as google-research/bert published them. Its activation is not the usual one."""
  directory = tmp_path_factory.mktemp('uncased_L-2_H-16_A-2')
  tf1.write(directory / 'bert_model.ckpt', tf1.draw(), trained=True)
  tf1.write_config(directory / 'bert_config.json', hidden_act='relu')
  tiny.write_vocab(directory / 'vocab.txt')
  (directory / 'run_config.json').write_text('{"steps": 7}')  # No configuration of an encoder.
  return directory


@pytest.fixture(scope='module')
def albert(tmp_path_factory) -> Path:
  directory = tmp_path_factory.mktemp('albert')
  tf1.write(directory / 'model.ckpt-best', tf1.draw('albert'), trained=True)
  tf1.write_config(directory / 'albert_config.json', 'albert')
  return directory


def macros(directory: Path) -> dict[str, str]:
  return {'CHECKPOINT': str(directory / 'bert_model.ckpt'),
          'ENCODER_CONFIG': str(directory / 'bert_config.json'),
          'VOCAB_FILE': str(directory / 'vocab.txt'), 'DO_LOWER_CASE': 'True'}


def test_what_lies_beside_is_named_and_not_taken(published, tmp_path):
  checkpoint = {'CHECKPOINT': published}
  lines = [f'  --set ENCODER_CONFIG={published}/bert_config.json',
           f'  --set VOCAB_FILE={published}/vocab.txt']
  for given, missing in (
      ({}, lines), ({'VOCAB_FILE': published / 'vocab.txt'}, lines[:1]),
      ({'ENCODER_CONFIG': published / 'bert_config.json'}, lines[1:])):
    done = run_main(EXPORT, *settings(**checkpoint, **given), f'--out_dir={tmp_path / "out"}')
    assert done.status == 2
    assert done.stderr.rstrip().endswith('If they are its own, write\n' + '\n'.join(missing))
    assert not (tmp_path / 'out').exists()
  # With these lines it goes on; and a checkpoint with nothing beside gets the general message.
  done = run_main(EXPORT, *settings(**macros(published)), '--dry_run')
  assert done.status == 0, done.output
  assert '(TF1) into bert: 2 layers, 16 wide, from bert_config.json' in done.stdout
  for file in published.glob('bert_model.ckpt.*'):
    (tmp_path / file.name).write_bytes(file.read_bytes())
  done = run_main(EXPORT, *settings(
      CHECKPOINT=tmp_path / 'bert_model.ckpt', VOCAB_FILE=published / 'vocab.txt'), '--dry_run')
  assert done.status == 2
  assert 'If they are its own' not in done.output


@pytest.mark.conformance(103)
def test_an_export_with_its_masked_lm_head(published, tmp_path):
  import tensorflow as tf

  done = run_main(EXPORT, *settings(
      **macros(published), EXPORT_TYPES="('model_with_mlm',)"), f'--out_dir={tmp_path / "out"}')
  assert done.status == 0, done.output
  assert (f'not used, as expected: optimizer {2 * len(tf1.draw())}, counters 1, heads 2'
          in done.output)
  path = tmp_path / 'out' / 'exports' / 'keep' / 'model_with_mlm'
  inputs = tiny.encoder_inputs()
  positions = np.tile(np.arange(inputs['input_mask'].shape[1], dtype=np.int32), (3, 1))
  found = tf.saved_model.load(str(path)).mlm({
      **{name: tf.constant(value) for name, value in inputs.items()},
      'masked_lm_positions': tf.constant(positions)})

  def relu(x):
    return np.maximum(x, 0)

  # The head's activation is the configuration's, as in the original code.
  for activation, agrees in ((relu, True), (tf1.gelu, False)):
    wanted = tf1.forward(tf1.draw(), inputs, activation=activation)
    for key, value in zip(('sequence_output', 'pooled_output', 'mlm_logits'), wanted):
      assert np.allclose(found[key], value, atol=2e-5) == agrees, key
  provenance = json.loads((path / 'assets.extra' / 'provenance.json').read_text())
  assert provenance['checkpoint']['format'] == 'TF1 variables'
  assert set(provenance['checkpoint']['files']) == {
      'bert_model.ckpt.index', 'bert_model.ckpt.data-00000-of-00001'}


@pytest.mark.parametrize('name', USING_CHECKPOINT)
def test_every_run_file_takes_it(name, published, tmp_path):
  given = macros(published)
  other = {
      'export': {}, 'convert_checkpoint': {'TO': 'tf2'},
      'glue_check': {'TASKS': "('builtin_word_order',)"},
      'pooler_ablation': {'TASKS': "('builtin_word_order',)"},
      'glue_submission': {'GLUE_DIR': official_layout.write(tmp_path / 'glue')},
      'pretrain': {'INITIAL_CHECKPOINT': given['CHECKPOINT']}}
  if name == 'inspect_checkpoint':
    given = {'CHECKPOINT': given['CHECKPOINT']}
  else:
    given |= other[name]
  if name == 'pretrain':
    del given['CHECKPOINT']
  done = run_main(f'gin/runs/{name}.gin', *settings(**given), '--dry_run',
                  f'--out_dir={tmp_path / "out"}')
  assert done.status == 0, done.output


def test_the_baseline_of_a_glue_check(published):
  arm = BaselineArm(
      find_checkpoint(str(published)), encoders.from_file(macros(published)['ENCODER_CONFIG']),
      WordPiece(macros(published)['VOCAB_FILE'], True), {}, PoolerStart(keep, 'keep'))
  network = arm.load()
  values = {v.name.removesuffix(':0'): v.numpy() for v in network.variables.values()}
  np.testing.assert_array_equal(
      values['pooler_transform/kernel'], tf1.draw()['bert/pooler/dense/kernel'])


_CONVERTER = '''
import os, sys
from official.legacy.{kind} import configs
from official.nlp.tools import tf2_{kind}_encoder_checkpoint_converter as converter
config, checkpoint, output = sys.argv[1:]
os.makedirs(os.path.dirname(output) + '/temp_v1')  # The tool means to write there.
converter.convert_checkpoint(
    configs.{name}Config.from_json_file(config), output, checkpoint,
    checkpoint_model_name='model', converted_model='pretrainer')
'''


@pytest.mark.extra
@pytest.mark.conformance(103, 104)
def test_tf_nlps_converters_give_the_same(published, albert, tmp_path):
  sources = {'bert': published / 'bert_model.ckpt', 'albert': albert / 'model.ckpt-best'}
  # Two processes, at once: both tools define the same flags.
  running = {
      kind: subprocess.Popen(
          [sys.executable, '-c', _CONVERTER.format(kind=kind, name=kind.capitalize()),
           str(source.parent / f'{kind}_config.json'), str(source), str(tmp_path / kind / 'x')],
          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
      for kind, source in sources.items()}
  for kind, process in running.items():
    output = process.communicate(timeout=240)[0]
    assert process.returncode == 0, output
    pretrainers = [tiny.build_pretrainer(tiny.Size(type=kind, seed=seed), head=None)
                   for seed in (5, 6)]
    for pretrainer, path in zip(pretrainers, (tmp_path / kind / 'x-1', sources[kind])):
      items = {'encoder': pretrainer.encoder_network, 'masked_lm': pretrainer.masked_lm}
      assert restore(open_checkpoint(str(path)), items).complete
    converted, direct = (pretrainer.variables for pretrainer in pretrainers)
    for one, other in zip(converted, direct, strict=True):
      assert one.name == other.name
      np.testing.assert_array_equal(one, other)
    # Control: what comes from another file is another model.
    assert not compare(open_checkpoint(str(sources['albert' if kind == 'bert' else 'bert'])),
                       {'encoder': pretrainers[0].encoder_network}).complete
