"""How is a request pre-trained, from text to a finished checkpoint?"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

from nlp_export import files, names
from nlp_export.errors import RequestError
from nlp_export.experiment import Run
from nlp_export.own_parts import explain_part
from nlp_export.pretraining import agreement, flops, machine_peak, resuming, workers
from nlp_export.pretraining import loop as loops
from nlp_export.pretraining.data import held_out, loading
from nlp_export.pretraining.data.loading import Data
from nlp_export.pretraining.evaluation import MASKED_LM_PREDICTIONS, Evaluation
from nlp_export.pretraining.history import History
from nlp_export.pretraining.keeper import TENSORBOARD_DIR, Keeper
from nlp_export.pretraining.loop import TrainingLoop
from nlp_export.pretraining.planning import CURVES, SUMMARY
from nlp_export.pretraining.request import CHECKPOINTS_DIR, Request
from nlp_export.pretraining.saving import metadata as metadata_lib
from nlp_export.pretraining.saving import tf_checkpoint
from nlp_export.pretraining.saving.metadata import Metadata
from nlp_export.pretraining.saving.tree import RunVariables
from nlp_export.pretraining.session import Session
from nlp_export.pretraining.strategies import Begun
from nlp_export.pretraining.trained import Trained
from nlp_export.pretraining.vocabularies import Vocabulary, tokenizer_of
from nlp_export.running import origin
from nlp_export.running.once import once
from nlp_export.tokenizers import Tokenizer

VOCABULARY_DIR = 'vocabulary'
TF_CHECKPOINT_DIR = 'tf_checkpoint'
_VOCABULARY_RECORD = 'vocabulary.json'
_MASKED_LM = ('masked_lm_loss', 'masked_lm_accuracy')


def execute(request: Request, run: Run) -> Trained:
  """Trains what is not trained yet; every process of a training calls it.

  Args:
    request: checked.
    run: its out_dir has what an earlier attempt left.

  Raises:
    RequestError: an input is not fit; out_dir holds checkpoints of another configuration; a
      checkpoint cannot be written.
    NotFinite: the training broke down.
    WorkerLost: another process went away. This one ends when Python does, at once.
  """
  try:
    with run.step('begin'):
      begun = request.runtime.begin()
    return _execute(request, run, begun)
  except workers.WorkerLost as error:
    # Last registered is first called: before what could hang.
    atexit.register(workers.end_process, error.exit_status)
    raise


def _execute(request: Request, run: Run, begun: Begun) -> Trained:
  for note in (*request.notes, *begun.notes):
    run.say(f'note: {note}')
  tokenizer = request.tokenizer
  if tokenizer is None:
    tokenizer = _learned(request, run)
    request, notes = request.with_tokenizer(tokenizer)
    for note in notes:
      run.say(f'note: {note}')
  with run.step('read text'):
    data = loading.load(request.text, tokenizer, request.data, request.training.global_batch_size,
                        request.evaluation_batch_size)
  for note in data.notes:
    run.say(note)
  with run.step('build model'):
    training = loops.build(begun, request.encoder, request.heads, request.training, data.batches,
                           mlm_activation=request.mlm_activation)
    found = training.variables()
    variables = RunVariables(
        training.pretrainer.items(), found['optimizer'], found['state'],
        training.pretrainer.model.variables)
  environment = {**begun.describe(), 'machine': origin.machine()}
  metadata = metadata_lib.describe(
      request.encoder, tokenizer, request.mlm_activation, request.configuration(data.describe()),
      environment)
  root = files.join(run.out_dir, CHECKPOINTS_DIR)
  with run.step('restore'):
    beginning = resuming.begin(
        root, request.resume_from, request.initial, variables, metadata, training, begun, run.say)
  history = History.read(files.join(run.out_dir, CURVES), beginning.step)
  with _keeper(request, run, begun, root, variables, metadata, history) as keeper:
    evaluation = Session(
        training, data, request.training, request.saving, first_step=beginning.step,
        history=history, keeper=keeper, alone=begun.workers == 1, say=run.say).train()
    saves = [dataclasses.asdict(saved) for saved in keeper.saved] if keeper else []
  trained = Trained(
      checkpoints=root, step=request.training.train_steps, history=history,
      metrics=evaluation.metrics, intervals=_intervals(evaluation, data),
      unigram=data.unigram, majority_share=data.held_out.majority_share,
      speed=_speed(request, history, begun, run), saves=saves,
      facts={'configuration': metadata.to_json()['configuration'], 'environment': environment},
      notes=(*beginning.notes, *training.notes), is_chief=begun.is_chief)
  _finish(request, trained, training, begun, run)
  return trained


@contextlib.contextmanager
def _keeper(
    request: Request, run: Run, begun: Begun, root: str, variables: RunVariables,
    metadata: Metadata, history: History,
) -> Iterator[Keeper | None]:
  if not begun.is_chief:
    yield None
    return
  events = files.join(run.out_dir, TENSORBOARD_DIR) if request.saving.tensorboard else ''
  with Keeper(root, files.join(run.out_dir, CURVES), events, request.saving, variables, metadata,
              history, run.say) as keeper:
    yield keeper


def _learned(request: Request, run: Run) -> Tokenizer:
  """A tokenizer whose vocabulary is learned from the text, by one process, once."""
  asked = request.vocabulary
  assert asked is not None  # noqa: S101 - the plan saw to it.
  directory = files.join(run.out_dir, VOCABULARY_DIR)
  record = files.join(directory, _VOCABULARY_RECORD)

  def learn() -> None:
    with run.step(f'learn vocabulary with {asked.name}'), explain_part(
        asked.learner, f'The vocabulary {asked.name}'):
      found = asked.learner(loading.documents(request.text), vocab_size=asked.vocab_size,
                            lower_case=asked.lower_case)
      if not isinstance(found, Vocabulary):
        raise RequestError(f'VOCABULARY is {asked.name}, which gave {type(found).__name__}. It has '
                           'to give a Vocabulary, see nlp_export/pretraining/vocabularies.py')
    files.write_bytes(files.join(directory, found.file_name), found.data)
    files.write_json(record, found.to_json())

  once(files.join(run.out_dir, names.CLAIMS), VOCABULARY_DIR, lambda: files.exists(record), learn,
       say=run.say)
  learned = files.read_json(record)
  path = files.join(directory, learned['file'])
  run.say(f'vocabulary: {learned["size"]} tokens in {path}')
  return tokenizer_of(learned, path)


def _intervals(evaluation: Evaluation, data: Data) -> dict[str, list[float | None]]:
  """95 % intervals over held-out documents of what is an accuracy or the masked-LM loss."""
  found: dict[str, list[float | None]] = {}
  documents, rows = data.held_out.documents, evaluation.rows
  # A mean over predictions, while rows are what is drawn: they have about as many each.
  predictions = max(float(rows[MASKED_LM_PREDICTIONS].mean()), 1e-9)
  for name in evaluation.metrics:
    if name in _MASKED_LM:
      ends = held_out.mean_interval(rows[name] / predictions, documents)
    elif name.endswith('_accuracy'):
      ends = held_out.mean_interval(rows[name], documents)
    else:
      continue
    found[name] = [end if math.isfinite(end) else None for end in ends]
  return found


def _speed(request: Request, history: History, begun: Begun, run: Run) -> Mapping[str, Any]:
  steps = history.steps_per_second()
  recipe, data = request.training, request.data
  each = flops.of_step(
      request.encoder, request.heads, rows=recipe.global_batch_size, seq_length=data.seq_length,
      max_predictions=data.max_predictions)
  peak = None
  device = str(begun.describe()['device'])
  if steps and begun.kind != 'tpu':
    with run.step('measure peak'):
      peak = machine_peak.flops_per_second(recipe.precision)
    if 'GPU' in device.upper():  # Logical CPUs share the cores.
      peak *= begun.strategy.num_replicas_in_sync
  return {
      'steps_per_second': steps,
      'tokens_per_second': steps and steps * recipe.global_batch_size * data.seq_length,
      'flops_per_second': steps and each and steps * each, 'peak_flops_per_second': peak}


def _finish(
    request: Request, trained: Trained, training: TrainingLoop, begun: Begun, run: Run) -> None:
  """Writes what comes after the last checkpoint; no process leaves before it is there."""
  if begun.is_chief:
    trained.history.write(files.join(run.out_dir, CURVES))
    if request.saving.tf_checkpoint:
      prefix = files.join(run.out_dir, TF_CHECKPOINT_DIR, f'ckpt-{trained.step}')
      with run.step('write tf.train.Checkpoint'):
        tf_checkpoint.write(prefix, training.pretrainer.model.checkpoint_items)
    files.write_json(files.join(run.out_dir, SUMMARY), trained.summary())
  if begun.workers > 1:
    with begun.explained(trained.step):
      agreement.check(begun.strategy, trained.step, training.pretrainer.trained)
  run.record('pretraining', {key: value for key, value in trained.summary().items()
                             if key != 'facts'})
