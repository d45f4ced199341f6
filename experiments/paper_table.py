"""What do the results of a matrix look like as a table of a paper?"""

from __future__ import annotations

from typing import Literal

import gin

from nlp_export import files
from nlp_export.errors import RequestError
from nlp_export.experiment import Outcome, Plan, Run, experiment

LATEX, MARKDOWN = 'table.tex', 'table.md'


@experiment
def paper_table(
    results: str = gin.REQUIRED,
    spread: Literal['standard_deviation', 'interval'] = 'standard_deviation',
    digits: int = 1,
) -> Plan:
  """Scores of a matrix of fine-tunings as LaTeX and Markdown: poolers down, tasks across.

  Args:
    results: RESULTS: the results.json of a glue_check or pooler_ablation, or its out_dir.
    spread: SPREAD: behind each mean, 'standard_deviation' over seeds or 'interval' (of the
      analysis: over seeds and examples).
    digits: behind the point; scores are in points.

  Raises:
    RequestError: there are no such results.
  """
  path = results
  if files.is_dir(results):
    path = files.join(results, 'glue', 'results.json')
  if not files.exists(path):
    raise RequestError(f'RESULTS={results}: there is no {path}. Name the out_dir of a finished '
                       'glue_check or pooler_ablation, or its glue/results.json')

  def execute(run: Run) -> Outcome:
    from nlp_export import reports

    read = reports.read_results(path)
    table = reports.paper_table.make(read, spread, digits)
    title = ' '.join(read.title.split())
    source = f'% {title}, config {read.config_sha256[:12]}, results {files.sha256(path)[:12]}'
    markdown = reports.paper_table.as_markdown(table)
    files.write_text(files.join(run.out_dir, MARKDOWN), markdown)
    files.write_text(files.join(run.out_dir, LATEX),
                     f'{source}\n{reports.paper_table.latex(table)}')
    return Outcome(lines=markdown.splitlines(), report=files.join(run.out_dir, LATEX),
                   result={'runs': len(read.cells)})

  return Plan(lines=[f'would make {LATEX} and {MARKDOWN} of {path}'], inputs=(path,),
              execute=execute, outputs=(LATEX, MARKDOWN))
