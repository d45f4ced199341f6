"""gin/runs/export.gin from end to end: what lies in out_dir, and that it is the pretrainer."""

from __future__ import annotations

import filecmp
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from tests import in_process

POOLERS = ('(@poolers.keep, @poolers.copy_nsp, @second/poolers.random, @poolers.identity, '
           '@poolers.none)')
NAMES = ('keep', 'copy_nsp', 'second.random', 'identity', 'none')
TYPES = "('model', 'model_with_mlm', 'preprocessing')"


def settings(macros: dict[str, str], **more: str) -> list[str]:
  return [part for name, value in {**macros, **more}.items()
          for part in ('--set', f'{name}={value}')]


@pytest.fixture(scope='module')
def run_dir(run_py, tiny_uncased, tmp_path_factory):
  """out_dir of one run that asks for everything."""
  out = tmp_path_factory.mktemp('export') / 'run'
  done = run_py('gin/runs/export.gin', *settings(tiny_uncased, POOLERS=POOLERS, EXPORT_TYPES=TYPES,
                                                    DEFAULT_SEQ_LENGTH='32'),
                '--set', 'second/poolers.random.seed=3', '--out_dir', out)
  assert done.status == 0, done.output
  return out


def exports(run_dir):
  return [run_dir / 'exports' / name / kind for name in NAMES
          for kind in ('model', 'model_with_mlm')] + [run_dir / 'exports' / 'preprocessing']


def inputs_of(preprocessing):
  import tensorflow as tf

  return preprocessing(tf.constant(['the cat sat', 'a dog']), seq_length=tf.constant(10))


@pytest.fixture(scope='module')
def preprocessing(run_dir):
  import tensorflow as tf
  import tensorflow_text  # noqa: F401

  return tf.saved_model.load(str(run_dir / 'exports' / 'preprocessing'))


def test_out_dir_holds_what_the_contract_says(run_dir):
  assert {p.name for p in run_dir.iterdir()} == {
      'config.gin', 'operative_config.gin', 'run.json', 'log.txt', 'exports'}
  assert {p.name for p in (run_dir / 'exports').iterdir()} == {*NAMES, 'preprocessing'}
  for path in exports(run_dir):
    found = {str(p.relative_to(path)) for p in path.rglob('*') if p.is_file()}
    expected = {'saved_model.pb', 'fingerprint.pb', 'README.md', 'assets/uncased_vocab.txt',
                'variables/variables.index', 'variables/variables.data-00000-of-00001',
                'assets.extra/provenance.json', 'assets.extra/verification.json',
                'assets.extra/operative_config.gin'}
    if path.name != 'preprocessing':
      expected.add('assets.extra/restore.json')
    assert found == expected


@pytest.mark.conformance(95)
@pytest.mark.parametrize('name', NAMES)
def test_the_exports_equal_the_pretrainer_but_for_the_pooler(
    run_dir, name, preprocessing, tiny_pretrainer):
  import tensorflow as tf

  inputs = inputs_of(preprocessing)
  mlm_inputs = {**inputs, 'masked_lm_positions': tf.constant([[1, 2], [1, 1]])}
  expected = tiny_pretrainer(mlm_inputs)
  encoder = tf.saved_model.load(str(run_dir / 'exports' / name / 'model_with_mlm'))
  for outputs in (encoder(inputs), encoder.mlm(mlm_inputs)):
    np.testing.assert_allclose(
        outputs['sequence_output'], expected['sequence_output'], atol=1e-5)
  logits = encoder.mlm(mlm_inputs)['mlm_logits']
  np.testing.assert_allclose(logits, expected['mlm_logits'], atol=1e-5)
  assert not hasattr(tf.saved_model.load(str(run_dir / 'exports' / name / 'model')), 'mlm')


@pytest.mark.conformance(101, 102)
def test_each_pooler_is_the_one_asked_for(run_dir, preprocessing, tiny_pretrainer):
  import tensorflow as tf

  inputs, pooled = inputs_of(preprocessing), {}
  for name in NAMES:
    outputs = tf.saved_model.load(str(run_dir / 'exports' / name / 'model'))(inputs)
    assert ('pooled_output' in outputs) == (name != 'none')
    pooled[name] = outputs['default'].numpy()
  reference = tiny_pretrainer.encoder_network(inputs)
  cls = reference['sequence_output'][:, 0]
  head = tiny_pretrainer.classification_heads[0]
  np.testing.assert_allclose(pooled['keep'], reference['pooled_output'], atol=1e-5)
  np.testing.assert_allclose(pooled['copy_nsp'], np.tanh(head.dense(cls)) if
                             head.dense.activation is None else head.dense(cls), atol=1e-5)
  np.testing.assert_allclose(pooled['identity'], np.tanh(cls), atol=1e-5)
  np.testing.assert_allclose(pooled['none'], cls, atol=1e-5)
  for a, first in pooled.items():  # Control: no two are the same.
    assert all(a == b or not np.allclose(first, second, atol=1e-3) for b, second in pooled.items())


