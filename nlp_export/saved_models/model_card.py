"""What does a SavedModel say about itself to the people who find it?

A model card `README.md`, made from the provenance record and the verification's result.
"""

from __future__ import annotations

from typing import Any, Mapping

import jinja2

from nlp_export import names

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader('nlp_export.saved_models', 'cards'),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_TEMPLATES = {
    names.MODEL: 'encoder.md.jinja',
    names.MODEL_WITH_MLM: 'encoder.md.jinja',
    names.PREPROCESSING: 'preprocessing.md.jinja',
}


def render(provenance: Mapping[str, Any], verification: Mapping[str, Any]) -> str:
  """The card of one SavedModel, Markdown.

  Args:
    provenance: what is written to assets.extra/provenance.json.
    verification: what is written to assets.extra/verification.json.

  Returns:
    The text of README.md, ending in a newline.
  """
  checks = verification['checks']
  template = _ENVIRONMENT.get_template(_TEMPLATES[provenance['export_type']])
  return template.render(
      **provenance,
      with_mlm=provenance['export_type'] == names.MODEL_WITH_MLM,
      checks_passed=sum(1 for check in checks if check['passed']),
      checks_total=len(checks),
      tolerance=max((check['tolerance'] or 0 for check in checks), default=0),
  )
