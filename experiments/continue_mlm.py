"""What does an encoder learn from more text? Masked-LM training that goes on from an export."""

from __future__ import annotations

from collections.abc import Sequence

import gin

from nlp_export import files, staging
from nlp_export.continuing import request as requests
from nlp_export.experiment import Outcome, Plan, Run, experiment
from nlp_export.pretraining import planning
from nlp_export.pretraining.data.recipe import DataRecipe
from nlp_export.pretraining.recipe import TrainRecipe
from nlp_export.pretraining.saving import roots
from nlp_export.pretraining.saving_options import Saving
from nlp_export.pretraining.strategies import Runtime
from nlp_export.pretraining.texts import Text


@experiment
def continue_mlm(
    export: str = gin.REQUIRED,
    preprocessing: str = gin.REQUIRED,
    text: Text = gin.REQUIRED,
    data: DataRecipe = gin.REQUIRED,
    training: TrainRecipe = gin.REQUIRED,
    saving: Saving = gin.REQUIRED,
    runtime: Runtime = gin.REQUIRED,
    allowed_ops: Sequence[str] = (),
) -> Plan:
  """Masked-LM training of an export on more text, exported again with the moved variables.

  Args:
    export: EXPORT: directory of a SavedModel with `.mlm`, ours or a stranger's, or a handle that
      tensorflow_hub resolves.
    preprocessing: PREPROCESSING: of the preprocessing SavedModel that belongs to it.
    text: @pretraining.text(): what is trained on, and what is held out.
    data: @pretraining.data_recipe(): length and masks.
    training: @pretraining.train_recipe(): steps, batch, optimizer. Its init_seed draws nothing.
    saving: @pretraining.saving(): checkpoints and evaluations.
    runtime: RUNTIME: @runtime.one_device() or @runtime.mirrored(), see gin/runtime.
    allowed_ops: ALLOWED_OPS: operations that the two SavedModels may hold though they do more than
      compute: the names that a refusal gives.
  """
  request = requests.Request(
      export, preprocessing, text, data, training, saving, runtime, tuple(allowed_ops))
  request.check()

  def execute(run: Run) -> Outcome:
    from nlp_export.continuing import executing

    return executing.execute(request, run)

  return Plan(
      lines=_lines(request), inputs=request.local_inputs, execute=execute,
      outputs=(files.join(request.destination, staging.MARKER), planning.CURVES,
               planning.SUMMARY, 'report.html', 'report.md'),
      preview=lambda out_dir: _preview(request, out_dir))


def _lines(request: requests.Request) -> list[str]:
  training, data = request.training, request.data
  return [
      f'load {request.export} and its masked-LM head; tokenise with {request.preprocessing}',
      request.text.line(),
      f'rows of {data.seq_length} tokens, at most {data.max_predictions} of them predicted'
      f'{", whole words" if data.whole_word else ""}; pairs: {data.pairs or "none"}',
      f'{training.train_steps} steps of {training.global_batch_size} rows, '
      f'{training.optimizer_spec().name}, learning rate up to {training.learning_rate:g}',
      f'runtime: {type(request.runtime).__name__}',
      f'save every {request.saving.every_steps} steps to {requests.CHECKPOINTS_DIR}/, measure '
      f'every {request.saving.evaluation_steps}',
      f'write and verify {request.destination}']


def _preview(request: requests.Request, out_dir: str) -> list[str]:
  found = roots.look(files.join(out_dir, requests.CHECKPOINTS_DIR))
  if found.steps:
    return [f'it would go on from checkpoint {found.steps[0]} of {request.training.train_steps}']
  return ['it would start at step 0']
