"""How does continued training become a verified export and a report?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nlp_export import files, names, paths, placing, reexporting
from nlp_export.continuing.request import CHECKPOINTS_DIR, NAME, Request
from nlp_export.experiment import Outcome, Run
from nlp_export.handles import resolved
from nlp_export.pretraining.planning import SUMMARY
from nlp_export.reexporting import Score, Tuning

if TYPE_CHECKING:
  from nlp_export.continuing.training import Continued

_LABEL = f'{NAME}/{names.MODEL_WITH_MLM}'
_TITLE = 'Continued masked-LM training'
_QUESTION = 'What has an exported encoder learned from more text, on text it was not trained on?'
_POOLER = ('The masked LM does not reach the pooler, which is as it was exported while the vectors '
           'that it reads have moved: fine-tune it before you rely on pooled_output')


def execute(request: Request, run: Run) -> Outcome:
  """Trains what is not trained yet, then exports, verifies and reports.

  Args:
    request: checked.
    run: its out_dir has what an earlier attempt left.

  Raises:
    RequestError: an input is not fit.
    CheckError: the re-export is not what was trained; nothing was put in place then.
  """
  from nlp_export.continuing import training
  from nlp_export.pretraining import reporting

  export, preprocessing = (
      resolved(path, request.allowed_ops) for path in (request.export, request.preprocessing))
  done = training.train(request, export, preprocessing, run)
  for note in done.trained.notes:
    run.say(f'note: {note}')
  result = {**done.to_json(), 'export': request.destination}
  files.write_json(files.join(run.out_dir, SUMMARY), result)
  places = placing.place(
      run, names.EXPORTS_DIR, {_LABEL: request.destination},
      lambda beside, work: _write(request, done, export, beside, work, run))
  reporting.write_report(done.trained, run, _TITLE, _QUESTION)
  return Outcome(
      lines=[*done.lines(), f'{_LABEL}: {places[_LABEL]}',
             f'checkpoints of the training, which may be deleted: '
             f'{files.join(run.out_dir, CHECKPOINTS_DIR)}'],
      report=files.join(run.out_dir, 'report.html'),
      result={key: value for key, value in result.items() if key != 'facts'})


def _write(
    request: Request, done: Continued, export: str, beside: Mapping[str, str], work: str, run: Run
) -> dict[str, placing.Written]:
  from nlp_export.continuing import loaded_mlm

  with run.step(f'write {_LABEL}'):
    # Loaded anew: what was trained may lie on several devices.
    root = reexporting.load(export)
    loaded_mlm.take_values(root, done.model)
    return {_LABEL: reexporting.write(
        export, root, tuning(request, done, run.input_hashes), beside[_LABEL], work, label=_LABEL,
        preprocessor=done.tokenizer.loaded, name=files.basename(request.export.rstrip('/')))}


def tuning(request: Request, done: Continued, input_hashes: Mapping[str, str]) -> Tuning:
  """What stands in card and record.

  Args:
    request: of the training.
    done: what came out.
    input_hashes: SHA-256 by path.
  """
  recipe, data = request.training, request.data
  texts = request.text.paths()
  called = paths.names_apart(texts)
  what = f'{len(texts)} text file{"s"[:len(texts) != 1]}' if texts else 'the embedded corpus'
  how = (
      f'{recipe.train_steps} steps of {recipe.global_batch_size} rows of {data.seq_length} tokens '
      f'({recipe.optimizer_spec().name}, learning rate up to {recipe.learning_rate:g}, '
      f'{recipe.warmup_steps} steps of warm-up), {data.masked_lm_share:.0%} of the tokens '
      f'predicted{", whole words" if data.whole_word else ""}, masks drawn anew in each pass over '
      'the text.')
  on = f'held-out text ({request.text.held_out_share:.0%} of the text, whole documents)'
  return Tuning(
      what=f'masked-LM training continued on {what}', how=how,
      scores=tuple(Score(name, done.trained.metrics[name], on, done.before[name])
                   for name in done.change),
      data={called[path]: input_hashes[path] for path in texts if path in input_hashes},
      settings={'training': recipe.to_json(), 'data': data.to_json()},
      notes=(_POOLER,) if done.facts.left_out else ())
