"""How are the packages written: all of them, read back, or none?"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nlp_export import files, handles, names, staging
from nlp_export.errors import RequestError
from nlp_export.experiment import Run
from nlp_export.publishing import cards, licences, packing, published
from nlp_export.publishing.published import Published
from nlp_export.publishing.request import (
    HUGGING_FACE,
    KAGGLE,
    MARKER,
    PACKAGES_DIR,
    TF_HUB,
    PackageRequest,
)

SCHEMA_VERSION = 1
_MODEL_METADATA = 'model-metadata.json'
_VARIATION_METADATA = 'model-instance-metadata.json'


def package(request: PackageRequest, run: Run) -> Mapping[str, Any]:
  """Makes what is asked for in `packages/` of the run's directory, unless it is there.

  Args:
    request: checked (`request.check`).
    run: its out_dir is where to.

  Returns:
    the content of packages/package.json.

  Raises:
    RequestError: a SavedModel does more than compute, or the two do not belong together; the
      destination cannot be written.
    CheckError: an archive does not hold what was packed. Nothing was put in place then.
  """
  place = files.join(run.out_dir, PACKAGES_DIR)
  if files.exists(files.join(place, MARKER)):
    run.say(f'{PACKAGES_DIR}: done before')
    return files.read_json(files.join(place, MARKER))
  with run.step('look through'):
    found = _read(request)
    export, preprocessing = (_of(found, computes) for computes in (True, False))
    vocabulary = (published.shared_vocabulary(export, preprocessing)
                  if export and preprocessing else None)
  for line in _remarks(found, vocabulary):
    run.say(f'  {line}')
  texts = {item.name: cards.body(request, item, _other(found, item), vocabulary) for item in found}
  with tempfile.TemporaryDirectory(prefix='nlp_export_') as work, \
       staging.staged(place, work, MARKER) as staged:
    for target, write in _WRITERS.items():
      if target in request.targets:
        with run.step(f'write {target}'):
          write(request, found, texts, files.join(staged, target))
    with run.step('hash'):
      record = _package_record(request, found, vocabulary, staged)
    files.write_json(files.join(staged, MARKER), record)
  return record


def upload_commands(request: PackageRequest, out_dir: str) -> list[str]:
  """The line to write for each hub, of its own client."""
  place = files.join(out_dir, PACKAGES_DIR)
  found = [name for name, path in _names(request) if path]
  lines = []
  if TF_HUB in request.targets:
    lines += [f'tf_hub: serve {files.join(place, TF_HUB, _archive_name(request, name))} from any '
              'web server' for name in found]
  if HUGGING_FACE in request.targets:
    lines += [f'hugging_face: hf upload {request.owner}/{name} '
              f'{files.join(place, HUGGING_FACE, name)}' for name in found]
  if KAGGLE in request.targets:
    model = files.join(place, KAGGLE, request.kaggle_slug)
    lines.append(f'kaggle: kaggle models create -p {model}; then, for each folder in it, '
                 f'kaggle models instances create -r tar -p {model}/FOLDER')
  return lines


def _names(request: PackageRequest) -> tuple[tuple[str, str | None], ...]:
  return ((request.name, request.export),
          (request.name_of_preprocessing, request.preprocessing))


def _read(request: PackageRequest) -> list[Published]:
  found = []
  for label, (name, path) in zip(('EXPORT', 'PREPROCESSING'), _names(request), strict=True):
    if path:
      place = handles.resolved(path, request.allowed_ops)
      link = request.licence_link
      if link and licences.is_file(link) and not files.exists(files.join(place, link)):
        raise RequestError(f'LICENCE_LINK is {link!r}, and {path} has no such file. Put the text '
                           'of the licence there, or write --set LICENCE_LINK=https://...')
      found.append(published.read(place, name, label))
  return found


def _of(found: Sequence[Published], computes: bool) -> Published | None:
  return next((item for item in found if (item.kind != names.PREPROCESSING) == computes), None)


def _other(found: Sequence[Published], item: Published) -> Published | None:
  return next((other for other in found if other is not item), None)


def _remarks(found: Sequence[Published], vocabulary: tuple[str, str] | None) -> Iterator[str]:
  for item in found:
    if item.verification is None:
      yield (f'{item.name}: has no record of a verification; gin/runs/verify.gin tells what it '
             'promises and keeps')
  if len(found) == 2:
    yield (f'both hold {vocabulary[0]}, SHA-256 {vocabulary[1]}' if vocabulary
           else 'the two hold no tokenizer files: whether they belong together was not checked')


def _copy(item: Published, directory: str, card: str) -> None:
  """A SavedModel's files, with the card that it is published with."""
  for name in packing.tree(item.path):
    target = files.join(directory, name)
    files.make_dirs(files.dirname(target))
    files.copy(files.join(item.path, name), target)
  files.write_text(files.join(directory, names.CARD_FILE), card)


def _archive_name(request: PackageRequest, name: str) -> str:
  return f'{name}_{request.version}.tar.gz'


def _write_tf_hub(request: PackageRequest, found: Sequence[Published], texts: Mapping[str, str],
                  directory: str) -> None:
  files.make_dirs(directory)
  for item in found:
    with tempfile.TemporaryDirectory(prefix='nlp_export_') as copy:
      _copy(item, copy, texts[item.name])
      archive = _archive_name(request, item.name)
      sha256 = packing.pack(copy, os.path.join(directory, archive))
    # As `sha256sum --check` reads it.
    files.write_text(files.join(directory, f'{archive}.sha256'), f'{sha256}  {archive}\n')


def _write_hugging_face(request: PackageRequest, found: Sequence[Published],
                        texts: Mapping[str, str], directory: str) -> None:
  from huggingface_hub.utils import HFValidationError, validate_repo_id

  for item in found:
    repository = f'{request.owner}/{item.name}'
    try:
      validate_repo_id(repository)
    except HFValidationError as error:
      raise RequestError(f'{repository!r} is no name of a repository on Hugging Face: {error}. '
                         'Write another --set NAME=...') from error
    _copy(item, files.join(directory, item.name),
          cards.front_matter(request, item) + '\n' + texts[item.name])


def _write_kaggle(request: PackageRequest, found: Sequence[Published], texts: Mapping[str, str],
                  directory: str) -> None:
  model = files.join(directory, request.kaggle_slug)
  for item in found:
    variation = files.join(model, item.variation)
    _copy(item, variation, texts[item.name])
    files.write_json(files.join(variation, _VARIATION_METADATA),
                     cards.kaggle_variation(request, item, texts[item.name]))
  files.write_json(files.join(model, _MODEL_METADATA), cards.kaggle_model(request, found))


_WRITERS = {TF_HUB: _write_tf_hub, HUGGING_FACE: _write_hugging_face, KAGGLE: _write_kaggle}


def _package_record(request: PackageRequest, found: Sequence[Published],
                    vocabulary: tuple[str, str] | None, directory: str) -> dict[str, Any]:
  return {
      'schema_version': SCHEMA_VERSION,
      'owner': request.owner,
      'version': request.version,
      'licence': request.licence,
      'licence_name': request.licence_name,
      'licence_link': request.licence_link,
      'languages': list(request.languages),
      'training_data': list(request.training_data),
      'saved_models': [{'name': item.name, 'type': item.kind, 'sha256': packing.sha256(item.path)}
                       for item in found],
      'vocabulary': {'name': vocabulary[0], 'sha256': vocabulary[1]} if vocabulary else None,
      'files': {name: files.sha256(files.join(directory, name))
                for name in files.list_tree(directory)},
  }
