"""report.html: the verdict first, a table for every plot with the same numbers, no network."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import math
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from nlp_export.glue.statistics.results import Verdict
from nlp_export.reports import page, words
from tests.reports import made_up
from tests.reports.parsed import Page, column, problems, table_like

HOSTILE = '<script>alert(1)</script>"\'><img src=//x.example/y onerror=alert(2)>&amp;</pre>'


def test_the_page_is_well_formed_accessible_and_needs_nothing_else(parsed):
  assert problems(parsed) == []
  assert len(parsed.drawings) > 20 and len(parsed.tables) > 20


@pytest.mark.parametrize('old, new, told', [
    ('aria-details="scores-0"', 'aria-details="scores-99"', 'a drawing has no table scores-99'),
    ('role="img"', '', 'a drawing has no name'),
    ('id="scores-1"', 'id="scores-0"', 'id scores-0 is there twice'),
    ('</figure>', '<img src="http://x.example/y.png"></figure>', '<img> loads'),
    ('</style>', '@import "x.css";</style>', 'the style sheet has @import'),
    ('<th scope="col"', '<th', 'lacks a caption or headings'),
    ('</details>', '', 'does not close'),
    ('href="#scores"', 'href="#score"', 'nothing has the id'),
])
def test_what_is_wrong_with_a_page_would_be_seen(html, old, new, told):  # Control of the above.
  assert old in html
  assert any(told in problem for problem in problems(Page(html.replace(old, new, 1))))


def test_only_this_pages_own_script_may_run(parsed, html):
  policy = parsed.first('meta', **{'http-equiv': 'Content-Security-Policy'})['content']
  assert "default-src 'none'" in policy and "script-src 'unsafe-inline'" not in policy
  script = html.partition('<script>')[2].partition('</script>')[0]
  digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
  assert f"script-src 'sha256-{digest}'" in policy


def test_the_verdict_comes_before_everything_else(parsed, report):
  for verdict in report.analysis.verdicts:
    reasons = verdict.sentence.partition(': ')[2][1:]  # After the words of the headline.
    assert reasons in parsed.text
    assert parsed.text.index(reasons) < parsed.text.index('What limits this')
  choice = parsed.text.index('Not decided: identity leads')
  assert choice < parsed.text.index('Is export as good as')
  assert 'How sure: open , the runs so far do not decide it.' in parsed.text
  for remark in report.analysis.remarks:
    assert remark in parsed.text


@pytest.mark.parametrize('verdict, headline, sure', [
    (Verdict('Which pooler should be chosen (export)?', 'keep', 'suggested',
             'Choose keep: it is best.'), 'Choose keep', 'supported at 95 % if differences'),
    (Verdict('Which pooler should be chosen (export)?', 'any', 'shown',
             'The choice does not matter: they are one.'), 'The choice does not matter',
     'intervals and tests support it at 95 %'),
    (Verdict('Is export as good as baseline?', 'different', 'shown', 'They are different.'),
     'No, they differ', 'intervals and tests'),
    (Verdict('Is export as good as baseline?', 'not enough seeds', 'open', 'x: not enough seeds.'),
     'Not enough seeds to say', 'the runs so far do not decide it'),
])
def test_every_kind_of_verdict_has_its_words(report, verdict, headline, sure):
  analysis = dataclasses.replace(report.analysis, verdicts=(verdict,))
  found = Page(page.render(dataclasses.replace(report, analysis=analysis)))
  start = found.text.index('cells: ')
  assert headline in found.text[start:start + 250]
  assert sure in found.text[start:start + 500]


def test_tables_of_scores_hold_the_analysis(parsed, report):
  for group in report.analysis.groups:
    table = table_like(parsed, f'{group.task}: {words.metric(group.metric)}')
    name, found = f'{group.pooler} · {group.arm}', group.without_degenerate
    assert column(table, 'mean')[name] == f'{100 * found.mean:.2f}'
    ends = found.interval
    assert column(table, '95 % interval')[name] == f'{100 * ends.low:.2f} to {100 * ends.high:.2f}'
    assert column(table, 'standard deviation')[name] == f'{100 * found.sd:.2f}'
    assert column(table, 'noise floor')[name] == f'{100 * group.noise_floor:.2f}'
    for run in group.runs:
      shown = column(table, f'seed {run.seed}')[name]
      assert shown.partition(' ')[0] == (
          'failed' if run.value is None else f'{100 * run.value:.2f}')
  assert column(table_like(parsed, 'cola: '), 'seed 4')['random · export'] == 'failed'
  assert column(table_like(parsed, 'mrpc: F1'), 'seed 2')['random · export'].endswith(
      '(degenerate)')


def test_tables_of_differences_hold_the_analysis(parsed, report):
  for c in (*report.analysis.comparisons, *report.analysis.average_comparisons):
    table = table_like(parsed, f'{c.first} − {c.second}')
    ends = c.without_degenerate.interval
    assert column(table, 'mean')[c.task] == words.signed(c.without_degenerate.mean)
    assert column(table, 'interval')[c.task] == (
        f'{100 * ends.low:+.2f} to {100 * ends.high:+.2f}')
    assert column(table, 'p (Holm)')[c.task] == words.probability(c.p_holm)
    assert c.sentence in parsed.text
  (test,) = report.analysis.equivalence
  table = table_like(parsed, 'Paired differences after training')
  assert column(table, 'verdict')['rte'] == test.verdict == 'equivalent'
  assert column(table, 'mean')['rte'] == words.signed(test.differences.mean)
  assert words.signed(-0.00001) == '0.00' and words.signed(0.0123) == '+1.23'


def places(drawing, prefix='seed') -> list[tuple[float, float]]:
  """(value told, place drawn [%]) of the dots of a drawing."""
  found = []
  for given, title in drawing['marks']:
    x = given.get('cx') or given.get('x')
    if title.startswith(prefix) and x and ':' in title:
      found.append((float(title.partition(': ')[2].split()[0]), float(x.rstrip('%'))))
  return found


def straight(points) -> float:
  """Largest distance of places from a straight line through the outermost values."""
  (a, x), (b, y) = min(points), max(points)
  return max(abs(x + (y - x) * (value - a) / (b - a) - place) for value, place in points)


def test_every_seed_is_a_dot_at_its_score(parsed, report):
  for number, task in enumerate(('cola', 'mrpc', 'rte')):
    runs = [run for group in report.analysis.groups if group.task == task for run in group.runs]
    dots = places(parsed.drawing_of(f'scores-{number}'))
    assert len(dots) == sum(run.value is not None for run in runs)
    assert sorted(value for value, _ in dots) == sorted(
        round(100 * run.value, 2) for run in runs if run.value is not None)
    assert straight(dots) < 0.05
    moved = [(value, place + 2 * (at == 1)) for at, (value, place) in enumerate(sorted(dots))]
    assert straight(moved) > 0.5  # Control.


def test_differences_are_drawn_against_zero_and_the_margin(parsed, report):
  drawing = parsed.drawing_of('differences-0')
  assert f'differences below {report.analysis.settings.margin_points:g} points do not matter' in [
      title for _, title in drawing['marks']]
  dots = places(drawing) + places(drawing, 'mean')
  zero = next(given['x1'] for name, given, _ in parsed.elements if given.get('class') == 'zero')
  low, high = min(dots), max(dots)
  slope = (high[1] - low[1]) / (high[0] - low[0])
  at_zero = low[1] + slope * (0 - low[0])
  # All panels of differences share one scale; the first zero line on the page is the glance's.
  zeros = {given['x1'] for name, given, _ in parsed.elements if given.get('class') == 'zero'}
  assert zero in zeros and min(abs(float(x.rstrip('%')) - at_zero) for x in zeros) < 0.1


def test_learning_curves_have_a_line_for_every_seed_and_their_numbers(parsed, matrix, html):
  cell = next(cell for cell in matrix.cells if cell.name == 'rte/keep/export/seed_3')
  table = table_like(parsed, 'rte, keep · export')
  steps = column(table, 'loss, seed 3')
  for entry in cell.history:
    assert steps[f'{entry["step"]:g}'] == f'{entry["loss"]:.4g}'
  last = cell.history[-1]
  assert column(table, 'accuracy, seed 3')[f'{last["step"]:g}'] == f'{100 * last["accuracy"]:.4g}'
  long = table_like(parsed, 'cola, keep · export')  # 1,200 entries, drawn as 40 means.
  assert 40 <= len(long['rows']) <= 50
  cell = next(cell for cell in matrix.cells if cell.name == 'cola/keep/export/seed_0')
  first = sum(entry['loss'] for entry in cell.history[:30]) / 30
  assert long['rows'][0][1] == f'{first:.4g}'
  lines = html.count('<polyline')
  assert lines == 2 * sum(bool(cell.history) for cell in matrix.cells)
  assert html.count('class="line s1 dashed"') == 2  # The degenerate run.


def test_costs_agreement_trouble_and_origin_are_told(parsed, matrix, report):
  costs = table_like(parsed, 'Cost of each cell')
  for cell in matrix.cells:
    if cell.train_seconds:
      assert column(costs, 'tokens/s')[cell.name] == f'{cell.tokens_per_second:.0f}'
      assert column(costs, 'padding')[cell.name] == f'{100 * cell.padding_share:.1f} %'
  assert 'cola/random/export/seed_4' not in column(costs, 'tokens/s')
  trouble = table_like(parsed, 'Runs that failed')
  assert [row[0] for row in trouble['rows']] == [
      'cola/random/export/seed_4', 'mrpc/random/export/seed_2']
  assert 'in transformer/layer_3/self_attention' in trouble['rows'][0][-1]
  for check in report.agreement:
    table = table_like(parsed, f'Pooler {check["pooler"]}: ')
    for row in check['rows']:
      assert column(table, 'difference')[row['name']] == words.small(row['difference'])
  assert column(table_like(parsed, 'Settings that differ'), 'default')['SEEDS'] == '(0, 1, 2)'
  origin = column(table_like(parsed, 'Where the results'), 'value')
  assert origin['versions.tensorflow'] == '2.20.0' and origin['inputs.rte/train.tsv'] == 'cd' * 32
  assert report.commands[0] in parsed.text and "TASKS = ('cola', 'mrpc', 'rte')" in parsed.text


def test_the_draw_and_wnli_stand_apart(parsed, report):
  draws = table_like(parsed, "The random pooler's draw")
  for draw in report.analysis.pooler_draws:
    assert column(draws, "draw's share")[draw.task] == words.share(draw.share)
    assert draw.sentence in parsed.text
  assert report.analysis.apart_because['wnli'] in parsed.text
  averages = table_like(parsed, 'Average over tasks')
  assert 'wnli' not in str(averages['rows']) and 'wnli' in parsed.tables['apart-0']['caption']


def test_published_bands_stand_beside_comparable_scores_only(parsed, report):
  bands = [given for _, given, _ in parsed.elements if given.get('class') == 'band']
  assert len(bands) == 4 and 'Shaded: published for bert-base-cased, 65.3 to 65.7' in parsed.text
  assert 'huggingface/transformers' in str(table_like(parsed, 'Published dev scores')['rows'])
  alone = tuple(dataclasses.replace(g, beside=None) for g in report.analysis.groups)
  analysis = dataclasses.replace(report.analysis, groups=alone, apart=())
  bare = Page(page.render(dataclasses.replace(report, analysis=analysis)))
  assert not [given for _, given, _ in bare.elements if given.get('class') == 'band']
  assert 'Published dev scores' not in bare.text


def test_arms_that_differ_before_training_are_the_first_thing_said(report):
  checks = [made_up.agreement('keep'), made_up.agreement('random', passed=False) | {
      'suggestion': 'Another pooler was drawn.', 'notes': ['Two texts were cut.']}]
  found = Page(page.render(dataclasses.replace(report, agreement=checks)))
  assert problems(found) == []
  assert 'the first quantity that differs is pooled_output.' in found.text
  assert found.text.index('Attention.') < found.text.index('Not decided')
  assert found.text.count('Another pooler was drawn.') == 2 and 'Two texts were cut.' in found.text
  table = table_like(found, 'Pooler random: ')
  assert column(table, 'agrees')['pooled_output'] == 'NO'
  assert column(table, 'difference')['logits'] == 'not finite'
  assert 'Attention.' not in Page(page.render(report)).text


def hostile_report(matrix):
  """Every text that a user or an exception can bring is hostile."""
  made = made_up.Matrix()
  made.labels, made.easy = matrix.labels, matrix.easy
  for pooler in ('keep', 'random'):
    for seed in range(2):
      made.add('rte', pooler, 'export', seed, notes=(HOSTILE,))
  made.fail('rte', 'random', 'export', 2, HOSTILE)
  check = made_up.agreement('keep', passed=False)
  check['rows'][8]['name'] = check['first_difference'] = check['pooler'] = HOSTILE
  return made_up.report(
      made, title=HOSTILE, question=HOSTILE, agreement=[check], config_text=HOSTILE,
      operative_config_text=HOSTILE, commands=[HOSTILE], provenance={HOSTILE: {'x': HOSTILE}},
      changed_from_defaults=[{'name': HOSTILE, 'value': HOSTILE, 'default': HOSTILE}])


def test_what_users_write_is_shown_and_not_obeyed(matrix):
  html = page.render(hostile_report(matrix))
  found = Page(html)
  names = [name for name, _, _ in found.elements]
  assert names.count('script') == 1 and 'img' not in names and not problems(found)
  assert found.text.count(' '.join(HOSTILE.split())) > 10
  assert 'img' in [name for name, _, _ in Page(f'<p>{HOSTILE}').elements]  # Control.


def test_without_an_analysis_scores_are_shown_and_nothing_is_claimed(matrix):
  found = Page(page.render(made_up.report(matrix, analysis=None)))
  assert problems(found) == []
  assert 'No verdict' in found.text and 'not analysed' in found.text
  table = table_like(found, 'rte: accuracy')
  assert set(column(table, 'interval').values()) == {'–'}
  cell = next(cell for cell in matrix.cells if cell.name == 'rte/keep/export/seed_0')
  assert column(table, 'seed 0')['keep · export'] == words.score(cell.metrics['accuracy'])
  assert 'differences' not in [given.get('id') for _, given, _ in found.elements]
  assert found.tables['apart-0']['caption'].startswith('wnli')


def test_a_matrix_of_failures_or_of_nothing_is_a_page_too(report):
  failed = made_up.Matrix()
  failed.fail('rte', 'keep', 'export', 0, 'out of memory')
  for cells, analysis in (
      (failed.cells, failed.analysis()), (failed.cells, None), ((), None)):
    found = Page(page.render(dataclasses.replace(
        report, cells=cells, analysis=analysis, agreement=(), provenance={}, commands=(),
        changed_from_defaults=(), config_text='', question='')))
    assert problems(found) == []
    assert ('out of memory' in found.text) == bool(cells)


def test_a_line_with_a_gap_and_long_names_are_drawn():
  made = made_up.Matrix()
  made.gold('rte')
  name = 'a_very_long_scope.with_a_name.random_of_all_things'
  made_up.SKILL[name] = 0.5
  try:
    for seed in range(2):
      history = [{'step': step, 'epoch': step, 'loss': math.nan if step == 5 else 1 / step}
                 for step in range(1, 10)]
      made.add('rte', name, 'export', seed, history=history)
      made.add('rte', 'keep', 'export', seed, history=history[:1])
  finally:
    del made_up.SKILL[name]
  html = page.render(made_up.report(made))
  assert not problems(Page(html))
  assert html.count('<polyline') == 2 * 2 + 2  # Two pieces a seed, and one of a single point.
  assert f'{name[:19]}…{name[-14:]}' in html and name in html


def test_drawings_are_xml_so_that_they_can_stand_alone(html):
  count = 0
  for part in html.split('<svg class="plot"')[1:]:
    depth, end = 1, 0
    while depth:
      opened, closed = part.find('<svg', end), part.find('</svg>', end)
      depth += 1 if -1 < opened < closed else -1
      end = (opened + 4) if -1 < opened < closed else (closed + 6)
    ElementTree.fromstring('<svg class="plot"' + part[:end])  # noqa: S314 - our own.
    count += 1
  assert count > 20


def test_rendering_needs_no_tensorflow():
  code = """
import sys
from nlp_export import reports
from nlp_export.reports import page, markdown, results_json
report = reports.Report('title', 'question', ())
page.render(report), markdown.render(report), results_json.render(report)
print(sorted({'tensorflow', 'tf_keras', 'matplotlib', 'scipy', 'numpy'} & set(sys.modules)))
"""
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
  assert done.stdout.strip() == "['numpy']"  # numpy: such modules would have been seen.
