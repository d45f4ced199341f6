"""`make run`: verified exports, sentences, a check on a builtin task, and a report at the end."""

from __future__ import annotations

import pytest

from nlp_export import reports
from tests.in_process import run_main, settings


def test_the_plan_goes_from_three_exports_to_a_report(tiny_uncased, tmp_path):
  done = run_main('gin/runs/quickstart.gin', *settings(**tiny_uncased), '--dry_run', '--out_dir',
                  tmp_path / 'out')
  assert done.status == 0, done.output
  lines = done.stdout.splitlines()
  for pooler in ('keep', 'random', 'identity'):
    assert sum(line.endswith(f'exports/{pooler}/model') for line in lines) == 1, lines
  for told in ('compare the arms before training, tolerance 1e-5', 'embed 4 sentences',
               'on builtin_word_order with seeds 0, 1: 8 fine-tunings',
               'cells: 8 in all: 8 to do'):
    assert told in lines
  assert any(line.startswith('write report.html') for line in lines)


@pytest.mark.extra
def test_it_ends_with_the_report(tiny_uncased, tmp_path):
  """With tiny weights and two steps; the real ones take minutes."""
  out = tmp_path / 'out'
  done = run_main('gin/runs/quickstart.gin', *settings(
      **tiny_uncased, BATCH_SIZE=8, MAX_SEQ_LENGTH=16, **{'recipe.steps': 2}), '--out_dir', out)
  assert done.status == 0, done.output
  assert done.stdout.splitlines()[-2:] == [f'done: {out}', f'report: {out}/report.html']
  assert 'cosine similarity of mean-pooled sentences:' in done.stdout.splitlines()
  found = reports.read_results(str(out / 'glue/results.json'))
  assert [(cell.pooler, cell.arm, cell.seed) for cell in found.cells] == [
      (pooler, arm, seed) for arm, poolers in (
          ('export', ('keep', 'random', 'identity')), ('baseline', ('keep',)))
      for pooler in poolers for seed in (0, 1)]
  assert {path.name for path in (out / 'exports').iterdir()} == {
      'keep', 'random', 'identity', 'preprocessing'}
  assert (out / 'report.html').is_file() and found.agreement[0]['passed']
