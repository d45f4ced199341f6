"""SavedModels in a tar.gz that anybody may have packed."""

from __future__ import annotations

import gzip
import io
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from nlp_export import archives, files
from nlp_export.errors import RequestError
from nlp_export.handles import resolved


def packed(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> str:
  """A tar.gz with these members."""
  with tarfile.open(path, 'w:gz') as archive:
    for info, data in members:
      info.size = len(data) if info.isfile() else 0
      archive.addfile(info, io.BytesIO(data))
  return str(path)


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = '') -> tarfile.TarInfo:
  info = tarfile.TarInfo(name)
  info.type, info.linkname = kind, target
  return info


@pytest.mark.parametrize('inside', ['.', 'bert'])
def test_a_packed_saved_model_is_a_saved_model(inside, uncased_exports, tmp_path):
  path = tmp_path / 'bert.tar.gz'
  with tarfile.open(path, 'w:gz') as archive:
    archive.add(uncased_exports['preprocessing'], arcname=inside)
  place = resolved(str(path))
  assert files.sha256(place) == files.sha256(uncased_exports['preprocessing'])
  assert resolved(str(path)) == place  # Unpacked once.


def test_it_is_gone_when_the_process_ends(tmp_path):
  path = packed(tmp_path / 'bert.tar.gz', (member('saved_model.pb'), b''))
  code = f'from nlp_export import archives; print(archives.unpacked({path!r}))'
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
  assert done.stdout.startswith('/') and not os.path.exists(done.stdout.strip())


REFUSED = {
    'a path that climbs': (member('../mark'), 'lies outside'),
    'one that climbs later': (member('assets/../../mark'), 'lies outside'),
    'an absolute path': (member('/mark'), 'lies outside'),
    'a symbolic link': (member('assets', tarfile.SYMTYPE, '/etc'), 'neither a file nor'),
    'a hard link': (member('vocab.txt', tarfile.LNKTYPE, '../mark'), 'neither a file nor'),
    'a device': (member('assets/null', tarfile.CHRTYPE), 'neither a file nor'),
    'a pipe': (member('assets/pipe', tarfile.FIFOTYPE), 'neither a file nor'),
    'a second one of a name': (member('./saved_model.pb'), 'is there twice'),
}


@pytest.mark.parametrize('what', REFUSED)
def test_members_that_are_refused(what, tmp_path):
  info, why = REFUSED[what]
  path = packed(tmp_path / 'a.tar.gz', (member('saved_model.pb'), b'graph'), (info, b'content'))
  inside = tmp_path / 'deep' / 'inside'
  inside.mkdir(parents=True)
  with pytest.raises(RequestError, match=re.escape(repr(info.name))) as caught:
    archives.unpack(path, str(inside))
  assert why in caught.value.message
  assert caught.value.message.endswith('Ask its maker for another one.')
  assert not (tmp_path / 'mark').exists() and not (tmp_path / 'deep' / 'mark').exists()
  assert [p.name for p in inside.iterdir()] == ['saved_model.pb']


def test_an_archive_that_grows_beyond_reason_is_given_up(tmp_path, monkeypatch):
  monkeypatch.setattr(archives, '_ALWAYS_FINE_BYTES', 1 << 20)
  path = packed(tmp_path / 'bomb.tgz', (member('variables/variables.data'), bytes(64 << 20)))
  (tmp_path / 'inside').mkdir()
  with pytest.raises(RequestError, match='unpack it yourself and name the directory.$'):
    archives.unpack(path, str(tmp_path / 'inside'))
  written = sum(p.stat().st_size for p in (tmp_path / 'inside').rglob('*') if p.is_file())
  assert written < 16 << 20
  # Control: what does not compress may be as large as it likes.
  path = packed(tmp_path / 'fine.tgz', (member('variables/variables.data'), os.urandom(4 << 20)))
  (tmp_path / 'other').mkdir()
  archives.unpack(path, str(tmp_path / 'other'))
  assert (tmp_path / 'other/variables/variables.data').stat().st_size == 4 << 20


def test_too_many_members_are_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(archives, '_MOST_MEMBERS', 3)
  path = packed(tmp_path / 'a.tar.gz', *[(member(f'assets/{i}'), b'') for i in range(4)])
  (tmp_path / 'inside').mkdir()
  with pytest.raises(RequestError, match='comes after 3 others'):
    archives.unpack(path, str(tmp_path / 'inside'))


@pytest.mark.parametrize('damage', ['no gzip', 'no tar', 'cut off', 'a bit flipped'])
def test_a_damaged_archive_is_said(damage, tmp_path):
  whole = Path(packed(tmp_path / 'a.tar.gz', (member('saved_model.pb'), os.urandom(5000))))
  data = bytearray(whole.read_bytes())
  if damage == 'a bit flipped':
    data[2000] ^= 1
  broken = tmp_path / 'b.tar.gz'
  broken.write_bytes({'no gzip': b'text', 'no tar': gzip.compress(os.urandom(5000)),
                      'cut off': bytes(data[:3000]), 'a bit flipped': bytes(data)}[damage])
  with pytest.raises(RequestError, match='Copy it again from where it came from.$'):
    resolved(str(broken))


def test_an_archive_without_a_saved_model_is_said(tmp_path):
  path = packed(tmp_path / 'a.tar.gz', (member('README.md'), b'nothing'))
  with pytest.raises(RequestError, match='Name the directory that holds saved_model.pb.$'):
    resolved(path)
  with pytest.raises(RequestError, match='no such file'):
    resolved(str(tmp_path / 'missing.tar.gz'))
