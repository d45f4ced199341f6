"""What does a SavedModel that is to be published say about itself, and do two belong together?"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from nlp_export import files, names
from nlp_export.errors import RequestError

_ASSETS_DIR = 'assets'
# Of a stranger's SavedModel, which does not say what it is.
_VARIATIONS = {
    names.MODEL: 'encoder', names.MODEL_WITH_MLM: 'encoder-with-mlm',
    names.TEXT_EMBEDDING: 'text-embedding', names.CLASSIFIER: 'classifier',
    names.PREPROCESSING: 'preprocess'}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Published:
  """One SavedModel of a package.

  Attributes:
    name: its name on the hubs.
    path: its directory.
    kind: its export type; of a stranger's, what it was given as.
    provenance: the record of our exports, None for a stranger's.
    verification: likewise.
    card: its README.md without front matter, '' if there is none.
    assets: SHA-256 of each file in assets/, by base name.
  """

  name: str
  path: str
  kind: str
  provenance: Mapping[str, Any] | None
  verification: Mapping[str, Any] | None
  card: str
  assets: Mapping[str, str]

  @property
  def variation(self) -> str:
    """What Kaggle calls one SavedModel of several of a model."""
    return _VARIATIONS[self.kind]

  @property
  def tokenizer(self) -> Mapping[str, Any]:
    """What the record says of the tokenizer; empty if there is none."""
    return (self.provenance or {}).get('tokenizer') or {}


def read(path: str, name: str, given_as: str) -> Published:
  """Looks at a SavedModel's files, without loading it.

  Args:
    path: its directory, of handles.resolved.
    name: its name on the hubs.
    given_as: EXPORT or PREPROCESSING.

  Raises:
    RequestError: its own verification failed, it is of the other kind, or a file of it is a link
      to somewhere else.
  """
  _refuse_links_outside(path)
  provenance = _record(path, names.PROVENANCE_FILE)
  verification = _record(path, names.VERIFICATION_FILE)
  if verification is not None and not verification['passed']:
    raise RequestError(f'{path} is not packaged: its own verification did not pass, see '
                       f'{names.EXTRA_DIR}/{names.VERIFICATION_FILE} in it. Export it again.')
  kind = names.PREPROCESSING if given_as == 'PREPROCESSING' else names.MODEL
  recorded = str((provenance or {}).get('export_type', kind))
  if (recorded == names.PREPROCESSING) != (kind == names.PREPROCESSING):
    other = 'EXPORT' if given_as == 'PREPROCESSING' else 'PREPROCESSING'
    raise RequestError(f'{given_as} is {path}, which is of the type {recorded}. Write it as '
                       f'--set {other}={path}')
  directory = files.join(path, _ASSETS_DIR)
  assets = files.list_tree(directory) if files.is_dir(directory) else []
  return Published(
      name=name, path=path, kind=recorded if recorded in _VARIATIONS else kind,
      provenance=provenance, verification=verification, card=_card(path),
      assets={asset: files.sha256(files.join(directory, asset)) for asset in assets})


def shared_vocabulary(export: Published, preprocessing: Published) -> tuple[str, str] | None:
  """The tokenizer's file that both hold, by its SHA-256; None if there is nothing to compare.

  Returns:
    its name in the preprocessing, and the hash.

  Raises:
    RequestError: they hold different ones, or the same that are used differently.
  """
  for key in ('kind', 'lower_case'):
    ours, theirs = export.tokenizer.get(key), preprocessing.tokenizer.get(key)
    if export.tokenizer and preprocessing.tokenizer and ours != theirs:
      raise _mismatch(export, preprocessing, f'the tokenizer of EXPORT has {key} {ours}, that of '
                                             f'PREPROCESSING {theirs}')
  if not export.assets or not preprocessing.assets:
    return None
  for asset, sha256 in preprocessing.assets.items():
    if sha256 in export.assets.values():
      return asset, sha256
  raise _mismatch(export, preprocessing,
                  f'EXPORT holds {_listed(export.assets)}, PREPROCESSING '
                  f'{_listed(preprocessing.assets)}, and no file is the same')


def _mismatch(export: Published, preprocessing: Published, why: str) -> RequestError:
  return RequestError(
      f'{export.path} and {preprocessing.path} do not belong together: {why}. Whoever used them '
      'together would get wrong token ids without any error. Name the preprocessing that was '
      'exported with it: --set PREPROCESSING=...')


def _listed(assets: Mapping[str, str]) -> str:
  return ', '.join(f'{name} ({sha256[:8]})' for name, sha256 in sorted(assets.items()))


def _record(path: str, name: str) -> Mapping[str, Any] | None:
  file = files.join(path, names.EXTRA_DIR, name)
  return files.read_json(file) if files.exists(file) else None


def _card(path: str) -> str:
  file = files.join(path, names.CARD_FILE)
  if not files.exists(file):
    return ''
  text = files.read_text(file)
  if text.startswith('---\n') and '\n---\n' in text[3:]:
    text = text[3:].partition('\n---\n')[2]
  return text.strip() + '\n'


def _refuse_links_outside(path: str) -> None:
  """A published link would publish whatever it points to."""
  if files.is_remote(path):
    return
  root = os.path.realpath(path)
  # Hugging Face's cache: snapshots/<commit>/<file> points to ../../blobs/<hash>.
  blobs = os.path.join(root.rpartition(f'{os.sep}snapshots{os.sep}')[0], 'blobs')
  for name in files.list_tree(path):
    file = os.path.join(path, name)
    real = os.path.realpath(file)
    if os.path.commonpath([real, root]) != root and os.path.dirname(real) != blobs:
      raise RequestError(
          f'{path} is not packaged: {name} in it is a link to {real}, which would be published. If '
          f'it should be, make a copy with cp -rL and package that.')
