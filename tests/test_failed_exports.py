"""Exports that are not put in place: a check that fails, parts of someone's own that fail; ram://."""

from __future__ import annotations

import gin
import numpy as np
import pytest

from nlp_export import files
from nlp_export.poolers import PoolerWeights
from tests import tiny
from tests.in_process import run_main, settings

EXPORT = 'gin/runs/export.gin'
MODEL = "('model',)"


def noisy_encoder():
  """Outputs that no export can repeat, from the second layer on."""
  import tensorflow as tf
  from official.nlp.modeling import networks

  class Noisy(networks.BertEncoderV2):

    def call(self, inputs):
      outputs = super().call(inputs)
      first, second = outputs['encoder_outputs']
      second += tf.random.normal(tf.shape(second))
      pooled = self._pooler_layer(second[:, 0])
      return {**outputs, 'encoder_outputs': [first, second], 'sequence_output': second,
              'pooled_output': pooled}

  size = tiny.Size()
  return Noisy(
      vocab_size=size.vocab_size, hidden_size=size.hidden_size, num_layers=size.num_layers,
      num_attention_heads=size.num_attention_heads, inner_dim=size.intermediate_size,
      max_sequence_length=size.max_position_embeddings, type_vocab_size=2)


def unlike_an_encoder():
  import tf_keras

  class Unlike(tf_keras.Model):

    def call(self, inputs):
      return inputs['input_mask']

  return Unlike()


def no_encoder():
  raise KeyError('hidden_size')


def raising_pooler(width):
  return width['a mistake']


def narrow_pooler(width):
  return PoolerWeights(np.zeros((width, 3)), np.zeros(width))


def too_large_pooler(width):
  return PoolerWeights(np.full((width, width), 1e300), np.zeros(width))


def wordy_pooler(width):
  return PoolerWeights([['a'] * width] * width, np.zeros(width))


def unrecordable_pooler(width):
  return PoolerWeights(np.eye(width), np.zeros(width), arguments={'scale': np.float32(1)})


def leaving_pooler(width):
  raise SystemExit(0)


def no_tokenizer():
  raise RuntimeError('the model is on another machine')


@pytest.fixture(scope='module', autouse=True)
def parts():
  """The functions above as gin parts, under names that are like no other."""
  for function in (noisy_encoder, unlike_an_encoder, no_encoder):
    gin.register(function, module='encoders')
  for function in (raising_pooler, narrow_pooler, too_large_pooler, wordy_pooler,
                   unrecordable_pooler, leaving_pooler):
    gin.register(function, module='poolers')
  gin.register(no_tokenizer, module='tokenizers')


@pytest.mark.conformance(108)
def test_a_failed_check_is_status_1_names_the_layer_and_leaves_no_export(tiny_uncased, tmp_path):
  out = tmp_path / 'out'
  done = run_main(EXPORT, *settings(**{
      **tiny_uncased, 'ENCODER_CONFIG': None, 'ENCODER': '@encoders.noisy_encoder',
      'EXPORT_TYPES': MODEL}), '--out_dir', out)
  assert done.status == 1, done.output
  assert 'encoder.equals_source: failed: layer 2 of 2: max difference ' in done.stderr
  assert done.stderr.endswith('No export was put in place.\n')
  assert sorted(path.name for path in out.iterdir()) == [
      'config.gin', 'log.txt', 'operative_config.gin', 'run.json']


HERE = f'{__file__}, line '


