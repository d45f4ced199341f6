"""How is an export trained further, from text to moved variables? Resumable, like pre-training."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from nlp_export import files, vocabularies
from nlp_export.continuing import loaded_mlm, preprocessing_tokenizer
from nlp_export.continuing.loaded_mlm import Facts, LoadedModel
from nlp_export.continuing.preprocessing_tokenizer import PreprocessingTokenizer
from nlp_export.continuing.request import BEFORE, CHECKPOINTS_DIR, Request
from nlp_export.errors import RequestError
from nlp_export.experiment import Run
from nlp_export.pretraining import resuming
from nlp_export.pretraining.data import held_out, loading
from nlp_export.pretraining.data.loading import Data
from nlp_export.pretraining.evaluation import MASKED_LM_PREDICTIONS, Evaluation
from nlp_export.pretraining.history import History
from nlp_export.pretraining.keeper import TENSORBOARD_DIR, Keeper
from nlp_export.pretraining.loop import TrainingLoop
from nlp_export.pretraining.optimizer_state import Optimizer
from nlp_export.pretraining.planning import CURVES
from nlp_export.pretraining.saving.metadata import Metadata
from nlp_export.pretraining.saving.tree import RunVariables
from nlp_export.pretraining.session import Session
from nlp_export.pretraining.step import MASKED_LM_ACCURACY, MASKED_LM_LOSS
from nlp_export.pretraining.strategies import Begun
from nlp_export.pretraining.trained import Trained
from nlp_export.running import origin

_NO_INTERVAL = (None, None)


@dataclasses.dataclass(frozen=True, eq=False)
class Continued:
  """A finished training.

  Attributes:
    model: with the trained variables.
    trained: its numbers, those of the held-out text after the last step.
    before: the same metrics of the export as it was.
    change: 'masked_lm_loss', 'masked_lm_accuracy' -> (difference after - before, ends of its 95 %
      interval over held-out documents; None where there is one document alone).
    tokenizer: of its text.
    facts: what a look at the export told.
  """

  model: LoadedModel
  trained: Trained
  before: Mapping[str, float]
  change: Mapping[str, tuple[float, float | None, float | None]]
  tokenizer: PreprocessingTokenizer
  facts: Facts

  @property
  def is_better(self) -> bool:
    """Whether the interval of the change of the held-out loss lies below 0."""
    high = self.change[MASKED_LM_LOSS][2]
    return high is not None and high < 0

  def to_json(self) -> dict[str, Any]:
    """JSON values, without the curves."""
    return {**self.trained.summary(), 'before': dict(self.before),
            'change': {name: {'value': value, 'interval': [low, high]}
                       for name, (value, low, high) in self.change.items()},
            'is_better': self.is_better}

  def lines(self) -> list[str]:
    """For the end of the screen."""
    after = self.trained.metrics
    found = []
    for name, words, shown in (
        (MASKED_LM_LOSS, 'loss', '{:.3f} nats'), (MASKED_LM_ACCURACY, 'accuracy', '{:.1%}')):
      value, low, high = self.change[name]
      interval = '' if low is None or high is None else (
          f', 95 % interval {low:+.3f} to {high:+.3f}')
      found.append(f'masked LM, held out: {words} {shown.format(self.before[name])} before, '
                   f'{shown.format(after[name])} after ({value:+.3f}{interval})')
    if not self.is_better:
      found.append('the loss on held-out text is not shown to be lower: this training may have '
                   'been too short, its learning rate too high or its text too little')
    return found


def train(request: Request, export: str, preprocessing: str, run: Run) -> Continued:
  """Trains what is not trained yet.

  Args:
    request: checked.
    export, preprocessing: local directories of the two.
    run: its out_dir has what an earlier attempt left.

  Raises:
    RequestError: an input is not fit; out_dir holds checkpoints of another configuration; a
      checkpoint cannot be written.
    NotFinite: the training broke down.
  """
  with run.step('begin'):
    begun = request.runtime.begin()
  for note in begun.notes:
    run.say(f'note: {note}')
  with run.step('load preprocessing'):
    tokenizer = preprocessing_tokenizer.load(preprocessing)
  with run.step('load export'):
    root = loaded_mlm.load(export)
    vocabularies.refuse_other(export, preprocessing)
  with run.step('read text'):
    data = loading.load(request.text, tokenizer, request.data, request.training.global_batch_size,
                        request.evaluation_batch_size)
  for note in data.notes:
    run.say(note)
  with run.step('look at export'):
    facts = loaded_mlm.look(root, data.held_out.batches()[0], export)
    tokenizer.check(facts.vocab_size)
    del root  # It is loaded once more on the devices that train it.
  with run.step('build training'):
    training = _loop(request, export, facts, data, begun)
  model: LoadedModel = training.pretrainer.model
  found = training.variables()
  state = dict(found['state'])
  if facts.has_dropout_state:
    state['dropout_state_of_export'] = model.root.dropout_state
  variables = RunVariables(
      training.pretrainer.items(), found['optimizer'], state, model.variables)
  environment = {**begun.describe(), 'machine': origin.machine()}
  metadata = Metadata(_configuration(request, tokenizer, model, data), environment, '')
  root_dir = files.join(run.out_dir, CHECKPOINTS_DIR)
  with run.step('restore'):
    beginning = resuming.begin(
        root_dir, None, None, variables, metadata, training, begun, run.say)
  history = History.read(files.join(run.out_dir, CURVES), beginning.step)
  before = measured_before(run, training, data, history, beginning.step)
  events = files.join(run.out_dir, TENSORBOARD_DIR) if request.saving.tensorboard else ''
  with Keeper(root_dir, files.join(run.out_dir, CURVES), events, request.saving, variables,
              metadata, history, run.say) as keeper:
    after = Session(
        training, data, request.training, request.saving, first_step=beginning.step,
        history=history, keeper=keeper, alone=True, say=run.say).train()
    saves = [dataclasses.asdict(saved) for saved in keeper.saved]
  history.write(files.join(run.out_dir, CURVES))
  steps = history.steps_per_second()
  notes = [*beginning.notes, *training.notes]
  if facts.drops and not facts.has_dropout_state:
    notes.append(loaded_mlm.NOT_REPRODUCIBLE)
  trained = Trained(
      checkpoints=root_dir, step=request.training.train_steps, history=history,
      metrics=after.metrics, intervals=_intervals(after, data), unigram=data.unigram,
      majority_share=None,
      speed={'steps_per_second': steps,
             'tokens_per_second': steps and (
                 steps * request.training.global_batch_size * request.data.seq_length),
             'flops_per_second': None, 'peak_flops_per_second': None},
      saves=saves,
      facts={'configuration': metadata.to_json()['configuration'], 'environment': environment},
      notes=tuple(notes))
  return Continued(model, trained, before.metrics, _change(before, after, data), tokenizer, facts)


def _loop(request: Request, export: str, facts: Facts, data: Data, begun: Begun) -> TrainingLoop:
  recipe = request.training
  recipe.rows_per_micro_batch(begun.strategy.num_replicas_in_sync)
  with begun.strategy.scope():
    pretrainer = loaded_mlm.pretrainer(loaded_mlm.load(export), facts, recipe.dropout_seed)
    optimizer = Optimizer(
        recipe.optimizer_spec(), pretrainer.trained, weight_decay=recipe.weight_decay,
        clip_norm=recipe.clip_norm)
  return TrainingLoop(pretrainer, optimizer, begun, data.batches, recipe)


def _configuration(
    request: Request, tokenizer: PreprocessingTokenizer, model: LoadedModel, data: Data
) -> dict[str, Any]:
  """Whatever decides the numbers: a run goes on with an equal one alone."""
  training = {key: value for key, value in request.training.to_json().items()
              if key != 'steps_per_loop'}
  return {'training': training, 'data': data.describe(), 'tokenizer': tokenizer.to_json(),
          'variables': [[v.name, v.shape.as_list()] for v in model.variables]}


def measured_before(
    run: Run, training: TrainingLoop, data: Data, history: History, step: int) -> Evaluation:
  """The export on the held-out text, measured before the first step, once in an out_dir.

  Args:
    run: of the training.
    training: whose variables are the export's if `step` is 0.
    data: its text.
    history: gets it as the evaluation of step 0.
    step: number of steps done.

  Raises:
    RequestError: steps were done, and the file of what was measured before them is gone.
  """
  path = files.join(run.out_dir, BEFORE)
  if files.exists(path) and step:
    stored = files.read_json(path)
    return Evaluation(stored['metrics'], {k: np.array(v) for k, v in stored['rows'].items()})
  if step:
    raise RequestError(
        f'{path} is missing, in which the held-out loss of the export stands, and training is at '
        f'step {step}. Bring it back, or give another --out_dir')
  with run.step('measure before'):
    found = training.evaluate(data.held_out.batches())
  files.make_dirs(files.dirname(path))
  files.write_json(path, {'metrics': found.metrics,
                          'rows': {name: rows.tolist() for name, rows in found.rows.items()}})
  history.add_evaluation(0, found.metrics)
  run.say(f'before, held out: masked-LM loss {found.metrics[MASKED_LM_LOSS]:.3f}, accuracy '
          f'{found.metrics[MASKED_LM_ACCURACY]:.3f}')
  return found


def _change(
    before: Evaluation, after: Evaluation, data: Data
) -> dict[str, tuple[float, float | None, float | None]]:
  """Paired, row by row: both were measured on the same masks."""
  found = {}
  predictions = max(float(after.rows[MASKED_LM_PREDICTIONS].mean()), 1e-9)
  for name in (MASKED_LM_LOSS, MASKED_LM_ACCURACY):
    rows = (after.rows[name] - before.rows[name]) / predictions
    low, high = _finite(held_out.mean_interval(rows, data.held_out.documents))
    found[name] = (after.metrics[name] - before.metrics[name], low, high)
  return found


def _intervals(evaluation: Evaluation, data: Data) -> dict[str, list[float | None]]:
  """95 % intervals over held-out documents."""
  predictions = max(float(evaluation.rows[MASKED_LM_PREDICTIONS].mean()), 1e-9)
  return {name: list(_finite(held_out.mean_interval(
      evaluation.rows[name] / predictions, data.held_out.documents)))
          for name in (MASKED_LM_LOSS, MASKED_LM_ACCURACY)}


def _finite(ends: tuple[float, float]) -> tuple[float | None, float | None]:
  return ends if all(map(math.isfinite, ends)) else _NO_INTERVAL
