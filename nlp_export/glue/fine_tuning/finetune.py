"""What does a cell score? Its encoder fine-tuned on its task, as `run_matrix` wants it.

    finetune = FineTuning(arms={('export', 'random'): ExportArm(...)}, splits=load_task)
    outcome = run_matrix(cells, finetune, out_dir)

What is costly stays between cells: the loaded encoder and its compiled functions, which poolers,
seeds and tasks share, and the tokenised texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.glue import cell_files, degenerate, metrics, prediction_files, tasks
from nlp_export.glue.cells import DEGENERATE, OK, Cell, CellResult
from nlp_export.glue.examples import Examples
from nlp_export.glue.fine_tuning import runtime
from nlp_export.glue.fine_tuning.arms import Arm
from nlp_export.glue.fine_tuning.classifier import Classifier
from nlp_export.glue.fine_tuning.loaded_encoders import LoadedEncoders
from nlp_export.glue.fine_tuning.recipe import BEST, Recipe
from nlp_export.glue.fine_tuning.tokenised import TokenisedTexts
from nlp_export.glue.fine_tuning.trainable_encoder import TrainableEncoder
from nlp_export.glue.fine_tuning.training import SAVE_EVERY_SECONDS, Training
from nlp_export.glue.prediction_files import Predictions
from nlp_export.glue.tasks import TRAIN, Task
from nlp_export.glue.work import Work
from nlp_export.running import interrupts

CHOSEN_ON_DEV = ('the best checkpoint was chosen on dev, so its dev score is biased upwards '
                 '(held_out_share chooses on training examples instead)')

Splits = Callable[[str], Mapping[str, Examples]]


class FineTuning:
  """Makes the results of cells. One cell at a time; nothing is shared between processes."""

  def __init__(
      self, arms: Mapping[tuple[str, str], Arm], splits: Splits, *,
      save_every_seconds: float = SAVE_EVERY_SECONDS,
      task_of: Callable[[str], Task] = tasks.get,
  ):
    """Loads nothing yet.

    Args:
      arms: by (name of the arm, name of the pooler).
      splits: for the name of a task its 'train' and dev splits, and others to predict, such as
        the test splits without labels.
      save_every_seconds: between two checkpoints of a training.
      task_of: for the name of a task the task: of GLUE by default.
    """
    self._task_of = task_of
    self._arms = dict(arms)
    self._splits = splits
    self._save_every_seconds = save_every_seconds
    self._encoders = LoadedEncoders()
    self._examples: dict[str, Mapping[str, Examples]] = {}
    runtime.make_deterministic()

  def encoder(self, arm_name: str, pooler: str) -> TrainableEncoder:
    """The encoder of an arm, with the values that its trainings start from."""
    return self._encoders.of(self._arms[arm_name, pooler]).encoder

  def classifier(self, cell: Cell) -> Classifier:
    """What is trained for a cell; once it was, and before another cell is, it is the result."""
    recipe, task = Recipe.from_json(cell.recipe), self._task_of(cell.task)
    return self._encoders.of(self._arms[cell.arm, cell.pooler]).trainer(task, recipe).classifier

  def __call__(self, cell: Cell, work: Work) -> CellResult:
    """Fine-tunes and scores; the predictions are written below `work.out_dir`."""
    task = self._task_of(cell.task)
    recipe = Recipe.from_json(cell.recipe)
    if cell.task not in self._examples:
      self._examples = {cell.task: self._splits(cell.task)}
    examples = self._examples[cell.task]
    loaded = self._encoders.of(self._arms[cell.arm, cell.pooler])
    texts = {name: loaded.tokenised(split, recipe) for name, split in examples.items()}
    trainer = loaded.trainer(task, recipe)
    train, held_out = _held_out(examples[TRAIN], texts[TRAIN], recipe, cell.data_seed)

    def evaluate() -> dict[str, float]:
      if held_out is not None:
        rows, labels = held_out
        return {f'held_out_{name}': value for name, value in
                _scores(task, task.dev_splits[0], trainer.predict(rows, interrupts.check),
                        labels).items()}
      return _dev_scores(task, examples, {
          split: trainer.predict(texts[split], interrupts.check) for split in task.dev_splits})

    main_metric = task.main_metric if held_out is None else f'held_out_{task.main_metric}'
    training = Training(cell, recipe, trainer, *train, evaluate, main_metric, work,
                        self._save_every_seconds)
    progress = training.run()
    with training.saved_at_interrupt(progress):  # QQP's test set has 390,965 rows.
      predictions = {
          name: Predictions(
              trainer.predict(texts[name], interrupts.check), split.ids, split.labels)
          for name, split in examples.items() if name != TRAIN}
    work.check()
    place = cell_files.predictions_file(cell)
    prediction_files.write(files.join(work.out_dir, place), predictions)
    return self._result(cell, task, recipe, examples, training, progress, predictions, place,
                        loaded.encoder.notes)

  def _result(
      self, cell: Cell, task: Task, recipe: Recipe, examples: Mapping[str, Examples],
      training: Training, progress: Any, predictions: Mapping[str, Predictions], place: str,
      encoder_notes: Sequence[str],
  ) -> CellResult:
    scores = _dev_scores(
        task, examples, {split: predictions[split].outputs for split in task.dev_splits})
    main_split = next(split for split in task.dev_splits
                      if task.main_metric in task.metric_names(split))
    reasons = degenerate.reasons(
        cell.task, scores, predictions[main_split].values(task), examples[main_split].labels,
        progress.history, task.labels or ())
    count, tokens, padding = training.totals(progress.step)
    seconds = max(progress.seconds, 1e-9)
    notes = [*encoder_notes, *runtime.notes(recipe.precision),
             *(note for split in examples.values() for note in split.notes)]
    if recipe.checkpoint == BEST and not recipe.held_out_share:
      notes.append(CHOSEN_ON_DEV)
    return CellResult.of(
        cell, status=DEGENERATE if reasons else OK, metrics=scores, main_metric=task.main_metric,
        train_seconds=progress.seconds, examples_per_second=count / seconds,
        tokens_per_second=tokens / seconds, padding_share=padding, history=progress.history,
        predictions_file=place, gold_sha256=examples[main_split].gold_sha256(),
        labels=task.labels or (), degenerate=reasons, notes=tuple(dict.fromkeys(notes)))


def _dev_scores(
    task: Task, examples: Mapping[str, Examples], outputs: Mapping[str, np.ndarray]
) -> dict[str, float]:
  """The metrics of all dev splits: MNLI's have a suffix each."""
  return {name: value for split, found in outputs.items()
          for name, value in _scores(task, split, found, examples[split].labels).items()}


