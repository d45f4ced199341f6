"""What does the whole way give: text, vocabulary, pre-training, exports, fine-tuning?"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import gin

from experiments.export import export
from experiments.pretrain import pretrain
from nlp_export import config, files, names, staging
from nlp_export.ablation import planning
from nlp_export.ablation.study import Study
from nlp_export.errors import RequestError
from nlp_export.experiment import Outcome, Plan, Run, experiment
from nlp_export.pretraining.planning import PretrainPlan
from nlp_export.pretraining.request import CHECKPOINTS_DIR, has_next_sentence

_QUESTION = ('Does the whole way work: what does an encoder learn from text, and does the start of '
             'its pooler matter in fine-tuning?')
_NOTE_POOLER = 'copy_nsp'


@experiment
def pretrain_then_export(
    poolers: Sequence[Callable[..., Any]] = gin.REQUIRED,
    export_types: Sequence[str] = gin.REQUIRED,
    study: Study = gin.REQUIRED,
) -> Plan:
  """Pre-training, verified exports with each pooler, and a GLUE check, in one run and one report.

  Args:
    poolers: POOLERS, which `export` gets too.
    export_types: EXPORT_TYPES, likewise.
    study: @ablation.study(): tasks, arms, seeds, recipe of the check.
  """
  first = pretrain()
  called = config.reference_names(poolers)
  if first.request.several_processes:
    raise RequestError(
        'RUNTIME is multi_worker, but exports and GLUE checks are made by one process. Run '
        'gin/runs/pretrain.gin on all workers, then gin/runs/pooler_ablation.gin with CHECKPOINT')
  if _NOTE_POOLER in called and not has_next_sentence(first.request):
    raise RequestError(
        f'POOLERS has {_NOTE_POOLER}, but HEADS has no next_sentence, whose dense layer it would '
        'copy. Write HEADS = (@pretraining.next_sentence_head,), or leave copy_nsp out')
  kinds = [kind for kind in export_types if kind != names.PREPROCESSING]
  places = [files.join(names.EXPORTS_DIR, pooler, kind) for pooler in called for kind in kinds]
  if names.PREPROCESSING in export_types:
    places.append(files.join(names.EXPORTS_DIR, names.PREPROCESSING))
  arms = ', '.join(arm.name for arm in study.named_arms)
  cells = (f'fine-tune on {", ".join(study.tasks)} with seeds '
           f'{", ".join(map(str, study.seeds))}: arms {arms}')
  return dataclasses.replace(
      first,
      lines=[*first.lines, *(f'write and verify {place}' for place in places), cells,
             'write report.html, report.md, glue/results.json'],
      inputs=tuple(dict.fromkeys([*first.inputs, *study.inputs()])),
      outputs=[*first.outputs, *planning.OUTPUTS,
               *(files.join(place, staging.MARKER) for place in places)],
      execute=lambda run: _execute(first, study, run))


def _execute(first: PretrainPlan, study: Study, run: Run) -> Outcome:
  from nlp_export.pretraining import executing, reporting

  trained = executing.execute(first.request, run)
  for line in trained.lines():
    run.say(line)
  place = files.join(run.out_dir, CHECKPOINTS_DIR)
  # The checkpoint brings its encoder along: a learned vocabulary may have changed its size.
  exports = functools.partial(export, checkpoint=place, encoder=None, encoder_config=None)
  check = planning.plan(
      study, exports, title='Pre-train, then export',
      question=_QUESTION, compares_before=True, pretraining=reporting.content(trained))
  run.add_inputs(check.inputs)
  checked = check.execute(run)
  return dataclasses.replace(
      checked, lines=[*trained.lines(), *checked.lines],
      result={'pretraining': {key: value for key, value in trained.summary().items()
                              if key != 'facts'}, 'check': checked.result})
