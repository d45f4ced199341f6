"""A disk that gets full in the middle of a save: said, cleaned up, and nothing older is lost."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from nlp_export.checkpoints.orbax_layout import UNFINISHED
from tests.pretraining.saving import saving_lab as lab

# In a mount name space of its own, which needs no root where user name spaces are allowed.
TMPFS = ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c']


def can_mount(directory) -> bool:
  if not shutil.which('unshare'):
    return False
  mount = f'mount -t tmpfs -o size=1m tmpfs {directory}'
  return subprocess.run([*TMPFS, mount], capture_output=True).returncode == 0


@pytest.mark.parametrize('way', ['small file system', 'file size limit'])
def test_a_save_without_room_is_said_and_removed_and_the_others_are_whole(tmp_path, way):
  disk = tmp_path / 'disk'
  disk.mkdir()
  root = str(disk / 'checkpoints')
  command, cause = lab.command('fill', root), 'the disk is full. Free some space'
  if way == 'small file system' and can_mount(disk):
    mount = f'mount -t tmpfs -o size=16m tmpfs {disk} && exec "$@"'
    command = [*TMPFS, mount, 'sh', *command]
  else:  # Also where nothing may be mounted: a write fails all the same.
    command = lab.command('fill_limited', root)
    cause = 'a file would be larger than this process may write. Raise the limit (ulimit -f). '
  done = subprocess.run(
      command, cwd=lab.ROOT, capture_output=True, text=True, timeout=120)
  assert done.returncode == 0, done.stderr[-3000:]
  found = json.loads(done.stdout.splitlines()[-1])
  # However the error comes to the surface.
  for how, step, latest, steps in (
      ('wait', 3, 2, [1, 2]), ('check', 4, 2, [1, 2]), ('save', 5, 2, [1, 2]),
      ('close', 8, 7, [1, 2, 7])):
    message, names, known = found['raised'][how]
    assert message.startswith(f'Cannot write {root}/{step}: {cause}'), message
    assert message.endswith(
        'The checkpoints before it are whole: the same command goes on from step '
        f'{latest}.')
    assert not [name for name in names if UNFINISHED in name]
    assert sorted(map(int, names)) == known == steps
  assert found['left'] == ['1', '2', '7']
