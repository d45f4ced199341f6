"""Where does a report lie? Four files in out_dir, each written whole or not at all."""

from __future__ import annotations

from nlp_export import files
from nlp_export.reports import markdown, page, results_csv, results_json
from nlp_export.reports.content import Report

__all__ = ['Report', 'write', 'write_pages']

HTML = 'report.html'
MARKDOWN = 'report.md'
JSON = 'glue/results.json'
CSV = 'glue/results.csv'


def write(out_dir: str, report: Report) -> list[str]:
  """Writes report.html, report.md, glue/results.json and glue/results.csv.

  All four are made before the first is written, so a report that cannot be made changes nothing;
  the results come first, the page that people open last.

  Args:
    out_dir: of the run; may be remote.
    report: what to say.

  Returns:
    The paths, report.html first.
  """
  return _write(out_dir, {
      HTML: page.render(report),
      MARKDOWN: markdown.render(report),
      CSV: results_csv.render(report.cells),
      JSON: results_json.render(report),
  })


def write_pages(out_dir: str, report: Report) -> list[str]:
  """Writes report.html and report.md, of a run that has no cells."""
  return _write(out_dir, {HTML: page.render(report), MARKDOWN: markdown.render(report)})


def _write(out_dir: str, made: dict[str, str]) -> list[str]:
  paths = {name: files.join(out_dir, *name.split('/')) for name in made}
  for name in reversed(made):
    files.write_text(paths[name], made[name])
  return [paths[name] for name in (HTML, MARKDOWN, JSON, CSV) if name in paths]