def _scores(
    task: Task, split: str, outputs: np.ndarray, labels: np.ndarray | None) -> dict[str, float]:
  if labels is None:
    raise ValueError(f'{task.name} {split} has no labels to score')
  values = outputs[:, 0] if task.is_regression else np.argmax(outputs, axis=1).astype(np.int32)
  return metrics.compute(task, values, labels, split)


def _held_out(
    examples: Examples, texts: TokenisedTexts, recipe: Recipe, data_seed: int
) -> tuple[tuple[TokenisedTexts, np.ndarray], tuple[TokenisedTexts, np.ndarray] | None]:
  """What to train on, and what to choose the best checkpoint on instead of dev."""
  labels = examples.labels
  if labels is None:
    raise ValueError(f'{examples.task.name} {examples.split} has no labels to train on')
  if not recipe.held_out_share:
    return (texts, labels), None
  count = round(recipe.held_out_share * len(labels))
  if max(1, count) >= len(labels):
    raise RequestError(
        f'{examples.place} has {len(labels)} example{"" if len(labels) == 1 else "s"}: with a '
        f'held_out_share of {recipe.held_out_share:g} none would be left to train on. Write '
        '--set recipe.held_out_share=0, or give more examples')
  order = np.argsort(np.random.Philox(data_seed).random_raw(len(labels)), kind='stable')
  out, kept = np.sort(order[:max(1, count)]), np.sort(order[max(1, count):])
  return (texts.rows(kept), labels[kept]), (texts.rows(out), labels[out])