@pytest.mark.conformance(6)
def test_no_file_of_an_export_names_a_path(run_dir, tiny_uncased):
  secrets = [str(run_dir).encode(), *(value.encode() for value in tiny_uncased.values())]
  for path in exports(run_dir):
    for file in path.rglob('*'):
      if file.is_file():
        assert not any(secret in file.read_bytes() for secret in secrets), file
  assert any(secret in (run_dir / 'run.json').read_bytes() for secret in secrets)  # Control.


@pytest.mark.conformance(5, 11)
def test_a_second_run_gives_equal_bytes_and_needs_no_source(run_dir, run_py, tmp_path):
  done = run_py(run_dir / 'config.gin', '--out_dir', tmp_path / 'again')
  assert done.status == 0, done.output
  for first in exports(run_dir):
    second = tmp_path / 'again' / first.relative_to(run_dir)
    for file in first.rglob('*'):
      if file.is_file():
        assert filecmp.cmp(file, second / file.relative_to(first), shallow=False), file


def test_the_same_command_says_done_and_touches_nothing(run_dir, run_py, tiny_uncased):
  before = {p: p.stat().st_mtime_ns for p in run_dir.rglob('*')}
  done = run_py('gin/runs/export.gin', *settings(tiny_uncased, POOLERS=POOLERS, EXPORT_TYPES=TYPES,
                                                    DEFAULT_SEQ_LENGTH='32'),
                '--set', 'second/poolers.random.seed=3', '--out_dir', run_dir)
  assert done.status == 0 and 'done' in done.stdout
  assert before == {p: p.stat().st_mtime_ns for p in run_dir.rglob('*')}


def test_another_configuration_is_refused_with_the_difference(run_dir, run_py, tiny_uncased):
  done = run_py('gin/runs/export.gin', *settings(tiny_uncased, DEFAULT_SEQ_LENGTH='32'),
                '--out_dir', run_dir)
  assert done.status == 2
  assert '-EXPORT_TYPES' in done.output or '+EXPORT_TYPES' in done.output
  assert 'Traceback' not in done.output


def test_an_export_that_was_removed_is_made_again(run_dir, run_py, tmp_path):
  import shutil

  copy = tmp_path / 'copy'
  shutil.copytree(run_dir, copy)
  gone = copy / 'exports' / 'copy_nsp' / 'model'
  shutil.rmtree(gone)
  done = run_py(copy / 'config.gin', '--out_dir', copy)
  assert done.status == 0, done.output
  assert 'keep/model: done before' in done.stdout
  assert filecmp.cmp(gone / 'saved_model.pb',
                     run_dir / 'exports' / 'copy_nsp' / 'model' / 'saved_model.pb', shallow=False)


def test_provenance_names_files_by_hash_and_the_pooler(run_dir, tiny_uncased):
  import hashlib

  extra = run_dir / 'exports/second.random/model/assets.extra'
  record = json.loads((extra / 'provenance.json').read_text())
  assert record['pooler']['arguments'] == {'seed': 3, 'stddev': 0.02}
  assert record['pooler']['origin'].endswith('seed 3.')
  index = tiny_uncased['CHECKPOINT'] + '.index'
  with open(index, 'rb') as f:
    digest = hashlib.sha256(f.read()).hexdigest()
  assert record['checkpoint']['files'][index.rpartition('/')[2]] == digest


def test_the_restore_report_tells_the_unused_head_apart(run_dir):
  restore = json.loads((run_dir / 'exports/keep/model/assets.extra/restore.json').read_text())
  assert restore['complete'] and not restore['missing'] and not restore['unused']['unexplained']
  assert any('next_sentence' in key for key in restore['unused']['heads'])


