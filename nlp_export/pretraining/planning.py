"""What would a pre-training do, and from where would it go on?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from nlp_export import files
from nlp_export.checkpoints import orbax_layout
from nlp_export.experiment import Outcome, Plan, Run
from nlp_export.pretraining.request import CHECKPOINTS_DIR, Request
from nlp_export.pretraining.saving import roots

CURVES = 'pretraining/curves.json'
SUMMARY = 'pretraining/summary.json'


@dataclasses.dataclass(frozen=True)
class PretrainPlan(Plan):
  """The plan of a pre-training, for experiments that go on from its checkpoints.

  Attributes:
    request: what will be trained.
  """

  request: Request = dataclasses.field(kw_only=True)


def plan(request: Request, execute: Callable[[Run], Outcome]) -> PretrainPlan:
  """The plan.

  Args:
    request: checked.
    execute: does it.
  """
  paths = list(request.text.paths())
  if request.tokenizer is not None and request.tokenizer.asset_file:
    paths.append(request.tokenizer.asset_file)
  if request.initial is not None:
    paths += request.initial.found.files
  return PretrainPlan(
      lines=lines(request), inputs=tuple(dict.fromkeys(paths)), execute=execute,
      outputs=outputs(request), preview=lambda out_dir: preview(request, out_dir),
      shared=request.several_processes, request=request)


def outputs(request: Request) -> list[str]:
  """Relative paths that a finished pre-training has."""
  last = files.join(CHECKPOINTS_DIR, str(request.training.train_steps), orbax_layout.STEP_FILE)
  return [last, CURVES, SUMMARY, 'report.html', 'report.md']


def lines(request: Request) -> list[str]:
  """The plan for a human."""
  spec, training, data = request.encoder, request.training, request.data
  found = [request.text.line()]
  if request.vocabulary is not None:
    asked = request.vocabulary
    found.append(f'learn {asked.vocab_size} tokens with {asked.name} first, '
                 f'{"un" if asked.lower_case else ""}cased')
  elif request.tokenizer is not None:
    found.append(f'tokenizer: {request.tokenizer.description()}')
  heads = ', '.join(['masked_lm', *(head.name for head in request.heads)])
  found += [
      f'encoder: {spec.num_layers} layers, {spec.hidden_size} wide, from {spec.source}; heads: '
      f'{heads}',
      f'rows of {data.seq_length} tokens, at most {data.max_predictions} of them predicted'
      f'{", whole words" if data.whole_word else ""}; pairs: {data.pairs or "none"}',
      f'{training.train_steps} steps of {training.global_batch_size} rows, '
      f'{training.optimizer_spec().name}, learning rate up to {training.learning_rate:g}, '
      f'{training.precision}',
      f'runtime: {type(request.runtime).__name__}',
      f'save every {request.saving.every_steps} steps to {CHECKPOINTS_DIR}/, measure every '
      f'{request.saving.evaluation_steps}',
  ]
  if request.initial is not None:
    found.append(f'start from the weights of {request.initial.found.path}')
  return found + list(request.notes)


def preview(request: Request, out_dir: str) -> list[str]:
  """Where it would go on."""
  found = roots.look(files.join(out_dir, CHECKPOINTS_DIR))
  if found.steps:
    return [f'it would go on from checkpoint {found.steps[0]} of {request.training.train_steps}']
  if request.resume_from is not None:
    other = roots.look(request.resume_from)
    return [f'it would go on from checkpoint {other.steps[0]} of {request.resume_from}'
            if other.steps else f'there is no checkpoint in {request.resume_from}']
  return ['it would start at step 0']
