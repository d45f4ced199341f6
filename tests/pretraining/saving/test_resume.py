"""A run goes on from the newest checkpoint that can be read, and never silently from nothing."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from pathlib import Path

import pytest

from nlp_export.checkpoints import orbax
from nlp_export.checkpoints import orbax_layout as layout
from nlp_export.checkpoints.orbax_arrays import DamagedCheckpoint
from nlp_export.errors import RequestError
from nlp_export.pretraining.saving import resume, roots
from tests.pretraining.saving import saving_lab as lab


@pytest.fixture(scope='module')
def whole(tmp_path_factory) -> str:
  return lab.write(tmp_path_factory.mktemp('whole') / 'checkpoints', 1, 2, 3)


@pytest.fixture
def root(whole, tmp_path) -> str:
  """Steps 1 to 3, to be damaged."""
  return shutil.copytree(whole, str(tmp_path / 'checkpoints'))


def cut(step: Path) -> None:
  file = lab.largest_file(step / 'encoder')
  os.truncate(file, file.stat().st_size // 2)


def flip(step: Path) -> None:
  """One bit of the data."""
  file = lab.largest_file(step / 'encoder')
  data = bytearray(file.read_bytes())
  data[data.index(lab.arrays(3)['encoder']['layer']['0']['kernel'].tobytes()) + 5] ^= 1
  file.write_bytes(data)


DAMAGES = {
    'a file was cut short': (cut, 'its item encoder was cut short or damaged'),
    'one bit has flipped': (flip, 'does not have the checksum'),
    'the optimizer was removed':
        (lambda step: shutil.rmtree(step / 'optimizer'), 'optimizer/_METADATA is missing'),
    'progress was cut short':
        (lambda step: os.truncate(step / 'progress/metadata', 9), 'its item progress was cut'),
    'progress is of another step':
        (lambda step: shutil.copy(step.parent / '1/progress/metadata', step / 'progress/metadata'),
         'it is of step 1'),
    'the checksums were removed':
        (lambda step: os.remove(step / 'metadata/checksums.json'), 'checksums.json is missing'),
    'the checksums were cut short':
        (lambda step: os.truncate(step / 'metadata/checksums.json', 9),
         'its item metadata was cut'),
    'the vocabulary was changed':
        (lambda step: (step / 'metadata/vocab.txt').write_text('[UNK]\n'),
         'vocab.txt is not what was saved'),
    'the configuration was removed':
        (lambda step: os.remove(step / 'metadata/encoder.yaml'),
         'metadata/encoder.yaml is missing'),
    'it is not marked as finished':
        (lambda step: os.remove(step / layout.STEP_FILE), '_CHECKPOINT_METADATA is missing'),
    'it is empty': (lambda step: (shutil.rmtree(step), os.mkdir(step)), 'METADATA is missing'),
}


def test_a_whole_directory_is_read_and_left_alone(root):
  resumed = resume.newest_readable(root, lab.METADATA)
  lab.assert_is(resumed.stored, 3)
  assert resumed.notes == () and resumed.stored.name == 'checkpoint 3'
  assert resumed.stored.metadata == lab.METADATA.to_json()
  assert lab.names_in(root) == ['1', '2', '3']


@pytest.mark.parametrize('damage', DAMAGES)
def test_a_damaged_newest_is_set_aside_and_the_one_before_taken(root, damage):
  inflict, words = DAMAGES[damage]
  inflict(Path(root) / '3')
  resumed = resume.newest_readable(root, lab.METADATA)
  lab.assert_is(resumed.stored, 2)
  [note] = resumed.notes
  assert note.startswith(
      'checkpoint 3 cannot be read and is set aside as 3.damaged: going on from 2. What was found:')
  assert words in note and not re.search('Copy|or name', note)  # The cure is done.
  assert lab.names_in(root) == ['1', '2', '3.damaged']


def test_after_that_the_same_step_can_be_saved_again(root):
  cut(Path(root) / '3')
  resume.newest_readable(root)
  lab.write(root, 3)
  cut(Path(root) / '3')
  assert '3.damaged-2' in resume.newest_readable(root).notes[0]
  lab.write(root, 3)
  assert lab.names_in(root) == ['1', '2', '3', '3.damaged', '3.damaged-2']
  lab.assert_is(resume.newest_readable(root).stored, 3)


def test_an_export_refuses_a_changed_vocabulary(root):
  step = Path(root, '3')
  assert orbax.brought_along(str(step)).vocab_file == str(step / 'metadata/vocab.txt')
  (step / 'metadata/vocab.txt').write_text('[PAD]\n[UNK]\n')
  with pytest.raises(DamagedCheckpoint) as raised:
    orbax.brought_along(str(step))
  assert raised.value.message.endswith('Copy its files again, or name 2.')


def test_several_damaged_ones_are_set_aside(root):
  cut(Path(root) / '3')
  shutil.rmtree(Path(root) / '2/state')
  resumed = resume.newest_readable(root)
  lab.assert_is(resumed.stored, 1)
  assert [note.partition(' cannot')[0] for note in resumed.notes] == [
      'checkpoint 3', 'checkpoint 2']
  assert lab.names_in(root) == ['1', '2.damaged', '3.damaged']


def test_in_the_directory_of_another_run_nothing_is_changed(root):
  cut(Path(root) / '3')
  resumed = resume.newest_readable(root, lab.METADATA, set_aside=False)
  lab.assert_is(resumed.stored, 2)
  assert resumed.notes[0].startswith('checkpoint 3 cannot be read: going on from 2. ')
  assert lab.names_in(root) == ['1', '2', '3']


def test_old_damage_is_no_matter(root):
  shutil.rmtree(Path(root) / '1/encoder')  # As a deletion leaves it that was killed.
  assert resume.newest_readable(root).notes == ()
  lab.write(root, 4, 5, keep_last=2)  # And the writer gets rid of it.
  assert lab.names_in(root) == ['4', '5']


def test_if_all_are_damaged_nothing_is_started_anew(root):
  for step in ('1', '2', '3'):
    cut(Path(root) / step)
  with pytest.raises(RequestError) as raised:
    resume.newest_readable(root)
  message = raised.value.message
  assert message.endswith(
      'Nothing was changed. Bring back a copy of one of them, or give another --out_dir to start '
      'anew.')
  assert re.findall(r'^  (\d): its item encoder was cut short', message, re.M) == ['3', '2', '1']
  assert lab.names_in(root) == ['1', '2', '3']


def test_without_a_finished_checkpoint_a_run_begins_and_says_so(tmp_path):
  root = tmp_path / 'checkpoints'
  for _ in range(2):  # Not there, and empty.
    resumed = resume.newest_readable(str(root))
    assert resumed.stored is None and resumed.notes == ()
    root.mkdir(exist_ok=True)
  (root / f'100{layout.UNFINISHED}').mkdir()
  resumed = resume.newest_readable(str(root))
  assert resumed.stored is None
  assert resumed.notes == (
      'no checkpoint was finished yet (100 was being written): starting from the beginning',)


def test_another_configuration_is_refused_with_what_changed(root):
  now = dataclasses.replace(lab.METADATA, configuration={
      'encoder': {'hidden_size': 32, 'num_layers': 2}, 'recipe': {'learning_rate': 2e-4}})
  cut(Path(root) / '3')
  with pytest.raises(RequestError) as raised:
    resume.newest_readable(root, now)
  assert raised.value.message == (
      f'{root} holds checkpoints (the newest: 2) of a run with another configuration:\n'
      '  encoder.hidden_size: 16 there, 32 now\n'
      '  recipe.learning_rate: 0.0001 there, 0.0002 now\n'
      'Going on would mix the two. Set them back to go on from step 2, or start a new run from its '
      f'weights: --set INITIAL_CHECKPOINT={root} --out_dir ANOTHER_DIR.')
  assert lab.names_in(root) == ['1', '2', '3']  # Refused before anything is set aside.


def test_another_environment_is_said(root):
  now = dataclasses.replace(lab.METADATA, environment={'threads': {'inter_op': 2}})
  [note] = resume.newest_readable(root, now).notes
  assert note == (
      'checkpoint 3 was written elsewhere (threads.inter_op: 1 there, 2 now): going on from it, '
      'but not bit-identically to a run without this change')


def test_others_read_the_step_that_the_first_process_chose(root):
  lab.assert_is(resume.read_step(root, 2), 2)
  with pytest.raises(DamagedCheckpoint, match='_CHECKPOINT_METADATA is missing'):
    resume.read_step(root, 7)


def something_else(kind: str, root: Path, whole: str) -> None:
  root.mkdir()
  if kind == 'photos':
    for name in ('a.jpg', 'b.jpg'):
      (root / name).write_text('x')
  elif kind == 'TF2 checkpoints':
    for name in ('checkpoint', 'ckpt-1.index', 'ckpt-1.data-00000-of-00001'):
      (root / name).write_text('x')
  elif kind == "another program's steps":
    shutil.copytree(f'{whole}/1/encoder', root / '1/params')
    shutil.copy(f'{whole}/1/{layout.STEP_FILE}', root / '1')
  else:
    root.rmdir()
    root.write_text('x')


@pytest.mark.parametrize('kind, words', {
    'photos': 'holds a.jpg, b.jpg. Checkpoints need one of their own, where old ones can be '
              'deleted. Name another --out_dir.',
    'TF2 checkpoints': 'Name another --out_dir.',
    "another program's steps": '1 has the items params. Name another --out_dir.',
    'a file': 'it is a file. Name a directory of their own.',
}.items())
def test_a_directory_of_something_else_is_refused_by_reader_and_writer(
    tmp_path, whole, kind, words):
  root = tmp_path / 'checkpoints'
  something_else(kind, root, whole)
  before = lab.names_in(root) if root.is_dir() else None
  for attempt in (resume.newest_readable, lab.open_writer):
    with pytest.raises(RequestError) as raised:
      attempt(str(root))
    assert raised.value.message.endswith(words)
  assert (lab.names_in(root) if root.is_dir() else None) == before


def test_files_beside_our_steps_are_no_matter(root):
  (Path(root) / 'notes.txt').write_text('mine')
  assert roots.look(root).steps == (3, 2, 1)
  assert resume.newest_readable(root).stored.step == 3
