"""report.md, results.json, results.csv and stand-alone plots: complete, equal, escaped, whole."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import re
import xml.etree.ElementTree as ElementTree

import pytest

from nlp_export import reports
from nlp_export.errors import RequestError
from nlp_export.reports import markdown, results_csv, results_json, words
from tests.reports import made_up
from tests.reports.test_page import HOSTILE, hostile_report


@pytest.fixture(scope='module')
def written(report, tmp_path_factory):
  """(out_dir, paths)."""
  out_dir = tmp_path_factory.mktemp('out')
  return out_dir, reports.write(str(out_dir), report)


def test_four_files_are_written_and_named(written):
  out_dir, paths = written
  assert [os.path.relpath(path, out_dir) for path in paths] == [
      'report.html', 'report.md', 'glue/results.json', 'glue/results.csv']
  there = [os.path.join(root, name) for root, _, names in os.walk(out_dir) for name in names]
  assert sorted(there) == sorted(paths)  # Nothing half-written beside them.


def test_equal_reports_give_equal_bytes(written, report, tmp_path):
  for path, again in zip(written[1], reports.write(str(tmp_path), report)):
    with open(path, 'rb') as one, open(again, 'rb') as other:
      assert one.read() == other.read()


def test_a_report_that_cannot_be_made_changes_nothing(report, tmp_path):
  reports.write(str(tmp_path), dataclasses.replace(report, cells=(), analysis=None))
  before = {name: (tmp_path / name).read_bytes() for name in ('report.html', 'glue/results.csv')}
  broken = dataclasses.replace(report, provenance={'x': object()})  # JSON refuses it.
  with pytest.raises(TypeError):
    reports.write(str(tmp_path), broken)
  assert {name: (tmp_path / name).read_bytes() for name in before} == before


# results.json


def test_results_can_be_read_back(written, report):
  found = reports.read_results(written[1][2])
  assert found.cells == tuple(report.cells)
  assert found.analysis == json.loads(json.dumps(report.analysis.to_json()))
  assert found.provenance == report.provenance and found.config == report.config_text
  assert re.fullmatch('[0-9a-f]{64}', found.config_sha256)
  assert found.agreement == report.agreement and found.commands == report.commands
  with open(written[1][2]) as f:
    assert json.load(f)['schema_version'] == 1


def test_what_is_not_finite_is_null(report, tmp_path):
  check = made_up.agreement('keep', passed=False)
  check['rows'][0]['difference'] = math.inf
  paths = reports.write(str(tmp_path), dataclasses.replace(report, agreement=[check]))
  assert reports.read_results(paths[2]).agreement[0]['rows'][0]['difference'] is None
  with pytest.raises(ValueError):  # Control: JSON itself has no infinity.
    json.dumps(math.inf, allow_nan=False)


@pytest.mark.parametrize('change, told', [
    (lambda value: value.pop('schema_version'), 'Name the results.json of an out_dir'),
    (lambda value: value.update(schema_version=2), 'Read it with the version that wrote it'),
    (lambda value: value.pop('cells'), 'Run its command again, which writes it anew'),
    (lambda value: value.update(cells={}), 'Run its command again, which writes it anew'),
    (lambda value: value['cells'][0].pop('task'),
     'cell 0 lacks task: it is not the result of a cell in schema_version 1'),
])
def test_other_files_are_refused(written, tmp_path, change, told):
  with open(written[1][2]) as f:
    value = json.load(f)
  change(value)
  (tmp_path / 'results.json').write_text(json.dumps(value))
  with pytest.raises(RequestError) as caught:
    reports.read_results(str(tmp_path / 'results.json'))
  assert str(caught.value).endswith(told)


# results.csv


def test_the_csv_has_a_row_for_each_cell_and_a_column_for_each_metric(written, report):
  with open(written[1][3], newline='') as f:
    rows = list(csv.DictReader(f))
  assert len(rows) == len(report.cells)
  for row, cell in zip(rows, report.cells):
    assert (row['task'], row['pooler'], row['seed']) == (cell.task, cell.pooler, str(cell.seed))
    given = {name: row[name] for name in ('accuracy', 'f1', 'matthews_correlation')}
    assert {name: float(value) for name, value in given.items() if value} == cell.metrics
  failed = next(row for row in rows if row['status'] == 'failed')
  assert failed['accuracy'] == '' and '\n' in failed['cause'] and failed['pooler_seed'] == '4'


def test_a_score_that_is_no_number_is_empty_in_the_csv(report):
  cell = next(cell for cell in report.cells if cell.status == 'degenerate')
  rows = list(csv.DictReader(results_csv.render(
      [dataclasses.replace(cell, metrics={'f1': math.nan, 'accuracy': 0.5})]).splitlines()))
  assert (rows[0]['f1'], rows[0]['accuracy']) == ('', '0.5')


# report.md


def markdown_tables(text: str) -> list[list[list[str]]]:
  """Every table as rows of unescaped cells, headings first."""
  found = []
  for block in re.findall(r'(?:^\|.*\n)+', text, re.M):
    lines = [re.split(r'(?<!\\)\|', line)[1:-1] for line in block.splitlines()]
    assert set(''.join(lines[1])) <= set('-:')
    found.append([[cell.strip().replace('\\', '') for cell in line]
                  for line in (lines[0], *lines[2:])])
  return found


def test_markdown_says_the_verdict_first_and_holds_the_same_numbers(report):
  text = markdown.render(report)
  assert text.index('## Not decided: identity leads') < text.index('## Scores')
  found = markdown_tables(text)
  assert all(len({len(line) for line in table}) == 1 for table in found) and len(found) > 8
  means = {(table[0][0], line[0], line[1]) for table in found for line in table[1:]}
  for group in report.analysis.groups:
    assert ('pooler', f'{group.pooler} · {group.arm}',
            words.score(group.without_degenerate.mean)) in means
  for c in report.analysis.comparisons:
    assert [c.task, f'{c.first} − {c.second}', c.within,
            words.signed(c.without_degenerate.mean)] in [
                line[:4] for table in found for line in table]
  for part in ('## Paired differences', '## Export and baseline', "## The random pooler's draw",
               '## Failed and degenerate runs', '## Apart', '## Cost', '## Configuration',
               '## Provenance', 'nlp_export'):
    assert part in text
  assert not re.search(r'\n{4}', text) and text.endswith('\n')


def test_markdown_escapes_what_users_write(matrix):
  text = markdown.render(hostile_report(matrix))
  outside = re.sub(r'^(`{3,}).*?^\1$', '', text, flags=re.M | re.S)
  assert '<script' not in outside and '<img' not in outside and '&lt;script&gt;' in outside
  assert '<script' in text  # Control: code blocks show it as it is.
  assert markdown.plain('a|b *c* _d_ `e` # [f]\ng') == (
      r'a\|b \*c\* \_d\_ \`e\` \# \[f\] g')
  assert markdown.plain('1. x') == r'1\. x' and markdown.plain('- x') == r'\- x'
  assert markdown.plain('-1.04 to +4.37') == '-1.04 to +4.37'
  assert markdown.fenced('x\n```\ny').startswith('````\n')
  rows = markdown_tables(markdown.table(results_like(HOSTILE + '|x\ny')))[0]
  assert all(len(row) == 2 for row in rows)


def results_like(text):
  """A table with a text in every place."""
  from nlp_export.reports.tables import make

  return make(text, (text, 'b'), [(text, text)])


# Plots of their own


def test_plots_stand_alone(report, tmp_path):
  paths = reports.write_plots(str(tmp_path / 'plots'), report)
  assert [os.path.basename(path) for path in paths] == ['scores.svg', 'differences.svg']
  for path in paths:
    text = open(path, encoding='utf-8').read()
    root = ElementTree.fromstring(text)  # noqa: S314 - our own.
    width, height = float(root.get('width')), float(root.get('height'))
    own = list(root.iter('{http://www.w3.org/2000/svg}svg'))[1:]
    panels = [part for part in own if part.get('x') and part.get('overflow') == 'visible'
              and part.get('width') == '300']
    assert len(panels) == 3
    assert all(0 <= float(p.get('x')) <= width - 300 for p in panels)
    assert all(float(p.get('y')) + float(p.get('height')) <= height for p in panels)
    assert 'prefers-color-scheme: dark' in text and 'href' not in text
    last = [t.text for t in root.iter('{http://www.w3.org/2000/svg}text') if t.text][-1]
    shown = next(t for t in root.iter('{http://www.w3.org/2000/svg}text') if t.text == last)
    assert last.endswith('.') and float(shown.get('y')) < height  # How to read it, on the picture.
    said = ' '.join(t.text for t in root.iter('{http://www.w3.org/2000/svg}text') if t.text)
    assert 'in points' in said
    assert ('Shaded: published' in said) == ('×: deg' in said) == path.endswith('scores.svg')
  assert reports.write_plots(str(tmp_path / 'none'), dataclasses.replace(
      report, cells=(), analysis=None)) == []
  assert results_json.SCHEMA_VERSION == 1
