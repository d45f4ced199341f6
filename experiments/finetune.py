"""What is an export worth on a task, and which encoder and classifier come of it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import gin

from nlp_export import handles, names
from nlp_export.errors import RequestError
from nlp_export.experiment import Outcome, Plan, Run, experiment, require
from nlp_export.glue import data as glue_data
from nlp_export.glue import tasks
from nlp_export.glue.fine_tuning.recipe import Recipe
from nlp_export.tuning.examples import Data, GlueData, OwnData
from nlp_export.tuning.request import TuningRequest


@experiment(conditional=('export', 'preprocessing', 'task', 'train_file'))
def finetune(
    export: str | None = gin.REQUIRED,
    preprocessing: str | None = gin.REQUIRED,
    task: str | None = None,
    train_file: str | None = None,
    dev_file: str | None = None,
    text_column: str | int = 'text',
    second_text_column: str | int | None = None,
    label_column: str | int = 'label',
    labels: Literal['classes', 'numbers'] | None = None,
    label_names: Mapping[str, str] | None = None,
    dev_share: float = 0.1,
    name: str | None = None,
    glue_dir: str | None = None,
    tfds_data_dir: str | None = None,
    leave_out_malformed: bool = False,
    recipe: Recipe = gin.REQUIRED,
    seed: int = 0,
    regularization_losses: bool = True,
    allowed_ops: Sequence[str] = (),
) -> Plan:
  """An export fine-tuned on GLUE or on your own texts: the encoder again, and a classifier.

  Args:
    export: EXPORT: an encoder's SavedModel of anybody, by path or handle.
    preprocessing: PREPROCESSING: the one that belongs to it.
    task: TASK: of GLUE, or a builtin one.
    train_file: TRAIN_FILE: a .csv, .tsv or .jsonl file instead.
    dev_file: DEV_FILE: to score on; None: a share of TRAIN_FILE.
    text_column: TEXT_COLUMN: its name, or its position from 0 in a file without a header line.
    second_text_column: SECOND_TEXT_COLUMN, for pairs of texts.
    label_column: LABEL_COLUMN.
    labels: LABELS: 'classes', 'numbers' (a regression), or None: numbers if they have a decimal
      point.
    label_names: LABEL_NAMES: a label as it is written -> its name, in the order of the outputs.
    dev_share: DEV_SHARE of TRAIN_FILE that is kept out to score on.
    name: NAME of the exports' directory; None: that of the task or of the file.
    glue_dir: GLUE_DIR: of the official TSV files.
    tfds_data_dir: TFDS_DATA_DIR: of prepared tensorflow_datasets instead.
    leave_out_malformed: LEAVE_OUT_MALFORMED: leaves rows of a wrong number of fields out, of GLUE's
      files.
    recipe: @fine_tuning.recipe().
    seed: SEED.
    regularization_losses: REGULARIZATION_LOSSES: whether those that the export declares are added
      to the loss, as TF Hub's interface of Reusable SavedModels asks of who trains one.
    allowed_ops: ALLOWED_OPS: what the graphs may do besides computing.
  """
  require({'task': task, 'train_file': train_file}, export=export, preprocessing=preprocessing)
  if task and train_file:
    raise RequestError(f'TASK is {task!r} and TRAIN_FILE is {train_file}: it is trained on one of '
                       'the two. Leave the other out')
  if isinstance(seed, bool) or seed < 0:
    raise RequestError(f'SEED is {seed!r}. Seeds are 0, 1, 2 ...')
  data: Data
  if task:
    if name is not None:
      raise RequestError(f'NAME is {name!r}, but the exports of a task of GLUE are called as the '
                         'task. Leave NAME out')
    found = tasks.get(task)
    data = GlueData(found, glue_data.source_for(found, glue_dir, tfds_data_dir,
                                                leave_out_malformed))
  else:
    data = OwnData(str(train_file), dev_file, text_column, second_text_column, label_column,
                   labels, label_names, dev_share, seed, name or '')
  request = TuningRequest(
      str(export), str(preprocessing), data, recipe, seed, regularization_losses, allowed_ops)
  given = [path for path in (str(export), str(preprocessing)) if not handles.is_handle(path)]
  return Plan(
      lines=[f'load {export} with the preprocessing {preprocessing}', *data.lines(),
             request.how(), f'write and verify {request.exports_dir}/{names.MODEL} (or '
             f'{names.MODEL_WITH_MLM}) and {request.classifier_place()}'],
      inputs=[*given, *data.inputs()],
      outputs=request.outputs(),
      execute=lambda run: _execute(request, run))


def _execute(request: TuningRequest, run: Run) -> Outcome:
  from nlp_export.tuning import executing

  return executing.execute(request, run)
