"""Which step a path means, and what damaged, unfinished and other directories are told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nlp_export import files
from nlp_export.checkpoints import find_checkpoint, open_checkpoint, orbax_arrays, restore
from nlp_export.checkpoints import orbax_layout as layout
from nlp_export.errors import RequestError
from tests.checkpoints import orbax_written


def refusal(path, encoder=None) -> str:
  with pytest.raises(RequestError) as caught:
    opened = open_checkpoint(str(path))
    if encoder is not None:
      restore(opened, {'encoder': encoder})
  return str(caught.value)


@pytest.mark.conformance(97)
@pytest.mark.parametrize('part, note', [
    ('', '1000 is the newest step of checkpoints.'),
    ('1000', None),
    ('500', None),
    ('1000/encoder', '1000 was taken for its item encoder.'),
    ('500/optimizer', '500 was taken for its item optimizer.'),
    ('1000/_CHECKPOINT_METADATA', '1000 was taken for its file _CHECKPOINT_METADATA.'),
    ('1000/metadata/vocab.txt', '1000 was taken for its file vocab.txt.'),
    ('1000/encoder/manifest.ocdbt', '1000 was taken for its file manifest.ocdbt.'),
])
def test_a_path_means_a_step(orbax_root, part, note):
  found = find_checkpoint(str(orbax_root / part))
  assert found.path == str(orbax_root / (part.partition('/')[0] or '1000'))
  assert found.notes == ((note,) if note else ())


def test_a_relative_path(orbax_root, monkeypatch):
  monkeypatch.chdir(orbax_root.parent)
  opened = open_checkpoint('checkpoints')
  assert opened.path == 'checkpoints/1000'
  assert opened.dense('next_sentence.pooler_dense')[0].shape == (16, 16)


def test_steps_may_have_a_prefix_and_other_things_lie_beside(orbax_copy):
  (orbax_copy / '1000').rename(orbax_copy / 'step_1000')
  (orbax_copy / '2000').mkdir()  # What is left of a removed step.
  (orbax_copy / '3000.orbax-checkpoint-tmp').mkdir()
  shutil.copytree(orbax_copy / '500', orbax_copy / '4000.damaged')
  (orbax_copy / 'notes.txt').write_text('hello')
  assert layout.steps(str(orbax_copy)) == {
      500: str(orbax_copy / '500'), 1000: str(orbax_copy / 'step_1000')}
  found = find_checkpoint(str(orbax_copy))
  assert (found.name, found.notes) == (
      'step 1000', ('step_1000 is the newest step of checkpoints.',))


@pytest.mark.parametrize('lost', [
    'encoder/manifest.ocdbt', 'encoder/_METADATA', 'masked_lm', 'next_sentence.pooler_dense',
    'metadata/metadata'])
def test_a_step_that_is_not_whole_is_passed_over_and_said(orbax_copy, lost):
  path = orbax_copy / '1000' / lost
  shutil.rmtree(path) if path.is_dir() else path.unlink()
  found = find_checkpoint(str(orbax_copy))
  assert (found.path, found.notes) == (str(orbax_copy / '500'), (
      f'1000 is incomplete ({lost} is missing) and was passed over.',
      '500 is the newest whole step of checkpoints.'))
  # Asked for by its name, or the only one, it is refused.
  assert refusal(orbax_copy / '1000').endswith(
      f'{orbax_copy}/1000: it is incomplete, {lost} is missing. Copy it again with all of its '
      'files, or name 500.')
  shutil.rmtree(orbax_copy / '500')
  assert refusal(orbax_copy).endswith(
      f'{lost} is missing. Copy it again with all of its files, or name another checkpoint.')


def test_a_step_without_its_mark_is_read_when_named(orbax_copy):
  (orbax_copy / '1000' / '_CHECKPOINT_METADATA').unlink()
  assert find_checkpoint(str(orbax_copy)).name == 'step 500'
  assert open_checkpoint(str(orbax_copy / '1000')).items()[0] == 'encoder'
  (orbax_copy / '500' / '_CHECKPOINT_METADATA').write_text('{"item_')  # Cut short.
  assert find_checkpoint(str(orbax_copy)).name == 'step 500'


@pytest.mark.parametrize('keep', [0, 0.5])
def test_data_that_was_cut_short(orbax_copy, target, keep):
  file = orbax_written.largest_file(orbax_copy / '1000' / 'encoder')
  file.write_bytes(file.read_bytes()[: int(keep * file.stat().st_size)])
  message = refusal(orbax_copy, target('bert').encoder_network)
  assert f'{orbax_copy}/1000: its item encoder was cut short or damaged (' in message
  assert message.endswith('Copy its files again, or name 500.')


@pytest.mark.parametrize('name', ['encoder/_METADATA', 'encoder/manifest.ocdbt',
                                  'metadata/checksums.json', 'metadata/metadata'])
def test_small_files_that_were_cut_short(orbax_copy, target, name):
  file = orbax_copy / '1000' / name
  file.write_bytes(file.read_bytes()[:-5])
  assert refusal(orbax_copy, target('bert').encoder_network).endswith(
      'Copy its files again, or name 500.')
  file.write_text('[]')  # JSON of something else.
  assert refusal(orbax_copy / '1000', target('bert').encoder_network).endswith(
      'Copy its files again, or name 500.')


def test_a_flipped_bit_is_noticed_by_the_checksum(orbax_copy, target, sources):
  value = sources('bert').encoder_network.get_embedding_table().numpy().tobytes()
  file = next(f for f in (orbax_copy / '1000' / 'encoder').rglob('*')
              if f.is_file() and value in f.read_bytes())
  data = bytearray(file.read_bytes())
  data[data.find(value) + 10] ^= 1
  file.write_bytes(data)
  message = refusal(orbax_copy, target('bert').encoder_network)
  assert f'{layout.ENCODER_TABLE} does not have the checksum that was saved with it' in message
  assert message.endswith('Copy its files again, or name 500.')
  # Control: without checksums it is read as another value, and nobody would know.
  (orbax_copy / '1000' / 'metadata' / 'checksums.json').unlink()
  encoder = target('bert').encoder_network
  restore(open_checkpoint(str(orbax_copy)), {'encoder': encoder})
  assert encoder.get_embedding_table().numpy().tobytes() != value


def test_a_step_that_is_not_there_names_the_nearest(orbax_root):
  root = orbax_root
  assert refusal(root / '900').endswith(
      f'There is no step 900 in {root}, which holds 2 (the nearest: 500, 1000). Name one of them, '
      f'or {root} for the newest.')
  assert refusal(root / 'last').endswith(f'Name one of them, or {root} for the newest.')


def test_a_save_that_was_never_finished(orbax_copy):
  unfinished = orbax_copy / '1000.orbax-checkpoint-tmp-17'
  (orbax_copy / '1000').rename(unfinished)
  assert find_checkpoint(str(orbax_copy)).name == 'step 500'
  for path in (unfinished, unfinished / '_CHECKPOINT_METADATA'):
    message = refusal(path)
    assert 'it was never finished' in message
    assert message.endswith('Wait for it, or name 500.')
  shutil.rmtree(orbax_copy / '500')
  message = refusal(orbax_copy)
  assert 'the only save there was never finished' in message
  assert message.endswith('Wait for it, or name another checkpoint.')


def test_directories_around_and_of_something_else(orbax_copy, tmp_path):
  assert refusal(tmp_path).endswith(
      f'Name the directory that holds the steps: {orbax_copy}.')
  removed = tmp_path / 'removed'
  (removed / '50').mkdir(parents=True)
  assert refusal(removed).endswith(
      'They are what is left of removed steps, or of something else. Name the directory that holds '
      'the steps.')
  (removed / 'notes.txt').write_text('x')
  assert refusal(removed).endswith('or a Hugging Face directory with config.json and '
                                   'model.safetensors.')


def test_arrays_without_a_step_around_them(orbax_root, tmp_path):
  item = Path(shutil.copytree(orbax_root / '1000' / 'encoder', tmp_path / 'tree'))
  assert refusal(item).endswith(
      'CheckpointManager(ROOT).save(0, args=args.Composite(encoder=args.StandardSave(TREE))).')


def test_two_formats_in_one_directory(orbax_copy, form):
  for end in ('.index', '.data-00000-of-00001'):
    shutil.copy(form('bert', 'items') + end, orbax_copy / f'ckpt-7{end}')
  assert refusal(orbax_copy).endswith(
      'it holds steps 500, 1000 that Orbax wrote and TensorFlow checkpoints. Give the path of one '
      'of them.')
  assert find_checkpoint(str(orbax_copy / '1000')).kind == 'Orbax'
  assert find_checkpoint(str(orbax_copy / 'ckpt')).kind == 'TF2'


def test_remote_steps_need_the_mark_that_is_written_last(orbax_root):
  """On object stores nothing is renamed. Values are read from local disks and gs:// only."""
  root = 'ram://orbax/checkpoints'
  for step in ('500', '1000'):
    files.copy_tree(str(orbax_root / step), f'{root}/{step}')
  try:
    files.remove(f'{root}/1000/{layout.COMMIT_FILE}')
    found = find_checkpoint(root)
    assert (found.path, found.vocab_file) == (f'{root}/500', f'{root}/500/metadata/vocab.txt')
    assert refusal(root).endswith('Copy the step to a local directory and name that.')
  finally:
    files.remove_tree('ram://orbax')
  tree = json.loads((orbax_root / '1000' / 'encoder' / '_METADATA').read_text())
  spec = orbax_arrays._spec('gs://bucket/run/1000/encoder', tree, ('a', 'b'))
  assert spec['kvstore'] == {'driver': 'ocdbt', 'path': 'a.b/', 'base': {
      'driver': 'gcs', 'bucket': 'bucket', 'path': 'run/1000/encoder/'}}


def test_values_that_are_read_together(orbax_root, sources):
  """What a resume does."""
  step = str(orbax_root / '1000')
  sums = orbax_arrays.read_checksums(step)
  optimizer = orbax_arrays.read_arrays(f'{step}/optimizer', sums['optimizer'])
  assert optimizer['iterations'] == 7 and optimizer['iterations'].dtype == np.int64
  np.testing.assert_array_equal(
      optimizer['slots/m/encoder/_pooler_layer/kernel'],
      sources('bert').encoder_network.get_layer('pooler_transform').kernel)