@pytest.mark.parametrize('path', ['keep/model_with_mlm', 'none/model', 'preprocessing'])
def test_the_card_s_snippet_runs(run_dir, path):
  card = (run_dir / 'exports' / path / 'README.md').read_text()
  snippet = re.search(r'```python\n(.*?)```', card, re.DOTALL)
  assert snippet
  # The reader has TensorFlow, tensorflow_text and what they need; the rest is barred.
  places = ('import sys\n'
            'sys.modules |= dict.fromkeys('
            "('jax', 'matplotlib', 'nlp_export', 'official', 'pandas', 'scipy', 'sklearn'))\n"
            f"MODEL = {str(run_dir / 'exports' / path)!r}\n"
            f"PREPROCESSING = {str(run_dir / 'exports' / 'preprocessing')!r}\n")
  done = subprocess.run([sys.executable, '-c', places + snippet[1]], capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  comment = re.search(r'\.shape\)  # (\(.*\))', snippet[1])
  assert comment and comment[1] in done.stdout
  assert '{{' not in card and 'None' not in card


def test_the_masked_lm_activation_is_the_pretrainer_s_own(tiny_uncased, tmp_path):
  out = tmp_path / 'relu'
  done = in_process.run_main(
      'gin/runs/export.gin', *settings(tiny_uncased, EXPORT_TYPES="('model_with_mlm',)"),
      '--set', "export.mlm_activation='relu'", '--out_dir', out)
  assert done.status == 0, done.output
  card = (out / 'exports/keep/model_with_mlm/README.md').read_text()
  assert '**Masked-LM activation:** relu' in card


def test_preprocessing_alone_needs_no_checkpoint(tiny_vocab_cased, tmp_path):
  done = in_process.run_main(
      'gin/runs/export.gin', '--set', "EXPORT_TYPES=('preprocessing',)", '--set',
      f'VOCAB_FILE={tiny_vocab_cased}', '--out_dir', tmp_path / 'out')
  assert done.status == 0, done.output
  assert 'do_lower_case = False (not given; guessed' in done.stdout


def test_an_albert_with_sentencepiece_and_a_head_of_another_name(tmp_path):
  """Everything that differs from BERT at once: shared block, narrow embeddings, no vocabulary."""
  import sentencepiece
  import tensorflow as tf
  import tensorflow_text  # noqa: F401

  from tests import sentencepiece_model, tiny

  model = tmp_path / 'pieces.model'
  model.write_bytes(sentencepiece_model.sentencepiece_model())
  pieces = sentencepiece.SentencePieceProcessor(model_file=str(model)).get_piece_size()
  size = tiny.Size(type='albert', vocab_size=pieces, embedding_size=8)
  pretrainer = tiny.build_pretrainer(size, head='sop', mlm_activation='relu')
  macros = {
      'CHECKPOINT': tiny.write_checkpoint(tmp_path / 'albert', pretrainer),
      'ENCODER_CONFIG': tiny.write_encoder_config(tmp_path / 'albert.yaml', size),
      'SP_MODEL_FILE': str(model), 'DO_LOWER_CASE': 'True', 'DEFAULT_SEQ_LENGTH': '32',
      'EXPORT_TYPES': TYPES, 'POOLERS': '(@poolers.copy_nsp, @poolers.identity)'}
  out = tmp_path / 'out'
  refused = in_process.run_main('gin/runs/export.gin', *settings(macros), '--out_dir', out)
  assert refused.status == 2 and "next_sentence = 'sop'" in refused.output  # Control.
  assert not out.exists()
  done = in_process.run_main(
      'gin/runs/export.gin', *settings(macros), '--set', 'checkpoint_items.next_sentence=sop',
      '--set', "export.mlm_activation='relu'", '--out_dir', out)
  assert done.status == 0, done.output
  preprocessing = tf.saved_model.load(str(out / 'exports/preprocessing'))
  inputs = preprocessing(tf.constant(['the cat', 'a dog']))
  mlm_inputs = {**inputs, 'masked_lm_positions': tf.constant([[1], [2]])}
  expected = pretrainer(mlm_inputs)
  encoder = tf.saved_model.load(str(out / 'exports/copy_nsp/model_with_mlm'))
  outputs = encoder.mlm(mlm_inputs)
  for name in ('sequence_output', 'mlm_logits'):
    np.testing.assert_allclose(outputs[name], expected[name], atol=1e-5)
  head = pretrainer.classification_heads[0]
  pooled = head.dense(expected['sequence_output'][:, 0])
  np.testing.assert_allclose(encoder(inputs)['pooled_output'], pooled, atol=1e-5)
  assert not np.allclose(expected['pooled_output'], pooled, atol=1e-3)  # Control.
  assert len(encoder.trainable_variables) == 25
  assert not hasattr(encoder, 'vocab_file') and not hasattr(encoder, 'do_lower_case')
