"""How does a directory become a tar.gz that TF Hub's protocol serves, the same bytes every time?

Source: https://www.tensorflow.org/hub/hosting: the SavedModel's files at the root of a gzipped tar.
"""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import tempfile

from nlp_export import archives, files
from nlp_export.errors import CheckError

# Hidden files are no part of a SavedModel (a .DS_Store, a half-written copy).
_HIDDEN = '.'


def tree(directory: str) -> list[str]:
  """Relative paths of the files that are published, sorted."""
  return [name for name in files.list_tree(directory)
          if not any(part.startswith(_HIDDEN) for part in name.split('/'))]


def sha256(directory: str) -> str:
  """Of the published files' names and contents; what files.sha256 gives without hidden files."""
  digest = hashlib.sha256()
  for name in tree(directory):
    digest.update(f'{name}\0{files.sha256(files.join(directory, name))}\n'.encode())
  return digest.hexdigest()


def pack(directory: str, path: str) -> str:
  """Writes a directory's files to a tar.gz and reads them back.

  Names are sorted; owner, times and the archive's own name are left out: equal files give equal
  bytes with the same zlib.

  Args:
    directory: a local directory.
    path: the archive to write, local.

  Returns:
    its SHA-256.

  Raises:
    CheckError: what can be unpacked from it is not what was packed.
  """
  with files.replacing(path) as temporary, open(temporary, 'wb') as raw, \
       gzip.GzipFile('', 'wb', 6, raw, mtime=0) as compressed, \
       tarfile.open(fileobj=compressed, mode='w', format=tarfile.GNU_FORMAT) as archive:
    names = tree(directory)
    parents = {name[:i] for name in names for i, letter in enumerate(name) if letter == '/'}
    # In this order a directory comes before what lies in it: TF Hub's client makes none by itself.
    for name in sorted({*names, *parents}):
      if name in parents:
        archive.addfile(_info(name, directory=True))
        continue
      file = files.join(directory, name)
      info = _info(name)
      info.size = files.size(file)
      with files.open_binary(file) as content:
        archive.addfile(info, content)
  _check(directory, path)
  return files.sha256(path)


def _info(name: str, directory: bool = False) -> tarfile.TarInfo:
  info = tarfile.TarInfo(name)  # Time, owner and group are 0.
  info.type = tarfile.DIRTYPE if directory else tarfile.REGTYPE
  info.mode = 0o755 if directory else 0o644
  return info


def _check(directory: str, path: str) -> None:
  with tempfile.TemporaryDirectory(prefix='nlp_export_') as again:
    archives.unpack(path, again)
    packed = {name: files.sha256(files.join(directory, name)) for name in tree(directory)}
    unpacked = {name: files.sha256(files.join(again, name)) for name in files.list_tree(again)}
  if packed != unpacked:
    differing = sorted({*packed.items()} ^ {*unpacked.items()})
    raise CheckError(f'{path} does not hold what was packed: {differing[0][0]} differs. Nothing '
                     'was put in place.')
