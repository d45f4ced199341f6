"""The fresh process: what can be imported in it, what becomes of its end, and of the directory."""

from __future__ import annotations

import os
import shutil

import pytest

from nlp_export.errors import CheckError, RequestError
from nlp_export.saved_models.verification import Job, process, verify
from tests.saved_models import encoder_mutants as mutants


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
  """A tiny encoder export without a fault, and its expectation."""
  directory = tmp_path_factory.mktemp('exported')
  obj = mutants.TinyEncoder(directory)
  mutants.save(obj, str(directory / 'model'))
  return directory / 'model', mutants.expectation(obj, directory)


def tree(path):
  """Every file of a directory, with its bytes."""
  return {p.relative_to(path): p.read_bytes() for p in path.rglob('*') if p.is_file()}


@pytest.mark.conformance(2, 3, 5)
def test_exports_are_loaded_by_a_fresh_process_from_another_place(exported, tmp_path):
  path, expected = exported
  wrong = tmp_path / 'wrong'
  shutil.copytree(path, wrong)
  (wrong / 'assets' / 'vocab.txt').write_text('changed\n')
  broken = tmp_path / 'broken'
  shutil.copytree(path, broken)
  (broken / 'saved_model.pb').write_bytes(b'no protocol buffer')
  same = tmp_path / 'same'
  shutil.copytree(path, same)
  before = tree(path)
  right, failed, unreadable, stranger = verify([
      Job(str(path), 'right', expected, movable=True), Job(str(wrong), 'wrong', expected),
      Job(str(broken), 'broken', expected), Job(str(same), 'stranger')])
  assert right.passed and right.ours and not right.failed, right.lines()
  assert {c.name for c in failed.failed} == {'files.assets'}  # In spite of the equal graph.
  assert not unreadable.passed and 'it does not load' in unreadable.lines()[1]
  assert stranger.passed and not stranger.ours
  assert tree(path) == before and not os.path.exists(f'{path}.moved')


@pytest.mark.conformance(2)
def test_a_process_that_can_import_tf_nlp_is_found_out(exported):
  path, expected = exported
  report, = verify([Job(str(path), 'x', expected)], bar_imports=False)
  assert [c.name for c in report.failed] == ['files.loads_alone']
  assert report.failed[0].why == 'official could be imported in the process that loads the export'


def test_a_killed_worker_leaves_no_verdict_and_no_moved_directory(exported, monkeypatch, tmp_path):
  path, expected = exported
  killer = tmp_path / 'kills_itself.py'
  killer.write_text('import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n')
  monkeypatch.setenv('PYTHONPATH', str(tmp_path))
  monkeypatch.setattr(process, '_WORKER', 'kills_itself')
  with pytest.raises(CheckError) as raised:
    verify([Job(str(path), 'keep/model', expected, movable=True)])
  text = str(raised.value)
  assert text.startswith('The verification of keep/model was killed by signal 9')
  assert text.endswith('with more memory if it was killed.')
  assert path.exists() and not os.path.exists(f'{path}.moved')


@pytest.mark.parametrize('made', [False, True])
def test_what_is_no_saved_model_is_refused_before_any_process_starts(tmp_path, monkeypatch, made):
  monkeypatch.setattr(process, '_WORKER', 'no_such_module')
  path = tmp_path / 'nothing'
  if made:
    path.mkdir()
  with pytest.raises(RequestError, match='holds saved_model.pb.$'):
    verify([Job(str(path))])
