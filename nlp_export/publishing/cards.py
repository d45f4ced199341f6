"""What does a published SavedModel tell its readers, and what do the hubs' own forms want to know?

The card is that of the export, with the pairing and what its publisher says; Hugging Face reads a
front matter of YAML above it, Kaggle two JSON files beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from nlp_export import names
from nlp_export.publishing.published import Published
from nlp_export.publishing.request import PackageRequest

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader('nlp_export.publishing', 'cards'),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,  # noqa: S701 - Markdown, not HTML.
    keep_trailing_newline=True,
)
# What Hugging Face calls the tasks.
_PIPELINE_TAGS = {
    names.MODEL: 'feature-extraction', names.MODEL_WITH_MLM: 'fill-mask',
    names.TEXT_EMBEDDING: 'feature-extraction', names.CLASSIFIER: 'text-classification'}
# The line of our cards that says what a SavedModel is used with.
_PARTNER = re.compile(r'^(?P<what>- \*\*(Preprocessor|Belongs to):\*\* ).*$', re.M)
# What our cards say of fine-tuning as long as nobody has said more.
_OUR_ADVICE = ', and fine-tuning all of them is what we recommend.'
_PUBLISHERS_ADVICE = '; what their publisher recommends is under "Fine-tuning".'
_FRAMEWORK = 'tensorFlow2'
# Names that may be those of data sets on the Hugging Face Hub.
_DATASET_ID = re.compile(r'[a-z0-9][\w.-]*(/[\w.-]+)?')


def body(request: PackageRequest, published: Published, other: Published | None,
         vocabulary: tuple[str, str] | None) -> str:
  """The card without front matter, Markdown.

  Args:
    request: what the publisher says.
    published: whose card.
    other: the one that it is published with, or None.
    vocabulary: name and SHA-256 of the file that both hold; None if there is none to compare.
  """
  pairing = _pairing(published, other, vocabulary)
  return _ENVIRONMENT.get_template('published.md.jinja').render(
      card=_own_card(published, other, pairing).strip(),
      request=request,
      published=published,
      other=other,
      pairing=pairing,
      computes=published.kind != names.PREPROCESSING,
      address=kaggle_address(request, published),
  )


def _own_card(published: Published, other: Published | None, pairing: str) -> str:
  """The export's own; where it names its partner by a path, the published name stands instead."""
  if not published.card:
    return f'# {published.name}\n\nA TensorFlow 2 SavedModel.\n'
  if published.provenance is None:
    return published.card
  card = published.card.replace(_OUR_ADVICE, _PUBLISHERS_ADVICE)
  if other is None:
    return card
  return _PARTNER.sub(lambda match: match['what'] + pairing, card, count=1)


def _pairing(
    published: Published, other: Published | None, vocabulary: tuple[str, str] | None) -> str:
  """A sentence: what it is used with."""
  if other is None:
    return ''
  if vocabulary is None:
    return f'`{other.name}`, as its publisher says: they hold no file that could be compared.'
  return (f'`{other.name}`, published with it. Both hold `{vocabulary[0]}`, SHA-256 '
          f'`{vocabulary[1]}`.')


def front_matter(request: PackageRequest, published: Published) -> str:
  """What Hugging Face reads at the head of README.md, between its lines of ---."""
  from huggingface_hub import ModelCardData

  computes = published.kind != names.PREPROCESSING
  tags = ['tensorflow', 'tf-hub', 'saved-model']
  encoder = (published.provenance or {}).get('encoder') or {}
  data = ModelCardData(
      language=list(request.languages),
      license=request.licence,
      license_name=request.licence_name,
      license_link=request.licence_link,
      library_name='tensorflow',
      tags=[*tags, *([str(encoder['type'])] if 'type' in encoder else []),
            *([] if computes else ['text-preprocessing'])],
      pipeline_tag=_PIPELINE_TAGS[published.kind] if computes else None,
      datasets=[name for name in request.training_data if _DATASET_ID.fullmatch(name)]
      if computes else None)
  data.datasets = data.datasets or None
  return f'---\n{data.to_yaml()}\n---\n'


def kaggle_address(request: PackageRequest, published: Published) -> str:
  """owner/model/framework/variation, as kagglehub and tensorflow_hub take it."""
  return '/'.join(
      (request.kaggle_owner_slug, request.kaggle_slug, _FRAMEWORK, published.variation))


def kaggle_model(request: PackageRequest, all_published: Sequence[Published]) -> Mapping[str, Any]:
  """model-metadata.json of Kaggle's client: the model, whose variations are the SavedModels."""
  listed = '\n'.join(
      f'- `{published.variation}`: {_title(published)}' for published in all_published)
  data = '\n'.join(f'- {name}' for name in request.training_data)
  return {
      'ownerSlug': request.kaggle_owner_slug,
      'title': request.name,
      'slug': request.kaggle_slug,
      'subtitle': '',
      'isPrivate': True,  # The publisher looks at it and makes it public.
      'description': f'# Model Summary\n\n{listed}\n' + (
          f'\n# Data Overview\n\n{data}\n' if data else ''),
      'publishTime': '',
      'provenanceSources': '',
  }


def kaggle_variation(
    request: PackageRequest, published: Published, card: str) -> Mapping[str, Any]:
  """model-instance-metadata.json of Kaggle's client: one SavedModel."""
  computes = published.kind != names.PREPROCESSING
  return {
      'ownerSlug': request.kaggle_owner_slug,
      'modelSlug': request.kaggle_slug,
      'instanceSlug': published.variation,
      'framework': _FRAMEWORK,
      'overview': _title(published),
      'usage': card,
      'licenseName': request.kaggle_licence_name,
      'fineTunable': computes,
      'trainingData': list(request.training_data) if computes else [],
      'modelInstanceType': 'Unspecified',
      'baseModelInstance': '',
      'externalBaseModelUrl': '',
  }


def _title(published: Published) -> str:
  title = str((published.provenance or {}).get('title') or '')
  return title or published.card.partition('\n')[0].lstrip('# ') or published.name
