"""Which checkpoint a path means; what is missing, damaged or of another format is refused."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from nlp_export.checkpoints import find_checkpoint, open_checkpoint
from nlp_export.errors import RequestError
from nlp_export.tokenization import hf_settings


@pytest.fixture
def put(form, tmp_path):
  """A function: base name -> copies a whole checkpoint under that name into tmp_path."""

  def copy(name: str, directory: Path = tmp_path) -> Path:
    prefix = form('bert', 'items')
    directory.mkdir(exist_ok=True)
    for end in ('.index', '.data-00000-of-00001'):
      shutil.copy(prefix + end, directory / (name + end))
    return directory / name

  return copy


def refusal(path, item_names=None) -> str:
  with pytest.raises(RequestError) as caught:
    open_checkpoint(str(path), item_names)
  return str(caught.value)


@pytest.mark.conformance(97)
def test_a_prefix_and_its_files_name_it(put):
  prefix = put('ckpt-7')
  assert open_checkpoint(str(prefix)).notes == ()
  assert open_checkpoint(f'{prefix}.index').path == str(prefix)
  assert open_checkpoint(f'{prefix}.data-00000-of-00001').notes == (
      'ckpt-7 was taken for its file ckpt-7.data-00000-of-00001.',)
  assert [Path(f).name for f in open_checkpoint(str(prefix)).files] == [
      'ckpt-7.index', 'ckpt-7.data-00000-of-00001']


@pytest.mark.conformance(97)
def test_a_name_without_its_number_is_resolved_if_there_is_one(put):
  prefix = put('ckpt-7')
  put('ckpt-best')  # No number: another name.
  found = open_checkpoint(str(prefix)[:-2])
  assert found.path == str(prefix)
  assert found.notes == ('ckpt-7 was taken for ckpt.',)
  put('ckpt-12')
  assert refusal(str(prefix)[:-2]).endswith(
      'but there are ckpt-7, ckpt-12 (tf.train.Checkpoint.save adds a number). Name one of them.')


@pytest.mark.conformance(97)
def test_a_directory_means_its_latest(put, tmp_path):
  put('ckpt-9')
  assert open_checkpoint(str(tmp_path)).notes == (f'ckpt-9 is the only one of {tmp_path.name}.',)
  put('ckpt-10')
  assert refusal(tmp_path).endswith('Name one of ckpt-9, ckpt-10.')
  # As tf.train writes it: the latest need not have the highest number.
  (tmp_path / 'checkpoint').write_text(
      'model_checkpoint_path: "ckpt-9"\nall_model_checkpoint_paths: "ckpt-10"\n')
  found = open_checkpoint(str(tmp_path))
  assert (Path(found.path).name, found.notes) == (
      'ckpt-9', (f'ckpt-9 is the latest of {tmp_path.name}.',))
  assert open_checkpoint(str(tmp_path / 'checkpoint')).path == found.path
  # A directory that was moved: its file holds the paths of another machine.
  (tmp_path / 'checkpoint').write_text('model_checkpoint_path: "/elsewhere/run/ckpt-10"\n')
  assert Path(open_checkpoint(str(tmp_path)).path).name == 'ckpt-10'
  (tmp_path / 'checkpoint').write_text('model_checkpoint_path: "ckpt-11"\n')
  assert refusal(tmp_path).endswith(
      "'ckpt-11' as the latest checkpoint, but it is not in the directory. Name one of ckpt-9, "
      'ckpt-10.')
  (tmp_path / 'checkpoint').write_text('nothing\n')
  assert refusal(tmp_path).endswith('Name one of ckpt-9, ckpt-10.')


def test_a_checkpoint_managers_directory(sources, tmp_path):
  import tensorflow as tf

  step = tf.Variable(0, dtype=tf.int64)
  checkpoint = tf.train.Checkpoint(encoder=sources('bert').encoder_network, global_step=step)
  manager = tf.train.CheckpointManager(checkpoint, str(tmp_path / 'run'), max_to_keep=2)
  for number in (1, 2, 3):
    step.assign(number)
    manager.save()
  shutil.move(tmp_path / 'run', tmp_path / 'moved')
  found = open_checkpoint(str(tmp_path / 'moved'))
  steps = [t for t in found.tensors if t.key.startswith('global_step/')]
  assert (found.name, int(steps[0].read())) == ('ckpt-3', 3)


def test_a_prefix_comes_before_a_directory_of_its_name(put, tmp_path):
  prefix = put('bert')
  put('other', tmp_path / 'bert')
  assert open_checkpoint(str(prefix)).path == str(prefix)
  assert open_checkpoint(f'{prefix}/').name == 'other'


def test_no_such_checkpoint_names_the_nearest(put, tmp_path):
  put('bert_tiny-1000')
  put('electra-7')
  message = refusal(tmp_path / 'bert_tony-1000')
  assert message.endswith(f'The nearest in {tmp_path}: bert_tiny-1000. Correct CHECKPOINT.')
  assert refusal(tmp_path / 'no' / 'ckpt').endswith(
      f'there is no directory {tmp_path}/no. Correct CHECKPOINT.')
  (tmp_path / 'void').mkdir()
  assert refusal(tmp_path / 'void' / 'ckpt').endswith('void is empty. Correct CHECKPOINT.')
  assert refusal('').endswith('Set CHECKPOINT to a prefix or a directory.')


def test_an_empty_directory_and_one_of_something_else(tmp_path):
  wanted = ('Name a directory or a prefix that tf.train.Checkpoint wrote, a directory of steps '
            'that Orbax wrote, or a Hugging Face directory with config.json and model.safetensors.')
  assert refusal(tmp_path).endswith(f'it holds nothing. {wanted}')
  (tmp_path / 'notes.txt').write_text('hello')
  assert refusal(tmp_path).endswith(f'it holds notes.txt. {wanted}')


def test_index_without_data_and_data_without_index(put, tmp_path):
  prefix = put('ckpt-1')
  data = tmp_path / 'ckpt-1.data-00000-of-00001'
  data.rename(tmp_path / 'kept')
  for path in (prefix, tmp_path, f'{prefix}.index'):
    assert refusal(path).endswith('A checkpoint is both: copy the data file too.')
  (tmp_path / 'kept').rename(data)
  (tmp_path / 'ckpt-1.index').unlink()
  for path in (prefix, tmp_path, data):
    assert refusal(path).endswith(
        'there is ckpt-1.data-00000-of-00001, but no ckpt-1.index. A checkpoint is both: copy the '
        'index too.')


def test_a_shard_that_is_missing(put, tmp_path):
  prefix = put('ckpt-1')
  (tmp_path / 'ckpt-1.data-00000-of-00001').rename(tmp_path / 'ckpt-1.data-00000-of-00002')
  assert refusal(prefix).endswith(
      'of its 2 data files ckpt-1.data-00001-of-00002 is not there. Copy the missing files too.')


@pytest.mark.parametrize('keep', [0, 100, 0.5, -1])
def test_a_data_file_that_was_cut_short(put, tmp_path, keep):
  prefix = put('ckpt-1')
  data = tmp_path / 'ckpt-1.data-00000-of-00001'
  whole = data.read_bytes()
  data.write_bytes(whole[: int(len(whole) * keep)] if isinstance(keep, float) else whole[:keep])
  assert refusal(prefix).endswith('Copy its files again or name another checkpoint.')


def test_an_index_that_is_none(put, tmp_path):
  prefix = put('ckpt-1')
  index = tmp_path / 'ckpt-1.index'
  index.write_bytes(index.read_bytes()[:-10])
  assert refusal(prefix).endswith(
      'it is not the index of a TensorFlow checkpoint, or it was cut short. Copy the file again or '
      'name another checkpoint.')


def test_changed_bytes_are_noticed(put, tmp_path, target):
  import tensorflow as tf

  from nlp_export.checkpoints import restore

  prefix = put('ckpt-1')
  data = tmp_path / 'ckpt-1.data-00000-of-00001'
  changed = bytearray(data.read_bytes())
  # Inside a weight of the encoder: where in the file that is differs from run to run.
  reader = tf.train.load_checkpoint(str(prefix))
  key = next(k for k in sorted(reader.get_variable_to_shape_map())
             if '_query_dense/kernel' in k or 'self_attention' in k or 'layer_with_weights' in k)
  position = changed.find(reader.get_tensor(key).tobytes())
  assert position >= 0
  changed[position] ^= 1
  data.write_bytes(changed)
  with pytest.raises(RequestError, match='Copy its files again or name another checkpoint.$'):
    restore(open_checkpoint(str(prefix)), {'encoder': target('bert').encoder_network})


def test_other_formats_are_told_apart_by_content(tmp_path):
  directory = tmp_path / 'hub'
  directory.mkdir()
  (directory / 'saved_model.pb').write_bytes(b'\x08\x01')
  wanted = ('it is a SavedModel. Give the checkpoint that it was made from, or check the '
            'SavedModel with gin/runs/verify.gin.')
  assert refusal(directory).endswith(wanted)
  assert refusal(directory / 'saved_model.pb').endswith(wanted)

  orbax = tmp_path / 'orbax'
  orbax.mkdir()
  (orbax / '_CHECKPOINT_METADATA').write_text('{}')
  assert refusal(orbax).endswith('all of its files, or name another checkpoint.')

  (tmp_path / 'some.txt').write_text('hello, this is a text')
  assert refusal(tmp_path / 'some.txt').endswith(
      'Name a prefix that tf.train.Checkpoint wrote, or a Hugging Face directory.')


@pytest.mark.parametrize('kind', ['pickle', 'torch', 'hdf5'])
@pytest.mark.parametrize('name', ['pytorch_model.bin', 'weights'])  # Never by name.
def test_a_pickle_is_refused_unread_with_the_way_to_convert_it(tmp_path, kind, name):
  directory = tmp_path / 'bert'
  directory.mkdir()
  path = directory / name
  if kind == 'pickle':
    path.write_bytes(pickle.dumps({'a': 1}))
  elif kind == 'torch':
    with zipfile.ZipFile(path, 'w') as archive:
      archive.writestr('archive/data.pkl', b'\x80\x02.')
  else:
    path.write_bytes(b'\x89HDF\r\n\x1a\n' + bytes(100))
  (directory / 'config.json').write_text(json.dumps({'model_type': 'bert'}))
  for asked in (directory, path):
    message = refusal(asked)
    assert message.endswith(
        f"A.from_pretrained('{directory}').save_pretrained('{directory}_safetensors')\"")
    assert ('HDF5' if kind == 'hdf5' else 'which can run any code when it is read') in message


def test_two_formats_in_one_directory(put, tmp_path, minilm_dir):
  put('ckpt-1')
  shutil.copy(Path(minilm_dir) / 'config.json', tmp_path)
  (tmp_path / 'model.safetensors').write_bytes(b'')
  assert refusal(tmp_path).endswith('Give the prefix of one or the path of that file.')
  assert open_checkpoint(str(tmp_path / 'ckpt-1')).format == 'TF2 object graph'


def test_finding_needs_no_tensorflow(put, minilm_dir):
  prefix = put('ckpt-7')
  code = (
      'import sys\nfrom nlp_export.checkpoints import find_checkpoint, restore\n'
      'for path in sys.argv[1:]:\n  print(len(find_checkpoint(path).files))\n'
      'assert "tensorflow" not in sys.modules and "safetensors" not in sys.modules')
  done = subprocess.run([sys.executable, '-c', code, str(prefix), minilm_dir],
                        capture_output=True, text=True, check=False)
  # config.json, the weights, and what decides about ids.
  of_minilm = 2 + len(hf_settings.files_of(minilm_dir))
  assert (done.stdout.split(), done.stderr) == (['2', str(of_minilm)], '')


def test_found_and_opened_agree(put, minilm_dir):
  for path in (str(put('ckpt-7')), minilm_dir):
    found, opened = find_checkpoint(path), open_checkpoint(path)
    assert found.files == opened.files
    assert (found.encoder_config, found.vocab_file) == (opened.encoder_config, opened.vocab_file)


def test_names_that_are_not_in_the_file(form):
  assert refusal(form('bert', 'items'), {'next_sentence': 'sop'}).endswith(
      'has nothing of that name (it has: encoder, masked_lm, next_sentence.pooler_dense). Correct '
      'checkpoint_items.next_sentence.')
  # The usual names promise nothing: a checkpoint may lack a head.
  usual = {'encoder': 'encoder', 'masked_lm': 'masked_lm', 'next_sentence': 'next_sentence'}
  assert open_checkpoint(form('bert', 'encoder'), usual).items() == ('encoder',)
