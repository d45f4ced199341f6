"""How does a fine-tuning go: trained, scored, and exported as an encoder and as a classifier?

It is one cell of the matrix that GLUE checks use, so it goes on after a kill where it stopped. The
trained values are kept until the exports that are made of them are in place.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nlp_export import files, handles, names, placing, reexporting, staging, text_inputs
from nlp_export.errors import RequestError
from nlp_export.experiment import Outcome, Run
from nlp_export.glue import cell_files, matrix, metrics
from nlp_export.glue.cells import DEGENERATE, Cell, CellResult
from nlp_export.glue.examples import Examples
from nlp_export.glue.work import Work
from nlp_export.reexporting import Score, Tuning
from nlp_export.tuning.arm import LoadedArm
from nlp_export.tuning.examples import Loaded
from nlp_export.tuning.request import TuningRequest
from nlp_export.tuning.trained import Trained

if TYPE_CHECKING:
  from nlp_export.glue.fine_tuning.classifier import Classifier
  from nlp_export.glue.fine_tuning.finetune import FineTuning


def execute(request: TuningRequest, run: Run) -> Outcome:
  """Fine-tunes and exports what is not there yet."""
  with run.step('read data'):
    data = request.data.load()
  run.say(f'  {data.description}; {len(data.splits["train"])} examples to train on')
  with contextlib.ExitStack() as stack:
    model = stack.enter_context(_local(request.export, request))
    arm = LoadedArm(model, stack.enter_context(_local(request.preprocessing, request)),
                    request.recipe.max_seq_length, request.regularized)
    cell = request.cell(model, {**arm.content_hashes(), **_data_hashes(data.splits)})
    trained = Trained(run.out_dir, cell)
    if _is_done(request, run.out_dir):
      places = _places(request, run.out_dir)
    else:
      tuned = _tuned(request, run, data, arm, cell, trained)
      if tuned is None:
        return Outcome(lines=['The training failed, see above. Repeat the command to try again'],
                       passed=False)
      places = _export(request, run, data, arm, cell, tuned)
    trained.remove()
  result = _stored(run, cell)
  return Outcome(
      lines=[*_score_lines(data, result), *(f'{k}: {v}' for k, v in places.items())],
      result={'exports': places, 'cell': result.to_json()})


def _stored(run: Run, cell: Cell) -> CellResult:
  stored = cell_files.read(run.out_dir, cell)
  if stored is None:
    raise RequestError(
        f'The exports in {run.out_dir} are there, but the scores of the training that they come '
        f'from, {cell_files.cell_path(run.out_dir, cell)}, are not. Give another --out_dir to '
        'train anew')
  return stored.result


@contextlib.contextmanager
def _local(given: str, request: TuningRequest) -> Iterator[str]:
  """A local directory with the SavedModel that a user named."""
  found = handles.resolved(given, request.allowed_ops)
  if not files.is_remote(found):
    yield found
    return
  with tempfile.TemporaryDirectory(prefix='nlp_export_') as directory:
    place = os.path.join(directory, files.basename(found.rstrip('/')))
    files.copy_tree(found, place)
    yield place


def _data_hashes(splits: Mapping[str, Examples]) -> dict[str, str]:
  return {f'{what} of {split}': digest for split, examples in splits.items()
          for what, digest in (('texts', examples.text_sha256()),
                               ('labels', examples.gold_sha256()))}


def _is_done(request: TuningRequest, out_dir: str) -> bool:
  places = _places(request, out_dir).values()
  return len(places) == 2 and all(map(staging.is_complete, places))


def _places(request: TuningRequest, out_dir: str) -> dict[str, str]:
  found = (request.encoder_place(out_dir), request.classifier_place())
  return {files.basename(place): files.join(out_dir, place) for place in found if place}


def _tuned(
    request: TuningRequest, run: Run, data: Loaded, arm: LoadedArm, cell: Cell, trained: Trained
) -> tuple[FineTuning, CellResult] | None:
  """The fine-tuning with the trained values in its variables, and its scores; None: it failed."""
  from nlp_export.glue.fine_tuning.finetune import FineTuning

  fine_tuning = FineTuning({(cell.arm, cell.pooler): arm}, lambda _: data.splits,
                           task_of=lambda _: data.task)

  def run_cell(cell: Cell, work: Work) -> CellResult:
    result = fine_tuning(cell, work)
    work.check()
    trained.write(fine_tuning.classifier(cell))
    return result

  with run.step('load'):  # What does not fit is refused here, before it is a cell that failed.
    fine_tuning.classifier(cell)
    text_inputs.check(arm.preprocessor, data.task.segments, request.recipe.max_seq_length)
  if not trained.exists():
    # Of exports that were removed since: the same training again gives the same values.
    files.remove(cell_files.cell_path(run.out_dir, cell), missing_ok=True)
  outcome = matrix.run_matrix([cell], run_cell, run.out_dir, say=run.say)
  if not outcome.passed:
    for line in outcome.lines():
      run.say(line)
    return None
  if cell.name not in outcome.ran:  # By an earlier process.
    with run.step('load the trained values'):
      trained.read_into(fine_tuning.classifier(cell))
  return fine_tuning, outcome.results[0]


def _export(
    request: TuningRequest, run: Run, data: Loaded, arm: LoadedArm, cell: Cell,
    tuned: tuple[FineTuning, CellResult],
) -> dict[str, str]:
  fine_tuning, result = tuned
  classifier = fine_tuning.classifier(cell)
  tuning = _record(request, data, result, arm, classifier)
  kind = reexporting.export_type(arm.root)
  destinations = {kind: files.join(request.exports_dir, kind),
                  names.CLASSIFIER: request.classifier_place()}

  def write(beside: Mapping[str, str], work: str) -> dict[str, placing.Written]:
    from nlp_export.tuning import classifier_export

    written = {}
    name = (request.export if handles.is_handle(request.export)
            else reexporting.name_of(arm.model))
    if kind in beside:
      with run.step(f'write {kind}'):
        written[kind] = reexporting.write(
            arm.model, arm.root, tuning, beside[kind], work, label=kind,
            preprocessor=arm.preprocessor, name=name)
    if names.CLASSIFIER in beside:
      with run.step(f'write {names.CLASSIFIER}'):
        written[names.CLASSIFIER] = classifier_export.write(
            classifier, arm, data, request.recipe, tuning, beside[names.CLASSIFIER], work, name)
    return written

  return placing.place(run, request.exports_dir, destinations, write)


def _record(
    request: TuningRequest, data: Loaded, result: CellResult, arm: LoadedArm,
    classifier: Classifier,
) -> Tuning:
  task = data.task
  counts = [len(data.splits[split]) for split in task.dev_splits]
  on = f'{data.dev}, {" and ".join(map(str, counts))} examples'
  main = result.main_metric
  ordered = sorted(result.metrics, key=lambda name: name != main)
  notes = [note.rstrip('.') for note in (*result.notes, *(f'degenerate: {reason}'
                                                          for reason in result.degenerate))]
  split = data.splits[next(s for s in task.dev_splits if main in task.metric_names(s))]
  if not task.is_regression and split.labels is not None:
    floor = metrics.constant_scores(task, split.labels, split.split)[main]
    notes.append(f'Always saying the most frequent label scores {main} {floor:.4f}')
  if hasattr(arm.root, names.MLM):
    notes.append('The masked-LM head was not trained along: its own variables are as they were')
  notes += _of_regularization(classifier)
  return Tuning(
      what=f'fine-tuned on {request.data.name}', how=request.how(),
      scores=tuple(Score(name, result.metrics[name], on) for name in ordered),
      data=data.data, settings={'seed': request.seed, **request.settings()},
      notes=tuple(dict.fromkeys(notes)))


def _of_regularization(classifier: Classifier) -> list[str]:
  losses = classifier.encoder.regularization_losses
  if not losses:
    return []  # If it declares some that were left out, a note of the encoder's says so.
  from nlp_export.glue.fine_tuning.occurring_rows import is_word_embedding

  total = classifier.regularization()
  notes = [f"The export's {len(losses)} regularization_losses were added to the loss of every "
           f'batch; with the trained weights they come to {total:.4g}']
  if any(is_word_embedding(name, variable) for name, variable in classifier.trained().items()
         if name in classifier.regularized_names()):
    notes.append('They reach the word embeddings, so rows of words that are not in the training '
                 'texts have moved too')
  return notes


def _score_lines(data: Loaded, result: CellResult) -> list[str]:
  ordered: list[Any] = sorted(result.metrics, key=lambda name: name != result.main_metric)
  scores = ', '.join(f'{name} {result.metrics[name]:.4f}' for name in ordered)
  lines = [f'{data.task.name}: {scores} on {data.dev}']
  if result.status == DEGENERATE:
    lines.append(f'note: the training is degenerate, so the exports are of no use: '
                 f'{"; ".join(result.degenerate)}')
  return lines
