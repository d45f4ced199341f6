"""How does an export get to the people who want it: through TF Hub, Hugging Face or Kaggle?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gin

from nlp_export import files
from nlp_export.experiment import Outcome, Plan, Run, experiment, require
from nlp_export.handles import is_handle
from nlp_export.publishing import request as requests
from nlp_export.publishing.request import PackageRequest


@experiment(conditional=('export', 'preprocessing', 'training_data', 'fine_tuning'))
def package(
    export: str | None = gin.REQUIRED,
    preprocessing: str | None = gin.REQUIRED,
    owner: str = gin.REQUIRED,
    name: str = gin.REQUIRED,
    licence: str = gin.REQUIRED,
    language: str | Sequence[str] = gin.REQUIRED,
    training_data: str | Sequence[str] | None = gin.REQUIRED,
    fine_tuning: str | None = gin.REQUIRED,
    preprocessing_name: str | None = None,
    version: int = 1,
    targets: Sequence[str] = requests.TARGETS,
    kaggle_owner: str | None = None,
    kaggle_licence: str | None = None,
    allowed_ops: Sequence[str] = (),
    licence_name: str | None = None,
    licence_link: str | None = None,
) -> Plan:
  """Packages of an export and its preprocessing for TF Hub, Hugging Face and Kaggle.

  Args:
    export: EXPORT: a SavedModel of an encoder, a text embedding or a classifier: directory,
      .tar.gz, or a handle that tensorflow_hub resolves.
    preprocessing: PREPROCESSING: the one that belongs to it, which is checked; or it alone.
    owner: OWNER: user or organisation on the hubs.
    name: NAME: of the export there.
    licence: LICENCE: Hugging Face's identifier, 'apache-2.0'; 'other' for one of your own.
    language: LANGUAGE: an ISO 639 code or several.
    training_data: TRAINING_DATA: what the weights were trained on; one text or several. Not needed
      for preprocessing alone.
    fine_tuning: FINE_TUNING: the publisher's advice: whether to fine-tune it, and how. Not needed
      for preprocessing alone.
    preprocessing_name: PREPROCESSING_NAME; None: NAME_preprocess.
    version: VERSION: TF Hub's addresses end in it.
    targets: TARGETS: of 'tf_hub', 'hugging_face', 'kaggle'.
    kaggle_owner: KAGGLE_OWNER; None: OWNER in lower case.
    kaggle_licence: KAGGLE_LICENCE: Kaggle's own name of the licence; None where LICENCE tells.
    allowed_ops: ALLOWED_OPS: what the graphs may do besides computing.
    licence_name: LICENCE_NAME: of a licence of your own, 'of-our-house'; with LICENCE other.
    licence_link: LICENCE_LINK: where its text is: a URL, or LICENSE, a file in each SavedModel.
  """
  require({'export': export, 'preprocessing': preprocessing})
  if export:
    require(training_data=training_data, fine_tuning=fine_tuning,
            why='readers of an EXPORT have to know')
  request = PackageRequest(
      export=export, preprocessing=preprocessing, owner=owner, name=name, licence=licence,
      languages=_several(language), training_data=_several(training_data),
      fine_tuning=fine_tuning or '', preprocessing_name=preprocessing_name or '', version=version,
      targets=tuple(targets), kaggle_owner=kaggle_owner, kaggle_licence=kaggle_licence,
      allowed_ops=allowed_ops, licence_name=licence_name, licence_link=licence_link)
  requests.check(request)
  given = [path for path in (export, preprocessing) if path]
  return Plan(
      lines=[f'look through {path} and package it for {", ".join(request.targets)}'
             for path in given],
      inputs=tuple(path for path in given if not is_handle(path)),
      outputs=(files.join(requests.PACKAGES_DIR, requests.MARKER),),
      execute=lambda run: _execute(request, run))


def _several(value: str | Sequence[str] | None) -> tuple[str, ...]:
  return (value,) if isinstance(value, str) else tuple(value or ())


def _execute(request: PackageRequest, run: Run) -> Outcome:
  from nlp_export.publishing import executing

  record: Any = executing.package(request, run)
  return Outcome(lines=executing.upload_commands(request, run.out_dir), result=record)
