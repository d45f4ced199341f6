"""GLUE checks and the pooler ablation from the command line: tiny encoders, few steps, real files.

What they find before and after training, statuses, last lines, and what lies in out_dir.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from nlp_export import reports
from tests import run_lab, tiny
from tests.glue import official_layout
from tests.in_process import run_main, settings

SMALL = {'TASKS': "('stsb',)", 'EPOCHS': 'None', 'recipe.steps': 3, 'BATCH_SIZE': 8,
         'MAX_SEQ_LENGTH': 16, 'SEEDS': '(0, 1)'}


@pytest.fixture(scope='module')
def glue(tmp_path_factory) -> str:
  return str(official_layout.write(tmp_path_factory.mktemp('glue'), 24))


@pytest.fixture(scope='module')
def given(uncased_exports, glue) -> dict[str, str]:
  return {'EXPORT': uncased_exports['model'], 'PREPROCESSING': uncased_exports['preprocessing'],
          'GLUE_DIR': glue, **SMALL}


def check(out: Path, **macros):
  return run_main('gin/runs/glue_check.gin', *settings(**macros), '--out_dir', out)


def results(out: Path):
  return reports.read_results(str(out / 'glue/results.json'))


@pytest.fixture(scope='module')
def checked(given, tiny_uncased, tmp_path_factory):
  """A check of an export beside its baseline: its out_dir and what the screen showed."""
  out = tmp_path_factory.mktemp('checked') / 'out'
  return out, check(out, **tiny_uncased, **given)


@pytest.mark.parametrize(('values', 'ending'), [
    ({'MAX_SEQ_LENGTH': 257}, 'Write --set MAX_SEQ_LENGTH=256 or less'),
    ({'ARMS': "{'export': {'max_seq_length': 300}}"}, 'Write --set MAX_SEQ_LENGTH=256 or less'),
    ({'SEEDS': 3}, 'Write SEEDS = (3,)'),
])
def test_what_cannot_work_is_refused_before_any_work(values, ending, tiny_uncased, glue, tmp_path):
  given = {**tiny_uncased, **SMALL, 'GLUE_DIR': glue}
  done = check(tmp_path / 'out', **{**given, **values})
  assert done.status == 2 and done.stderr.strip().endswith(ending), done.output
  done = run_main('gin/runs/glue_check.gin', '--dry_run', *settings(
      **{**given, 'MAX_SEQ_LENGTH': 256}), '--out_dir', tmp_path / 'out')
  assert done.status == 0, done.output  # Control: the most that the encoder takes.


def test_an_export_alone_has_its_own_positions(given, tmp_path):
  done = check(tmp_path / 'out', **{**given, 'MAX_SEQ_LENGTH': 257})
  assert done.status == 2 and not (tmp_path / 'out').exists()
  assert done.stderr.strip().endswith('Write --set MAX_SEQ_LENGTH=256 or less')


def test_a_pooler_s_wrong_argument_is_told_by_a_dry_run(tiny_uncased, tmp_path):
  wrong = settings(**{**tiny_uncased, 'POOLERS': '(@poolers.random,)', 'random.stddev': -1})
  done = run_main('gin/runs/export.gin', *wrong, '--dry_run', '--out_dir', tmp_path / 'out')
  assert done.status == 2 and done.stderr.endswith('to a positive number such as 0.02.\n')


def test_an_export_and_its_baseline_agree_to_the_last_digit(checked):
  out, done = checked
  assert done.status == 0, done.output
  found = results(out)
  assert [(cell.arm, cell.seed) for cell in found.cells] == [
      ('export', 0), ('export', 1), ('baseline', 0), ('baseline', 1)]
  export, baseline = found.cells[:2], found.cells[2:]
  assert [cell.metrics for cell in export] == [cell.metrics for cell in baseline]
  assert [cell.history for cell in export] == [cell.history for cell in baseline]
  assert export[0].history != export[1].history  # Control: seeds matter.
  assert found.agreement[0]['passed'] and found.agreement[0]['pooler'] == 'keep'
  (test,) = found.analysis['equivalence']
  assert (test['verdict'], test['identical_predictions']) == ('equivalent', 2)
  assert test['sentence'] in done.stdout.splitlines()
  assert done.stdout.splitlines()[-1] == f'report: {out}/report.html'


def test_a_check_leaves_its_reports_cells_curves_and_provenance(checked, given):
  out, _ = checked
  for name in ('report.html', 'report.md', 'glue/results.csv', 'glue/agreement.json',
               'glue/cells/stsb/keep/export/seed_1.json',
               'glue/predictions/stsb/keep/baseline/seed_0.npz'):
    assert (out / name).is_file(), name
  assert len(list((out / 'glue/curves').rglob('events.*'))) == 4
  assert not (out / 'exports').exists()
  assert not (out / 'glue/work').exists() and not (out / 'glue/claims').exists()
  cell = json.loads((out / 'glue/cells/stsb/keep/baseline/seed_0.json').read_text())
  recipe, hashes = cell['description']['recipe'], cell['description']['content_hashes']
  assert (recipe['steps'], recipe['built']) == (3, 'baseline')
  assert recipe['versions']['tensorflow'].startswith('2.')
  assert set(hashes) == {'checkpoint', 'tokenizer', 'data train.tsv', 'data dev.tsv'}
  found = results(out)
  assert found.provenance['exports']['export/keep']['pooler']['name'] == 'keep'
  assert 'STS-B/dev.tsv' in found.provenance['inputs']
  changed = {entry['name']: entry['value'] for entry in found.changed_from_defaults}
  assert changed['recipe.steps'] == 3 and 'recipe.weight_decay' not in changed
  assert found.commands[0].startswith('python run.py gin/runs/glue_check.gin')
  assert (out / 'plots/scores.svg').is_file()


def test_what_is_committed_says_nothing_of_this_machines_places(checked, given):
  out, _ = checked
  for name in ('glue/results.json', 'glue/results.csv', 'report.md', 'report.html'):
    text = (out / name).read_text()
    for path in (given['EXPORT'], given['GLUE_DIR'], str(out.parent)):
      assert path not in text, (name, path)
  found = results(out)
  assert f"GLUE_DIR = '{Path(given['GLUE_DIR']).name}'" in found.config
  assert found.commands[0].endswith(f'--out_dir {out.name}')
  assert given['EXPORT'] in (out / 'config.gin').read_text()  # Control: the run's own has them.
  assert found.config_sha256 == hashlib.sha256(found.config.encode()).hexdigest()
  assert 'git' in found.provenance


def test_the_same_command_again_is_done_and_a_removed_report_is_made_again(
    checked, tiny_uncased, given):
  out, _ = checked
  again = check(out, **tiny_uncased, **given)
  assert again.stdout.splitlines()[-2:] == [
      f'done: {out} holds this run already', f'report: {out}/report.html']
  before = (out / 'report.html').read_bytes()
  cell = out / 'glue/cells/stsb/keep/export/seed_1.json'
  stored = cell.stat().st_mtime_ns
  (out / 'report.html').unlink()
  once_more = check(out, **tiny_uncased, **given)
  assert once_more.status == 0, once_more.output
  assert 'cells: 4 in all: 4 done' in once_more.stdout.splitlines()
  assert (out / 'report.html').exists() and len(before) > 1000
  assert cell.stat().st_mtime_ns == stored


def test_a_dry_run_says_which_cells_would_run(checked, tiny_uncased, given):
  out, _ = checked
  whole = run_main('gin/runs/glue_check.gin', *settings(**tiny_uncased, **given), '--dry_run',
                   '--out_dir', out)
  assert 'cells: 4 in all: 4 done' in whole.stdout.splitlines()
  new = run_main('gin/runs/glue_check.gin', *settings(**tiny_uncased, **given), '--dry_run',
                 '--out_dir', out.parent / 'new')
  assert 'to do: stsb/keep/export, seeds 0, 1' in new.stdout.splitlines()
  assert 'cells: 4 in all: 4 to do' in new.stdout.splitlines()


def test_another_checkpoint_than_the_exports_is_a_failed_check(
    given, tiny_uncased, tmp_path):
  other = tiny.write_checkpoint(tmp_path / 'other', tiny.build_pretrainer(tiny.Size(seed=5)))
  done = check(tmp_path / 'out', **{**tiny_uncased, 'CHECKPOINT': other}, **given)
  assert done.status == 1, done.output
  last = done.stdout.splitlines()[-14:]
  assert any('export and baseline DIFFER' in line for line in last), last
  assert any(line.startswith('  first in word') for line in last), last
  assert last[-1] == f'A check failed; {tmp_path}/out/run.json has the details'
  assert not results(tmp_path / 'out').agreement[0]['passed']
  assert 'word' in results(tmp_path / 'out').agreement[0]['first_difference']


def test_without_a_checkpoint_the_export_is_alone_and_a_failed_cell_is_status_1(given, tmp_path):
  arms = {'export': {}, 'baseline': {'built': 'baseline'},
          'wrong': {'trainable_layers': 7}}
  study = tmp_path / 'study.gin'
  study.write_text(f"# What?\ninclude 'gin/runs/glue_check.gin'\nARMS = {arms!r}\n")
  done = run_main(study, *settings(**{**given, 'SEEDS': '(0,)'}), '--out_dir', tmp_path / 'out')
  assert done.status == 1, done.output
  lines = done.stdout.splitlines()
  assert any(line.startswith('There is nothing to compare with') for line in lines)
  assert any(line.startswith('failed: stsb/keep/wrong/seed_0: ') for line in lines)
  assert [(cell.arm, cell.status) for cell in results(tmp_path / 'out').cells] == [
      ('export', 'ok'), ('wrong', 'failed')]
  assert results(tmp_path / 'out').agreement == []


@pytest.mark.parametrize(('without', 'end'), [
    ('PREPROCESSING', '--set PREPROCESSING=...\n'),
    ('EXPORT', '--set EXPORT=...\n'),
    ('GLUE_DIR', 'builtin_next_sentence\')"\n'),
])
def test_what_is_missing_is_named(without, end, given, tmp_path):
  done = check(tmp_path / 'out', **{k: v for k, v in given.items() if k != without})
  assert done.status == 2 and done.stderr.endswith(end), done.output
  assert not (tmp_path / 'out').exists()


def test_an_ablation_goes_from_a_checkpoint_to_a_report(tiny_uncased, glue, tmp_path):
  out = tmp_path / 'out'
  command = ('gin/runs/pooler_ablation.gin', *settings(
      **tiny_uncased, GLUE_DIR=glue, POOLERS='(@poolers.keep, @poolers.random)', **SMALL),
      '--out_dir', out)
  done = run_main(*command)
  assert done.status == 0, done.output
  found = results(out)
  assert [(cell.pooler, cell.seed, cell.pooler_seed) for cell in found.cells] == [
      ('keep', 0, None), ('keep', 1, None), ('random', 0, 0), ('random', 1, 1)]
  assert {path.parent.name for path in (out / 'exports').glob('*/model')} == {'keep', 'random'}
  assert 'random' in found.analysis['verdicts'][0]['sentence']
  shutil.rmtree(out / 'glue/cells/stsb/random')
  (out / 'glue/results.json').unlink()
  again = run_main(*command)
  assert again.status == 0, again.output
  assert 'cells: 4 in all: 2 done, 2 to do' in again.stdout.splitlines()
  new = results(out).cells
  assert [cell.metrics for cell in new] == [cell.metrics for cell in found.cells]


@pytest.mark.extra  # Three exports.
def test_arms_of_other_encoders_tokenizers_and_rates_stand_side_by_side(
    tiny_uncased, tiny_cased, glue, tmp_path):
  one_layer = tiny.Size(num_layers=1, seed=3)
  arms = {
      'export': {}, 'baseline': {'built': 'baseline'}, 'slow': {'learning_rate': 1e-6},
      'cased': {'checkpoint': tiny_cased['CHECKPOINT'], 'vocab_file': tiny_cased['VOCAB_FILE'],
                'encoder_config': tiny_cased['ENCODER_CONFIG'], 'do_lower_case': False},
      'one_layer': {
          'checkpoint': tiny.write_checkpoint(tmp_path / 'bert', tiny.build_pretrainer(one_layer)),
          'encoder_config': tiny.write_encoder_config(tmp_path / 'bert.yaml', one_layer)}}
  study = tmp_path / 'study.gin'
  study.write_text(
      f"# What?\ninclude 'gin/runs/glue_check.gin'\nARMS = {arms!r}\n"
      'POOLERS = (@drawn/poolers.random,)\n'
      'drawn/poolers.random.seed = 7\ndrawn/poolers.random.stddev = 0.3\n')
  out = tmp_path / 'out'
  done = run_main(study, *settings(**tiny_uncased, GLUE_DIR=glue, **SMALL), '--out_dir', out)
  assert done.status == 0, done.output
  found = results(out)
  by_arm = {name: [cell for cell in found.cells if cell.arm == name] for name in arms}
  # The baseline has taken strategy, seed and standard deviation from the export's provenance,
  # and both draw anew with each seed of the training.
  record = found.provenance['exports']['export/drawn.random']['pooler']
  assert (record['name'], record['arguments']['seed']) == ('drawn.random', 7)
  assert [entry['passed'] for entry in found.agreement] == [True]
  histories = {name: [cell.history for cell in cells] for name, cells in by_arm.items()}
  assert histories['baseline'] == histories['export']
  assert [cell.pooler_seed for cell in by_arm['baseline']] == [0, 1]
  assert len({str(history) for history in histories.values()}) == 4  # Control: the others differ.
  assert {path.parent.parent.name for path in (out / 'exports').rglob('drawn.random/model')} == {
      'exports', 'cased', 'one_layer'}


@pytest.mark.extra
def test_two_processes_share_a_check_and_the_killed_ones_cells_are_made_again(
    checked, tiny_uncased, given, tmp_path):
  out = tmp_path / 'out'
  command = run_lab.command('gin/runs/glue_check.gin', *settings(
      **tiny_uncased, **{**given, 'SEEDS': '(0, 1, 2, 3)'}), '--out_dir', str(out))

  def start() -> subprocess.Popen:
    return subprocess.Popen(command, cwd=run_lab.REPO, env=run_lab.environment(), text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

  def stored() -> list[Path]:
    return list((out / 'glue').glob('cells/*/*/*/seed_*.json'))

  first = start()
  while not (out / 'run.json').exists():
    time.sleep(0.05)
  second = start()
  while not stored():
    assert first.poll() is None and second.poll() is None
    time.sleep(0.05)
  first.send_signal(signal.SIGKILL)
  first.communicate()
  screen, _ = second.communicate(timeout=300)
  assert second.returncode == 0, screen
  assert 'glue_check joins the run' in screen
  cells = {(cell.arm, cell.seed): cell for cell in results(out).cells}
  assert len(cells) == len(stored()) == 8
  assert json.loads((out / 'run.json').read_text())['status'] == 'done'
  for cell in results(checked[0]).cells:  # As one process made them that nobody killed.
    assert cells[cell.arm, cell.seed].metrics == cell.metrics
  assert not os.path.exists(out / 'glue/claims')
