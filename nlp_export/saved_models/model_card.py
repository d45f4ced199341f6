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
    names.CLASSIFIER: 'classifier.md.jinja',
    names.TEXT_EMBEDDING: 'text_embedding.md.jinja',
}
# Of an encoder about which nothing is recorded but what became of it here.
_STRANGERS = 'tuned_stranger.md.jinja'
# The check that compares outputs, and with what.
_COMPARED = {
    'encoder.equals_source': 'Outputs equal those of the encoder that was restored, on real '
                             'sentences',
    'text_embedding.equals_source': 'Vectors equal those of the encoder that was restored, called '
                                    'on one text at a time, on real texts',
    'classifier.equals_trained': 'Logits equal those of the model as it was trained, on texts that '
                                 'it was scored on',
}
_COMPARED_TUNED = 'Outputs equal those of the tuned model in memory, on real sentences'


def render(provenance: Mapping[str, Any], verification: Mapping[str, Any]) -> str:
  """The card of one SavedModel, Markdown.

  Args:
    provenance: what is written to assets.extra/provenance.json.
    verification: what is written to assets.extra/verification.json.

  Returns:
    The text of README.md, ending in a newline.
  """
  name = _TEMPLATES[provenance['export_type']]
  if name == 'encoder.md.jinja' and 'encoder' not in provenance:
    name = _STRANGERS
  template = _ENVIRONMENT.get_template(name)
  tuning = provenance.get('tuning', ())
  return template.render({
      **provenance,
      'tuning': tuning,
      'with_mlm': provenance['export_type'] == names.MODEL_WITH_MLM,
      'verified': _verified(verification['checks'], bool(tuning)),
  })


def _verified(checks: Sequence[Mapping[str, Any]], tuned: bool = False) -> str:
  """The verification in a sentence or two."""
  counts = Counter(check['status'] for check in checks)
  sentence = f'{counts.pop("passed")} checks passed'
  if counts:
    sentence += ' (' + ', '.join(
        f'{n} {status.replace("_", " ")}' for status, n in sorted(counts.items())) + ')'
  sentence += ', in a fresh process, from a moved path.'
  source = next((c for c in checks if c['name'] in _COMPARED), None)
  if source is not None and source['status'] == 'passed':
    encoder = source['name'] == 'encoder.equals_source'
    compared = _COMPARED_TUNED if encoder and tuned else _COMPARED[source['name']]
    sentence += f' {compared}, to {source["tolerance"]:.0e}.'
  failed = ', '.join(check['name'] for check in checks if check['status'] == 'failed')
  if failed:  # Of a graph that another tool wrote: nothing else is put in place then.
    sentence += f' What failed are goals, or known defects of the tool that wrote it: {failed}.'
  return sentence
