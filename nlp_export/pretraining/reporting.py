"""How is a pre-training told: the report, and the last lines of the run?"""

from __future__ import annotations

from typing import Any

from nlp_export import files, reports
from nlp_export.experiment import Outcome, Run
from nlp_export.pretraining.trained import Trained
from nlp_export.running import origin, public_form

HTML, MARKDOWN = 'report.html', 'report.md'

_TITLE = 'Pre-training'
_QUESTION = 'What has the encoder learned, on text that it was not trained on, and how fast?'


def content(trained: Trained) -> dict[str, Any]:
  """`reports.Report.pretraining`."""
  return {'summary': public_form.value(trained.summary()), 'curves': trained.history.to_json()}


def write_report(trained: Trained, run: Run, title: str, question: str) -> None:
  """report.html and report.md of a training.

  Args:
    trained: what came out.
    run: its out_dir gets them.
    title, question: the report's.
  """
  with run.step('report'):
    reports.write_pages(run.out_dir, reports.Report(
        title=title, question=question, cells=(),
        config_text=public_form.gin_text(run.config_text()),
        operative_config_text=public_form.gin_text(run.operative_config_text(public=False)),
        provenance={'git': origin.git_state(), 'versions': origin.versions(),
                    'machine': origin.machine(),
                    'training': public_form.value(dict(trained.facts)),
                    'inputs': public_form.value(dict(run.input_hashes))},
        commands=[public_form.command(run.command)] if run.command else [],
        pretraining=content(trained)))


def outcome(trained: Trained, run: Run) -> Outcome:
  """The report of a pre-training alone, and the outcome of its run.

  Args:
    trained: what came out.
    run: its out_dir gets report.html and report.md, by the process that writes.
  """
  if trained.is_chief:
    write_report(trained, run, _TITLE, _QUESTION)
  return Outcome(
      lines=[*trained.lines(),
             f'checkpoints: {trained.checkpoints} (export them: --set '
             f'CHECKPOINT={trained.checkpoints})'],
      report=files.join(run.out_dir, HTML),
      result={key: value for key, value in trained.summary().items() if key != 'facts'})
