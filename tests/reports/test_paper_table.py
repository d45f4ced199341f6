"""The table for a paper: its numbers are the analysis's, LaTeX takes any name, nothing hides."""

from __future__ import annotations

import dataclasses
import json

import pytest

from nlp_export import reports
from nlp_export.errors import RequestError
from nlp_export.reports import paper_table, words
from tests import in_process
from tests.reports import made_up


@pytest.fixture(scope='module')
def path(report, tmp_path_factory):
  """results.json of the made-up matrix: trouble, two arms, WNLI."""
  return reports.write(str(tmp_path_factory.mktemp('out')), report)[2]


@pytest.fixture(scope='module')
def results(path):
  return reports.read_results(path)


def rows(table):
  return {row[0]: dict(zip(table.columns[1:], row[1:], strict=True)) for row in table.rows}


def test_a_cell_is_the_mean_and_the_standard_deviation_of_the_good_runs(results):
  found = rows(paper_table.make(results))
  several = len({cell.arm for cell in results.cells}) > 1
  for group in [*results.analysis['groups'], *results.analysis['apart']]:
    label = f'{group["pooler"]} · {group["arm"]}' if several else group['pooler']
    good = group['without_degenerate']
    told = found[label][group['task']]
    if good is None:
      assert told == words.NONE
    else:
      spread = '' if good['sd'] is None else f' ± {100 * good["sd"]:.1f}'
      assert told == f'{100 * good["mean"]:.1f}{spread}'


def test_the_average_is_the_analysis_s_and_leaves_wnli_out(results):
  table = paper_table.make(results, digits=2)
  assert table.columns[-2:] == ('wnli', 'average')
  for row, average in zip(rows(table).values(), results.analysis['averages'], strict=True):
    whole = {'cola', 'mrpc', 'rte'} == set(average['tasks'])
    assert row['average'] == words.score(average['without_degenerate'] if whole else None)
    with_wnli = [float(row[task].split()[0]) for task in ('cola', 'mrpc', 'rte', 'wnli')
                 if row[task] != words.NONE]
    if whole and len(with_wnli) == 4:  # Control: WNLI would be seen.
      assert row['average'] != f'{sum(with_wnli) / 4:.2f}'


def test_intervals_are_those_of_the_analysis(results):
  table = paper_table.make(results, 'interval')
  group = next(g for g in results.analysis['groups'] if g['without_degenerate']['interval'])
  interval = group['without_degenerate']['interval']
  told = f'[{100 * interval["low"]:.1f}, {100 * interval["high"]:.1f}]'
  assert any(told in cell for row in table.rows for cell in row)
  assert '95 % interval of the mean' in table.caption


def test_the_caption_names_metrics_seeds_and_what_was_left_out(results):
  caption = paper_table.make(results).caption
  assert 'cola: Matthews correlation; mrpc: F1; rte: accuracy; wnli: accuracy' in caption
  for status, what in (('degenerate', 'learned nothing and are in no mean'), ('failed', 'failed')):
    count = sum(cell.status == status for cell in results.cells)
    assert count and f'{count} of {len(results.cells)} runs {what}.' in caption
  good = dataclasses.replace(results, analysis=None, cells=tuple(
      cell for cell in results.cells if cell.status == 'ok'))
  assert 'runs' not in paper_table.make(good).caption  # Control.


def test_one_seed_has_no_spread_and_one_task_no_average(results):
  cells = [c for c in results.cells if (c.task, c.seed, c.status) == ('rte', 0, 'ok')]
  table = paper_table.make(dataclasses.replace(results, analysis=None, cells=tuple(cells)))
  assert table.columns == ('pooler', 'rte')
  assert all(float(row[1]) for row in table.rows)
  assert 'points: 1 seed.' in table.caption


@pytest.mark.parametrize('change, asked, told', [
    ({'analysis': None}, 'interval', 'Use --set SPREAD=standard_deviation'),
    ({}, 'variance', 'Known are standard_deviation, interval'),
])
def test_what_cannot_be_had_is_refused(results, change, asked, told):
  with pytest.raises(RequestError) as refused:
    paper_table.make(dataclasses.replace(results, **change), asked)
  assert str(refused.value).endswith(told)


@pytest.mark.parametrize('digits', [-1, 5])
def test_digits_that_no_score_has_are_refused(results, digits):
  with pytest.raises(RequestError, match='Write --set DIGITS=1$'):
    paper_table.make(results, digits=digits)


def test_latex_escapes_what_it_would_read():
  names = ('pooler', 'a_b & 50 %')
  table = reports.paper_table.tables.make('a\nb', names, [(r'x{\y}$^~#', '1.0 ± 0.5')])
  assert paper_table.latex(table).splitlines() == [
      '% a b', r'% Needs \usepackage{booktabs}.', r'\begin{tabular}{lr}', r'\toprule',
      r'pooler & a\_b \& 50 \% \\', r'\midrule',
      r'x\{\textbackslash{}y\}\$\textasciicircum{}\textasciitilde{}\# & 1.0 $\pm$ 0.5 \\',
      r'\bottomrule', r'\end{tabular}']


def test_the_run_file_writes_both_forms(path, results, tmp_path):
  out = tmp_path / 'table'
  command = ('gin/runs/paper_table.gin', *in_process.settings(RESULTS=path), '--out_dir', out)
  done = in_process.run_main(*command)
  assert done.status == 0, done.output
  table = paper_table.make(results)
  assert (out / 'table.md').read_text() == paper_table.as_markdown(table)
  assert (out / 'table.tex').read_text().endswith(paper_table.latex(table))
  assert f'config {results.config_sha256[:12]}' in (out / 'table.tex').read_text()
  again = in_process.run_main(*command)
  assert again.status == 0 and 'done' in again.stdout


def test_the_out_dir_of_a_run_will_do_and_another_directory_will_not(path, tmp_path):
  out_dir = path.removesuffix('/glue/results.json')
  assert out_dir != path
  done = in_process.run_main('gin/runs/paper_table.gin', f'--set=RESULTS={out_dir}', '--dry_run')
  assert done.status == 0 and path in done.stdout
  refused = in_process.run_main('gin/runs/paper_table.gin', f'--set=RESULTS={tmp_path}')
  assert refused.status == 2
  assert 'pooler_ablation, or its glue/results.json' in refused.output


def test_the_made_up_matrix_has_what_these_tests_need(results):  # Control of the tests above.
  assert {cell.status for cell in results.cells} == {'ok', 'degenerate', 'failed'}
  assert {'wnli', 'rte'} < {cell.task for cell in results.cells}
  assert json.dumps(made_up.METRIC)
