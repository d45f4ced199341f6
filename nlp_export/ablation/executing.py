"""How is a study carried out, by one process or several, and what are its last lines?"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from nlp_export import config, files, reports
from nlp_export.ablation import comparing, provenance
from nlp_export.ablation.planning import Prepared
from nlp_export.experiment import Outcome, Run
from nlp_export.glue import curves, prediction_files
from nlp_export.glue.agreement import Agreement
from nlp_export.glue.cells import FAILED, CellResult
from nlp_export.glue.fine_tuning import runtime
from nlp_export.glue.fine_tuning.finetune import FineTuning
from nlp_export.glue.matrix import MatrixOutcome, run_matrix
from nlp_export.glue.published import Setting
from nlp_export.glue.published_rows import Recipe as PublishedRecipe
from nlp_export.glue.statistics import Analysis, Settings, analyse
from nlp_export.running import public_form

PLOTS = 'plots'


def execute(prepared: Prepared, run: Run) -> Outcome:
  """Exports, compares, fine-tunes, analyses and reports what is not there yet.

  Args:
    prepared: the study.
    run: its out_dir may be shared with other processes that execute the same.

  Returns:
    The outcome; not passed if a cell failed, the arms differ before training, or the export was
    shown to differ from the baseline.
  """
  runtime.make_deterministic()  # Before TensorFlow's first operation, those of exports too.
  for source in prepared.distinct_sources:
    source.make(run)
  hash_of = functools.cache(lambda path: run.input_hashes.get(path) or files.sha256(path))
  cells = prepared.cells(run.out_dir, hash_of)
  agreements = comparing.before_training(prepared, run) if prepared.compares_before else {}
  arms = {(built.named.name, built.pooler): built.arm for built in prepared.built(run.out_dir)}
  matrix = run_matrix(
      cells, FineTuning(arms, prepared.splits), run.out_dir, say=run.say,
      before_stored=functools.partial(curves.write, run.out_dir))
  # What is committed and published says nothing of this machine's places.
  results = [dataclasses.replace(result, cause=public_form.text(result.cause))
             for result in matrix.results]
  with run.step('analyse'):
    analysis = _analysis(prepared, results, run.out_dir)
  with run.step('report'):
    report = _report(prepared, results, analysis, agreements, run)
    reports.write_plots(files.join(run.out_dir, PLOTS), report)
    paths = reports.write(run.out_dir, report)
  return _outcome(prepared, matrix, analysis, agreements, paths)


def _analysis(
    prepared: Prepared, results: Sequence[CellResult], out_dir: str
) -> Analysis | None:
  if all(result.status == FAILED for result in results):
    return None
  cells = [result.to_json() for result in results]
  predictions, labels = prediction_files.for_statistics(out_dir, cells)
  return analyse(
      cells, predictions=predictions, labels=labels, setting=_setting(prepared),
      settings=Settings(margin_points=float(prepared.study.margin_points)))


def _setting(prepared: Prepared) -> Setting:
  """Published scores are of the common recipe; arms with another one stand beside them too."""
  recipe = prepared.study.recipe
  request = prepared.distinct_sources[0].request
  spec = request.encoder if request is not None else None
  return Setting(
      encoder=prepared.study.published_encoder,
      num_layers=spec.num_layers if spec else None,
      hidden_size=spec.hidden_size if spec else None,
      recipe=PublishedRecipe(
          epochs=recipe.epochs, learning_rate=recipe.learning_rate, batch_size=recipe.batch_size,
          seq_length=recipe.max_seq_length))


def _report(
    prepared: Prepared, results: Sequence[CellResult], analysis: Analysis | None,
    agreements: Mapping[str, Agreement], run: Run,
) -> reports.Report:
  return reports.Report(
      title=prepared.title, question=prepared.question, cells=results, analysis=analysis,
      agreement=public_form.value(
          [{'pooler': pooler, 'tolerance': comparing.TOLERANCE, **found.to_json()}
           for pooler, found in agreements.items()]),
      config_text=public_form.gin_text(run.config_text()),
      operative_config_text=public_form.gin_text(run.operative_config_text(public=False)),
      changed_from_defaults=public_form.value(_changed(prepared)),
      provenance=provenance.of_study(prepared, run),
      commands=[public_form.command(run.command)] if run.command else [],
      pretraining=prepared.pretraining)


def _changed(prepared: Prepared) -> list[dict[str, Any]]:
  """What of the recipe and of the study is not its default, and what an arm changes."""
  changed = []
  for part, value in (('recipe', prepared.study.recipe), ('study', prepared.study)):
    for field in dataclasses.fields(value):
      now = getattr(value, field.name)
      if field.default is not dataclasses.MISSING and now != field.default:
        changed.append({'name': f'{part}.{field.name}', 'value': now, 'default': field.default})
  for arm in prepared.arms:
    for field in dataclasses.fields(arm.recipe):
      common, now = (getattr(r, field.name) for r in (prepared.study.recipe, arm.recipe))
      if now != common:
        changed.append({'name': f'arm {arm.name}: {field.name}', 'value': now, 'default': common})
    changed += [{'name': f'arm {arm.name}: {name}', 'value': _told(value),
                 'default': 'as the other arms'} for name, value in arm.export.items()]
  return changed


def _told(value: Any) -> Any:
  """A value of gin for JSON: a reference or an object by its name."""
  if value is None or isinstance(value, str | int | float):
    return value
  return config.reference_name(value) if callable(value) else type(value).__name__


def _outcome(
    prepared: Prepared, matrix: MatrixOutcome, analysis: Analysis | None,
    agreements: Mapping[str, Agreement], paths: Sequence[str],
) -> Outcome:
  lines = list(matrix.lines())
  if analysis is not None:
    told = [verdict.sentence for verdict in analysis.verdicts]
    told += [test.sentence for test in analysis.equivalence]
    lines += dict.fromkeys(told)  # A verdict may be one of the tests'.
  differing = [label for label, found in agreements.items() if not found.passed]
  lines += comparing.summary(agreements)
  lines += prepared.remarks
  passed = matrix.passed and not differing and (analysis is None or analysis.passed)
  return Outcome(lines=lines, passed=passed, report=paths[0], result={
      'cells': len(matrix.results),
      'failed_cells': [result.name for result in matrix.failed],
      'differ_before_training': differing,
      'verdicts': [verdict.to_json() for verdict in analysis.verdicts] if analysis else [],
      'report': [files.basename(path) for path in paths],
  })
