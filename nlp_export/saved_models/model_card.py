"""What does a SavedModel say about itself to the people who find it?

A model card `README.md`, made from the provenance record and the verification's result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from nlp_export import names

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader('nlp_export.saved_models', 'cards'),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,  # noqa: S701 - Markdown, not HTML.
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
  template = _ENVIRONMENT.get_template(_TEMPLATES[provenance['export_type']])
  return template.render(
      **provenance,
      with_mlm=provenance['export_type'] == names.MODEL_WITH_MLM,
      verified=_verified(verification['checks']),
  )


def _verified(checks: Sequence[Mapping[str, Any]]) -> str:
  """The verification in a sentence or two."""
  counts = Counter(check['status'] for check in checks)
  sentence = f'{counts.pop("passed")} checks passed'
  if counts:
    sentence += ' (' + ', '.join(
        f'{n} {status.replace("_", " ")}' for status, n in sorted(counts.items())) + ')'
  sentence += ', in a fresh process, from a moved path.'
  source = next((c for c in checks if c['name'] == 'encoder.equals_source'), None)
  if source is not None and source['status'] == 'passed':
    sentence += (f' Outputs equal those of the encoder that was restored, on real sentences, '
                 f'to {source["tolerance"]:.0e}.')
  return sentence