@pytest.mark.parametrize(('macros', 'found', 'last_clause'), [
    ({'POOLERS': '(@poolers.raising_pooler,)'},
     f"Pooler raising_pooler raised TypeError: 'int' object is not subscriptable ({HERE}",
     'Correct it there; --debug shows the traceback.'),
    ({'POOLERS': '(@poolers.narrow_pooler,)'}, 'returned kernel [16, 3] and bias [16]',
     'Return kernel [16, 16] and bias [16].'),
    ({'POOLERS': '(@poolers.too_large_pooler,)'}, 'NaN or infinite as float32',
     'Return finite ones.'),
    ({'POOLERS': '(@poolers.wordy_pooler,)'}, 'no array of real numbers',
     'Return numpy arrays of float32.'),
    ({'POOLERS': '(@poolers.unrecordable_pooler,)'}, 'which JSON cannot hold',
     'Return a dict of plain numbers, strings and lists.'),
    ({'ENCODER': '@encoders.no_encoder', 'ENCODER_CONFIG': None},
     f"The encoder factory no_encoder raised KeyError: 'hidden_size' ({HERE}",
     'Correct it there; --debug shows the traceback.'),
    ({'ENCODER': '@encoders.unlike_an_encoder', 'ENCODER_CONFIG': None},
     'returned (1, 3) for inputs of shape (1, 3)',
     'and pooled_output [batch, width] if it has a pooler.'),
    ({'TOKENIZER': '@tokenizers.no_tokenizer', 'VOCAB_FILE': None},
     f'raised RuntimeError: the model is on another machine ({HERE}',
     'Correct it there; --debug shows the traceback.'),
])
def test_parts_of_someone_s_own_that_fail_are_status_2(
    macros, found, last_clause, tiny_uncased, tmp_path):
  done = run_main(EXPORT, *settings(**{**tiny_uncased, 'EXPORT_TYPES': MODEL, **macros}),
                  '--out_dir', tmp_path / 'out')
  assert done.status == 2, done.output
  assert found in done.stderr
  assert done.stderr.rstrip().endswith(last_clause)
  assert list(tmp_path.iterdir()) == []


def test_a_part_that_calls_exit_does_not_pass_for_success(tiny_uncased, tmp_path):
  done = run_main(EXPORT, *settings(**tiny_uncased, EXPORT_TYPES=MODEL,
                                    POOLERS='(@poolers.leaving_pooler,)'),
                  '--out_dir', tmp_path / 'out')
  assert done.status == 70
  assert done.stderr.startswith('This was not foreseen: SystemExit')


@pytest.fixture
def remote_inputs(tiny_uncased):
  """The inputs on a file system that is not this machine's, or passes for one."""
  import tensorflow as tf

  for path in (tiny_uncased['CHECKPOINT'] + '.index', tiny_uncased['ENCODER_CONFIG'],
               tiny_uncased['CHECKPOINT'] + '.data-00000-of-00001', tiny_uncased['VOCAB_FILE']):
    tf.io.gfile.makedirs('ram://inputs')
    files.copy(path, f'ram://inputs/{files.basename(path)}')
  yield {name: f'ram://inputs/{files.basename(path)}' for name, path in tiny_uncased.items()}
  files.remove_tree('ram://inputs')
  if files.exists('ram://out'):
    files.remove_tree('ram://out')


def test_everything_on_a_remote_file_system(remote_inputs, tmp_path, monkeypatch):
  import tensorflow as tf

  copied: list[str] = []
  copy = files.copy

  def watched(source: str, destination: str) -> None:
    copied.append(destination)
    copy(source, destination)

  monkeypatch.setattr(files, 'copy', watched)
  arguments = [EXPORT, *settings(**remote_inputs, EXPORT_TYPES=MODEL), '--out_dir', 'ram://out/run']
  model = 'ram://out/run/exports/keep/model'
  marker = f'{model}/assets.extra/verification.json'
  # What a copy that was cut off has left: no marker.
  files.write_text(f'{model}/saved_model.pb', 'half')
  files.write_text(f'{model}/stray', 'half')
  refused = run_main(*arguments)
  assert refused.status == 2
  assert refused.stderr.endswith('Give an empty or a new directory.\n')
  files.remove_tree('ram://out')

  done = run_main(*arguments)
  assert done.status == 0, done.output
  assert [path for path in copied if path.startswith(model)][-1] == marker
  assert not any('.partial' in name for name in files.list_tree('ram://out'))
  assert files.read_json(marker)['passed']

  # A copy was cut off after the record had begun: the same command goes on.
  files.remove(marker)
  files.write_text(f'{model}/stray', 'half')
  again = run_main(*arguments)
  assert again.status == 0, again.output
  assert files.exists(marker) and not files.exists(f'{model}/stray')
  third = run_main(*arguments)
  assert third.stdout.endswith('holds this run already\n')
  for name in files.list_tree(model):
    if files.exists(f'{model}/{name}'):  # ram:// lists assets.extra as assets/.extra too.
      files.make_dirs(files.dirname(f'{tmp_path}/model/{name}'))
      files.copy(f'{model}/{name}', f'{tmp_path}/model/{name}')
  loaded = tf.saved_model.load(str(tmp_path / 'model'))
  assert loaded(tiny.encoder_inputs())['sequence_output'].shape == (3, 12, 16)
