"""Does everything work on this machine, on real weights?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gin

from experiments.export import export
from nlp_export import names
from nlp_export.ablation import planning
from nlp_export.ablation.study import Study
from nlp_export.experiment import Outcome, Plan, Run, experiment

_QUESTION = ('Does everything work here: do exports of real weights fine-tune, and as their '
             'baseline does?')


@experiment
def quickstart(sentences: Sequence[str] = gin.REQUIRED, study: Study = gin.REQUIRED) -> Plan:
  """Verified exports of a real encoder, what they say about sentences, and a small GLUE check.

  Args:
    sentences: shown with their cosine similarities.
    study: @ablation.study(): tasks, arms, seeds, recipe of the check.
  """
  exports = export()
  check = planning.plan(study, export, title='Quickstart', question=_QUESTION,
                        compares_before=True)
  new = [line for line in check.lines if line not in exports.lines]
  return Plan(
      lines=[*exports.lines, f'embed {len(sentences)} sentences', *new,
             'altogether about 4 minutes on 2 cores'],
      inputs=check.inputs,
      outputs=[*exports.outputs, *check.outputs],
      preview=check.preview,
      execute=lambda run: _execute(exports, check, sentences, run))


def _execute(exports: Plan, check: Plan, sentences: Sequence[str], run: Run) -> Outcome:
  from nlp_export.glue.fine_tuning import runtime

  runtime.make_deterministic()
  done = exports.execute(run)
  places: Mapping[str, str] = done.result['exports']
  model = next(path for label, path in places.items() if label != names.PREPROCESSING)
  with run.step('embed'):
    from nlp_export.embedding import embedder

    vectors = embedder.embed(model, places[names.PREPROCESSING], sentences)
  similarities = vectors @ vectors.T
  lines = ['cosine similarity of mean-pooled sentences:']
  lines += [f'{" ".join(f"{value:5.2f}" for value in row)}  {sentence}'
            for row, sentence in zip(similarities, sentences, strict=True)]
  for line in [*lines, *done.lines]:
    run.say(line)
  checked = check.execute(run)
  result: dict[str, Any] = {
      **done.result, 'similarities': similarities.round(4).tolist(), 'check': checked.result}
  return Outcome(lines=checked.lines, passed=checked.passed, report=checked.report, result=result)
