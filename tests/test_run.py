"""run.py as a process: exit statuses, last lines, and what a run leaves in out_dir."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from tests import run_lab
from tests.run_lab import run_py, write

SOUND = ('study.gin', '--set', 'SEED=3')


@pytest.fixture
def lab(tmp_path):
  """A researcher's working directory: their package and their gin file, no copy of this project."""
  run_lab.write_lab(tmp_path)
  return tmp_path


def tree(directory: pathlib.Path) -> dict[str, bytes]:
  return {str(p.relative_to(directory)): p.read_bytes()
          for p in sorted(directory.rglob('*')) if p.is_file() and '__pycache__' not in p.parts}


def record(directory: pathlib.Path) -> dict:
  return json.loads((directory / 'run.json').read_text())


def act(name: str) -> tuple[str, ...]:
  return (*SOUND, '--set', f'ACT={name}')


# A run from beginning to end.


def test_a_run_leaves_its_record(lab):
  write(lab / 'data.txt', 'abc')
  done = run_py(lab, *SOUND, '--set', "INPUTS=('data.txt',)")
  assert done.returncode == 0, done.stderr
  assert done.stdout.splitlines()[-2:] == ['2 noises', 'done: out/study']
  assert sorted(tree(lab / 'out' / 'study')) == [
      'config.gin', 'log.txt', 'operative_config.gin', 'results/numbers.txt', 'run.json']
  found = record(lab / 'out' / 'study')
  assert found['schema_version'] == 1
  assert (found['status'], found['exit_status'], found['result']) == ('done', 0, {'count': 2})
  assert found['command'] == ['run.py', *SOUND, '--set', "INPUTS=('data.txt',)"]
  assert found['inputs'] == {
      'data.txt': 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'}  # FIPS 180.
  assert [step['name'] for step in found['steps']] == ['hash inputs', 'make noise', 'act']
  assert all(step['seconds'] >= 0 for step in found['steps'])
  assert found['versions']['gin-config'].startswith('0.')
  assert found['recorded'] == {'values': [[3, 0, 0.02], [3, 0, 0.01]]}
  assert '\nnoise.stddev = 0.02\n' in (
      lab / 'out' / 'study' / 'operative_config.gin').read_text()  # A default that was used.
  assert 'make noise: 0.' in (lab / 'out' / 'study' / 'log.txt').read_text()


def test_the_same_command_again_is_done_and_touches_nothing(lab):
  assert run_py(lab, *SOUND).returncode == 0
  before = tree(lab)
  times = {p: p.stat().st_mtime_ns for p in (lab / 'out').rglob('*')}
  again = run_py(lab, *SOUND)
  assert again.returncode == 0
  assert again.stdout.splitlines() == ['2 noises', 'done: out/study holds this run already']
  assert tree(lab) == before
  assert {p: p.stat().st_mtime_ns for p in (lab / 'out').rglob('*')} == times


def test_config_gin_can_be_run_as_it_is(lab):
  assert run_py(lab, *SOUND).returncode == 0
  again = run_py(lab, 'out/study/config.gin', '--out_dir', 'out/study')
  assert again.stdout.splitlines()[-1] == 'done: out/study holds this run already'
  elsewhere = run_py(lab, 'out/study/config.gin', '--out_dir', 'elsewhere')
  assert elsewhere.returncode == 0
  assert ((lab / 'elsewhere' / 'config.gin').read_bytes()
          == (lab / 'out' / 'study' / 'config.gin').read_bytes())


def test_another_configuration_is_refused_with_the_difference(lab):
  assert run_py(lab, *SOUND).returncode == 0
  before = tree(lab)
  other = run_py(lab, 'study.gin', '--set', 'SEED=4')
  assert other.returncode == 2
  assert other.stderr.splitlines() == [
      'out/study holds a run with another configuration:',
      '--- out/study/config.gin (that run)', '+++ this command', '-SEED = 3', '+SEED = 4',
      'Give another directory, or remove this one if it is not needed: --out_dir out/study-2']
  assert tree(lab) == before
  assert run_py(lab, 'study.gin', '--set', 'SEED=4', '--dry_run').returncode == 2
  assert run_py(lab, 'study.gin', '--set', 'SEED=4', '--out_dir', 'out/study-2').returncode == 0


def test_other_inputs_are_refused_with_the_file(lab):
  write(lab / 'data' / 'a.txt', 'abc')
  command = (*SOUND, '--set', "INPUTS=('data',)")
  assert run_py(lab, *command).returncode == 0
  write(lab / 'data' / 'a.txt', 'abd')
  other = run_py(lab, *command)
  assert other.returncode == 2
  assert 'data: SHA-256 was ' in other.stderr
  assert other.stderr.splitlines()[-1].endswith('--out_dir out/study-2')
  write(lab / 'data' / 'a.txt', 'abc')  # Control: the content counts, not the time.
  assert run_py(lab, *command).stdout.splitlines()[-1] == 'done: out/study holds this run already'


def test_own_code_that_changed_is_refused(lab):
  assert run_py(lab, *SOUND).returncode == 0
  with (lab / 'my_lab' / 'study.py').open('a') as f:
    f.write('# Another thought.\n')
  other = run_py(lab, *SOUND)
  assert other.returncode == 2
  assert '  import my_lab.study: SHA-256 was ' in other.stderr


def test_a_reader_who_leaves_ends_no_run(lab):
  process = subprocess.Popen(run_lab.command(*SOUND), cwd=lab, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env=run_lab.environment())
  process.stdout.close()
  assert process.stderr.read() == b''
  process.stderr.close()
  assert process.wait(20) == 0
  assert record(lab / 'out' / 'study')['status'] == 'done'
  assert '2 noises\ndone: out/study\n' in (lab / 'out' / 'study' / 'log.txt').read_text()


def test_results_that_were_removed_are_made_again(lab):
  assert run_py(lab, *SOUND).returncode == 0
  shutil.rmtree(lab / 'out' / 'study' / 'results')
  again = run_py(lab, *SOUND)
  assert again.returncode == 0
  assert 'study goes on in out/study' in again.stdout
  assert (lab / 'out' / 'study' / 'results' / 'numbers.txt').exists()


def test_an_unfinished_run_goes_on(lab):
  first = run_py(lab, *act('fail_once'))
  assert (first.returncode, first.stderr) == (1, 'One cell failed. Repeat the command.\n')
  assert record(lab / 'out' / 'study')['status'] == 'failed'
  other = run_py(lab, *act('fail_once'), '--set', 'study.rate=0.5')
  assert other.returncode == 2  # It has results, which another configuration must not mix with.
  second = run_py(lab, *act('fail_once'))
  assert second.returncode == 0, second.stderr
  found = record(lab / 'out' / 'study')
  assert (found['status'], found['attempt']) == ('done', 2)
  assert [step['attempt'] for step in found['steps']] == [1, 1, 1, 2, 2, 2]
  assert [step['finished'] for step in found['steps']] == [True, True, False, True, True, True]


def test_bindings_without_effect_are_reported_at_the_end(lab):
  write(lab / 'more.gin', 'smal/noises.noise.seed = 5\n')
  done = run_py(lab, *SOUND, 'more.gin')
  assert done.returncode == 0
  note = ('note: smal/noises.noise.seed (more.gin:1) had no effect: noises.noise is not called in '
          'scope smal (it is in: no scope, small). Did you mean small?')
  assert note in done.stdout.splitlines()
  assert record(lab / 'out' / 'study')['unused'] == [note.removeprefix('note: ')]
  assert 'smal' not in run_py(lab, *SOUND, '--out_dir', 'control').stdout.replace('small', '')


# Failures.


def test_a_wrong_request_leaves_nothing(lab):
  before = tree(lab)
  for arguments, end in (
      (('study.gin',), '(perhaps: it depends on what is asked for)'),
      ((*SOUND, '--set', 'SEEED=1'), 'Did you mean SEED?'),
      ((*SOUND, '--set', "TASKS=('model',)"),
       '--set VOCAB_FILE=... or --set study.sp_model_file=...'),
      ((*SOUND, '--set', "INPUTS=('none.txt',)"), f'start in the working directory, {lab}'),
      ((*SOUND, '--outdir', 'x'), 'Did you mean --out_dir?'),
      ((*SOUND, '--set'), '`python run.py --help` shows its options.'),
      (act('refuse'), 'The shard is truncated. Copy it again.'),
  ):
    done = run_py(lab, *arguments)
    assert done.returncode == 2, done.stdout
    assert done.stderr.rstrip().endswith(end)
    assert 'Traceback' not in done.stderr + done.stdout
    assert tree(lab) == before
    assert not (lab / 'out').exists()


def test_a_failed_check_is_status_1(lab):
  done = run_py(lab, *act('check'))
  assert (done.returncode, done.stderr) == (1, 'Layer 3 differs. Look at layer 3.\n')
  assert record(lab / 'out' / 'study')['error'] == 'Layer 3 differs. Look at layer 3.'
  # Nothing came of it but its record, so another configuration may have the place.
  assert run_py(lab, *SOUND).returncode == 0


def test_an_outcome_that_did_not_pass_is_status_1_and_keeps_its_place(lab):
  done = run_py(lab, *act('not_passed'))
  assert done.returncode == 1
  assert done.stdout.splitlines()[-2:] == [
      '2 noises', 'A check failed; out/study/run.json has the details']
  assert record(lab / 'out' / 'study')['status'] == 'checks_failed'
  assert run_py(lab, *SOUND).returncode == 2
  assert run_py(lab, *act('not_passed')).returncode == 1  # Not 'done': looked at again.


@pytest.mark.parametrize('name', ['defect', 'plan_defect'])
def test_a_defect_is_status_70_with_the_traceback_in_the_log(lab, name):
  done = run_py(lab, *act(name))
  assert done.returncode == 70
  assert done.stderr.startswith('This was not foreseen: ValueError: a ')
  assert 'my_lab/study.py, line ' in done.stderr
  assert done.stderr.endswith('The traceback is in out/study/log.txt\n')
  assert 'Traceback' not in done.stderr
  log = (lab / 'out' / 'study' / 'log.txt').read_text()
  assert 'Traceback (most recent call last)' in log
  assert 'raise ValueError(' in log
  assert run_py(lab, *SOUND).returncode == 0  # The corrected command is not kept out.


def test_debug_shows_the_traceback(lab):
  assert 'Traceback (most recent call last)' in run_py(lab, *act('check'), '--debug').stderr


def test_a_full_disk_is_status_2(lab):
  for name, path in (('disk_full', 'big_file'), ('tensorflow_disk_full', 'out/study')):
    done = run_py(lab, *act(name))
    assert done.returncode == 2
    assert done.stderr == (f'Cannot write {path}: the disk is full. '
                           'Free some space or write elsewhere: --out_dir DIR.\n')
    assert not (lab / 'out').exists()


def test_a_part_that_lacks_a_value_is_status_2(lab):
  done = run_py(lab, *act('part_without_value'))
  assert done.returncode == 2
  assert done.stderr.endswith('Bind it: noise.width = ...\n')


def test_a_place_that_is_not_a_runs_is_refused(lab):
  write(lab / 'thesis' / 'chapter.txt', 'x')
  write(lab / 'a_file', 'x')
  (lab / 'empty').mkdir()
  for name, end in (('thesis', 'Give an empty or a new directory.'),
                    ('a_file', 'Give a directory, new or of this run.'),
                    ('a_file/below', 'Name another path.')):
    done = run_py(lab, *SOUND, '--out_dir', name)
    assert (done.returncode, done.stderr.strip()[-len(end):]) == (2, end), done.stderr
  assert run_py(lab, *act('refuse'), '--out_dir', 'empty').returncode == 2
  assert list((lab / 'empty').iterdir()) == []
  assert run_py(lab, *SOUND, '--out_dir', 'empty').returncode == 0  # Control.


@pytest.mark.parametrize('kind', [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_run_ends_its_children_and_goes_on_when_repeated(lab, kind):
  pid_file = lab / 'pid'
  process = subprocess.Popen(
      run_lab.command(*act('wait_after_writing')), cwd=lab, stdout=subprocess.PIPE,
      stderr=subprocess.PIPE, text=True,
      env=run_lab.environment() | {'LAB_PID_FILE': str(pid_file)})
  while not pid_file.exists() or not pid_file.read_text():
    assert process.poll() is None
    time.sleep(0.02)
  child = int(pid_file.read_text())
  os.kill(child, 0)  # It runs.

  second = run_py(lab, *act('wait_after_writing'))
  assert second.returncode == 2
  assert second.stderr.endswith('Wait for it, end it, or give another --out_dir.\n')

  process.send_signal(kind)
  _, stderr = process.communicate(timeout=20)
  assert (process.returncode, stderr) == (3, 'Interrupted. Repeat the command to go on.\n')
  assert not pathlib.Path(f'/proc/{child}').exists()
  assert record(lab / 'out' / 'study')['status'] == 'interrupted'
  other = run_py(lab, *SOUND, '--dry_run')
  assert other.returncode == 2  # It holds a part of the other run's results.
  again = run_py(lab, *act('wait_after_writing'), '--dry_run')
  assert again.stdout.splitlines()[-1] == 'study goes on in out/study'


# What needs no work.


def test_dry_run_prints_the_plan_and_leaves_nothing(lab):
  before = tree(lab)
  write(lab / 'more.gin', 'smal/noises.noise.seed = 5\n')
  start = time.monotonic()
  done = run_py(lab, *SOUND, 'more.gin', '--dry_run')
  assert time.monotonic() - start < 3
  assert done.returncode == 0
  assert done.stdout.splitlines() == [
      "would make ['noise', 'small.noise'] with seed 3, checkpoint None",
      'note: smal/noises.noise.seed (more.gin:1) will have no effect: noises.noise is not called '
      'in scope smal (it is in: no scope, small). Did you mean small?',
      'study starts in out/study']
  (lab / 'more.gin').unlink()
  assert tree(lab) == before


@pytest.mark.parametrize('arguments', [
    (*SOUND, '--dry_run'), ('study.gin',), (*SOUND, '--set', 'SEEED=1'), ('--list',)])
def test_plans_and_wrong_requests_need_no_tensorflow(lab, arguments):
  code = ('import sys, runpy; sys.argv = ["run.py", *sys.argv[1:]]\n'
          'try: runpy.run_path(r"{}", run_name="__main__")\n'
          'finally: print("HEAVY", [m for m in ("tensorflow", "tf_keras", "official") '
          'if m in sys.modules])').format(run_lab.REPO / 'run.py')
  done = subprocess.run(
      [*run_lab.command()[:1], '-c', code, *arguments], cwd=lab, capture_output=True, text=True,
      env=run_lab.environment() | {'PYTHONPATH': str(run_lab.REPO)}, timeout=60, check=False)
  assert 'HEAVY []' in done.stdout


def test_gin_file_and_gin_params_are_synonyms(lab):
  done = run_py(lab, '--gin_file', 'study.gin', '--gin_params', 'SEED = 5', '--dry_run')
  assert done.stdout.startswith("would make ['noise', 'small.noise'] with seed 5")
  wrong = run_py(lab, '--gin_file=study.gin', '--gin_params=SEEED = 5', '--gin_params=SEED = 5')
  assert wrong.stderr.endswith('nothing reads a macro SEEED. Did you mean SEED?\n')


def test_options_may_stand_between_files(lab):
  write(lab / 'seed.gin', 'SEED = 6\n')
  done = run_py(lab, 'study.gin', '--set', 'study.rate=1', 'seed.gin', '--dry_run')
  assert 'with seed 6' in done.stdout


def test_help_and_list(lab):
  assert 'Exit status: 0 done' in run_py(lab, '--help').stdout
  done = run_py(lab, '--list')
  assert done.returncode == 0
  assert 'poolers.identity' in done.stdout


# A module of one's own.


def test_an_own_module_is_found_installed_or_in_the_working_directory(lab, tmp_path_factory):
  elsewhere = tmp_path_factory.mktemp('elsewhere')
  shutil.copy(lab / 'study.gin', elsewhere)
  missing = run_py(elsewhere, *SOUND, '--dry_run')
  assert missing.returncode == 2
  assert missing.stderr.endswith(
      'Install its package, or start run.py in the directory that holds my_lab/\n')
  # The folder of the gin file is no place to look: config.gin would not find it from out_dir.
  far = run_py(elsewhere, str(lab / 'study.gin'), '--set', 'SEED=3', '--dry_run')
  assert far.returncode == 2
  found = subprocess.run(
      run_lab.command(*SOUND, '--dry_run'), cwd=elsewhere, check=False, capture_output=True,
      env=run_lab.environment() | {'PYTHONPATH': str(lab)}, timeout=60)
  assert found.returncode == 0
