"""Does everything work on this machine, on real weights?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gin

from experiments.export import export
from nlp_export import names
from nlp_export.experiment import Outcome, Plan, Run, experiment


@experiment
def quickstart(sentences: Sequence[str] = gin.REQUIRED) -> Plan:
  """Three verified exports of a real encoder, and what they say about a few sentences.

  Args:
    sentences: shown with their cosine similarities.
  """
  exports = export()
  return Plan(
      lines=[*exports.lines, f'embed {len(sentences)} sentences'],
      inputs=exports.inputs,
      outputs=exports.outputs,
      execute=lambda run: _execute(exports, sentences, run))


def _execute(exports: Plan, sentences: Sequence[str], run: Run) -> Outcome:
  done = exports.execute(run)
  places: Mapping[str, str] = done.result['exports']
  model = next(path for label, path in places.items() if label != names.PREPROCESSING)
  with run.step('embed'):
    from nlp_export import embedding

    vectors = embedding.embed(model, places[names.PREPROCESSING], sentences)
  similarities = vectors @ vectors.T
  lines = ['cosine similarity of mean-pooled sentences:']
  lines += [f'{" ".join(f"{value:5.2f}" for value in row)}  {sentence}'
            for row, sentence in zip(similarities, sentences, strict=True)]
  result: dict[str, Any] = {**done.result, 'similarities': similarities.round(4).tolist()}
  return Outcome(lines=[*lines, *done.lines], result=result)
