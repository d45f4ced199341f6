"""nlp_export/files.py: reading, writing and staging, on a local disk and on ram://."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import uuid

import pytest

from nlp_export import files
from nlp_export.errors import RequestError


@pytest.fixture(params=['local', 'ram'])
def place(request, tmp_path):
  """An empty directory of each kind."""
  if request.param == 'local':
    return str(tmp_path / 'place')
  return f'ram://tests/{uuid.uuid4().hex}'


def test_bytes_text_and_json_come_back(place):
  files.write_bytes(files.join(place, 'sub', 'b'), b'\x00\xff')
  files.write_text(files.join(place, 't'), 'Zoë\r\n')
  files.write_json(files.join(place, 'j'), {'b': [1, None], 'a': 'é'})
  assert files.read_bytes(files.join(place, 'sub', 'b')) == b'\x00\xff'
  assert files.read_text(files.join(place, 't')) == 'Zoë\r\n'
  assert files.read_json(files.join(place, 'j')) == {'a': 'é', 'b': [1, None]}
  assert files.size(files.join(place, 't')) == 6
  assert files.list_dir(place) == ['j', 'sub', 't']
  assert files.list_tree(place) == ['j', 'sub/b', 't']
  assert files.is_dir(files.join(place, 'sub')) and not files.is_dir(files.join(place, 't'))
  assert files.glob(files.join(place, '?')) == [files.join(place, 'j'), files.join(place, 't')]


def test_equal_json_values_give_equal_bytes_and_nan_is_refused(place):
  files.write_json(files.join(place, '1'), {'a': 1, 'b': 2})
  files.write_json(files.join(place, '2'), {'b': 2, 'a': 1})
  assert files.read_bytes(files.join(place, '1')) == files.read_bytes(files.join(place, '2'))
  with pytest.raises(ValueError, match='JSON compliant'):
    files.write_json(files.join(place, '3'), float('nan'))
  assert files.list_dir(place) == ['1', '2']


def test_a_write_replaces_the_whole_file_and_leaves_nothing_beside_it(place):
  path = files.join(place, 'f')
  files.write_text(path, 'long old text')
  files.write_text(path, 'new')
  assert files.read_text(path) == 'new'
  assert files.list_dir(place) == ['f']


def test_a_file_has_its_name_only_when_the_disk_has_its_bytes(tmp_path, monkeypatch):
  """Else a power cut may leave it empty."""
  done, sync, rename = [], os.fsync, os.replace

  def fsync(descriptor):
    done.append(('bytes', os.fstat(descriptor).st_size))
    sync(descriptor)

  def replace(source, destination):
    done.append(('name', os.path.basename(destination)))
    rename(source, destination)

  monkeypatch.setattr(os, 'fsync', fsync)
  monkeypatch.setattr(os, 'replace', replace)
  files.write_bytes(str(tmp_path / 'f'), b'abc')
  assert done == [('bytes', 3), ('name', 'f')]


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
  path = str(tmp_path / 'f')
  files.write_text(path, 'old')

  def fail(source, destination):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(os, 'replace', fail)
  with pytest.raises(RequestError, match='the disk is full.*write elsewhere: --out_dir DIR.$'):
    files.write_text(path, 'new')
  assert files.read_text(path) == 'old'
  assert files.list_dir(str(tmp_path)) == ['f']


def test_sha256_of_a_file_and_of_a_directory(place):
  files.write_bytes(files.join(place, 'd', 'f'), b'abc')
  known = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'  # FIPS 180-2, B.1.
  assert files.sha256(files.join(place, 'd', 'f')) == known
  before = files.sha256(files.join(place, 'd'))
  files.copy_tree(files.join(place, 'd'), files.join(place, 'e'))
  assert files.sha256(files.join(place, 'e')) == before
  files.rename(files.join(place, 'e', 'f'), files.join(place, 'e', 'g'))
  assert files.sha256(files.join(place, 'e')) != before  # Control: a name counts.


def test_rename_moves_a_directory_with_its_files_and_overwrites_only_when_told(place):
  files.write_text(files.join(place, 'a', 'deep', 'f'), '1')
  files.rename(files.join(place, 'a'), files.join(place, 'b'))
  assert files.list_tree(place) == ['b/deep/f']
  files.write_text(files.join(place, 'c'), '2')
  with pytest.raises(RequestError, match='Remove it or name another path.$'):
    files.rename(files.join(place, 'c'), files.join(place, 'b', 'deep', 'f'))
  files.rename(files.join(place, 'c'), files.join(place, 'b', 'deep', 'f'), overwrite=True)
  assert files.read_text(files.join(place, 'b', 'deep', 'f')) == '2'


def test_copy_replaces_a_longer_file(place):
  files.write_text(files.join(place, 'a'), '1')
  files.write_text(files.join(place, 'b'), 'longer')
  files.copy(files.join(place, 'a'), files.join(place, 'b'))
  assert files.read_text(files.join(place, 'b')) == '1'


def test_remove_tree_removes_everything_and_accepts_nothing(place):
  files.write_text(files.join(place, 'a', 'f'), '1')
  files.remove_tree(files.join(place, 'a'))
  files.remove_tree(files.join(place, 'never'))
  assert files.list_tree(place) == []


def test_local_copy_gives_a_local_file_of_the_same_name(place):
  path = files.join(place, 'weights.bin')
  files.write_bytes(path, b'w')
  with files.local_copy(path) as local:
    assert not files.is_remote(local) and files.basename(local) == 'weights.bin'
    assert files.read_bytes(local) == b'w'
  assert files.exists(path)
  assert os.path.exists(local) != files.is_remote(path)


def test_paths():
  assert files.join('gs://bucket/a', 'b') == 'gs://bucket/a/b'
  assert files.basename('gs://bucket/a/') == files.basename('x/a') == 'a'
  assert files.dirname('gs://bucket/a') == 'gs://bucket'
  assert files.dirname('a') == '.' and files.dirname('/a') == '/'
  assert files.is_remote('gs://a') and not files.is_remote('/a:/b')


def test_missing_and_unfit_files_name_path_cause_and_cure(place):
  with pytest.raises(RequestError, match='no such file or directory. Check the path.$') as error:
    files.read_bytes(files.join(place, 'absent'))
  assert files.join(place, 'absent') in str(error.value)
  files.write_bytes(files.join(place, 'latin1'), b'caf\xe9')
  with pytest.raises(RequestError, match=r'byte 3 \(0xe9\).*Convert the file to UTF-8 or name'):
    files.read_text(files.join(place, 'latin1'))
  files.write_text(files.join(place, 'j'), '{')
  with pytest.raises(RequestError, match='Correct that place or name another file.$'):
    files.read_json(files.join(place, 'j'))


def test_a_file_where_a_directory_is_needed(tmp_path):
  files.write_text(str(tmp_path / 'f'), '')
  with pytest.raises(RequestError, match='a part of the path is a file.*Name another path.$'):
    files.write_text(str(tmp_path / 'f' / 'g' / 'h'), '')


def test_an_unwritable_place_is_named(tmp_path, monkeypatch):
  def refuse(*args, **kwargs):
    raise PermissionError(13, 'Permission denied')

  monkeypatch.setattr(os, 'makedirs', refuse)  # Tests may run as root, whom no mode stops.
  with pytest.raises(RequestError, match='permission is denied. Change the permissions or name'):
    files.write_text(str(tmp_path / 'd' / 'f'), '')


def test_explain_failures_knows_tensorflow_errors_and_passes_others_on():
  import tensorflow as tf

  with pytest.raises(RequestError, match='^Cannot write x: the disk is full.'):
    with files.explain_failures('write', 'x'):
      raise tf.errors.InternalError(None, None, 'x.tempstate; No space left on device')
  with pytest.raises(ZeroDivisionError):
    with files.explain_failures('write', 'x'):
      raise ZeroDivisionError


def test_a_staged_directory_appears_whole(place):
  destination = files.join(place, 'export')
  with files.staging_dir(destination, marker='extra/done') as staging:
    files.write_text(files.join(staging, 'extra', 'done'), '')
    files.write_text(files.join(staging, 'z'), '1')
    assert not files.exists(destination)
  assert files.list_tree(place) == ['export/extra/done', 'export/z']


@pytest.mark.parametrize('failure', [ValueError, KeyboardInterrupt])
def test_a_failed_staging_leaves_nothing(place, failure):
  with pytest.raises(failure):
    with files.staging_dir(files.join(place, 'export')) as staging:
      files.write_text(files.join(staging, 'f'), '1')
      raise failure
  assert files.list_dir(place) == []


def test_the_marker_is_copied_last_to_a_remote_place(monkeypatch):
  place = f'ram://tests/{uuid.uuid4().hex}'
  copied = []
  copy = files.copy
  monkeypatch.setattr(files, 'copy', lambda a, b: (copied.append(files.basename(b)), copy(a, b)))
  with files.staging_dir(files.join(place, 'export'), marker='a_done') as staging:
    for name in ('a_done', 'b', 'c'):
      files.write_text(files.join(staging, name), '')
    del copied[:]
  assert copied == ['b', 'c', 'a_done']


def test_a_failed_publication_to_a_remote_place_leaves_nothing(monkeypatch):
  place = f'ram://tests/{uuid.uuid4().hex}'

  def fail(source, destination):
    raise RequestError('no')

  with pytest.raises(RequestError):
    with files.staging_dir(files.join(place, 'export')) as staging:
      files.write_text(files.join(staging, 'f'), '')
      monkeypatch.setattr(files, 'copy', fail)
  assert files.list_tree(place) == []


def test_staging_refuses_what_exists_but_not_an_empty_directory(tmp_path):
  destination = str(tmp_path / 'export')
  files.make_dirs(destination)
  with files.staging_dir(destination) as staging:
    files.write_text(files.join(staging, 'f'), '1')
  with pytest.raises(RequestError, match='something of that name exists. Remove it or name'):
    with files.staging_dir(destination):
      raise AssertionError('not reached')
  assert files.list_tree(destination) == ['f']


def test_what_a_killed_process_left_is_removed_and_a_living_one_is_left_alone(tmp_path):
  dead = subprocess.run([sys.executable, '-c', 'import os; print(os.getpid())'],
                        capture_output=True, text=True, check=True).stdout.strip()
  files.write_text(str(tmp_path / f'.export.partial-{dead}-00' / 'f'), '')
  files.write_text(str(tmp_path / f'.export.partial-{os.getppid()}-00' / 'f'), '')
  # In a container the dead process may have had our number.
  files.write_text(str(tmp_path / f'.export.partial-{os.getpid()}-00' / 'f'), '')
  files.write_text(str(tmp_path / f'.other.partial-{dead}-00' / 'f'), '')
  with files.staging_dir(str(tmp_path / 'export')) as own:
    files.remove_stale_staging(str(tmp_path / 'export'))
    assert files.is_dir(own)
  left = files.list_dir(str(tmp_path))
  assert left == [f'.export.partial-{os.getppid()}-00', f'.other.partial-{dead}-00', 'export']


def test_written_files_can_be_read_by_others(tmp_path):
  path = tmp_path / 'f'
  umask = os.umask(0o022)
  try:
    files.write_text(str(path), '')
  finally:
    os.umask(umask)
  assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_file_is_read_as_a_stream(place):
  path = files.join(place, 'f')
  files.write_bytes(path, b'first\nsecond\nthird')
  with files.open_binary(path) as f:
    assert f.read(2) == b'fi'
    f.seek(6)
    assert list(f) == [b'second\n', b'third']
  with pytest.raises(RequestError, match=f'Cannot read {path}x.*Check the path.$'):
    with files.open_binary(f'{path}x') as f:
      f.read(1)  # gs:// looks no earlier.


def test_what_a_library_writes_replaces_the_file_when_it_is_whole(place):
  path = files.join(place, 'new', 'f')
  with files.replacing(path) as temporary:
    files.write_text(temporary, 'whole')
    assert not files.exists(path)
  with pytest.raises(ValueError, match='half'):
    with files.replacing(path) as temporary:
      files.write_text(temporary, 'half')
      raise ValueError('half')
  assert files.read_text(path) == 'whole'
  assert files.list_tree(place) == ['new/f']
