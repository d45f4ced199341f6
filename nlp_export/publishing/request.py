"""What is to be packaged, under which names, and what does its publisher say about it?"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from nlp_export.errors import RequestError
from nlp_export.publishing import licences

TF_HUB, HUGGING_FACE, KAGGLE = 'tf_hub', 'hugging_face', 'kaggle'
TARGETS = (TF_HUB, HUGGING_FACE, KAGGLE)

PACKAGES_DIR = 'packages'
# Written last: what was packaged, with the SHA-256 of each file.
MARKER = 'package.json'

# As Kaggle writes them. For others its form on the web has the list.
_KAGGLE_LICENCES = {'apache-2.0': 'Apache 2.0', 'mit': 'MIT'}
_LICENCE = re.compile(r'[a-z0-9][a-z0-9.+-]*')
_LANGUAGE = re.compile(r'[a-z]{2,3}(-[A-Za-z0-9]+)*|multilingual')
# What all three hubs and a file name allow.
_NAME = re.compile(r'[A-Za-z0-9]+([_.-][A-Za-z0-9]+)*')
_MOST_CHARACTERS = 80


@dataclasses.dataclass(frozen=True)
class PackageRequest:
  """What `publishing.executing.package` makes.

  Attributes:
    export: directory, .tar.gz or handle of what computes: an encoder, a text embedding, a
      classifier; None for preprocessing alone.
    preprocessing: of the one that belongs to it; None if there is none to publish.
    owner: user or organisation on the hubs.
    name: of the export there.
    preprocessing_name: of the preprocessing there.
    version: number that TF Hub's addresses end in.
    licence: Hugging Face's identifier: 'apache-2.0', 'cc-by-sa-4.0'.
    languages: ISO 639 codes, 'en', or 'multilingual'.
    training_data: what the weights were trained on, one text each.
    fine_tuning: the publisher's advice: whether to, and how.
    targets: of TARGETS.
    kaggle_licence: Kaggle's name of the licence; None where `licence` tells.
    kaggle_owner: as `owner`; None for the same in lower case.
    allowed_ops: what the graphs may do besides computing.
    licence_name: identifier of a licence of one's own, where `licence` is 'other'.
    licence_link: where its text is, likewise: a URL, or 'LICENSE' for a file in the SavedModels.
  """

  export: str | None
  preprocessing: str | None
  owner: str
  name: str
  licence: str
  languages: tuple[str, ...]
  training_data: tuple[str, ...] = ()
  fine_tuning: str = ''
  preprocessing_name: str = ''
  version: int = 1
  targets: tuple[str, ...] = TARGETS
  kaggle_licence: str | None = None
  kaggle_owner: str | None = None
  allowed_ops: Sequence[str] = ()
  licence_name: str | None = None
  licence_link: str | None = None

  @property
  def licence_shown(self) -> str:
    """Markdown, for the card's text."""
    if not self.licence_name:
      return self.licence
    return f'[{self.licence_name}]({self.licence_link})' if self.licence_link else self.licence_name

  @property
  def name_of_preprocessing(self) -> str:
    """As given, or what TF Hub's own are called."""
    return self.preprocessing_name or f'{self.name}_preprocess'

  @property
  def kaggle_licence_name(self) -> str:
    """As Kaggle's forms call it."""
    return self.kaggle_licence or _KAGGLE_LICENCES[self.licence]

  @property
  def kaggle_owner_slug(self) -> str:
    """Kaggle's are in lower case."""
    return self.kaggle_owner or self.owner.lower()

  @property
  def kaggle_slug(self) -> str:
    """The name in the form of Kaggle's addresses: lower case, hyphens."""
    return re.sub(r'[^a-z0-9]+', '-', self.name.lower())


def check(request: PackageRequest) -> None:
  """Raises RequestError for a value that a hub would refuse after the upload has begun."""
  unknown = [target for target in request.targets if target not in TARGETS]
  if unknown or not request.targets:
    raise RequestError(f'TARGETS is {request.targets!r}, but packages are made for '
                       f'{", ".join(TARGETS)}. Write --set TARGETS="(\'{HUGGING_FACE}\',)"')
  for macro, name in (('OWNER', request.owner), ('NAME', request.name),
                      ('PREPROCESSING_NAME', request.name_of_preprocessing)):
    if not _NAME.fullmatch(name) or len(name) > _MOST_CHARACTERS:
      raise RequestError(
          f'{macro} is {name!r}, which is no name on the hubs: letters and digits, with single '
          f'hyphens, dots or underscores between them, {_MOST_CHARACTERS} characters at most. '
          f'Write --set {macro}=bert_en_uncased, for example.')
  if request.name == request.name_of_preprocessing:
    raise RequestError(f'NAME and PREPROCESSING_NAME are both {request.name!r}. Write another '
                       f'--set PREPROCESSING_NAME={request.name}_preprocess')
  if request.version < 1:
    raise RequestError(f'VERSION is {request.version}. TF Hub counts from 1: write --set VERSION=1')
  _check_words(request)


def _check_words(request: PackageRequest) -> None:
  if not _LICENCE.fullmatch(request.licence):
    raise RequestError(
        f'LICENCE is {request.licence!r}. Hugging Face wants its identifier, in lower case: write '
        '--set LICENCE=apache-2.0 or --set LICENCE=cc-by-sa-4.0')
  if HUGGING_FACE in request.targets:
    licences.check(request.licence)
    licences.check_other(request.licence, request.licence_name, request.licence_link)
  for language in request.languages:
    if not _LANGUAGE.fullmatch(language):
      raise RequestError(
          f'LANGUAGE has {language!r}. Hugging Face wants ISO 639 codes in lower case: write '
          '--set LANGUAGE=en or --set LANGUAGE="(\'en\', \'de\')"')
  if KAGGLE in request.targets and not request.kaggle_licence and (
      request.licence not in _KAGGLE_LICENCES):
    raise RequestError(
        f'LICENCE is {request.licence!r}, and Kaggle has its own names for licences, of which only '
        f'those of {" and ".join(_KAGGLE_LICENCES)} are known here. Write it as its form for a new '
        'model shows it: --set KAGGLE_LICENCE=...')
